"""The critic of parts of pictures: its size is the published one, and a logit is of its own place and picture."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.nets import PatchCritic
from tests.helpers.cases import refused


def test_it_has_the_published_size():
    """2,765,633 of Isola et al.'s 70x70 critic, whose inner convolutions have no bias, and 896 of these."""
    net = PatchCritic()
    x = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
    logits, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), x)
    assert logits.shape == (2, 30, 30)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 2_765_633 + 128 + 256 + 512


def test_a_logit_is_of_its_own_picture_and_mostly_of_its_place(rng):
    net, x = PatchCritic(width=8, layers=1), jnp.asarray(rng.normal(size=(2, 24, 24, 1)), jnp.float32)
    params = net.init(jax.random.key(0), x)
    slope = np.abs(np.asarray(jax.grad(lambda x: net.apply(params, x)[0, 4, 4])(x)))
    assert slope[1].max() == 0
    # 4x4 of stride 2, and two of stride 1, each padded by 1: 16 pixels from 2 (4 - 1 - 1) - 1 = 3 on.
    inside = slope[0, 3:19, 3:19]
    outside = slope[0].copy()
    outside[3:19, 3:19] = 0
    assert inside.max() > 10 * outside.max()
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert edge.max() > 2 * outside.max()


def test_pictures_that_are_too_small_are_refused():
    with refused("pictures of 24x24 at least, and these are 16x32"):
        PatchCritic(8).init(jax.random.key(0), jnp.zeros((1, 16, 32, 3)))
    with refused("groups=8 must divide width=12"):
        PatchCritic(12, 1).init(jax.random.key(0), jnp.zeros((1, 16, 32, 3)))
