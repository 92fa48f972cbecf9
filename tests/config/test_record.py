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


def test_how_long_may_change_and_what_is_learned_may_not(tmp_path):
    run_record.write_record(tmp_path, RECORD)
    run_record.write_record(tmp_path, changed(steps=20))
    assert run_record.read_record(tmp_path).config["train"]["steps"] == 20
    with pytest.raises(InputError, match=r"train.batch_size \(4 there, 8 now\): choose another --workdir"):
        run_record.write_record(tmp_path, changed(batch_size=8))
    assert run_record.read_record(tmp_path).config["train"]["batch_size"] == 4


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
