"""Schedulers of diffusers, taken apart, give its numbers: live, and in double precision on both sides."""

import inspect
import re

import jax
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.interop import autoencoders, conditional, unet2d
from jaxdiff.interop.scheduler_fields import FIELDS
from jaxdiff.interop.schedulers import read_scheduler
from tests.helpers import scheduler_fuzz as fuzz
from tests.helpers import scheduler_reference as theirs


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if c in theirs.MORE else pytest.mark.parity) for c in theirs.CASES]
)
def test_schedulers(case):
    """To 1e-6 of the samples' standard deviation; times between steps are in float32, all others exact."""
    with jax.enable_x64(True):
        ours = fuzz.ours(*theirs.CASES[case], *theirs.inputs(case), theirs.toy)
    there = theirs.outputs(case)
    assert ours.dtype == there.dtype == np.float64
    assert np.abs(ours - there).max() < 1e-6 * there.std()


@pytest.mark.parity
@pytest.mark.parametrize("first", range(0, 300, 50))
def test_random_configurations_give_the_same_numbers_or_are_refused_by_name(quick_compilation, first):
    """Those that diffusers itself cannot run, or not to numbers, are left out."""
    same, refused, wrong = 0, 0, []
    with jax.enable_x64(True):
        for i in range(first, first + 50):
            case = fuzz.drawn(i)
            try:
                ours = fuzz.ours(*case, *fuzz.noise(i, case[2]))
            except InputError as error:
                named = any(name in str(error) for name in (*case[1], "steps=", case[0]))
                wrong += [] if named else [(i, str(error))]
                refused += 1
                continue
            try:
                there = fuzz.there(*case, *fuzz.noise(i, case[2]))
            except (ArithmeticError, AssertionError, IndexError, NotImplementedError, RuntimeError, ValueError):
                continue
            if np.isfinite(there).all():
                same += 1
                if not np.abs(ours - there).max() < 1e-4 * max(there.std(), 1e-3):
                    wrong.append((i, *case))
    assert not wrong
    assert min(same, refused) > 5


@pytest.mark.parametrize(
    ("config", "steps", "field"),
    [
        ({"_class_name": "DDPMScheduler", "variance_type": "fixed_large", "steps_offset": 1}, 20, "variance_type"),
        ({"_class_name": "DDIMScheduler", "set_alpha_to_one": False}, 10, "clip_sample=True"),
        ({"_class_name": "PNDMScheduler", "skip_prk_steps": True}, 1, "steps=1"),
        ({"_class_name": "PNDMScheduler"}, 8, "skip_prk_steps"),
        ({"_class_name": "DDIMScheduler", "steps_offset": 1}, 1000, "steps_offset=1"),
        ({"_class_name": "DPMSolverMultistepScheduler", "num_train_timesteps": 20}, 20, "steps=20"),
        ({"_class_name": "DDIMScheduler", "trained_betas": [0.1] * 20}, 5, "trained_betas"),
        ({"_class_name": "DDIMScheduler", "timestep_spacing": "linspace"}, 1, "steps=1"),
        (
            {"_class_name": "DDIMScheduler", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True},
            5,
            "prediction_type",
        ),
    ],
)
def test_steps_that_would_end_elsewhere_are_refused(config, steps, field):
    with pytest.raises(InputError, match=field):
        read_scheduler(config).grid(steps)


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("clip_sample", "False", "true or false"),
        ("rescale_betas_zero_snr", "no", "true or false"),
        ("steps_offset", 1.5, "a whole number"),
        ("num_train_timesteps", "foo", "a whole number"),
        ("num_train_timesteps", -5, "a whole number"),
        ("beta_start", "foo", "a finite number"),
        ("clip_sample_range", None, "a finite number"),
        ("trained_betas", ["a"], "numbers"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_not_taken_for_true(field, value, kind):
    with pytest.raises(InputError, match=re.escape(f"DDIMScheduler: {field}={value!r}: must be {kind}")):
        read_scheduler({"_class_name": "DDIMScheduler", field: value})


def test_short_steps_end_where_they_do_there():
    """At step 0 of the chain, as T // steps is no more than the offset."""
    config = {"_class_name": "DDIMScheduler", "num_train_timesteps": 10, "steps_offset": 1, "beta_end": 0.5}
    np.testing.assert_allclose(read_scheduler(config).grid(8), np.arange(9, 0, -1) / 10, rtol=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        *FIELDS.items(),
        ("UNet2DConditionModel", conditional.UNET),
        ("ControlNetModel", conditional.CONTROL),
        ("UNet2DModel", unet2d.FIELDS),
        ("AutoencoderKL", autoencoders.KL),
        ("AutoencoderTiny", autoencoders.TINY_FIELDS),
    ],
)
def test_what_a_configuration_does_not_say_is_what_it_is_there(name, fields):
    import diffusers

    plain = lambda value: list(value) if isinstance(value, tuple) else value
    there = {k: plain(p.default) for k, p in inspect.signature(getattr(diffusers, name)).parameters.items()}
    assert {k: plain(v) for k, v in fields.items()} == {k: there[k] for k in fields}


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
        ("UniPCMultistepScheduler", "solver_order", 3),
        ("UniPCMultistepScheduler", "final_sigmas_type", "sigma_min"),
        ("PNDMScheduler", "moonlight", 3),
    ],
)
def test_a_field_is_honored_or_refused_by_name(name, field, value):
    with pytest.raises(InputError, match=field):
        read_scheduler({"_class_name": name, field: value})


def test_numbers_of_numpy_are_numbers_and_what_is_none_is_refused_by_name():
    given = {"_class_name": "DDIMScheduler", "set_alpha_to_one": False}
    made = read_scheduler(given | {"steps_offset": np.int64(1), "clip_sample_range": np.float32(1)})
    np.testing.assert_array_equal(made.grid(4), read_scheduler(given | {"steps_offset": 1}).grid(4))
    wrong = {"trained_betas": [[0.1], [0.1, 0.2]], "num_train_timesteps": 1000.0, "clip_sample": np.zeros(2, bool)}
    for field, value in wrong.items():
        with pytest.raises(InputError, match=f"DDIMScheduler: {field}=.*: must be "):
            read_scheduler(given | {field: value})


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
    for spacing, offset, ways in (("leading", 0, "False, or steps_offset=1"), ("linspace", 1, "False")):
        clipped = sd | {"clip_sample": True, "timestep_spacing": spacing, "steps_offset": offset}
        with pytest.raises(InputError, match=f"timestep_spacing='{spacing}': set clip_sample={ways}$"):
            read_scheduler(clipped).grid(4)
