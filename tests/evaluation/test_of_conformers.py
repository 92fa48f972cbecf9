"""Conformers compared with known ones: embeddings of the right hand, figures of what is exact, and the command."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from jaxdiff.cli import evaluate as command
from jaxdiff.cli import evaluate_conformers
from jaxdiff.evaluation import of_conformers
from jaxdiff.geometry import structures
from jaxdiff.modalities.molecules import busted
from jaxdiff.modalities.molecules.conformers import conformer_spec
from jaxdiff.modalities.molecules.embedding import EMBEDDINGS
from jaxdiff.modalities.molecules.graphs import make_graph
from tests.helpers.cases import refused
from tests.modalities.test_conformers import chem, embedded, written

SMILES = ["C[C@H](O)C(=O)O", "C[C@@](F)(Cl)Br", "CCO", "CC#N"]


@pytest.fixture
def known():
    return [chem.RemoveHs(embedded(smiles)) for smiles in SMILES]


@pytest.fixture
def plain(monkeypatch):
    """Without PoseBusters, which takes seconds."""
    monkeypatch.setattr(busted, "version", lambda: None)


@pytest.mark.system
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_embeddings_are_of_the_right_hand_and_lengths(name, known):
    made = EMBEDDINGS[name](known, 3, seed=1)
    assert [np.shape(x) for x in made] == [(3, m.GetNumAtoms(), 3) for m in known]
    lactic = np.stack(made[0])
    graph = make_graph(known[0])
    assert (np.asarray(structures.volumes(lactic, graph.centers)) > 0).mean() >= (0.5 if name == "paths" else 1)
    length = np.asarray(structures.lengths(lactic, graph.bonds)).mean()
    np.testing.assert_allclose(length, 1.42, atol=0.25 if name == "paths" else 0.05)
    assert np.ptp(lactic, axis=0).max() > 0.01  # they are not all alike
    again = EMBEDDINGS[name](known, 3, seed=1)
    np.testing.assert_array_equal(lactic, np.stack(again[0]))


@pytest.mark.system
def test_known_conformers_have_no_error_and_what_fails_is_counted(known, plain):
    exact = lambda molecules, each: [[m.GetConformer().GetPositions() + 5.0] * each for m in molecules]
    shifted = lambda molecules, each: [[x * 1.1 for x in xs] for xs in exact(molecules, each)]
    some = lambda molecules, each: [None, *exact(molecules, each)[1:]]
    rows, drawn = of_conformers.compare(
        known, 2, {"exact": exact, "larger": shifted, "some": some, "none": lambda m, each: [None] * len(m)}, print
    )
    values = {name: figure["value"] for name, figure in rows["exact"]["figures"].items()}
    assert values == pytest.approx(
        {"cov 0.5": 1, "cov 1": 1, "mat": 0, "median": 0, "rmsd": 0, "bond": 0, "angle": 0, "hands": 1}, abs=1e-3
    )
    lengths = [
        np.asarray(structures.lengths(x[0], make_graph(m).bonds)) for m, x in zip(known, drawn["exact"], strict=True)
    ]
    assert rows["larger"]["figures"]["bond"]["value"] == pytest.approx(
        np.mean([0.1 * d.mean() for d in lengths]), abs=1e-4
    )
    each = np.array([0.1 * d.mean() for d in lengths])
    assert rows["larger"]["figures"]["bond"]["error"] == pytest.approx(each.std(ddof=1) / 2, abs=1e-4)
    assert rows["larger"]["figures"]["angle"]["value"] == pytest.approx(0, abs=1e-2)
    assert (rows["exact"]["made"], rows["some"]["made"], rows["none"]["made"]) == (4, 3, 0)
    heads, lines = of_conformers.table(rows)
    assert heads[0:3] == ["", "COV 0.5 Å", "COV 1 Å"]
    assert lines[0][1] == "1.000 ± 0.000"
    assert lines[3][1] == ""
    assert all(len(line) == len(heads) for line in lines)


@pytest.mark.system
def test_the_command_writes_figures_beside_their_floor(tmp_path, monkeypatch, capsys, plain):
    path = written(tmp_path / "some.sdf", SMILES)
    spec = conformer_spec(12)
    model = SimpleNamespace(spec=spec, weights="ema", params={}, sampler={"name": "churned"}, steps=5)
    monkeypatch.setattr(command, "opened", lambda workdir: (tmp_path, {"held_out": {"path": path, "split": "all"}}))
    monkeypatch.setattr(command, "load", lambda *given: model)
    monkeypatch.setattr(evaluate_conformers.weights, "of_params", lambda params: "0" * 8)
    seen = {}

    def of_model(model, key, batch, **options):
        seen.update(options, batch=batch)
        return EMBEDDINGS["paths"]

    monkeypatch.setattr(of_conformers, "of_model", of_model)
    out = tmp_path / "figures.json"
    words = ["--workdir", str(tmp_path), "--each", "2", "--json", str(out), "--steps", "7", "--option", "churn=0.1"]
    assert not command.main(words)
    assert (seen["steps"], seen["churn"]) == (7, 0.1)
    result = json.loads(out.read_text())
    assert result["reference"] == {"path": path, "split": "all", "molecules": 4, "each": 2}
    assert list(result["rows"]) == ["samples", "etkdg", "bounds", "paths"]
    assert result["posebusters"] is None
    assert "ETKDGv3 of RDKit" in out.with_suffix(".html").read_text()
    assert "COV 0.5 Å" in capsys.readouterr().out
    assert not command.main([*words, "--floor", "0", "--num", "2"])
    assert list(json.loads(out.read_text())["rows"]) == ["samples"]
    capsys.readouterr()
    for more, message in (
        (["--label", "3"], "--label: is not of conformers"),
        (["--features", "pixels"], "--features: is not of conformers"),
        (["--num", "9"], "--num 9: there are 4 molecules of up to 12 heavy atoms"),
        (["--each", "0"], "--each 0: at least 1"),
    ):
        assert command.main([*words, *more]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_other_runs_are_not_told_how_many_of_each(tmp_path, monkeypatch):
    model = SimpleNamespace(spec=SimpleNamespace(details={}))
    monkeypatch.setattr(command, "opened", lambda workdir: (tmp_path, {}))
    monkeypatch.setattr(command, "load", lambda *given: model)
    with refused("--each: is of conformers"):
        command.run(command.make_parser().parse_args(["--workdir", "x", "--each", "2"]))
