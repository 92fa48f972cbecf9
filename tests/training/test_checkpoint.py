import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from jaxdiff.cli.runs import main
from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints import checkpoint
from jaxdiff.training.checkpoints.checkpoint import Checkpoints
from jaxdiff.training.checkpoints.seal import CHECKSUMS, HISTORY, amend, damage, seal
from jaxdiff.training.checkpoints.stored import newest_intact, restore_weights, steps
from jaxdiff.training.step import init_state


@pytest.fixture
def state():
    params = {"a": jax.random.normal(jax.random.key(0), (3, 4)), "b": jnp.zeros(2)}
    state = init_state(params, optax.adam(0.1), ["ema"])
    return state._replace(step=jnp.int32(5), ema={"ema": jax.tree.map(lambda x: x + 1, params)})


def save(folder, state, *at, **kept):
    with Checkpoints(folder, **kept) as checkpoints:
        for step in at or (5,):
            checkpoints.save(state._replace(step=jnp.int32(step)))


def restore(folder, like):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(like)


def content(folder):
    return {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.system
def test_everything_comes_back_bit_for_bit(tmp_path, state):
    save(tmp_path, state, 5, 5)
    again = restore(tmp_path, jax.tree.map(jnp.zeros_like, state))
    chex.assert_trees_all_equal(again, state)
    step, ema = restore_weights(tmp_path, "ema", state.params)
    assert step == 5
    chex.assert_trees_all_equal(ema, state.ema["ema"])


@pytest.mark.system
def test_every_save_happens_and_the_newest_are_kept(tmp_path, state):
    save(tmp_path, state, *range(1, 7), keep=2)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["5", "6"]
    save(tmp_path, state, *range(7, 13), keep=1, keep_every=4)
    assert steps(tmp_path) == [8, 12]
    with pytest.raises(InputError, match=r"train.keep=0 must be at least 1"):
        Checkpoints(tmp_path, keep=0)


def test_nothing_saved_is_the_state_given(tmp_path, state):
    assert restore(tmp_path, state) is state
    with pytest.raises(InputError, match=r"no checkpoint in .* yet: train first"):
        restore_weights(tmp_path, "ema", state.params)


def test_another_network_is_refused_in_one_line(tmp_path, state):
    save(tmp_path, state)
    for other in ({"a": jnp.zeros((3, 5)), "b": jnp.zeros(2)}, {"c": jnp.zeros(2)}):
        with pytest.raises(InputError, match="is of another network") as caught:
            restore_weights(tmp_path, "ema", other)
        assert "\n" not in str(caught.value)


def test_what_a_killed_process_left_is_removed(tmp_path, state):
    save(tmp_path, state)
    for left in ("writing-7", "writing-7.orbax-checkpoint-tmp", "deleting-3"):
        shutil.copytree(tmp_path / "5", tmp_path / left)
    assert newest_intact(tmp_path) == 5
    with Checkpoints(tmp_path):
        assert [f.name for f in tmp_path.iterdir()] == ["5"]


def flip(file):
    """Another value of the middle byte."""
    data = bytearray(file.read_bytes()) or bytearray(1)
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


FAULTS = {"flipped byte": flip, "truncated": truncate, "missing": os.remove}


@pytest.mark.system
@pytest.mark.parametrize("fault", FAULTS)
def test_damage_to_any_file_is_found_and_named(tmp_path, state, fault):
    save(tmp_path, state, 4, 5)
    files = sorted(f.relative_to(tmp_path / "5") for f in (tmp_path / "5").rglob("*") if f.is_file())
    assert len(files) >= 15
    for name in files:
        if not (tmp_path / "5" / name).stat().st_size and fault == "truncated":
            continue
        shutil.copytree(tmp_path / "5", tmp_path / "9")
        FAULTS[fault](tmp_path / "9" / name)
        (found,) = damage(tmp_path / "9")
        assert str(name) in found or CHECKSUMS in str(name)
        assert newest_intact(tmp_path) == 5
        shutil.rmtree(tmp_path / "9")


@pytest.mark.system
def test_a_damaged_checkpoint_is_set_aside_and_written_again(tmp_path, state, caplog):
    save(tmp_path, state, 4, 5)
    shutil.rmtree(tmp_path / "5" / "ema" / "d")
    with caplog.at_level(logging.WARNING), Checkpoints(tmp_path) as checkpoints:
        again = checkpoints.restore(state)
        assert int(again.step) == 4
        checkpoints.save(state)
    assert f"checkpoint '{tmp_path / '5'}' is damaged: ema/d/" in caplog.text
    assert "is missing; going back to step 4" in caplog.text
    assert damage(tmp_path / "5") == []
    assert damage(tmp_path / "damaged-5") != []


@pytest.mark.parametrize("crash", range(7))
def test_a_crash_while_metrics_are_added_costs_nothing(tmp_path, monkeypatch, crash):
    """Before each of its six writes, and after the last."""
    for name in (HISTORY, "weights"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "metrics.json").write_text("before")
    seal(tmp_path)
    done = []

    def counted(act):
        def write(*given):
            done.append(1)
            if len(done) > crash:
                raise KeyboardInterrupt
            return act(*given)

        return write

    with monkeypatch.context() as patch:
        for name in ("write_text", "replace"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        with contextlib.suppress(KeyboardInterrupt):
            amend(tmp_path, "metrics.json", "after")
    assert damage(tmp_path) == []
    assert (tmp_path / "metrics.json").read_text() == ("before" if crash < 4 else "after")
    amend(tmp_path, "metrics.json", "again")
    assert damage(tmp_path) == []
    assert json.loads((tmp_path / CHECKSUMS).read_text())["metrics.json"] == hashlib.sha256(b"again").hexdigest()
    flip(tmp_path / "metrics.json")
    assert damage(tmp_path) == ["metrics.json has changed"]


@pytest.mark.parametrize("emptied", ["", "ema", "rest"])
def test_with_none_intact_it_stops_and_changes_nothing(tmp_path, state, emptied):
    save(tmp_path, state, 4, 5)
    for step in ("4", "5"):
        shutil.rmtree(tmp_path / step / emptied)
        (tmp_path / step / emptied).mkdir()
    before = content(tmp_path)
    with pytest.raises(InputError, match=r"/5' is damaged: .*/4' is damaged: .*no intact one is left") as caught:
        restore(tmp_path, state)
    assert "\n" not in str(caught.value)
    assert content(tmp_path) == before


def test_sampling_checks_what_it_reads(tmp_path, state):
    save(tmp_path, state, 4, 5)
    flip(tmp_path / "5" / "rest" / "_METADATA")
    assert restore_weights(tmp_path, "ema", state.params)[0] == 5
    flip(next((tmp_path / "5" / "ema" / "d").iterdir()))
    assert restore_weights(tmp_path, "ema", state.params)[0] == 4


def test_a_save_that_fails_is_reported_and_the_next_one_works(tmp_path, state, caplog):
    folder = tmp_path / "checkpoints"
    folder.write_text("in the way")
    with caplog.at_level(logging.WARNING), Checkpoints(folder) as checkpoints:
        checkpoints.save(state)
        with pytest.raises(InputError, match="the checkpoint of step 5 could not be written: "):
            checkpoints.wait()
        checkpoints.save(state)
        checkpoints.save(state._replace(step=jnp.int32(6)))  # waits for the one before
        with pytest.raises(InputError, match="the checkpoint of step 6"):
            checkpoints.wait()
        folder.unlink()
        checkpoints.save(state._replace(step=jnp.int32(7)))
    assert "could not be written" in caplog.text
    assert "training goes on" in caplog.text
    chex.assert_trees_all_equal(restore(folder, state).params, state.params)


def test_a_last_save_that_fails_ends_in_an_error(tmp_path, state):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(InputError, match="could not be written"):
        save(tmp_path / "checkpoints", state)


def test_the_command_line(tmp_path, state, capsys):
    save(tmp_path / "checkpoints", state, 4, 5)
    assert main(["verify", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("intact") == 2
    flip(tmp_path / "checkpoints" / "5" / "ema" / "_METADATA")
    assert main(["verify", str(tmp_path)]) == 1
    assert "damaged: ema/_METADATA has changed" in capsys.readouterr().out
    assert main(["checkpoints", str(tmp_path)]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["4", "5"]
    assert main(["checkpoints", str(tmp_path / "none")]) == 2


def test_the_command_runs_as_a_module(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    command = [sys.executable, "-W", "error", "-m", "jaxdiff", "runs", "verify", str(tmp_path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "no checkpoint yet\n"


def test_checksums_are_plain_sha256(tmp_path, state):
    save(tmp_path, state)
    sums = json.loads((tmp_path / "5" / CHECKSUMS).read_text())
    done = subprocess.run(["sha256sum", *sums], cwd=tmp_path / "5", check=True, capture_output=True, text=True)
    assert {name: total for total, name in (line.split("  ") for line in done.stdout.splitlines())} == sums


@pytest.mark.system
def test_the_best_by_a_metric_is_kept(tmp_path, state):
    values = {1: 0.9, 2: 0.3, 3: float("nan"), 4: 0.5, 5: 0.4}
    with Checkpoints(tmp_path, keep=1, keep_best="loss") as checkpoints:
        for step, value in values.items():
            checkpoints.save(state._replace(step=jnp.int32(step)), {"loss": value})
    assert steps(tmp_path) == [2, 5]
    save(tmp_path, state, 6, keep=1, keep_best="loss")
    assert steps(tmp_path) == [2, 6]
    save(tmp_path, state, 7, keep=1)
    assert steps(tmp_path) == [7]


@pytest.mark.system
def test_what_is_written_wrong_is_found_when_asked_for(tmp_path, state, monkeypatch, caplog):
    """Without `verify` the sums are those of the wrong bytes."""
    write = checkpoint.ocp.save_checkpointables_async

    def wrong(path, items, **options):
        if path.endswith("6"):
            items = {**items, "params": jax.tree.map(lambda x: x.at[0].add(1e-6), items["params"])}
        return write(path, items, **options)

    monkeypatch.setattr(checkpoint.ocp, "save_checkpointables_async", wrong)
    save(tmp_path / "unseen", state, 5, 6)
    assert steps(tmp_path / "unseen") == [5, 6]
    save(tmp_path / "seen", state, 5, 6, 7, verify=True)
    assert steps(tmp_path / "seen") == [5, 7]
    assert "the checkpoint of step 6 could not be written: what is read back is not what was written" in caplog.text
    assert not list((tmp_path / "seen").glob("writing-*"))
