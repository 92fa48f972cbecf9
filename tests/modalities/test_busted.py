"""PoseBusters, where it is installed: what passes its checks, what fails which of them, and what a report says."""

import numpy as np
import pytest

from jaxdiff.modalities.molecules import busted
from jaxdiff.modalities.molecules.chemistry import to_rdkit
from jaxdiff.modalities.molecules.graphs import placed
from jaxdiff.modalities.molecules.measured import shares
from jaxdiff.modalities.molecules.spec import molecule_spec
from tests.modalities.test_molecules import ACETYLENE, METHANE, WATER, stacked

chem = pytest.importorskip("rdkit.Chem", reason="needs the extra molecules")
all_chem = pytest.importorskip("rdkit.Chem.AllChem")


def test_without_posebusters_a_report_has_the_other_figures(monkeypatch):
    monkeypatch.setattr(busted, "version", lambda: None)
    spec = molecule_spec([1, 6, 8], np.array([0, 0, 0, 1, 1, 1, 0]))
    found = shares(spec, stacked([METHANE, WATER]), None, stacked([ACETYLENE]))
    assert list(found) == ["samples", "held-out data"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_shares_of_molecules_that_pass_the_checks():
    pytest.importorskip("posebusters", reason="compares with an installed PoseBusters")
    ring = chem.AddHs(chem.MolFromSmiles("c1ccccc1O"))
    all_chem.EmbedMolecule(ring, randomSeed=1)
    ring = chem.RemoveHs(ring)
    x = ring.GetConformer().GetPositions()
    bent, near = x.copy(), x.copy()
    bent[2] += [0.0, 0.0, 0.9]  # a ring is flat
    near[6] = x[5] + 0.5 * (x[6] - x[5])  # C-O of 0.7 Å
    assert busted.busted([ring])[busted.ALL] == 1
    found = busted.busted([ring, placed(ring, bent), placed(ring, near)])
    assert found[busted.ALL] == pytest.approx(1 / 3)
    assert found["sanitization"] == 1
    assert found["aromatic ring flatness"] == pytest.approx(2 / 3)
    assert found["bond lengths"] < 1
    # Of atoms far from each other, each a part of its own.
    apart = to_rdkit(stacked([METHANE])[0] * np.array([1, 5, 5, 5]))
    assert busted.busted([apart])["all atoms connected"] == 0
    spec = molecule_spec([1, 6, 8], np.array([0, 0, 0, 1, 1, 1, 0]))
    found = shares(spec, stacked([METHANE, WATER]), None, None)
    assert found[f"samples, the first 2 by PoseBusters {busted.version()}"]["bond lengths"] == 1
