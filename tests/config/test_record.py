import errno
import fcntl
import json
import os

import pytest

from jaxdiff.config import record as run_record
from jaxdiff.errors import InputError
from jaxdiff.pipelines import load
from tests.helpers.configs import SPEC

RECORD = run_record.Record(
    {"net": {"channels": 32}, "train": {"steps": 10, "batch_size": 4}, "sample": {"steps": 5}}, SPEC
)


def changed(**train):
    return RECORD._replace(config={**RECORD.config, "train": {**RECORD.config["train"], **train}})


def test_a_record_comes_back(tmp_path):
    run_record.write_record(tmp_path / "a" / "b", RECORD)
    assert run_record.read_record(tmp_path / "a" / "b") == RECORD


def test_a_record_that_changed_is_refused_until_one_takes_the_seal_off(tmp_path):
    run_record.write_record(tmp_path, RECORD)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"batch_size": 4', '"batch_size": 5'))
    with pytest.raises(
        InputError, match="changed since it was written: restore it or, if you meant to, remove its 'sha"
    ):
        run_record.read_record(tmp_path)
    content = json.loads(file.read_text())
    del content["sha256"]
    file.write_text(json.dumps(content))
    assert run_record.read_record(tmp_path) == changed(batch_size=5)


@pytest.mark.parametrize(
    ("best", "field", "free"),
    [("held_out_mse", "held_out_examples", "samples"), ("fd_digits", "samples", "held_out_examples")],
)
def test_what_the_best_is_measured_by_stays(tmp_path, best, field, free):
    before = {"keep_best": best, "held_out_examples": 64, "samples": 64}
    run_record.write_record(tmp_path, changed(**before))
    run_record.write_record(tmp_path, changed(**(before | {free: 32})))
    with pytest.raises(InputError, match=rf"another configuration, train\.{field} \(64 there, 32 now\)"):
        run_record.write_record(tmp_path, changed(**(before | {field: 32})))
    run_record.write_record(tmp_path, changed(**(before | {field: 32, "keep_best": ""})))


def test_the_data_that_the_best_is_measured_on_stays_and_may_move(tmp_path):
    before = changed(keep_best="held_out_mse")
    before = before._replace(config={**before.config, "held_out": {"name": "digits", "split": "test", "path": "a"}})
    run_record.write_record(tmp_path, before)
    held = lambda **fields: before._replace(config={**before.config, "held_out": before.config["held_out"] | fields})
    run_record.write_record(tmp_path, held(path="b"))
    with pytest.raises(InputError, match=r"another configuration, held_out\.split \(test there, train now\)"):
        run_record.write_record(tmp_path, held(split="train"))


def test_nothing_is_written_through_a_link(tmp_path):
    run_record.write_record(tmp_path / "other", RECORD)
    for name in ("config.json", "config.json.part"):
        (tmp_path / name).symlink_to(tmp_path / "other" / "config.json")
    run_record.write_record(tmp_path, changed(steps=20))
    assert run_record.read_record(tmp_path / "other") == RECORD
    assert run_record.read_record(tmp_path) == changed(steps=20)


def no_flock(code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    return flock


LOCKS = {
    "as usual": lambda folder, patch: None,
    "its file removed": lambda folder, patch: (folder / "lock").unlink(),
    "its file written": lambda folder, patch: (folder / "lock").write_text("x" * 1000),
    "the folder moved and a link in its place": lambda folder, patch: folder.symlink_to(folder.rename(f"{folder}2")),
}


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_holds_whatever_happens_to_its_file(tmp_path, monkeypatch, kind):
    folder = tmp_path / "run"
    with run_record.locked(folder):
        LOCKS[kind](folder, monkeypatch)
        with pytest.raises(InputError, match="another process is training in .*: wait"), run_record.locked(folder):
            pass
    with run_record.locked(folder):
        pass


def test_a_run_that_moves_while_it_is_locked_ends_well(tmp_path):
    with run_record.locked(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "moved")
    assert [place.name for place in tmp_path.iterdir()] == ["moved"]
    with run_record.locked(tmp_path / "moved"):  # the lock went with it, and is free
        pass


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_a_file_names_the_holder(tmp_path, monkeypatch, code):
    folder = tmp_path / "run"
    monkeypatch.setattr(fcntl, "flock", no_flock(code))
    with run_record.locked(folder):
        holder = f"if process {os.getpid()} of .* is gone, remove '{folder}/lock"
        with pytest.raises(InputError, match=f"another process is training in .*{holder}"), run_record.locked(folder):
            pass
    with run_record.locked(folder):
        pass
    (left,) = [name for name in ("lock", "lock.held") if (code == errno.ENOSYS) == (name == "lock")]
    (folder / left).write_text("12\nanother-host\n")  # as a dead holder, or a copied run, has it
    with pytest.raises(InputError, match=f"if process 12 of another-host is gone, remove '{folder}/{left}'"):
        run_record.locked(folder).__enter__()
    (folder / left).unlink()
    with run_record.locked(folder):
        pass


def test_how_long_may_change_and_what_is_learned_may_not(tmp_path):
    run_record.write_record(tmp_path, RECORD)
    run_record.write_record(tmp_path, changed(steps=20))
    assert run_record.read_record(tmp_path).config["train"]["steps"] == 20
    with pytest.raises(InputError, match=r"train.batch_size \(4 there, 8 now\): choose another --workdir"):
        run_record.write_record(tmp_path, changed(batch_size=8))
    assert run_record.read_record(tmp_path).config["train"]["batch_size"] == 4


DATA = {"examples": 50, "sha256": "abc"}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (DATA, None),
        ({**DATA, "examples": 20}, "(50 examples there, 20 now)"),
        ({**DATA, "sha256": "abd"}, "(50 examples, as many, but others)"),
    ],
)
def test_data_are_known_by_what_they_are_and_not_by_where_they_lie(tmp_path, now, said):
    of = lambda path, data: RECORD._replace(
        config={**RECORD.config, "data": {"name": "arrays", "path": path}}, data=data
    )
    run_record.write_record(tmp_path, of("a.npy", DATA))
    before = (tmp_path / "config.json").read_bytes()
    if said is None:
        run_record.write_record(tmp_path, of("b.npy", now))
        assert run_record.read_record(tmp_path) == of("b.npy", DATA)
        return
    with pytest.raises(InputError) as caught:
        run_record.write_record(tmp_path, of("a.npy", now))
    assert f"was trained on other data {said}: name those, wherever they lie, or choose another --workdir" in str(
        caught.value
    )
    assert (tmp_path / "config.json").read_bytes() == before
    content = json.loads(before)
    del content["data"], content["sha256"]  # which is how one goes on with them knowingly
    (tmp_path / "config.json").write_text(json.dumps(content))
    run_record.write_record(tmp_path, of("a.npy", now))
    assert run_record.read_record(tmp_path).data == now


def test_a_record_that_holds_already_what_it_has_to_is_not_written_again(tmp_path, monkeypatch):
    """The disk may be full when a run is started again."""
    run_record.write_record(tmp_path, RECORD)
    monkeypatch.setattr(run_record, "replacing", None)
    run_record.write_record(tmp_path, RECORD)
    with pytest.raises(TypeError):
        run_record.write_record(tmp_path, changed(steps=20))


def test_of_a_network_what_it_computes_may_not_change_and_how_may(tmp_path):
    of = lambda **net: RECORD._replace(config={**RECORD.config, "net": {"channels": 32, **net}})
    run_record.write_record(tmp_path, of(remat="none"))
    run_record.write_record(tmp_path, of(remat="full"))
    with pytest.raises(InputError, match=r"net.blocks \(None there, 2 now\)"):
        run_record.write_record(tmp_path, of(remat="full", blocks=2))


def test_the_newest_run_is_found(tmp_path):
    for i, name in enumerate(("b", "a", "c")):
        run_record.write_record(tmp_path / name, RECORD)
        if name != "c":
            (tmp_path / name / "checkpoints" / "10").mkdir(parents=True)
            os.utime(tmp_path / name / "checkpoints" / "10", (i, i))
    assert run_record.find(tmp_path) == tmp_path / "a"
    assert run_record.find(tmp_path / "c") == tmp_path / "c"


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run with a checkpoint"):
        run_record.find(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not the record of a run"):
        load.load(tmp_path)
    (tmp_path / "config.json").write_text('{"format": 2, "config": {}, "spec": {"shape": [8], "modality": "tables"}}')
    with pytest.raises(InputError, match="of format 2; this version of jaxdiff reads 1"):
        load.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the run's folder"):
        run_record.write_record(tmp_path / "file" / "run", RECORD)
