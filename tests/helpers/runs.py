"""A run as train.py leaves it, with weights that are known."""

import json

import jax
import numpy as np

import jaxdiff
from tests.helpers.configs import SPEC, tiny

AVERAGE = "ema_0.998"


def record(**changes):
    return json.loads(json.dumps({"format": 1, "config": tiny(), "spec": SPEC._asdict(), **changes}))


def same(one, other):
    equal = jax.tree.map(np.array_equal, one, other)
    return jax.tree.structure(one) == jax.tree.structure(other) and all(jax.tree.leaves(equal))


def loaded(place, whole):
    """Load a run: its newest averaged weights or those before, and a grid that falls; or an InputError of one line."""
    model = jaxdiff.load(place)
    assert any(same(model.params, average) for average in whole[1])
    times = model.grid(model.steps)
    assert np.all(np.diff(times) < 0)
    assert model.shape == (8, 8, 1)
    return model
