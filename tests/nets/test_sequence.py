"""The network of symbols: which positions it sees, and what it is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.nets import Sequence
from jaxdiff.types import Spec

SMALL = {"symbols": 11, "width": 16, "blocks": 2, "heads": 2}
X = np.random.default_rng(0).integers(0, 12, (2, 6))
T = jnp.full(2, 300.0)
KEY = jax.random.key(0)


def perturbed(net, condition=None):
    """A function of x and more, of a network whose zeros are gone."""
    params = net.init(KEY, X, T, condition)
    params = jax.tree.map(lambda a: a + 0.3 * jax.random.normal(jax.random.key(a.size), a.shape), params)
    return lambda x, t=T, given=condition: np.asarray(net.apply(params, x, t, given))


@pytest.mark.system
@pytest.mark.parametrize("causal", [False, True])
def test_each_position_sees_all_others_or_those_before_it(causal):
    run = perturbed(Sequence(**SMALL, causal=causal))
    other = X.copy()
    other[:, 3] = (X[:, 3] + 1) % 11
    seen = np.abs(run(other) - run(X)).max((0, 2)) > 1e-4
    np.testing.assert_array_equal(seen, [not causal] * 3 + [True] * 3)


@pytest.mark.system
def test_the_order_of_symbols_counts_and_what_is_told():
    net = Sequence(**SMALL, num_classes=3)
    assert list(net.condition_spec(Spec((6,), "text", 0, 10, 11))) == ["label"]
    run = perturbed(net, {"label": jnp.array([0, -1])})
    out = run(X)
    assert out.shape == (2, 6, 11)
    assert np.abs(run(X[:, ::-1])[:, ::-1] - out).max() > 1e-3
    assert np.abs(run(X, T + 100) - out).min(axis=(1, 2)).max() > 0
    moved = np.abs(run(X, T, {"label": jnp.array([2, -1])}) - out).max((1, 2))
    assert moved[0] > 1e-3
    assert moved[1] == 0


@pytest.mark.system
def test_a_fresh_one_returns_even_logits():
    net = Sequence(**SMALL)
    np.testing.assert_array_equal(net.apply(net.init(KEY, X, T), X, T), 0)


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="twice the heads"):
        Sequence(3, width=12, heads=4).init(KEY, X % 3, T)
