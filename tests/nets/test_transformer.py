import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.attention import attend
from jaxdiff.nets.transformer import (
    Attention,
    listed,
    rotary_angles,
    rotate,
    sincos_positions,
    stacked,
    tensor_axis,
)
from tests.helpers.nets import randomized


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def parts(rng):
    """Queries, keys and values, (2, tokens, 3 heads, 8)."""
    return [jnp.asarray(rng.normal(size=(2, n, 3, 8)), jnp.float32) for n in (4, 6, 6)]


@pytest.mark.system
def test_attention_with_a_mask_is_attention_to_the_keys_that_are_there(parts):
    query, key, value = parts
    there = jnp.array([[1, 0, 1, 1, 0, 0], [0, 1, 0, 0, 0, 1]], bool)
    out = attend(query, key, value, there)
    for i in range(2):
        chosen = np.flatnonzero(there[i])
        alone = attend(query[i : i + 1], key[i : i + 1, chosen], value[i : i + 1, chosen])
        np.testing.assert_allclose(out[i : i + 1], alone, atol=1e-6)


def test_a_mask_of_each_query(parts):
    query, key, value = parts
    mask = np.random.default_rng(1).random((4, 6)) < 0.5
    mask[:, 0] = True
    logits = np.einsum("bqhc,bkhc->bhqk", query, key) / np.sqrt(8)
    expected = np.einsum("bhqk,bkhc->bqhc", softmax(np.where(mask, logits, -np.inf)), value)
    np.testing.assert_allclose(attend(query, key, value, jnp.asarray(mask)[None]), expected, atol=1e-6)


@pytest.mark.system
def test_nothing_to_attend_to_gives_zero_and_finite_gradients(parts):
    nothing = jnp.zeros((2, 6), bool)
    np.testing.assert_array_equal(attend(*parts, nothing), 0)
    grads = jax.grad(lambda parts: attend(*parts, nothing).sum())(parts)
    assert all(np.isfinite(g).all() for g in grads)


def test_rotation_depends_on_differences_of_positions_alone(rng):
    """Also in two dimensions, and for positions that are no whole numbers."""
    query, key = (jnp.asarray(rng.normal(size=(1, 6, 2, 16)), jnp.float32) for _ in range(2))
    for axes in (1, 2):
        places = [rng.normal(size=6) * 3 for _ in range(axes)]
        shifted = [p + shift for p, shift in zip(places, (5.25, -17.0), strict=False)]
        logits = []
        for at in (places, shifted):
            angles = jnp.asarray(rotary_angles(at, 16))
            logits.append(jnp.einsum("bqhc,bkhc->bhqk", rotate(query, angles), rotate(key, angles)))
        np.testing.assert_allclose(*logits, atol=1e-5)
        assert jnp.abs(logits[0] - jnp.einsum("bqhc,bkhc->bhqk", query, key)).max() > 0.1


def test_rotation_is_a_product_of_complex_numbers(rng):
    x, at = rng.normal(size=(1, 5, 1, 8)), [np.arange(5.0), np.arange(5.0)[::-1]]
    angles = np.concatenate([np.outer(p, [1.0, 0.01]) for p in at], 1)
    np.testing.assert_allclose(rotary_angles(at, 8), angles, rtol=1e-6)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[:, None]
    expected = np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    np.testing.assert_allclose(rotate(jnp.asarray(x, jnp.float32), jnp.asarray(angles)), expected, atol=1e-5)


def test_fixed_positions_are_the_papers():
    """Columns first: sin, cos of the column, then of the row."""
    rows, columns = np.array([0.0, 0, 1]), np.array([0.0, 2, 5])
    out = sincos_positions(rows, columns, 8)
    np.testing.assert_allclose(out[2], [np.sin(5), np.sin(0.05), np.cos(5), np.cos(0.05), *_(1)], atol=1e-6)
    np.testing.assert_allclose(out[1], [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02), *_(0)], atol=1e-6)


def _(place):
    return [np.sin(place), np.sin(place / 100), np.cos(place), np.cos(place / 100)]


def test_queries_and_keys_of_any_size_are_normalized(rng):
    """Scaling the maps of queries and keys changes nothing with their norm, and much without."""
    x = jnp.asarray(rng.normal(size=(1, 5, 16)), jnp.float32)
    for qk_norm in (True, False):
        net = Attention(2, qk_norm=qk_norm)
        params = randomized(net, x)
        large = jax.tree_util.tree_map_with_path(
            lambda path, p: 30 * p if {"query", "key"} & {str(k.key) for k in path} else p, params
        )
        change = jnp.abs(net.apply(params, x) - net.apply(large, x)).max()
        assert (change < 1e-4) if qk_norm else (change > 1e-2)


def test_stacked_and_listed_parameters_are_the_same():
    tree = {"out": jnp.ones(2), **{f"block{i}": {"a": jnp.full(3, i)} for i in range(12)}}
    two = stacked(stacked(tree, 4), 0, 4)
    assert two.keys() == {"out", "blocks0", "blocks4"}
    np.testing.assert_array_equal(two["blocks4"]["a"][:, 0], np.arange(4, 12))
    jax.tree.map(np.testing.assert_array_equal, listed(two), tree)


def test_what_widens_is_cut_by_its_outputs_and_what_narrows_by_its_inputs():
    for block, more in (("block3", ()), ("blocks0", (12,))):
        assert tensor_axis((block, "attention", "query", "kernel"), (*more, 8, 8)) == len(more) + 1
        assert tensor_axis((block, "attention", "query", "bias"), (*more, 8)) == len(more)
        assert tensor_axis((block, "feed_forward", "down", "kernel"), (*more, 8, 8)) == len(more)
        assert tensor_axis((block, "feed_forward", "down", "bias"), (*more, 8)) is None
        assert tensor_axis((block, "modulation", "kernel"), (*more, 8, 8)) is None
    assert tensor_axis(("out", "kernel"), (8, 8)) is None
