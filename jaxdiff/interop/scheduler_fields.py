"""Fields of the configurations of diffusers' samplers: which there are, and which values are supported.

Each is honored (`jaxdiff.interop.schedulers`) or refused by its name; one that belongs to another scheduler alone is of
no account there, and is none here.
"""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from jaxdiff.errors import InputError

__all__ = ["FIELDS", "checked"]

CHAIN = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 0,
}
CLIPPED = {"clip_sample": True, "clip_sample_range": 1.0}
THRESHOLD = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
LEVELS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
EULER = {**CHAIN, "timestep_spacing": "linspace", "rescale_betas_zero_snr": False}
MULTISTEP = {**EULER, **LEVELS, **THRESHOLD, "solver_order": 2, "lower_order_final": True, "final_sigmas_type": "zero"}
MULTISTEP |= {"use_flow_sigmas": False, "flow_shift": 1.0, "use_dynamic_shifting": False}
MULTISTEP |= {"time_shift_type": "exponential"}
HEUN = {**CHAIN, **LEVELS, "beta_start": 0.00085, "beta_end": 0.012, "timestep_spacing": "linspace"}

FIELDS: dict[str, dict[str, Any]] = {
    "DDPMScheduler": {**CHAIN, **CLIPPED, **THRESHOLD, "variance_type": "fixed_small", "rescale_betas_zero_snr": False},
    "DDIMScheduler": {**CHAIN, **CLIPPED, **THRESHOLD, "set_alpha_to_one": True, "rescale_betas_zero_snr": False},
    "PNDMScheduler": {**CHAIN, "skip_prk_steps": False, "set_alpha_to_one": False},
    "EulerDiscreteScheduler": {
        **EULER,
        **LEVELS,
        "interpolation_type": "linear",
        "sigma_min": None,
        "sigma_max": None,
        "timestep_type": "discrete",
        "final_sigmas_type": "zero",
    },
    "EulerAncestralDiscreteScheduler": EULER,
    "HeunDiscreteScheduler": {**HEUN, **CLIPPED, "clip_sample": False},
    "LMSDiscreteScheduler": {**CHAIN, **LEVELS, "timestep_spacing": "linspace"},
    "DPMSolverMultistepScheduler": {
        **MULTISTEP,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "euler_at_final": False,
        "use_lu_lambdas": False,
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
    },
    "UniPCMultistepScheduler": {
        **MULTISTEP,
        "predict_x0": True,
        "solver_type": "bh2",
        "disable_corrector": (),
        "solver_p": None,
        "sigma_min": None,
        "sigma_max": None,
        "shift_terminal": None,
    },
}
"""The fields of each scheduler, and what they are where a configuration does not say."""

ONLY: dict[str, tuple[Any, ...]] = {
    "thresholding": (False,),
    "use_beta_sigmas": (False,),
    "use_lu_lambdas": (False,),
    "use_flow_sigmas": (False,),
    "use_dynamic_shifting": (False,),
    "interpolation_type": ("linear",),
    "timestep_type": ("discrete",),
    "sigma_min": (None,),
    "sigma_max": (None,),
    "shift_terminal": (None,),
    "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
    "lambda_min_clipped": (-math.inf, "-Infinity", "-inf"),
    "euler_at_final": (False,),
    "predict_x0": (True,),
    "disable_corrector": ((), []),
    "solver_p": (None,),
    "final_sigmas_type": ("zero", "sigma_min"),
    "timestep_spacing": ("leading", "trailing", "linspace"),
    "beta_schedule": ("linear", "scaled_linear", "sigmoid", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "sample", "v_prediction"),
    "solver_order": (1, 2, 3),
}
"""What fields may be that are not free."""
SOLVERS = {
    "DPMSolverMultistepScheduler": ("midpoint", "logrho", "bh1", "bh2"),
    "UniPCMultistepScheduler": ("bh2", "midpoint", "heun", "logrho"),
}
"""The first of each is meant by the others, which are other schedulers'."""
VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large")


def checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a scheduler, each of a value that is supported."""
    known, every = FIELDS[name], {field for fields in FIELDS.values() for field in fields}
    for field in given:
        if not field.startswith("_") and field not in every:
            raise InputError(f"{name}: unknown field {field!r} = {given[field]!r}: leave it out, if it may be")
    config = {field: given.get(field, default) for field, default in known.items()}
    _check_kinds(name, config)
    allowed = ONLY | {"solver_type": SOLVERS.get(name, ())}
    if name == "DDPMScheduler":
        allowed["variance_type"] = VARIANCES
    elif name == "HeunDiscreteScheduler":
        allowed["clip_sample"] = (False,)
    elif name.startswith("DPM"):
        allowed["variance_type"] = (None,)
    elif name == "EulerDiscreteScheduler":
        allowed["final_sigmas_type"] = ("zero",)
    for field, value in config.items():
        if field in allowed and value not in allowed[field]:
            raise InputError(f"{name}: {field}={value!r} is not supported: {', '.join(map(repr, allowed[field]))} is")
    if config.get("use_karras_sigmas") and config.get("rescale_betas_zero_snr"):
        raise InputError(f"{name}: use_karras_sigmas goes with levels that end, not with rescale_betas_zero_snr")
    if name.endswith("MultistepScheduler"):
        _check_order(name, config)
    return config


def _check_kinds(name: str, config: Mapping[str, Any]) -> None:
    """Refuse what is of another kind than a field's default, such as the text "False", which would count as true."""
    numeric = lambda value: isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    whole = lambda value: isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0
    for field, value in config.items():
        usual = FIELDS[name][field]
        if isinstance(usual, bool):
            fits, kind = np.ndim(value) == 0 and value in (True, False, None), "true or false"
        elif isinstance(usual, int):
            fits, kind = whole(value), "a whole number from 0"
        elif isinstance(usual, float) and field not in ONLY:
            fits, kind = numeric(value), "a finite number"
        elif field == "trained_betas":
            fits, kind = value is None or all(map(numeric, np.ravel(np.asarray(value, object)))), "numbers"
        else:
            continue
        if not fits:
            raise InputError(f"{name}: {field}={value!r}: must be {kind}")


def _check_order(name: str, config: Mapping[str, Any]) -> None:
    """Refuse orders that are lowered at the end, or have formulas of their own, there."""
    order, to_data, late = (config[field] for field in ("solver_order", "final_sigmas_type", "lower_order_final"))
    spaced = config["use_karras_sigmas"] or config["use_exponential_sigmas"]
    if name.startswith("UniPC"):
        if not (late and order < 3 if to_data == "zero" else not late and not spaced):
            raise InputError(
                f"{name}: final_sigmas_type='zero' goes with solver_order up to 2 and lower_order_final=True, "
                "'sigma_min' with lower_order_final=False and levels of the chain"
            )
    elif order == 3 and config["algorithm_type"] == "sde-dpmsolver++":
        raise InputError(f"{name}: solver_order=3 goes with algorithm_type='dpmsolver++': take 2 with the SDE form")
