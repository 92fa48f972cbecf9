"""The command `jaxdiff evaluate`, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxdiff.cli.main import main
from jaxdiff.errors import InputError
from jaxdiff.evaluation import report
from jaxdiff.evaluation.frechet import frechet_distance
from jaxdiff.evaluation.held_out import unit_of
from jaxdiff.evaluation.report import table
from jaxdiff.modalities.images import pictures
from jaxdiff.types import Spec
from tests.helpers.cases import refused
from tests.helpers.evaluated import draw

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.slow
def test_the_command(files, rng, capfd):
    folder = Path("pictures")
    folder.mkdir()
    for i, image in enumerate(np.load("real.npy")[:40]):
        pictures.save_picture(folder / f"{i:02}.png", pictures.to_uint8(image))
    line = ["evaluate", "--samples", "samples.npy", "--floor", "2", "--intervals", "2"]
    assert main([*line, "--reference", "real.npy", "--held-out", "held.npy", "--json", "out.json"]) == 0
    result = json.loads(Path("out.json").read_text())
    assert result["samples"]["rounding"] == "nearest"
    assert result["reference"]["size"] == 400
    assert "fd_pixels" in capfd.readouterr().out
    page = Path("out.html").read_text()
    assert page.count("data:image/png") == 2
    assert "http" not in page
    assert main([*line, "--reference", "pictures", "--json", "folder.json"]) == 0
    assert json.loads(Path("folder.json").read_text())["reference"]["size"] == 40
    assert main(["evaluate", "--reference", "real.npy", "--save-reference", "stats.npz"]) == 0
    assert main([*line, "--reference", "stats.npz", "--json", "stats.json"]) == 0
    one, other = (json.loads(Path(f).read_text())["figures"]["fd_pixels"]["value"] for f in ("out.json", "stats.json"))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    (folder / "00.png").write_bytes(b"no picture")
    assert main([*line, "--reference", "pictures"]) == 2
    assert "00.png" in capfd.readouterr().err


def test_bits_per_dimension_stand_in_the_table_with_their_interval():
    result = {"figures": {}, "features": [], "floor": {}, "likelihood": {"probability flow": {"mean": 2, "error": 0.1}}}
    result["unit"] = "bits per dimension"
    assert report.table(result)[1] == [["probability flow, bits per dimension", "2.0000", "1.8040 to 2.1960", "", ""]]


@pytest.mark.slow
def test_tables_are_compared_by_their_columns(rng, tmp_path, cache, capfd):
    for name in ("samples", "real"):
        np.save(f"{name}.npy", rng.normal(size=(200, 3)))
    line = ["evaluate", "--samples", "samples.npy", "--reference", "real.npy", "--json", "out.json"]
    assert main([*line, "--floor", "2", "--intervals", "0"]) == 0
    found = json.loads(Path("out.json").read_text())["figures"]["fd_columns"]["value"]
    np.testing.assert_allclose(found, frechet_distance(np.load("samples.npy"), np.load("real.npy")), rtol=1e-5)


def test_few_samples_are_warned_of(rng, capfd):
    np.save("samples.npy", draw(rng, 12))
    np.save("real.npy", draw(rng, 100))
    line = ["evaluate", "--samples", "samples.npy", "--reference", "real.npy", "--intervals", "0", "--floor", "0"]
    assert main(line) == 0
    assert "12 samples for 16 features: their covariance is singular" in capfd.readouterr().out


CASES = {
    "not finite": (lambda x: np.where(np.arange(len(x))[:, None, None, None] < 3, np.nan, x), "3 of 300 examples"),
    "another range": (lambda x: (x + 1) * 127.5, "has pixels up to"),
    "another size": (lambda x: x[:, :2, :2], r"of shape \(4, 4, 1\), and the samples are images of shape \(2, 2, 1\)"),
    "whole numbers": (lambda x: np.int32(x), "holds int32: images are uint8"),
    "no images": (lambda x: x[:, 0, 0, 0], "must be images"),
}


@pytest.mark.parametrize("name", CASES)
def test_samples_that_cannot_be_measured_are_refused(name, files, capfd):
    change, message = CASES[name]
    np.save("wrong.npy", change(np.load("samples.npy")))
    assert main(["evaluate", "--samples", "wrong.npy", "--reference", "real.npy"]) == 2
    line = capfd.readouterr().err
    assert line.startswith("error: ")
    assert len(line.strip().splitlines()) == 1
    with refused(message):
        raise InputError(line.strip())


LINES = {
    "--samples samples.npy": "go with a --reference",
    "--reference real.npy": "--save-reference",
    "--samples samples.npy --reference real.npy --steps 5": "--steps: is for drawing from a run",
    "--samples samples.npy --reference real.npy --num 5": "--num: is for drawing from a run",
    "--samples samples.npy --reference real.npy --resize clean": "--resize: is for --features inception",
    "--samples samples.npy --reference real.npy --features pixel": "did you mean 'pixels'",
    "--samples samples.npy --reference real.npy --features inception --resize clean": "no weights of InceptionV3 at",
    "--samples samples.npy --reference real.npy --features nowhere:f": "that can be imported",
    "--samples samples.npy --reference real.npy --features digits": "are of images of 8x8x1, and these are 4x4x1",
    "--samples samples.npy --reference real.npy --rounding up": "unknown --rounding 'up'",
    "--samples samples.npy --reference real.npy --intervals 1": "--intervals 1: at least 2",
    "--samples samples.npy --reference real.npy --weights-file a": "--weights-file: is for --features inception",
    "--workdir run --key x": "--key: is of --samples",
    "--workdir run --held-out real.npy --likelihood 5": "--likelihood: is of the run's own held-out data",
    "--reference real.npy --save-reference s.npz --json a": "--json: is for measuring, and there are no samples",
    "--reference real.npy --save-reference s.npz --floor 0": "--floor: is for measuring, and there are no samples",
    "--convert a.pth --samples samples.npy": "--samples: goes without --convert",
    "--convert real.npy": "weights",
}


@pytest.mark.parametrize("line", LINES)
def test_lines_that_make_no_sense_are_refused(line, files, capfd):
    assert main(["evaluate", *line.split()]) == 2
    said = capfd.readouterr().err
    assert LINES[line] in said
    assert len(said.strip().splitlines()) == 1


def test_likelihoods_are_told_in_their_units():
    figure = {"mean": 1.0, "error": 0.1}
    units = {"images": "bits per dimension", "molecules": "nats a molecule", "text": "bits a symbol"}
    for modality, unit in units.items():
        found = {"figures": {}, "features": {}, "floor": {}, "likelihood": {"bound": figure}}
        (row,) = table({**found, "unit": unit_of(Spec((2,), modality))})[1]
        assert row[0] == f"bound, {unit}"
