"""The notebooks run from top to bottom on a tiny setting, and are stored clean, small and ready for Colab."""

import ast
import base64
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = sorted(file.stem for file in FOLDER.glob("*.ipynb"))
NET = {"name": "unet", "channels": 8, "multipliers": (1,), "attention": (), "groups": 4, "blocks": 1}
FEW = {"train.batch_size": 4, **{f"net.{name}": value for name, value in NET.items() if name != "name"}}
TINY = {
    "ddpm_from_scratch": {"STEPS": 2, "BATCH": 4, "CHANNELS": 8, "CHAIN": 12, "DRAWN": 16},
    "own_pictures": {"SIZE": 8, "MINUTES": 0.0, "DRAWN": 16, "FIELDS": FEW | {"sample.steps": 11}},
    "solvers": {"POINTS": 50, "SIZES": (8, 16), "FINE": 100, "ZOO": ("euler", "dpmpp_2m"), "STOCHASTIC": ("ddim",)},
    "guidance_and_editing": {"STEPS": 2, "SAMPLING": 3, "FIELDS": FEW},
    "many_devices": {"DEVICES": 2, "STEPS": 2, "NET": NET},
}


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def run(name):
    """The names that a notebook leaves, its cells run here, one after another, with tiny parameters."""
    names = {"__name__": "__main__"}
    for i, cell in enumerate(read(name).cells):
        if cell.cell_type == "code" and not tagged(cell, "install"):
            exec(compile(cell.source, f"{name}, cell {i}", "exec"), names)
            if tagged(cell, "parameters"):
                assert TINY[name].keys() <= names.keys()
                names |= TINY[name]
    return names


@pytest.fixture(autouse=True)
def somewhere(monkeypatch, tmp_path):
    """Where files may be written, and figures are shown to nobody."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    yield
    plt.close("all")


def test_each_has_a_tiny_setting():
    assert sorted(TINY) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_clean_and_ready_for_colab(name):
    book = read(name)
    nbformat.validate(book)
    assert "colab-badge.svg" in book.cells[0].source
    install, parameters = (cell for cell in book.cells if cell.metadata.get("tags"))
    assert tagged(install, "install")
    assert install.source.startswith("%pip install -q jaxdiff ")
    assert len(install.source.splitlines()) == 1
    assert tagged(parameters, "parameters")
    assert all(isinstance(node, ast.Assign) for node in ast.parse(parameters.source).body)
    for cell in book.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr"
            assert output.output_type != "error"
            for kind, content in output.get("data", {}).items():
                assert kind in ("text/plain", "image/png")
                assert len(base64.b64decode(content) if kind == "image/png" else content) < 100_000


@pytest.mark.slow
def test_solvers():
    errors = run("solvers")["errors"]
    assert errors["dpmpp_2m"][1] < 0.5 * errors["dpmpp_2m"][0]  # of second order
    assert errors["dpmpp_2m"][1] < errors["euler"][1]


@pytest.mark.slow
def test_ddpm_from_scratch():
    names = run("ddpm_from_scratch")
    assert names["drawn"].shape == (16, 8, 8, 1)
    np.testing.assert_allclose(names["again"], names["drawn"], atol=1e-3)


@pytest.mark.slow
def test_own_pictures():
    names = run("own_pictures")
    assert names["real"].shape == (400, 8, 8, 3)
    assert names["difference"] < 1e-6


@pytest.mark.slow
def test_guidance_and_editing():
    names = run("guidance_and_editing")
    known = names["mask"] > 0
    for drawn in (names["once"], names["often"]):
        np.testing.assert_allclose(np.where(known, drawn, 0), np.where(known, names["truth"], 0), atol=1e-6)
    assert [np.isfinite(made).all() for made in names["made"]] == [True] * 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_many_devices_in_a_kernel():
    book = read("many_devices")
    book.cells = [cell for cell in book.cells if not tagged(cell, "install")]
    at = next(i for i, cell in enumerate(book.cells) if tagged(cell, "parameters"))
    tiny = "\n".join(f"{name} = {value!r}" for name, value in TINY["many_devices"].items())
    book.cells.insert(at + 1, nbformat.v4.new_code_cell(tiny))
    check = "assert jax.device_count() == 2 and abs(np.asarray(many)[:8] - np.asarray(one)).max() < 1e-4"
    book.cells.append(nbformat.v4.new_code_cell(check))
    NotebookClient(book, timeout=300, kernel_name="python3").execute()
    shown = [out for cell in book.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(shown) == 1
