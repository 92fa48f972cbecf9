"""Schedulers: the configurations of diffusers' samplers, in the words of this library.

A scheduler there is a noise schedule, a spacing of steps and a method in one. Here it is taken apart: a process, a
parameterization, a grid and a sampler. Each field of a configuration is honored, or refused by its name; one that
belongs to another scheduler alone is of no account there, and is none here.

    DDPM               ancestral                                  DPM-Solver++   dpmpp_1s, dpmpp_2m, dpmpp_3m
    DDIM               ddim                                       UniPC          unipc
    PNDM               plms, or pndm with Runge-Kutta steps       Heun, LMS      heun, lms along `edm`
    Euler, ancestral   ddim with eta 0 and 1

Euler's method in the noise level sigma / alpha is DDIM's step: with x / alpha = x_0 + (sigma / alpha) eps both go along
the straight line of constant eps.

Two habits there are not followed where they make a difference: DDIM and PNDM with spacings of uneven steps go to
`t - T // steps`, which is not the time they visit next; here they go to that time. And Euler with fractional steps
interpolates sigma / alpha linearly, where log-SNR is interpolated here; the levels are theirs, the times that the
network is told differ by some hundredths of a step.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdiff import samplers
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian import betas, parameterization, schedules
from jaxdiff.gaussian.denoiser import clip
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process
from jaxdiff.samplers import Sampler
from jaxdiff.types import Array, Denoiser

__all__ = ["FIELDS", "Schedule", "clipped_ddim", "read_scheduler"]

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
}
"""What fields may be that are not free."""
SOLVERS = {"DPMSolverMultistepScheduler": ("midpoint",), "UniPCMultistepScheduler": ("bh2",)}
VARIANCES = {"fixed_small": "fixed_small", "fixed_small_log": "fixed_small", "fixed_large": "fixed_large"}
BETAS = {
    "linear": betas.linear,
    "scaled_linear": betas.quadratic,
    "sigmoid": betas.sigmoid,
    "squaredcos_cap_v2": lambda steps, low, high: betas.cosine(steps),
}
PREDICTIONS = {"epsilon": parameterization.eps, "sample": parameterization.x0, "v_prediction": parameterization.v}


class Schedule(NamedTuple):
    """A scheduler, taken apart.

    Attributes:
      process: of training.
      parameterization: of the network, which is told the step of its own chain.
      path: the process along which to sample.
      grid: `(steps) -> times` on that path.
      sampler: `{"name": ..., **options}`.
      clip: the bound on x̂_0; infinite for none.
      by_level: sampling starts from noise of the grid's first level, not from unit noise.
    """

    process: Process
    parameterization: Parameterization
    path: Process
    grid: Callable[[int], np.ndarray]
    sampler: Mapping[str, Any]
    clip: float = math.inf
    by_level: bool = False


def read_scheduler(given: Mapping[str, Any]) -> Schedule:
    """Take a scheduler's configuration apart.

    Args:
      given: the content of scheduler_config.json, with "_class_name".

    Raises:
      InputError: an unknown scheduler or field, or a value that is not supported.
    """
    name = str(given.get("_class_name", ""))
    if name not in FIELDS:
        raise unknown("scheduler", name, FIELDS)
    config = checked(name, given)
    table = _betas(config)
    total, zero_snr = len(table), bool(config.get("rescale_betas_zero_snr"))
    process = schedules.ddpm(table, zero_snr)
    of_levels = name in ("HeunDiscreteScheduler", "LMSDiscreteScheduler")
    path = schedules.edm(float(_levels(table, False)[-1])) if of_levels else process
    network = PREDICTIONS[config["prediction_type"]]()._replace(time_input=_label(total, _rounding(name, config)))
    by_level = name.startswith(("Euler", "Heun", "LMS")) and config["timestep_spacing"] != "leading"
    sampler, bound = _sampler(name, config)
    grid = _grid(name, config, table, of_levels)
    return Schedule(process, network, path, grid, sampler, bound, by_level)


def checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a scheduler, each of a value that is supported."""
    known, every = FIELDS[name], {field for fields in FIELDS.values() for field in fields}
    for field in given:
        if not field.startswith("_") and field not in every:
            raise InputError(f"{name}: unknown field {field!r} = {given[field]!r}: leave it out, if it may be")
    config = {field: given.get(field, default) for field, default in known.items()}
    allowed = ONLY | {"beta_schedule": tuple(BETAS), "prediction_type": tuple(PREDICTIONS)}
    allowed |= {"solver_type": SOLVERS.get(name, ()), "solver_order": (1, 2, 3)}
    if name == "DDPMScheduler":
        allowed["variance_type"] = tuple(VARIANCES)
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
    return config


def clipped_ddim(process: Process, denoiser: Denoiser, eta: float | Array = 0.0, bound: float | Array = 1.0) -> Sampler:
    """DDIM whose x̂_0 is clipped and whose eps is left as it is, as `clip_sample` means it there."""
    return samplers.ddim(process, denoiser, eta, constrain=clip(bound), use_clipped_model_output=False)


def _sampler(name: str, config: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """The sampler and its options, and the bound on x̂_0."""
    bound = config["clip_sample_range"] if config.get("clip_sample") else math.inf
    if name == "DDPMScheduler":
        return {"name": "ancestral", "variance": VARIANCES[config["variance_type"]]}, bound
    if name == "DDIMScheduler" and config["clip_sample"]:
        return {"name": clipped_ddim, "bound": float(bound)}, math.inf
    if name == "PNDMScheduler":
        if not config["skip_prk_steps"]:
            if config["prediction_type"] != "epsilon":
                raise InputError("PNDMScheduler: skip_prk_steps=False goes with prediction_type='epsilon' alone")
            return {"name": "pndm"}, bound
        return {"name": "plms", "of_v": config["prediction_type"] == "v_prediction"}, bound
    if name == "DPMSolverMultistepScheduler":
        order = config["solver_order"]
        eta = float(config["algorithm_type"].startswith("sde"))
        third = {"curvature": 0.5} if order == 3 else {}
        return {"name": {1: "dpmpp_1s", 2: "dpmpp_2m", 3: "dpmpp_3m"}[order], "eta": eta, **third}, bound
    if name == "UniPCMultistepScheduler":
        return {"name": "unipc", "order": config["solver_order"]}, bound
    if name in ("HeunDiscreteScheduler", "LMSDiscreteScheduler"):
        return {"name": name[:-17].lower()}, bound
    return {"name": "ddim", "eta": float(name == "EulerAncestralDiscreteScheduler")}, bound


def _betas(config: Mapping[str, Any]) -> np.ndarray:
    if config["trained_betas"] is not None:
        return np.asarray(config["trained_betas"], np.float64)
    return BETAS[config["beta_schedule"]](config["num_train_timesteps"], config["beta_start"], config["beta_end"])


def _levels(table: np.ndarray, zero_snr: bool) -> np.ndarray:
    """sigma / alpha of each step of a chain; 4096 at pure noise, where it is infinite."""
    alpha_bar = np.exp(np.cumsum(np.log1p(-table)))
    if zero_snr:
        alpha = np.sqrt(alpha_bar)
        alpha_bar = np.maximum((alpha[0] / (alpha[0] - alpha[-1]) * (alpha - alpha[-1])) ** 2, 2.0**-24)
    return np.sqrt((1 - alpha_bar) / alpha_bar)


def _label(total: int, rounded: Callable[[Array], Array]) -> parameterization.Coefficient:
    """The step of the chain that the network is told: whole where t is one, up to float32's digits."""

    def label(process, t):
        step = total * t - 1
        return jnp.where(jnp.abs(step - jnp.round(step)) < total * 2.0**-20, jnp.round(step), rounded(step))

    return label


def _rounding(name: str, config: Mapping[str, Any]) -> Callable[[Array], Array]:
    """The multistep solvers tell the network whole steps, whatever the level."""
    if not name.endswith("MultistepScheduler"):
        return lambda step: step
    karras = config["use_karras_sigmas"] and config["beta_schedule"] != "squaredcos_cap_v2"
    return jnp.round if karras else jnp.floor


def _grid(name: str, config: Mapping[str, Any], table: np.ndarray, by_sigma: bool) -> Callable[[int], np.ndarray]:
    total, multistep = len(table), name.endswith("MultistepScheduler")
    levels = _levels(table, bool(config.get("rescale_betas_zero_snr")))
    to_data = config.get("set_alpha_to_one", config.get("final_sigmas_type", "zero") == "zero")
    sensitive = multistep and config["lower_order_final"] and (config["solver_order"] == 3 or not to_data)

    def grid(steps: int) -> np.ndarray:
        if not 1 <= steps <= total:
            raise InputError(f"steps={steps}: this model's chain has {total}")
        if sensitive and steps < 15:
            raise InputError(f"steps={steps}: {name} lowers its order below 15 steps (lower_order_final): take more")
        index = _index(config["timestep_spacing"], steps, total, config["steps_offset"], multistep, name[:4])
        if config.get("use_karras_sigmas") or config.get("use_exponential_sigmas"):
            ends = (levels[-1], levels[0]) if multistep else np.interp(index[[0, -1]], np.arange(total), levels)
            rho = 7.0 if config["use_karras_sigmas"] else math.inf
            index = _step_of(_spread(ends[0], ends[1], steps, rho), levels)
        elif np.any(index != np.round(index)):
            index = _step_of(np.interp(index, np.arange(total), levels), levels)
        if by_sigma:
            spaced = np.exp(np.interp(index, np.arange(total), np.log(levels)))
            return np.append(spaced / levels[-1], 0).astype(np.float32)
        times = (index + 1) / total
        last = 0.0 if to_data else 1 / total
        # A last step that goes nowhere is none.
        return np.asarray(np.append(times, last) if last < times[-1] - 1e-9 else times, np.float32)

    return grid


def _index(spacing: str, steps: int, total: int, offset: int, multistep: bool, family: str) -> np.ndarray:
    """The falling steps of the chain at which the network is asked."""
    if spacing == "trailing":
        return np.round(np.arange(total, 0, -total / steps))[:steps] - 1
    if multistep:  # one more than there are steps, without the last
        whole = np.arange(steps + 1) * (total // (steps + 1)) + offset
        return (whole if spacing == "leading" else np.round(np.linspace(0, total - 1, steps + 1)))[:0:-1]
    if spacing == "leading":
        return np.arange(steps)[::-1] * (total // steps) + offset
    even = np.linspace(0, total - 1, steps)[::-1]
    return even if family in ("Eule", "Heun", "LMSD") else np.round(even)


def _spread(high: float, low: float, steps: int, rho: float) -> np.ndarray:
    """Falling levels, even in level^(1 / rho) (Karras et al. 2022), or in their logarithm."""
    if math.isinf(rho):
        return np.exp(np.linspace(np.log(high), np.log(low), steps))
    return np.linspace(high ** (1 / rho), low ** (1 / rho), steps) ** rho


def _step_of(sigmas: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Where the levels are on the chain, between steps by their logarithm."""
    return np.interp(np.log(sigmas), np.log(levels), np.arange(len(levels)))
