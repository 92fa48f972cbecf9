"""Molecules in notebooks: what is taken for molecules, what the view holds, and what is refused."""

import importlib

import numpy as np
import pytest

import jaxdiff
from jaxdiff.modalities.molecules.view import are_molecules, view
from tests.helpers.cases import refused
from tests.modalities.test_molecules import METHANE, SMALL, WATER, stacked

chem = pytest.importorskip("rdkit.Chem", reason="needs the extra molecules")


def test_pictures_are_not_taken_for_molecules():
    rng = np.random.default_rng(0)
    assert are_molecules(stacked(SMALL))
    assert are_molecules(stacked(SMALL)[0])
    assert are_molecules([chem.MolFromSmiles("CCO")])
    assert are_molecules(chem.MolFromSmiles("CCO"))
    for picture in (rng.uniform(-1, 1, (2, 8, 4)), np.ones((8, 8, 4)), np.zeros((8, 8, 4)), rng.normal(size=(3, 5, 5))):
        assert not are_molecules(picture)
    assert not are_molecules(rng.integers(0, 255, (8, 8, 4), np.uint8))
    assert not are_molecules([])
    assert jaxdiff.show(np.ones((8, 8, 4))).size == (68, 68)


def test_a_view_holds_each_molecule_with_its_bonds():
    pytest.importorskip("py3Dmol", reason="needs the extra molecules")
    page = view(stacked([METHANE, WATER])).write_html()
    assert "rows: 1, cols: 2, control_all: true" in page
    assert page.count("V2000") == 2
    assert r"\n  5  4  0  0" in page  # five atoms and four bonds
    assert r"\n  3  2  0  0" in page
    assert page.count("setStyle") == 2
    many = view(np.repeat(stacked([WATER]), 40, 0), columns=5).write_html()
    assert many.count("V2000") == 16
    assert "rows: 4, cols: 5" in many


def test_show_gives_a_notebook_what_the_view_holds():
    pytest.importorskip("py3Dmol", reason="needs the extra molecules")
    ethanol = chem.MolFromMolBlock(chem.MolToMolBlock(chem.MolFromSmiles("CCO")))  # drawn, in a plane
    several = [np.asarray(one, np.float32) for one in (stacked([METHANE])[0], stacked([WATER])[0])]
    for molecules in ([ethanol, ethanol], iter([ethanol, ethanol]), stacked([METHANE, WATER]), several):
        page = jaxdiff.show(molecules)._repr_html_()
        assert page.count("V2000") == 2
    assert jaxdiff.show(ethanol)._repr_html_().count("V2000") == 1


def test_what_cannot_be_viewed(monkeypatch):
    pytest.importorskip("py3Dmol", reason="needs the extra molecules")
    lost = stacked([METHANE])
    lost[0, 1, 2] = np.nan
    for molecules, word in (
        ([chem.MolFromSmiles("CCO")], "molecule 1 has no coordinates"),
        (lost, "molecule 1 has coordinates that are not finite"),
        (np.zeros((2, 3, 3)), "must be of RDKit, or floating point"),
    ):
        with refused(word):
            view(molecules)
    with refused("columns=0"):
        view(stacked([METHANE]), columns=0)


def test_without_py3dmol_one_line_says_what_to_install(monkeypatch):
    real = importlib.import_module

    def without(name, *rest):
        if name == "py3Dmol":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with refused(r"py3Dmol: pip install 'jaxdiff\[molecules\]'"):
        jaxdiff.show(stacked([METHANE]))
