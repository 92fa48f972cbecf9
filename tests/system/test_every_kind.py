"""Every kind of data and of student: a training that is killed, and a model that is mailed, lose nothing."""

import json
import shutil

import chex
import numpy as np
import pytest

from jaxdiff.pipelines.load import load_any
from tests.helpers.kinds import KINDS, STUDENTS, arguments

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]
pytest.importorskip("rdkit.Chem.AllChem", reason="needs the extra molecules")
CLOCK = ("examples_per_s", "waited_for_data")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def teacher(call, place):
    call("train.py", *arguments("teacher", place), f"--workdir={place / 'teacher'}")
    return place / "teacher"


def metrics(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


@pytest.mark.parametrize("kind", [*KINDS, *STUDENTS])
def test_killed_and_gone_on_with_or_mailed_it_is_the_same(call, request, place, tmp_path, kind):
    """Parameters, average and metrics bit for bit; and what it draws elsewhere, on other devices, without the run."""
    train = arguments(kind, request.getfixturevalue("teacher") if kind in STUDENTS else tmp_path)
    whole, killed, mailed = (tmp_path / name for name in ("whole", "killed", "mailed"))
    call("train.py", *train, f"--workdir={whole}")
    call("tests/helpers/killed.py", *train, f"--workdir={killed}", code=-9, KILLED_AT="5")
    out, _ = call("train.py", *train, f"--workdir={killed}")
    assert "continuing" in out
    assert metrics(killed) == metrics(whole)
    for weights in ("params", ""):
        chex.assert_trees_all_equal(load_any(killed, weights).params, load_any(whole, weights).params)
    one = {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    call("tests/helpers/draws.py", str(whole), str(tmp_path / "there.npy"), **one)
    load_any(killed).save(tmp_path / "exported", picture=False)
    mailed.mkdir()
    shutil.move(tmp_path / "exported", mailed / "model")
    for one in set(tmp_path.iterdir()) - {mailed, tmp_path / "there.npy"}:
        shutil.rmtree(one) if one.is_dir() else one.unlink()
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    out, _ = call("tests/helpers/draws.py", str(mailed / "model"), str(tmp_path / "here.npy"), **two)
    assert "2 devices" in out
    there, here = np.load(tmp_path / "there.npy"), np.load(tmp_path / "here.npy")
    if there.dtype.kind == "f":
        np.testing.assert_allclose(here, there, rtol=1e-6, atol=1e-6 * np.nanmax(np.abs(there)))
    else:
        np.testing.assert_array_equal(here, there)
