"""DiffWave: how far it sees, what it is told, its patches, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.nets import DiffWave, UNet1D
from jaxdiff.nets.layers import Convolution

SMALL = {"channels": 8, "layers": 3, "cycle": 3}
KEY = jax.random.key(0)
T = jnp.full(2, 300.0)


def perturbed(net, x, condition=None):
    """A function of x and more, of a network whose zeros are gone."""
    rng, shapes = np.random.default_rng(0), jax.eval_shape(net.init, KEY, x, T, condition)
    params = jax.tree.map(lambda a: jnp.float32(rng.normal(size=a.shape) / np.sqrt(np.prod(a.shape[:-1]))), shapes)
    return jax.jit(lambda x, t=T, given=condition: net.apply(params, x, t, given))


@pytest.mark.parametrize("dilation", [1, 4])
def test_a_dilated_convolution_is_that_of_jax(rng, dilation):
    x = jnp.float32(rng.normal(size=(2, 20, 3)))
    layer = Convolution(5, 3, dilation=dilation)
    params = layer.init(KEY, x)
    kernel = params["params"]["kernel"]
    numbers = ("NWC", "WIO", "NWC")
    wanted = jax.lax.conv_general_dilated(
        x, kernel, (1,), [(dilation, dilation)], rhs_dilation=(dilation,), dimension_numbers=numbers
    )
    np.testing.assert_allclose(layer.apply(params, x), wanted, atol=1e-5)


@pytest.mark.parametrize("patch", [1, 4])
def test_it_sees_as_far_as_its_dilations_reach(rng, patch):
    x = jnp.float32(rng.normal(size=(2, 64 * patch, 1)))
    run = perturbed(DiffWave(**SMALL, patch=patch), x)
    place = 32 * patch
    seen = np.abs(run(x.at[:, place].add(1)) - run(x)).max((0, 2)) > 0
    reach = np.flatnonzero(seen)
    assert (reach[0], reach[-1]) == (place - 7 * patch, place + 8 * patch - 1)  # 1 + 2 + 4 to each side


def test_a_fresh_one_returns_zeros_and_outputs_are_side_by_side(rng):
    x = jnp.float32(rng.normal(size=(2, 32, 2)))
    net = DiffWave(**SMALL, patch=4, outputs=2)
    out = jax.jit(lambda x: net.apply(net.init(KEY, x, T), x, T))(x)
    assert out.shape == (2, 32, 4)
    assert not np.any(out)


@pytest.mark.system
@pytest.mark.parametrize("net", [DiffWave(**SMALL, patch=4, num_classes=3, vectors={"speaker": 2})])
def test_what_it_is_told_counts_and_what_is_missing_does_not(rng, net):
    x = jnp.float32(rng.normal(size=(2, 32, 1)))
    given = {"label": jnp.array([0, -1]), "speaker": jnp.array([[1.0, 0], [0, 0]])}
    run = perturbed(net, x, given)
    moved = np.abs(run(x, T, {**given, "label": jnp.array([2, -1])}) - run(x)).max((1, 2))
    assert moved[0] > 1e-3
    assert moved[1] == 0
    assert np.abs(run(x, T, {**given, "speaker": jnp.array([[0, 1.0], [0, 0]])})[0] - run(x)[0]).max() > 1e-3
    assert np.abs(run(x, T + 100) - run(x)).max() > 1e-3


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (DiffWave(**SMALL), (2, 32, 4, 1), "takes \\(batch, samples, channels\\)"),
        (DiffWave(**SMALL, patch=5), (2, 32, 1), "patches of 5"),
        (UNet1D(channels=8, patch=8, multipliers=(1, 2)), (2, 24, 1), "patch 8 takes a multiple of 16"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(net, shape, message):
    with pytest.raises(InputError, match=message):
        net.init(KEY, jnp.zeros(shape), T)


def test_an_unknown_condition_is_refused():
    with pytest.raises(InputError, match="condition 'label' was given"):
        DiffWave(**SMALL).init(KEY, jnp.zeros((2, 32, 1)), T, {"label": jnp.zeros(2, jnp.int32)})


def test_patches_of_the_u_net_keep_their_places(rng):
    """With the same weights, moving the input by a patch moves the output by a patch."""
    x = jnp.float32(rng.normal(size=(2, 64, 1)))
    run = perturbed(UNet1D(channels=8, multipliers=(1,), blocks=1, kernel=1, groups=8, patch=4), x)
    np.testing.assert_allclose(run(jnp.roll(x, 4, 1)), jnp.roll(run(x), 4, 1), atol=1e-4)
    assert np.abs(run(jnp.roll(x, 2, 1)) - jnp.roll(run(x), 2, 1)).max() > 1e-3
