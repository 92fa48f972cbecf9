import os
from pathlib import Path

import numpy as np
import pytest

import jaxdiff
from jaxdiff.cli.main import main

FOLDER = Path(jaxdiff.__file__).parent / "released"


@pytest.mark.slow
def test_a_released_model_draws_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "--model", "openmoji", "--label", "face", "--num", "4", "--steps", "8", "--quiet"]) == 0
    faces = np.load(tmp_path / "samples" / "samples.npy")
    assert faces.shape == (4, 32, 32, 3)
    # A face is yellow on white: much red and green, and less blue, in the middle.
    red, green, blue = faces[:, 8:24, 8:24].mean((0, 1, 2))
    assert min(red, green) > blue + 0.5
    assert faces[:, 0].mean() > 0.9


def test_released_models_are_small_and_have_a_card():
    for folder in FOLDER.iterdir():
        assert sum(file.stat().st_size for file in folder.iterdir()) < 6e6
        card = (folder / "README.md").read_text()
        assert "| license | CC BY-SA 4.0" in card
        assert os.access(folder / "samples.png", os.R_OK)
