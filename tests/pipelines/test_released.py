import os
from pathlib import Path

import numpy as np
import pytest

import jaxdiff
from jaxdiff.cli.main import main
from jaxdiff.evaluation.scenes import judge

FOLDER = Path(jaxdiff.__file__).parent / "released"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder to draw in, of a process whose devices are settled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxdiff.cli.sample.use_cpu_devices", lambda count: None)
    return tmp_path


@pytest.mark.slow
def test_a_released_model_draws_by_its_name(elsewhere):
    assert main(["sample", "--model", "openmoji", "--label", "face", "--num", "4", "--steps", "8", "--quiet"]) == 0
    faces = np.load(elsewhere / "samples" / "samples.npy")
    assert faces.shape == (4, 32, 32, 3)
    # A face is yellow on white: much red and green, and less blue, in the middle.
    red, green, blue = faces[:, 8:24, 8:24].mean((0, 1, 2))
    assert min(red, green) > blue + 0.5
    assert faces[:, 0].mean() > 0.9


@pytest.mark.slow
def test_the_released_model_of_captions_draws_what_they_say(elsewhere):
    said = ["a red seven above a green three", "a blue one at the top left", "a white zero"]
    asked = [word for caption in said for word in ("--prompt", caption)]
    assert main(["sample", "--model", "scenes", *asked, "--guidance", "3", "--num", "12", "--quiet"]) == 0
    drawn = np.load(elsewhere / "samples" / "samples.npy")
    assert judge(drawn, [said[i % 3] for i in range(12)])["exact"] >= 0.9


@pytest.mark.system
def test_what_is_refused_leaves_no_folder(elsewhere, capfd):
    assert main(["sample", "--model", "openmoji", "--prompt", "a face"]) == 2
    assert "this model reads no captions" in capfd.readouterr().err
    assert list(elsewhere.iterdir()) == []


def test_released_models_are_small_and_have_a_card():
    for folder in FOLDER.iterdir():
        assert sum(file.stat().st_size for file in folder.iterdir()) < 6e6
        card = (folder / "README.md").read_text()
        assert "| license | CC BY-SA 4.0" in card or "| license | Apache-2.0" in card
        assert os.access(folder / "samples.png", os.R_OK)
