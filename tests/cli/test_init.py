"""Training that begins with the weights of another run: every kind of data and of model with every other."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from jaxdiff.cli.command import parse
from jaxdiff.cli.setup import prepare
from jaxdiff.cli.train import declared
from jaxdiff.config.given import Given
from jaxdiff.errors import InputError
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.warm_start import other_meanings
from jaxdiff.types import Spec, path_name
from tests.helpers import kinds

CLASSIFIER = ["--config=configs/classifier.py", *kinds.given(kinds.COMMON | {"net.channels": 32})]
METHODS = ("edm.py", "flow.py", "vdm.py", "dit.py")
"""Of images, along other paths or by another network."""


def begun(kind, folder):
    """What a training of a kind has before its first step, and what train.py would say of the weights of a model."""
    if kind == "classifier":
        words = CLASSIFIER
    elif kind in METHODS:
        fields = kinds.COMMON | (kinds.UNET if kind != "dit.py" else {"net.depth": 1, "net.width": 32, "net.heads": 2})
        words = [f"--config=configs/{kind}", *kinds.given(fields)]
    else:
        words = kinds.arguments(kind, folder)
    setup = prepare(parse(["train.py", *words], declared()).config)
    return setup, setup.first()


def named(params):
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def listed(said, word):
    """The names that a part of the line lists."""
    part = next((part for part in said.split("; ") if part.startswith(word)), "")
    return {one.split(" (")[0].strip() for one in part.removeprefix(word).split(", ") if one and not one[0].isdigit()}


def outcome(setup, state, model, capsys):
    """The state after the start, or None; and what is said."""
    capsys.readouterr()
    try:
        return setup.begun(state, Given(model)), capsys.readouterr().out.strip()
    except InputError as error:
        return None, str(error)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections
def test_every_kind_begins_with_every_other_by_name_or_is_refused_in_one_line(tmp_path, capsys):
    made, refusals = {}, 0
    for kind in (*kinds.KINDS, "classifier", *METHODS):
        made[kind] = begun(kind, tmp_path)
    for mine, (setup, state) in made.items():
        for other, (theirs, trained) in made.items():
            params = jax.tree.map(lambda leaf: leaf + 1, trained.params)
            model = dataclasses.replace(theirs.parts.model, params=params)
            after, said = outcome(setup, state, model, capsys)
            assert len(said.splitlines()) == 1
            if after is None:
                assert said.startswith("train.init=")
                assert mine != other
                refusals += 1
                continue
            assert said.startswith("init: kept ")
            check(said, named(state.params), named(params), named(after.params))
            parts = ("process", "parameterization")
            known = isinstance(model, Model)  # a classifier does not say how it was trained
            differ = [part for part in parts if known and setup.record.config[part] != theirs.record.config[part]]
            assert [part for part in parts if f"; learned with another {part} (" in said] == differ
            chex.assert_trees_all_equal(*after.ema.values(), after.params)
    assert 0 < refusals < len(made) ** 2 - len(made)


def test_numbers_that_stood_for_other_things_are_named():
    text = lambda *symbols: Spec((4,), "text", details={"vocabulary": list(symbols), "law": [1.0]})
    assert other_meanings(text("a", "b"), text("a", "c")) == ["vocabulary"]
    assert other_meanings(text("a", "b"), text("a", "b")) == []
    assert other_meanings(text("a", "b"), Spec((4,), "tables")) == []


def check(said, before, trained, after):
    """Each array is kept or new, and said to be so."""
    both = {"generator", "critic"}
    if {name.partition("/")[0] for name in before} == both != {name.partition("/")[0] for name in trained}:
        trained = {f"{player}/{name}": leaf for player in both for name, leaf in trained.items()}
    elif {name.partition("/")[0] for name in trained} == both != {name.partition("/")[0] for name in before}:
        trained = {n.removeprefix("generator/"): leaf for n, leaf in trained.items() if n.startswith("generator/")}
    kept = {name for name in before if name in trained and trained[name].shape == before[name].shape}
    assert kept
    for name, leaf in after.items():
        np.testing.assert_array_equal(leaf, (trained if name in kept else before)[name])
    assert f"kept {len(kept)} of {len(trained)} arrays" in said
    for word, names in (("new: ", before.keys() - kept), ("left out: ", trained.keys() - before.keys())):
        assert listed(said, word) == names
