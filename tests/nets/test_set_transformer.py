"""The transformer over points: no order, no padding, and what it is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.nets import SetTransformer
from jaxdiff.types import Spec
from tests.helpers.cases import refused
from tests.helpers.nets import randomized

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = {"width": 16, "blocks": 2, "heads": 2, "pair_width": 8, "distances": 4, "fourier": 8}
SPEC = Spec((6, 3), "molecules", details={"conformers": True, "nodes": 5, "pairs": 4})
T = jnp.array([0.3, -0.7])


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    mask = np.float32(np.arange(6) < np.array([[6], [4]]))
    nodes = rng.normal(size=(2, 6, 5)) * mask[..., None]
    pairs = rng.normal(size=(2, 6, 6, 4)) * (mask[:, None] * mask[..., None])[..., None]
    told = {"mask": mask, "nodes": nodes, "pairs": pairs}
    return jnp.asarray(rng.normal(size=(2, 6, 3)), jnp.float32), {
        k: jnp.asarray(v, jnp.float32) for k, v in told.items()
    }


@pytest.fixture(scope="module")
def run(given):
    net = SetTransformer(**SMALL)
    params = randomized(net, given[0], T, given[1])
    compiled = jax.jit(lambda x, t, told: net.apply(params, x, t, told))
    return lambda x, told, t=T: np.asarray(compiled(x, t, told))


@pytest.mark.system
def test_points_that_change_places_change_those_of_the_output(run, given):
    x, told = given
    order = np.array([3, 1, 5, 0, 4, 2])
    shuffled = {
        "mask": told["mask"][:, order],
        "nodes": told["nodes"][:, order],
        "pairs": told["pairs"][:, order][:, :, order],
    }
    out = run(x, told)
    np.testing.assert_allclose(run(x[:, order], shuffled), out[:, order], atol=1e-5 * np.abs(out).max())
    assert np.abs(out).max() > 0.1


@pytest.mark.system
def test_padding_has_no_part_and_gets_none(run, given):
    x, told = given
    out = run(x, told)
    there = told["mask"] > 0
    wild = {"nodes": jnp.where(there[..., None], told["nodes"], 50.0), "mask": told["mask"]}
    both = there[:, None] & there[..., None]
    wild["pairs"] = jnp.where(both[..., None], told["pairs"], -50.0)
    np.testing.assert_allclose(run(jnp.where(there[..., None], x, 99.0), wild), out, atol=1e-5 * np.abs(out).max())
    assert not out[1, 4:].any()
    short = {"mask": told["mask"][1:, :4], "nodes": told["nodes"][1:, :4], "pairs": told["pairs"][1:, :4, :4]}
    np.testing.assert_allclose(run(x[1:, :4], short, T[1:]), out[1:, :4], atol=1e-5 * np.abs(out).max())


@pytest.mark.system
def test_all_that_it_is_told_counts(run, given):
    """Each feature of a node or a pair, each coordinate and the time move the output of every point that is there."""
    x, told = given
    out = run(x, told)
    moves = [run(x, told, T + 0.1), run(x.at[:, 0].add(0.3), told)]
    moves += [run(x, {**told, "nodes": told["nodes"].at[:, 1, i].add(1.0)}) for i in range(5)]
    moves += [run(x, {**told, "pairs": told["pairs"].at[:, 1, 2, i].add(1.0)}) for i in range(4)]
    for moved in moves:
        change = np.abs(moved - out).max(-1)
        assert change[0].min() > 1e-6
        assert change[1, :4].min() > 1e-6
        assert not change[1, 4:].any()


@pytest.mark.slow
def test_a_fresh_one_answers_zeros_and_learns_from_every_weight(given):
    x, told = given
    net = SetTransformer(**SMALL)
    params = net.init(jax.random.key(0), x, T, told)
    np.testing.assert_array_equal(jax.jit(net.apply)(params, x, T, told), 0)
    moved = randomized(net, x, T, told)
    grads = jax.jit(jax.grad(lambda p: jnp.square(net.apply(p, x, T, told)).sum()))(moved)
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(g).all(), path
        # What is added to all keys alike cancels in a softmax.
        assert np.abs(g).max() > 0 or "key" in jax.tree_util.keystr(path), path


def test_its_conditions_follow_from_the_data(given):
    x, told = given
    net = SetTransformer(**SMALL)
    specs = net.condition_spec(SPEC)
    assert {name: spec.shape for name, spec in specs.items()} == {"mask": (6,), "nodes": (6, 5), "pairs": (6, 6, 4)}
    with refused("is for points with graphs"):
        net.condition_spec(Spec((6, 8), "molecules"))
    for without in told:
        with refused(f"always told '{without}'"):
            net.init(jax.random.key(0), x, T, {k: v for k, v in told.items() if k != without})
    with pytest.raises(InputError, match="heads"):
        SetTransformer(**{**SMALL, "heads": 3}).init(jax.random.key(0), x, T, told)
    with refused("net.distances=1"):
        SetTransformer(**{**SMALL, "distances": 1}).init(jax.random.key(0), x, T, told)
    with refused("takes points"):
        net.init(jax.random.key(0), x[..., :2], T, told)
