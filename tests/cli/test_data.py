import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxdiff.cli.data import main


def test_the_digits(capsys, tmp_path):
    assert main(["inspect", "digits", "--sheet", str(tmp_path / "sheet.png")]) == 0
    out = capsys.readouterr().out
    assert "1,797 images of 8x8, 1 channel, 17 levels" in out
    assert "values from -1.000 to 1.000, mean -0.389, standard deviation 0.752" in out
    assert "10 classes: 0: 178, 1: 182, 2: 177, 3: 183, 4: 181, 5: 182, 6: 181, 7: 179, 8: 174, 9: 180" in out
    assert "the largest has 1.1 times the examples of the smallest" in out
    assert "0 examples are copies of others" in out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 66 + 2, 8 * 66 + 2)


def test_copies_and_what_is_refused_are_told(capsys, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    cut = (tmp_path / "1.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(cut[: len(cut) // 2])
    assert main(["inspect", str(tmp_path), "--size", "8"]) == 1
    out = capsys.readouterr().out
    assert "6 images of 8x8, 3 channels" in out
    assert "1 examples are copies of others" in out
    assert out.count("refused:") == 1
    assert "cut.png' cannot be read as a picture" in out


def test_a_table(capsys, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("height,kind,always\n1.5,cat,7\n2.5,dog,7\n1.5,cat,7\n4.5,emu,7\n")
    assert main(["inspect", str(path), "--label-key", "kind", "--sheet", str(tmp_path / "sheet.png")]) == 0
    out = capsys.readouterr().out
    assert "4 rows of 2 columns, 1 of which vary" in out
    assert "3 classes: cat: 2, dog: 1, emu: 1" in out
    assert "1 examples are copies of others" in out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 200
    path.write_text("a,b\n1,x\n")
    assert main(["inspect", str(path)]) == 2
    assert "which is no number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "'none' is not prepared in"),
        (["{}/none"], "there is no such folder, .npy, .npz or .csv"),
        ([__file__], "is no folder, .npy, .npz or .csv"),
        (["{}/a.npz"], "is not there: give the path of a .npy or .npz file"),
        (["{}"], "no picture below"),
        (["digits", "--sheet", "{}/none/sheet.png"], "No such file or directory"),
        (["digits", "--sheet", "{}/sheet.foo"], "name a picture, such as sheet.png"),
        (["digits", "--size", "4"], "--size: is not for digits"),
        (["a.npz", "--channels", "3"], "--channels: is not for a .npy or .npz"),
        (["a.csv", "--key", "x"], "--key: is not for a .csv"),
        (["{}", "--label-key", "x"], "--label-key: is not for a folder"),
        (["mnist", "--missing", "drop"], "--missing: is not for a prepared set"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, arguments, message):
    assert main(["inspect", *(a.format(tmp_path) for a in arguments)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trips"], "must be a .npz"),
        (["{}/a.npz", "--trips=0"], "trips=0: must be a whole number from 1"),
        (["{}/a.npz", "--trips=3", "--steps=1"], "steps=1: must be a whole number from 2"),
        (["{}/a.npz", "--trips=3", "--stride=0"], "stride=0: must be a whole number from 1"),
        (["{}/a.npz", "--trips=3", "--seed=-1"], "seed=-1: must be a whole number from 0"),
        (["{}/a.npz", "--trips=3", "--layout=tiny"], "unknown maze 'tiny'"),
    ],
)
def test_trips_that_cannot_be_are_one_line(capsys, tmp_path, arguments, message):
    assert main(["maze", *(a.format(tmp_path) for a in arguments)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_the_command_runs_as_a_module(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4), np.uint8))
    command = [sys.executable, "-W", "error", "-m", "jaxdiff", "data", "inspect", str(tmp_path / "a.npy")]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "3 images of 4x4, 1 channel, 256 levels" in out
    assert "2 examples are copies of others" in out
