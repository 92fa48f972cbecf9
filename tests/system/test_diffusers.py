"""Agreement with diffusers on the same inputs: from fixtures always, and live under `-m parity`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxdiff.gaussian import betas, grids
from jaxdiff.gaussian.denoiser import clip as clip_to
from jaxdiff.gaussian.parameterization import eps, to_x0
from jaxdiff.gaussian.process import transition
from jaxdiff.gaussian.schedules import ddpm
from jaxdiff.nets import UNet
from jaxdiff.samplers import State, ancestral, ddim, fixed_large, fixed_small
from tests.helpers import diffusers_reference as theirs


@pytest.fixture(scope="module", params=["fixtures", pytest.param("live", marks=pytest.mark.parity)])
def reference(request):
    return dict(np.load(theirs.FIXTURES)) if request.param == "fixtures" else theirs.reference()


def step_all(make_sampler, times):
    """Each step of a grid on its own inputs, its noise given: (steps, 2, 3)."""
    process = ddpm(betas.linear(1000))

    def step(t, s, x_t, eps_t, z):
        given = process._replace(noise=lambda key, x: z)
        sampler = make_sampler(given, lambda x, t: to_x0(process, eps(), eps_t, x, jnp.broadcast_to(t, x.shape[:1])))
        return sampler.step(jax.random.key(0), State(x_t), t, s).x

    return jax.vmap(step)(times[:-1], times[1:], *theirs.inputs(len(times) - 1))


@pytest.mark.parametrize("name", theirs.SCHEDULES)
@pytest.mark.parametrize("length", theirs.LENGTHS)
def test_betas(reference, name, length):
    table = getattr(betas, name)(length)
    np.testing.assert_allclose(table, reference[f"betas/{name}/{length}"], rtol=1e-5)
    chain, index = ddpm(table), np.arange(length)
    t, s = ((index + k) / np.float32(length) for k in (1, 0))
    # In float32 diffusers' running product of 4000 betas is itself only good to 1e-4 of a value near 0.
    np.testing.assert_allclose(chain.alpha(jnp.float32(t)) ** 2, reference[f"alpha_bar/{name}/{length}"], rtol=2e-4)
    np.testing.assert_allclose(transition(chain, jnp.float32(s), jnp.float32(t))[1], table, rtol=1e-6)


@pytest.mark.parametrize("spacing", theirs.SPACINGS)
@pytest.mark.parametrize("steps", theirs.STEPS)
def test_timesteps(reference, spacing, steps):
    times = getattr(grids, spacing)(steps, 1000)
    np.testing.assert_allclose(times[:-1] * 1000 - 1, reference[f"timesteps/{spacing}/{steps}"], atol=1e-3)


@pytest.mark.parametrize("steps", theirs.STEPS)
@pytest.mark.parametrize(("variance", "clip"), theirs.DDPM)
def test_ddpm_steps(reference, variance, clip, steps):
    bound = clip_to(1.0 if clip else jnp.inf)
    variances = {"fixed_small": fixed_small, "fixed_large": fixed_large}
    ours = step_all(lambda p, d: ancestral(p, d, variances[variance], constrain=bound), grids.leading(steps, 1000))
    np.testing.assert_allclose(ours, reference[f"ddpm/{variance}/{clip}/{steps}"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", theirs.STEPS)
@pytest.mark.parametrize(("eta", "clip"), theirs.DDIM)
def test_ddim_steps(reference, eta, clip, steps):
    """Theirs leaves eps as it is when x̂_0 is clipped, unless told otherwise."""
    theirs_way = {"constrain": clip_to(1.0 if clip else jnp.inf), "use_clipped_model_output": False}
    ours = step_all(lambda p, d: ddim(p, d, eta, **theirs_way), grids.trailing(steps, 1000))
    np.testing.assert_allclose(ours, reference[f"ddim/{eta}/{clip}/{steps}"], rtol=1e-5, atol=1e-5)


def test_unet(reference):
    """The same weights give the same output: the architecture is DDPM's, layer by layer."""
    x, t = theirs.net_inputs()
    net = UNet(**theirs.NET)
    shapes = flatten_dict(jax.eval_shape(net.init, jax.random.key(0), x, t)["params"], sep="/")
    params = unflatten_dict({name: theirs.weights(name, p.shape) for name, p in shapes.items()}, sep="/")
    np.testing.assert_allclose(net.apply({"params": params}, x, t), reference["unet"], rtol=1e-4, atol=1e-5)
