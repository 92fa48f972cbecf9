"""Students from the command line: from a teacher's run to a picture, and gone on with where the teacher is gone."""

import shutil

import jax
import numpy as np
import pytest

import jaxdiff
from tests.helpers.processes import TINY

pytestmark = pytest.mark.slow

SMALL = [line for line in TINY if not line.startswith(("--config=", "--config.sample", "--config.train.steps"))]


def same(one, other):
    """Two runs have the same parameters, bit for bit."""
    a, b = (jaxdiff.load(run, "params").params for run in (one, other))
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_two_players_stopped_and_gone_on_with(call, refuse, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train = ["--config=configs/ddgan.py", *SMALL]
    call("train.py", *train, "--config.train.steps=20", f"--workdir={whole}")
    for steps in (10, 20):
        call("train.py", *train, f"--config.train.steps={steps}", f"--workdir={parts}")
    same(whole, parts)
    call("sample.py", "--workdir", str(whole), "--num", "4")
    assert np.load(whole / "samples" / "samples.npy").shape == (4, 8, 8, 1)
    assert (whole / "samples.png").exists()
    assert "distilled for 4" in refuse("sample.py", "--workdir", str(whole), "--num", "4", "--steps", "2")


def test_a_student_goes_on_where_its_teacher_is_gone(call, refuse, tmp_path):
    teacher, whole, parts = (tmp_path / name for name in ("teacher", "whole", "parts"))
    call("train.py", "--config=configs/flow.py", *SMALL, "--config.train.steps=10", f"--workdir={teacher}")
    train = f"--config=configs/distill.py:dmd,teacher={teacher}"
    call("train.py", train, "--config.train.steps=20", f"--workdir={whole}")
    call("train.py", train, "--config.train.steps=10", f"--workdir={parts}")
    shutil.rmtree(teacher)
    assert str(teacher) in refuse("train.py", train, "--config.train.steps=20", f"--workdir={tmp_path / 'new'}")
    call("train.py", f"--config=configs/distill.py:student={parts}", "--config.train.steps=20", f"--workdir={parts}")
    same(whole, parts)
    call("sample.py", "--workdir", str(parts), "--num", "4", "--steps", "2")
