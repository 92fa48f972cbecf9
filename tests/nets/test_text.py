import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from jaxdiff.nets import TextTransformer
from jaxdiff.nets.text import caption_spec, empty_caption
from tests.helpers.nets import randomized

SMALL = {"vocabulary": 20, "length": 7, "width": 8, "depth": 2, "heads": 2, "start": 1, "end": 2, "pad": 0}
IDS = np.array([[1, 5, 6, 7, 2, 0, 0], [1, 2, 0, 0, 0, 0, 0], [1, 19, 9, 8, 7, 6, 2]])


@functools.cache
def compiled(net):
    return jax.jit(net.apply)


def by_hand(p, net, ids):
    """CLIP's text transformer in NumPy: pre-norm blocks, each token seeing itself and those before it."""
    dense = lambda q, h: h @ q["kernel"] + q["bias"]
    gelu = {
        "quick_gelu": lambda h: h / (1 + np.exp(-1.702 * h)),
        "gelu": lambda h: h * (1 + erf(h / np.sqrt(2))) / 2,
    }[net.activation]

    def norm(q, h):
        centered = h - h.mean(-1, keepdims=True)
        return centered / np.sqrt(h.var(-1, keepdims=True) + 1e-5) * q["scale"] + q["bias"]

    def attention(q, h):
        split = lambda name: dense(q[name], h).reshape(*h.shape[:2], net.heads, -1)
        logits = np.einsum("bqhc,bkhc->bhqk", split("query"), split("key")) / np.sqrt(net.width // net.heads)
        logits = np.where(np.tri(h.shape[1], dtype=bool), logits, -np.inf)
        e = np.exp(logits - logits.max(-1, keepdims=True))
        out = np.einsum("bhqk,bkhc->bqhc", e / e.sum(-1, keepdims=True), split("value"))
        return dense(q["out"], out.reshape(h.shape))

    h = p["tokens"]["embedding"][ids] + p["positions"]
    for i in range(net.depth):
        h = h + attention(p[f"block{i}_attention"], norm(p[f"block{i}_norm1"], h))
        q = p[f"block{i}_feed_forward"]
        h = h + dense(q["down"], gelu(dense(q["up"], norm(p[f"block{i}_norm2"], h))))
    h = norm(p["norm_out"], h)
    return h, h[np.arange(len(ids)), (ids == net.end).argmax(1)]


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_the_network_computed_by_hand(activation):
    net = TextTransformer(**SMALL, activation=activation)
    params = randomized(net, jnp.asarray(IDS))
    expected = by_hand(jax.tree.map(np.float64, params["params"]), net, IDS)
    for ours, reference in zip(compiled(net)(params, IDS), expected, strict=True):
        np.testing.assert_allclose(ours, reference, atol=2e-5)


def test_clips_number_of_parameters():
    shapes = jax.eval_shape(TextTransformer().init, jax.random.key(0), jnp.zeros((1, 77), int))
    assert sum(p.size for p in jax.tree.leaves(shapes)) == 123_060_480


@pytest.mark.parametrize("causal", [True, False])
def test_what_comes_after_the_end_changes_nothing_before_it(causal):
    net = TextTransformer(**SMALL, causal=causal)
    params = randomized(net, jnp.asarray(IDS))
    other = IDS.copy()
    other[0, 5:], other[1, 2:] = 9, 4
    (sequence, pooled), (changed, whole) = compiled(net)(params, IDS), compiled(net)(params, other)
    np.testing.assert_allclose(pooled, whole, atol=1e-6)
    np.testing.assert_allclose(sequence[0, :5], changed[0, :5], atol=1e-6)
    earlier = IDS.copy()
    earlier[2, 5] = 11
    moved = np.abs(compiled(net)(params, earlier)[0] - sequence)[2].max(-1)
    assert (moved[:5].max() == 0) == causal
    assert moved[6] > 1e-4


def test_old_files_take_the_vector_at_the_largest_id():
    net = TextTransformer(**SMALL, legacy_pool=True)
    params = randomized(net, jnp.asarray(IDS))
    sequence, pooled = compiled(net)(params, IDS)
    np.testing.assert_array_equal(pooled, sequence[np.arange(3), [3, 1, 1]])


def test_the_missing_caption_is_the_empty_one():
    spec = caption_spec(SMALL)
    assert (spec.shape, spec.values) == ((7,), 20)
    assert spec.missing == empty_caption(7, 1, 2, 0) == (1, 2, 0, 0, 0, 0, 0)
