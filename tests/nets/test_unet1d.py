import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.nets import UNet1D
from jaxdiff.nets.unet1d import Convolution
from tests.helpers.nets import randomized

SMALL = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4}


@pytest.fixture
def inputs():
    return jax.random.normal(jax.random.key(2), (3, 8, 2)), jnp.array([3.0, 300.0, 700.0])


@pytest.mark.parametrize(("size", "stride"), [(5, 1), (3, 2), (7, 4), (1, 1)])
def test_a_convolution_is_that_of_lax(size, stride):
    x = jax.random.normal(jax.random.key(0), (2, 16, 3))
    net = Convolution(4, size, stride)
    variables = randomized(net, x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    side = size // 2
    expected = jax.lax.conv_general_dilated(
        x, kernel, (stride,), [(side, side)], dimension_numbers=("NWC", "WIO", "NWC")
    )
    np.testing.assert_allclose(net.apply(variables, x), expected + bias, atol=1e-5)


@pytest.mark.system
def test_a_time_for_each_step_is_the_same_as_one_where_all_are_the_same(inputs):
    x, t = inputs
    net = UNet1D(**SMALL)
    variables = randomized(net, x, t)
    each = jnp.broadcast_to(t[:, None], x.shape[:2])
    run = jax.jit(net.apply)
    out = run(variables, x, t)
    np.testing.assert_allclose(out, run(variables, x, each), atol=1e-5)
    other = run(variables, x, each.at[:, 5].set(0))
    assert np.abs(other - out).max() > 1e-2


@pytest.mark.system
def test_longer_arrays_than_it_was_made_for(inputs):
    x, t = inputs
    net = UNet1D(**SMALL, attention=True)
    variables = randomized(net, x, t)
    assert jax.jit(net.apply)(variables, jnp.tile(x, (1, 4, 1)), t).shape == (3, 32, 2)


@pytest.mark.system
def test_conditions_reach_the_output(inputs):
    x, t = inputs
    net = UNet1D(**SMALL, num_classes=3, vectors={"goal": 2}, images={"map": 1}, second_time=True, outputs=2)
    given = {
        "label": jnp.array([0, 1, -1]),
        "goal": jnp.ones((3, 2)),
        "map": jnp.ones((3, 8, 1)),
        "until": jnp.ones(3),
    }
    variables = randomized(net, x, t, given)
    run = jax.jit(net.apply)
    out = run(variables, x, t, given)
    assert out.shape == (3, 8, 4)
    for name, value in given.items():
        changed = {**given, name: value + 1}
        assert np.abs(run(variables, x, t, changed) - out).max() > 1e-3, name


@pytest.mark.system
def test_a_fresh_network_predicts_zero(inputs):
    net = UNet1D(**SMALL)
    out, _ = jax.jit(net.init_with_output)(jax.random.key(0), *inputs)
    assert (out == 0).all()


@pytest.mark.parametrize(
    ("options", "shape", "match"),
    [
        ({}, (3, 8), "takes \\(batch, steps, channels\\)"),
        ({}, (3, 7, 2), "multiple of 2"),
        ({"groups": 3}, (3, 8, 2), "net.groups"),
        ({"kernel": 4}, (3, 8, 2), "odd kernel"),
        ({"attention": True, "heads": 3}, (3, 8, 2), "net.heads"),
    ],
)
def test_what_does_not_fit_is_refused(options, shape, match):
    with pytest.raises(InputError, match=match):
        UNet1D(**{**SMALL, **options}).init(jax.random.key(0), jnp.zeros(shape), jnp.zeros(3))


def test_a_wrong_condition_or_time_is_refused(inputs):
    x, t = inputs
    with pytest.raises(InputError, match="goal"):
        UNet1D(**SMALL).init(jax.random.key(0), x, t, {"goal": jnp.ones((3, 2))})
    with pytest.raises(InputError, match="time for each step"):
        UNet1D(**SMALL).init(jax.random.key(0), x, jnp.zeros((3, 4)))
