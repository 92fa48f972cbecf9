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
@pytest.mark.parametrize("options", [{"attention": True, "heads": 2, "images": {"map": 1}}, {"patch": 2}], ids=str)
def test_padding_of_any_length_changes_nothing(inputs, options):
    """Whatever stands there, and however many steps of it, but for rounding: the moments are sums in float32."""
    x, t = inputs
    net, mask = UNet1D(**SMALL, **options), np.arange(8) < np.array([8, 5, 2])[:, None]
    given = {name: jnp.ones((3, 8, 1)) for name in options.get("images", {})} | {"mask": jnp.float32(mask)}
    params, run = randomized(net, x, t, given), jax.jit(net.apply)
    out = run(params, x, t, given)
    assert (np.asarray(out)[~mask] == 0).all()
    pad = lambda a, value: jnp.pad(a, ((0, 0), (0, 8)) + ((0, 0),) * (a.ndim - 2), constant_values=value)
    longer = {name: pad(value, 0 if name == "mask" else 3.0) for name, value in given.items()}
    other = pad(jnp.where(mask[..., None], x, 9.0), -5.0)
    size = 3 * float(jnp.abs(out).max())
    np.testing.assert_allclose(run(params, other, t, longer)[:, :8], out, atol=1e-6 * size)
    whole = {**given, "mask": jnp.ones((3, 8))}
    without = {name: value for name, value in given.items() if name != "mask"}
    np.testing.assert_allclose(run(params, x, t, whole), run(params, x, t, without), atol=1e-6 * size)
    assert np.abs(run(params, x, t, whole) - out).max() > 1e-2 * size


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
