"""What checkpoints live through: paths, names, leftovers, errors, damage; each a table, to which the next is a line."""

import contextlib
import errno
import json
import logging
import os
import shutil

import chex
import jax
import jax.numpy as jnp
import optax
import pytest
import tensorstore

from jaxdiff.cli.runs import main
from jaxdiff.config.record import read_record
from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints import checkpoint, stored
from jaxdiff.training.checkpoints.checkpoint import Checkpoints
from jaxdiff.training.checkpoints.seal import CHECKSUMS, damage, seal
from jaxdiff.training.checkpoints.stored import best, newest_intact, restore_weights, steps
from jaxdiff.training.files import place, replacing
from jaxdiff.training.step import init_state


@pytest.fixture(scope="module")
def state():
    params = {"a": jax.random.normal(jax.random.key(0), (32,))}
    return init_state(params, optax.sgd(0.1), ["ema"])


def at(state, step):
    return state._replace(step=jnp.int32(step), ema={"ema": {"a": state.params["a"] + step}})


def save(folder, state, *numbers, **kept):
    with Checkpoints(folder, **kept) as checkpoints:
        for step in numbers:
            checkpoints.save(at(state, step), {"loss": 1 / step})


@pytest.fixture(scope="module")
def two(state, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    save(folder, state, 4, 5)
    return folder


@pytest.fixture
def run(two, tmp_path):
    """A copy of the checkpoints 4 and 5."""
    return shutil.copytree(two, tmp_path / "run" / "checkpoints")


def check_whole(folder, state, step):
    with Checkpoints(folder) as checkpoints:
        chex.assert_trees_all_equal(checkpoints.restore(state), at(state, step))


@pytest.mark.system
@pytest.mark.parametrize("name", ["lr[1e-4]", "[!a]", "a**b", "a\\b", "é \udcff [", "*?{}~#%:,;'\"$"])
def test_any_path_is_a_good_path(tmp_path, state, name):
    run = tmp_path / name
    run.mkdir()
    save(run / "checkpoints", state, 5)
    assert sorted(f.name for f in tmp_path.iterdir()) == [name]
    check_whole(run / "checkpoints", state, 5)
    assert restore_weights(run / "checkpoints", "ema", state.params)[0] == 5
    assert main(["verify", str(run)]) == 0


def test_what_a_library_warned_of_is_read_and_not_believed(tmp_path, state, monkeypatch, caplog):
    """Orbax takes the path for a pattern, finds nothing to merge, and only warns."""
    monkeypatch.setattr(stored, "for_orbax", lambda path: str(path))
    folder = tmp_path / "x[1]" / "checkpoints"
    folder.parent.mkdir()
    with Checkpoints(folder) as checkpoints:
        for step, first in ((4, False), (5, True)):
            checkpoints._sure = first  # which is read back anyway
            checkpoints.save(at(state, step))
            with pytest.raises(InputError, match=rf"step {step} could not .* cannot be read back \(.*Skipping merge"):
                checkpoints.wait()
    assert steps(folder) == []


MOVED = {
    "renamed": lambda folder: (folder / "5").rename(folder / "60"),
    "copied": lambda folder: shutil.copytree(folder / "5", folder / "60"),
    "copied from far before": lambda folder: shutil.copytree(folder / "4", folder / "60"),
}


@pytest.mark.system
@pytest.mark.parametrize("kind", MOVED)
def test_a_name_is_not_believed(run, state, kind, caplog, capsys):
    MOVED[kind](run)
    left = 4 if kind == "renamed" else 5
    assert newest_intact(run) == left
    assert f"60' is damaged: it is of step {4 if 'before' in kind else 5}, whatever its name" in caplog.text
    assert restore_weights(run, "ema", state.params)[0] == left
    assert best(run, "loss") == left
    assert main(["verify", str(run.parent)]) == 1
    with Checkpoints(run, keep=1) as checkpoints:
        checkpoints.restore(state)
        shutil.rmtree(run / "damaged-60")
        MOVED[kind](run) if kind != "renamed" else shutil.copytree(run / "4", run / "60")
        for step in (58, 59):
            checkpoints.save(at(state, step))
        checkpoints.wait()
        assert steps(run) == [59, 60]  # what is not what it says makes nothing newer go
        checkpoints.save(at(state, 60))
    assert steps(run) == [60]
    check_whole(run, state, 60)
    assert (run / "damaged-60").is_dir()


def link(path):
    (path.parent / "target").mkdir(exist_ok=True)
    (path.parent / "target" / "kept").touch()
    path.symlink_to(path.parent / "target")


LEFT = {"a file": lambda path: path.touch(), "a link": link, "a link to nothing": lambda path: path.symlink_to("none")}


@pytest.mark.parametrize("kind", LEFT)
@pytest.mark.parametrize("name", ["writing-7", "deleting-3", "writing-probe", "2", "deleting-4", "damaged-5", "6"])
def test_leftovers_are_left_alone(run, state, name, kind):
    LEFT[kind](run / name)
    save(run, state, 6, keep=2)
    check_whole(run, state, 6)
    assert (run / name).is_symlink() == (kind != "a file") or name == "6"
    if kind == "a link":
        assert (run / "target" / "kept").exists()


def fails(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize("error", [RuntimeError("in a thread"), NotImplementedError(), KeyError("x"), OSError(5, "io")])
@pytest.mark.parametrize(
    ("place_", "name"),
    [(checkpoint.ocp, "save_checkpointables_async"), (checkpoint, "seal"), (checkpoint.shutil, "disk_usage")],
)
def test_no_error_in_a_save_ends_the_training(run, state, monkeypatch, caplog, place_, name, error):
    with Checkpoints(run) as checkpoints:
        with monkeypatch.context() as broken:
            broken.setattr(place_, name, fails(error))
            checkpoints.save(at(state, 6))
            with pytest.raises(InputError, match="step 6 could not be written"):
                checkpoints.wait()
        checkpoints.save(at(state, 7))
    check_whole(run, state, 7)


def test_pruning_that_fails_is_a_warning(run, state, monkeypatch, caplog):
    monkeypatch.setattr(checkpoint.shutil, "rmtree", fails(PermissionError(13, "Permission denied")))
    (run / "deleting-2").mkdir()  # another user's
    save(run, state, 6)
    assert steps(run) == [5, 6]
    assert caplog.text.count("could not be removed: Permission denied; it is left alone") == 2


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "5", '"x"', '{"loss": "x"}', '{"loss": null}', '{"loss": [1]}', "["]
)
def test_metrics_of_older_checkpoints_may_be_damaged(run, state, text):
    (run / "4" / "metrics.json").write_text(text)
    save(run, state, 6, keep=1, keep_best="loss")
    assert newest_intact(run) == 6
    assert main(["checkpoints", str(run.parent)]) == 0


def unlisted(path):
    sums = json.loads((path / CHECKSUMS).read_text())
    (path / CHECKSUMS).write_text(json.dumps({name: sums[name] for name in ("ema/_METADATA", "history.json")}))


def linked(path):
    file = path / "ema" / "_METADATA"
    file.rename(path.parent / "away")
    file.symlink_to(path.parent / "away")


def renamed_in(name):
    def change(path):
        sums = json.loads((path / CHECKSUMS).read_text())
        (path / CHECKSUMS).write_text(json.dumps(sums | {name: "0"}))

    return change


SEALS = {
    "few files listed": (unlisted, "is not in checksums.json"),
    "one more file": (lambda path: (path / "ema" / "more").touch(), "more is not in checksums.json"),
    "a link": (linked, "is a link or a device"),
    "a linked folder": (lambda path: (path / "ema" / "x").symlink_to("/proc"), "x is a link"),
    "a pipe": (lambda path: os.mkfifo(path / "ema" / "x"), "x is a link or a device"),
    "a name outside": (renamed_in("ema/../../../../../../proc/kmsg"), "kmsg is missing"),
    "an absolute name": (renamed_in("/proc/kmsg"), "kmsg is missing"),
}


@pytest.mark.parametrize("kind", SEALS)
def test_the_seal_covers_every_file_and_nothing_else(run, kind):
    change, message = SEALS[kind]
    change(run / "5")
    assert any(message in line for line in damage(run / "5")), damage(run / "5")
    assert newest_intact(run) == 4


@pytest.mark.parametrize(("seconds", "saved"), [(60, True), (0, False)])
def test_the_last_save_is_tried_until_there_is_room(tmp_path, state, monkeypatch, seconds, saved):
    tries = []

    def full_twice(*_):
        tries.append(len(tries))
        return OSError(errno.ENOSPC, "no space left on device") if len(tries) < 3 else None

    monkeypatch.setattr(checkpoint, "AGAIN_S", 0.01)
    monkeypatch.setattr(Checkpoints, "_obstacle", full_twice)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.insist(at(state, 5), {}, seconds)
    with contextlib.nullcontext() if saved else pytest.raises(InputError, match="no space left"), checkpoints:
        pass
    assert steps(tmp_path) == ([5] if saved else [])


def in_place_of(file, kind):
    file.unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind == "a device":
        file.symlink_to("/dev/zero")
    else:
        file.touch()
        os.truncate(file, 2**40)  # which takes no room


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a terabyte of nothing"])
@pytest.mark.parametrize("name", ["5/checksums.json", "5/metrics.json", "../config.json"])
def test_notes_are_not_waited_for_and_not_read_without_end(run, name, kind):
    in_place_of(run / name, kind)
    if name == "../config.json":
        with pytest.raises(InputError, match="is not the record of a run: no file, or one of more than 64 MB"):
            read_record(run.parent)
    elif name == "5/metrics.json":
        assert best(run, "loss") == 4
    else:
        assert newest_intact(run) == 4


def test_what_a_system_leaves_in_folders_is_no_damage(run):
    (run / "5" / "ema" / ".DS_Store").touch()
    assert newest_intact(run) == 5


def test_pieces_larger_than_their_array_are_refused(run, state):
    """A chunk of gigabytes may take a few kilobytes on the disk."""
    item = run / "5" / "ema"
    spec = {"driver": "zarr3", "kvstore": {"driver": "ocdbt", "base": f"file://{item}/", "path": "a/"}}
    wide = {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**20]}}, "data_type": "float32"}
    spec["metadata"] = {"shape": [32], **wide}
    tensorstore.open(spec, create=True, delete_existing=True).result().write(jnp.ones(32)).result()
    seal(run / "5")
    with pytest.raises(InputError, match=r"shape \[32\] is stored in pieces of \[1048576\]"):
        restore_weights(run, "ema", state.params)


def test_what_is_sealed_and_cannot_be_read_is_not_intact(run, capsys):
    (run / "5" / "params" / "manifest.ocdbt").unlink()
    seal(run / "5")
    assert main(["verify", str(run.parent)]) == 1
    assert "damaged: it cannot be read" in capsys.readouterr().out


def test_it_is_read_while_it_rotates(run, state, monkeypatch):
    """The checkpoint that was chosen is gone when it is read, and a newer one there."""
    load = stored.load

    def late(path, like):
        if path.name == "5":
            (run / "5").rename(run / "deleting-5")
            save(run, state, 6)
        return load(path, like)

    monkeypatch.setattr(stored, "load", late)
    assert restore_weights(run, "ema", state.params)[0] == 6


def test_another_network_is_told_from_what_cannot_be_read(run, state):
    with pytest.raises(InputError, match=r"another network: ema/a has the shape \(32,\) there, and \(33,\) here"):
        restore_weights(run, "ema", {"a": jnp.zeros(33)})


@pytest.mark.parametrize("path", ["gs://bucket/run", "s3://b", "hdfs:/x", "https://x/y"])
def test_a_cloud_is_refused_by_name(path, capsys):
    with pytest.raises(InputError, match=r"no disk of this machine: name a folder"):
        place(path)
    assert main(["checkpoints", path]) == 2
    assert "no disk of this machine" in capsys.readouterr().err


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place("~/run") == tmp_path / "run"
    assert str(place("~nobody-of-that-name/run")) == "~nobody-of-that-name/run"


@pytest.mark.parametrize("kind", ["nothing", "a file", "a link", "a folder"])
def test_a_file_is_written_in_place_of_whatever_lies_there(tmp_path, kind, caplog):
    file, other = tmp_path / "loss.png", tmp_path / "other"
    other.write_text("kept")
    {"nothing": lambda: 0, "a file": file.touch, "a link": lambda: file.symlink_to(other), "a folder": file.mkdir}[
        kind
    ]()
    with caplog.at_level(logging.WARNING), replacing(file) as part:
        part.write_text("new")
    assert (file.read_text(), other.read_text(), file.is_symlink()) == ("new", "kept", False)
    assert (
        (tmp_path / "loss.png.aside").exists()
        == ("is nothing of this run" in caplog.text)
        == (kind in ("a link", "a folder"))
    )
