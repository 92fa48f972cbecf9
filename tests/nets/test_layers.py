"""The layers that are written for speed, against the usual ones with the same parameters: values and gradients."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.attention import Attention, attend
from jaxdiff.nets.layers import GroupNorm, Upsample, conv, convolve


def agree(ours, theirs, *arguments, rtol=1e-5):
    """The same values, and the same gradients by every argument of a sum that weighs each output by its own."""

    def weighed(f):
        def total(*arguments):
            out = f(*arguments).astype(jnp.float32)
            return jnp.sum(out * normal(5, *out.shape)), out

        return jax.jit(jax.grad(total, argnums=tuple(range(len(arguments))), has_aux=True))

    (grads, out), (expected, value) = weighed(ours)(*arguments), weighed(theirs)(*arguments)
    np.testing.assert_allclose(out, value, rtol=rtol, atol=rtol * float(jnp.abs(value).max()))
    largest = float(max(jnp.abs(g).max() for g in jax.tree.leaves(expected)))
    chex.assert_trees_all_close(grads, expected, rtol=rtol, atol=rtol * largest)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def parameters(module, x):
    """Of the module, none of them zero or one."""
    start = jax.jit(module.init)(jax.random.key(0), x)["params"]
    leaves, tree = jax.tree.flatten(start)
    return jax.tree.unflatten(tree, [p + 0.3 * normal(7 + i, *p.shape) for i, p in enumerate(leaves)])


def applied(module):
    return lambda params, x: module.apply({"params": params}, x)


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize(("groups", "shape"), [(32, (3, 8, 8, 64)), (8, (2, 5, 7, 24)), (4, (6, 3, 16))])
def test_group_norm_is_flaxs(silu, groups, shape):
    ours, theirs = GroupNorm(groups, silu=silu), nn.GroupNorm(groups)
    x = 2 + 3 * normal(0, *shape)
    params = parameters(ours, x)
    after = nn.silu if silu else lambda y: y
    agree(applied(ours), lambda params, x: after(theirs.apply({"params": params}, x)), params, x)


def test_group_norm_takes_its_sums_in_float32_whatever_it_is_given():
    x = 100 + normal(0, 2, 64, 64, 32)
    params = parameters(GroupNorm(8), x)
    exact = applied(GroupNorm(8))(params, x.astype(jnp.bfloat16).astype(jnp.float32))
    half = applied(GroupNorm(8, jnp.bfloat16))(params, x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), exact, rtol=2**-8, atol=2**-8)


@pytest.mark.parametrize("shape", [(2, 4, 4, 8), (3, 1, 5, 2), (1, 7, 2, 3)])
def test_upsampling_is_a_convolution_of_repeated_pixels(shape):
    x = normal(0, *shape)
    params = parameters(Upsample(), x)

    def usual(params, x):
        enlarged = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        return nn.Conv(shape[-1], (3, 3), padding="SAME").apply({"params": params["conv"]}, enlarged)

    agree(applied(Upsample()), usual, params, x)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_jaxs(heads):
    arguments = [normal(i, 3, 10, heads, 8) for i in range(3)]
    agree(attend, jax.nn.dot_product_attention, *arguments)


def test_heads_see_their_own_channels_alone():
    query, key, value = (normal(i, 2, 6, 4, 8) for i in range(3))
    changed = attend(query.at[:, :, 1].add(1.0), key, value) - attend(query, key, value)
    assert jnp.abs(changed[:, :, 1]).max() > 1e-2
    np.testing.assert_array_equal(changed[:, :, jnp.array([0, 2, 3])], 0)


@pytest.mark.system
def test_the_attention_layer_is_flaxs_with_the_same_weights():
    x = normal(0, 2, 4, 4, 16)
    layer = Attention(groups=4, heads=2)
    params = parameters(layer, x)

    def usual(params, x):
        h = nn.GroupNorm(4).apply({"params": params["norm"]}, x).reshape(2, 16, 16)
        heads = {
            name: {"kernel": p["kernel"].reshape(16, 2, 8), "bias": p["bias"].reshape(2, 8)}
            for name, p in params.items()
            if name in ("query", "key", "value")
        }
        heads["out"] = {"kernel": params["out"]["kernel"].reshape(2, 8, 16), "bias": params["out"]["bias"]}
        h = nn.MultiHeadDotProductAttention(2).apply({"params": heads}, h)
        return x + h.reshape(x.shape)

    agree(applied(layer), usual, params, x)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_is_the_usual_one_forth_back_and_twice(stride):
    """Also the derivatives by forward mode, and the second one by both arguments, as sliced score matching takes it."""
    x, kernel, v = normal(0, 2, 6, 6, 3), normal(1, 3, 3, 3, 4), normal(2, 2, 6, 6, 3)
    usual = lambda x, kernel: jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    ours = lambda x, kernel: convolve(x, kernel, (stride, stride), "SAME")
    agree(ours, usual, x, kernel)

    def twice(f):
        return lambda x, kernel: jax.jvp(lambda x: f(jnp.sin(x), kernel) ** 2, (x,), (v,))[1]

    agree(twice(ours), twice(usual), x, kernel)


def test_the_way_back_through_convolutions_is_one_that_is_fast_in_loops():
    """XLA on CPU has a slow path, ten times so, for kernels whose last axes are not (in, out) within a loop."""
    x = normal(0, 2, 6, 6, 4)
    layers = [conv(4), conv(4, stride=2), Upsample()]
    params = [layer.init(jax.random.key(0), x) for layer in layers]

    def body(_, x):
        out, back = jax.vjp(lambda x: [layer.apply(p, x) ** 2 for layer, p in zip(layers, params, strict=True)], x)
        return back(out)[0]

    text = jax.jit(lambda x: jax.lax.fori_loop(0, 3, body, x)).lower(x).compile().as_text()
    kernels = [line.split("dim_labels=")[1].split("_")[1][:4] for line in text.splitlines() if " convolution(" in line]
    assert len(kernels) == 6
    assert set(kernels) == {"01io"}
