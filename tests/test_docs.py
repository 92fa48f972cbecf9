"""The code blocks of README and docs run as they stand, and so do the examples of docstrings."""

import dataclasses
import doctest
import importlib
import re
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest

import jaxdiff
from jaxdiff.nets import Autoencoder
from jaxdiff.pipelines import experiment, load
from jaxdiff.pipelines.coder import Coder
from tests.helpers.configs import SPEC, tiny

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if page.stem != "architecture"]  # whose blocks are files: tests/test_skeletons.py
PAGES = [page for page in PAGES if page.stem != "stable_diffusion"]  # which loads folders: tests/interop/test_page.py
EXAMPLES = sorted(file for file in (ROOT / "jaxdiff").rglob("*.py") if ">>>" in file.read_text())


def blocks(file):
    """The blocks of a page, each below as many empty lines as there are above it, so that errors name the line."""
    text = file.read_text()
    return ["\n" * text[: m.start(1)].count("\n") + m[1] for m in re.finditer(r"```python\n(.*?)```", text, re.DOTALL)]


@pytest.fixture(scope="module")
def run():
    """A model of the digits whose network is small and has random weights."""
    config = tiny()
    parts = experiment.build(config, SPEC)
    return dataclasses.replace(parts.model, params=parts.init(jax.random.key(0)), steps=20)


def coder():
    """An autoencoder of the digits with random weights."""
    net = Autoencoder(widths=(8, 8), blocks=1, latents=2, channels=1, attention=False, groups=4)
    return Coder(net.init(jax.random.key(0), np.zeros((1, *SPEC.shape)))["params"], net, SPEC)


LONG = {"algebra_sampling", "evaluation", "few_steps", "own_parts", "planning", "python", "symbols", "words"}


@pytest.mark.system
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.slow] * (page.stem in LONG))
        for page in PAGES
        if blocks(page)
    ],
)
def test_every_block_runs(page, run, monkeypatch, tmp_path):
    """In order and in one namespace; what is loaded is `run`, whatever its name, and trainings are short."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    train = jaxdiff.train
    small = {"channels": 8, "multipliers": (1,), "blocks": 1, "attention": (), "groups": 4, "name": "unet"}
    short = lambda *data, steps, **given: train(*data, steps=min(steps, 4), **{"net": small, **given})
    monkeypatch.setattr(jaxdiff, "train", short, raising=False)
    monkeypatch.setattr(load, "load_coder", lambda path: coder())
    with mock.patch.object(jaxdiff, "load", create=True, return_value=run):
        for block in blocks(page):
            exec(compile(block, str(page), "exec"), names)
    if "x_0" in names:
        x_0 = np.asarray(names["x_0"])
        assert x_0.shape[0] == 1000
        assert abs(np.abs(x_0[:, 0]).mean() - 1) < 0.05  # the two components are at -1 and 1


@pytest.mark.system
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_examples_of(file):
    module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed


def test_a_sampler_and_a_process_take_under_twenty_lines():
    """Imports and empty lines apart."""
    lines = [line for line in blocks(ROOT / "docs" / "samplers.md")[0].splitlines() if line and "import" not in line]
    assert len(lines) < 20
