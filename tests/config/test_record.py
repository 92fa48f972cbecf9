import os

import pytest

from jaxdiff.config import record as run_record
from jaxdiff.config.schema import LATER
from jaxdiff.errors import InputError
from jaxdiff.pipelines import load

RECORD = run_record.Record(
    {"net": {"channels": 32}, "train": {"steps": 10, "batch_size": 4}, "sample": {"steps": 5}}, (8, 8, 1)
)


def changed(**train):
    return RECORD._replace(config={**RECORD.config, "train": {**RECORD.config["train"], **train}})


def test_a_record_comes_back(tmp_path):
    run_record.write_record(tmp_path / "a" / "b", RECORD)
    assert run_record.read_record(tmp_path / "a" / "b") == changed(**LATER["train"])


def test_a_record_from_before_there_was_a_field_has_its_default_and_may_go_on(tmp_path):
    run_record.write_record(tmp_path, RECORD)
    run_record.write_record(tmp_path, changed(shrink=1, enlarge=1, enlarge_noise=0.0))
    with pytest.raises(InputError, match=r"train.enlarge \(1 there, 2 now\)"):
        run_record.write_record(tmp_path, changed(shrink=1, enlarge=2, enlarge_noise=0.0))


def test_a_run_from_before_there_were_schedules_goes_on_with_a_constant_rate_and_no_other(tmp_path):
    constant, cosine = ({"name": "constant_schedule"}, {"name": "cosine_decay_schedule", "decay_steps": 9})
    optimizer = {"name": "adam", "learning_rate": 1e-3, "warmup": 0, "clip": 1.0}
    of = lambda **more: run_record.Record({"optimizer": {**optimizer, **more}}, (8, 8, 1))  # noqa: E731
    run_record.write_record(tmp_path, of())
    assert run_record.read_record(tmp_path) == of(schedule=constant)
    run_record.write_record(tmp_path, of(schedule=constant))
    with pytest.raises(
        InputError, match=r"optimizer.schedule.decay_steps \(None there, 9 now\); optimizer.schedule.name"
    ):
        run_record.write_record(tmp_path, of(schedule=cosine))


def test_how_long_may_change_and_what_is_learned_may_not(tmp_path):
    run_record.write_record(tmp_path, RECORD)
    run_record.write_record(tmp_path, changed(steps=20))
    assert run_record.read_record(tmp_path).config["train"]["steps"] == 20
    with pytest.raises(InputError, match=r"train.batch_size \(4 there, 8 now\): choose another --workdir"):
        run_record.write_record(tmp_path, changed(batch_size=8))
    assert run_record.read_record(tmp_path).config["train"]["batch_size"] == 4


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
    (tmp_path / "config.json").write_text('{"format": 2, "config": {}, "shape": []}')
    with pytest.raises(InputError, match="of format 2; this version of jaxdiff reads 1"):
        load.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the run's folder"):
        run_record.write_record(tmp_path / "file" / "run", RECORD)
