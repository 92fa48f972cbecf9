"""Schedulers of diffusers, taken apart, give its numbers: live, under `-m slow`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.config.sampling import find_sampler
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import clip, make_denoiser, transfer
from jaxdiff.interop.schedulers import FIELDS, read_scheduler
from jaxdiff.pipelines.draw import named_variance
from jaxdiff.pipelines.ends import from_level
from jaxdiff.pipelines.hooks import from_noise
from tests.helpers import scheduler_reference as theirs

pytestmark = pytest.mark.slow

# What is looser has another way there: fractional steps, and tables in float32 that are wrong by 1e-4 near the data.
TOLERANCE = {"euler_linspace": 2e-3, "pndm": 1e-3}


@pytest.fixture(scope="module")
def reference():
    return theirs.reference()


def run(case):
    """Our last x of a case."""
    cls, config, steps = theirs.CASES[case]
    schedule = read_scheduler(config | {"_class_name": cls})
    start, noises = map(jnp.asarray, theirs.inputs(case))
    key, times = jax.random.key(0), schedule.grid(steps)
    known = jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(steps)))
    path = schedule.path._replace(noise=lambda key, x: noises[jnp.argmax((known == jax.random.key_data(key)).all(1))])
    network = lambda params, x, t, condition, key: theirs.toy(x, t[:, None, None, None], jnp.tanh, jnp.sin)
    denoiser = make_denoiser(schedule.process, schedule.parameterization, network, {})
    if schedule.path is not schedule.process:
        denoiser = transfer(schedule.process, schedule.path, denoiser)
    constrain, options = clip(schedule.clip), dict(schedule.sampler)
    if "variance" in options:
        options["variance"] = named_variance(options["variance"], None)
    make, begin = find_sampler(options.pop("name")), from_level if schedule.by_level else from_noise

    @jax.jit
    def draw(times):
        sampler = make(path, lambda x, t: constrain(denoiser(x, t)), **options)
        x = begin(schedule.path._replace(noise=lambda key, x: start), key, start, times, None)
        return samplers.sample(sampler, key, x, times)

    return np.asarray(draw(times))


@pytest.mark.slow
@pytest.mark.parametrize("case", theirs.CASES)
def test_schedulers(reference, case):
    there = reference[case]
    assert np.abs(run(case) - there).max() < TOLERANCE.get(case, 1e-4) * there.std()


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("DDIMScheduler", "thresholding", True),
        ("DDIMScheduler", "prediction_type", "flow_prediction"),
        ("DDPMScheduler", "variance_type", "learned"),
        ("DPMSolverMultistepScheduler", "solver_type", "heun"),
        ("DPMSolverMultistepScheduler", "use_lu_lambdas", True),
        ("UniPCMultistepScheduler", "predict_x0", False),
        ("EulerDiscreteScheduler", "timestep_type", "continuous"),
        ("HeunDiscreteScheduler", "clip_sample", True),
        ("DDIMScheduler", "beta_schedule", "laplace"),
        ("PNDMScheduler", "moonlight", 3),
    ],
)
def test_a_field_is_honored_or_refused_by_name(name, field, value):
    with pytest.raises(InputError, match=field):
        read_scheduler({"_class_name": name, field: value})


def test_fields_of_others_are_of_no_account():
    """As in diffusers, whose pipelines hand one scheduler's configuration to another."""
    plain = read_scheduler({"_class_name": "PNDMScheduler", "skip_prk_steps": True})
    more = read_scheduler({"_class_name": "PNDMScheduler", "skip_prk_steps": True, "clip_sample": True})
    assert plain.sampler == more.sampler
    assert plain.clip == more.clip == np.inf


def test_an_unknown_scheduler_names_those_that_are_known():
    with pytest.raises(InputError, match="FlowMatch") as error:
        read_scheduler({"_class_name": "FlowMatchEulerDiscreteScheduler"})
    assert all(name in str(error.value) for name in FIELDS)


def test_the_end_of_stable_diffusions_grid():
    """alpha-bar of step 0, whose x is returned; and no step that goes nowhere."""
    sd = {"_class_name": "DDIMScheduler", "set_alpha_to_one": False, "clip_sample": False}
    offset = read_scheduler(sd | {"steps_offset": 1}).grid(4)
    np.testing.assert_allclose(offset, [0.752, 0.502, 0.252, 0.002, 0.001], rtol=1e-6)
    np.testing.assert_allclose(read_scheduler(sd).grid(4), [0.751, 0.501, 0.251, 0.001], rtol=1e-6)
