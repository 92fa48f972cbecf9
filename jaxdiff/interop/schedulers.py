"""Schedulers: the configurations of diffusers' samplers, in the words of this library.

A scheduler there is a noise schedule, a spacing of steps and a method in one. Here it is taken apart: a process, a
parameterization, a grid and a sampler.

    DDPM               ancestral                                  DPM-Solver++   dpmpp_1s, dpmpp_2m, dpmpp_3m
    DDIM               ddim                                       UniPC          unipc
    PNDM               plms, or pndm with Runge-Kutta steps       Heun, LMS      heun, lms along `edm`
    Euler, ancestral   ddim with eta 0 and 1

Euler's method in the noise level sigma / alpha is DDIM's step: with x / alpha = x_0 + (sigma / alpha) eps both go along
the straight line of constant eps.

One habit there is not followed where it makes a difference: DDIM and PNDM with uneven steps ("linspace", or "trailing"
where the chain's length is no multiple of the steps) go to `t - T // steps`, which is not the time they visit next.
Here they go to that time. What else would differ is refused.
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
from jaxdiff.interop.scheduler_fields import FIELDS, checked
from jaxdiff.samplers import Sampler
from jaxdiff.types import Array, Denoiser

__all__ = ["Schedule", "clipped_ddim", "midpoint_3m", "read_scheduler"]

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
    to_zero = bool(config.get("rescale_betas_zero_snr"))
    if to_zero and name not in ("DDPMScheduler", "DDIMScheduler"):
        table, to_zero = _nearly_zero_snr(table), False
    process, levels = schedules.ddpm(table, to_zero), _levels(table)
    of_levels = name in ("HeunDiscreteScheduler", "LMSDiscreteScheduler")
    path = schedules.edm(float(levels[-1])) if of_levels else process
    label = _label(len(table), _told(name, config, levels))
    network = PREDICTIONS[config["prediction_type"]]()._replace(time_input=label)
    by_level = name.startswith(("Euler", "Heun", "LMS")) and config["timestep_spacing"] != "leading"
    sampler, bound = _sampler(name, config)
    grid = _grid(name, config, levels, of_levels)
    return Schedule(process, network, path, grid, sampler, bound, by_level)


def clipped_ddim(process: Process, denoiser: Denoiser, eta: float | Array = 0.0, bound: float | Array = 1.0) -> Sampler:
    """DDIM whose x̂_0 is clipped and whose eps is left as it is, as `clip_sample` means it there."""
    return samplers.ddim(process, denoiser, eta, constrain=clip(bound), use_clipped_model_output=False)


def midpoint_3m(process: Process, denoiser: Denoiser) -> Sampler:
    """DPM-Solver++ of order 3 as it is there: its second step is that of order 2, and its curvature is halved."""

    def step(key, state, t, s):
        x_0 = denoiser(state.x, t)
        second = samplers.dpmpp_2m(process, lambda x, t: x_0).step(key, state, t, s)
        third = samplers.dpmpp_3m(process, lambda x, t: x_0, curvature=0.5).step(key, state, t, s)
        return third._replace(x=jnp.where(state.h[1] != 0, third.x, second.x))

    return samplers.dpmpp_3m(process, denoiser)._replace(step=step)


def _sampler(name: str, config: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """The sampler and its options, and the bound on x̂_0."""
    bound = config["clip_sample_range"] if config.get("clip_sample") else math.inf
    if name == "DDPMScheduler":
        return {"name": "ancestral", "variance": config["variance_type"].removesuffix("_log")}, bound
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
        if order == 3:
            return {"name": midpoint_3m}, bound
        eta = float(config["algorithm_type"].startswith("sde"))
        return {"name": "dpmpp_1s" if order == 1 else "dpmpp_2m", "eta": eta}, bound
    if name == "UniPCMultistepScheduler":
        return {"name": "unipc", "order": config["solver_order"]}, bound
    if name in ("HeunDiscreteScheduler", "LMSDiscreteScheduler"):
        return {"name": name[:-17].lower()}, bound
    return {"name": "ddim", "eta": float(name == "EulerAncestralDiscreteScheduler")}, bound


def _betas(config: Mapping[str, Any]) -> np.ndarray:
    if config["trained_betas"] is not None:
        table, total = np.asarray(config["trained_betas"], np.float64), config["num_train_timesteps"]
        if len(table) != total:
            raise InputError(f"trained_betas: are {len(table)}, and num_train_timesteps={total}: make them equal")
        return table
    return BETAS[config["beta_schedule"]](config["num_train_timesteps"], config["beta_start"], config["beta_end"])


def _nearly_zero_snr(table: np.ndarray) -> np.ndarray:
    """Betas whose alpha-bar falls to 2^-24 (Lin et al. 2024, with what the samplers of levels have in place of 0)."""
    alpha = np.exp(0.5 * np.cumsum(np.log1p(-table)))
    alpha_bar = (alpha[0] / (alpha[0] - alpha[-1]) * (alpha - alpha[-1])) ** 2
    alpha_bar[-1] = 2.0**-24
    return 1 - alpha_bar / np.append(1, alpha_bar[:-1])


def _levels(table: np.ndarray) -> np.ndarray:
    """sigma / alpha of each step of a chain."""
    alpha_bar = np.exp(np.cumsum(np.log1p(-table)))
    return np.sqrt((1 - alpha_bar) / alpha_bar)


def _label(total: int, rounded: Callable[[Array], Array]) -> parameterization.Coefficient:
    """The step of the chain that the network is told: whole where t is one, up to float32's digits."""

    def label(process, t):
        step = total * t - 1
        return jnp.where(jnp.abs(step - jnp.round(step)) < total * 2.0**-20, jnp.round(step), rounded(step))

    return label


def _told(name: str, config: Mapping[str, Any], levels: np.ndarray) -> Callable[[Array], Array]:
    """What the network is told between two steps of the chain, where log-SNR is interpolated here.

    The multistep solvers tell it whole steps. Others tell it the step, which with "linspace" is that of a level
    interpolated linearly.
    """
    if name.endswith("MultistepScheduler"):
        rounds = name.startswith("UniPC") or config["beta_schedule"] != "squaredcos_cap_v2"
        return jnp.round if config["use_karras_sigmas"] and rounds else jnp.floor
    if config.get("use_karras_sigmas") or config.get("use_exponential_sigmas"):
        return lambda step: step

    def linear(step):
        low = jnp.clip(jnp.floor(step), 0, len(levels) - 2)
        first, last = (jnp.log(jnp.asarray(levels))[low.astype(int) + i] for i in (0, 1))
        return low + jnp.expm1((last - first) * (step - low)) / jnp.expm1(last - first)

    return linear


def _grid(name: str, config: Mapping[str, Any], levels: np.ndarray, by_sigma: bool) -> Callable[[int], np.ndarray]:
    total, multistep = len(levels), name.endswith("MultistepScheduler")
    to_data = config.get("set_alpha_to_one", config.get("final_sigmas_type", "zero") == "zero")
    lowered = name.startswith("DPM") and config["lower_order_final"]
    sensitive = lowered and (config["solver_order"] == 3 or not to_data)

    def grid(steps: int) -> np.ndarray:
        if not 1 <= steps <= total:
            raise InputError(f"steps={steps}: this model's chain has {total}")
        if sensitive and steps < 15:
            raise InputError(f"steps={steps}: {name} lowers its order below 15 steps (lower_order_final): take more")
        spacing, offset = config["timestep_spacing"], config["steps_offset"]
        index = _index(spacing, steps, total, offset, multistep, name[:4])
        _check_index(name, config, index, steps, total, to_data)
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
        if name[:4] in ("DDIM", "PNDM") and spacing == "leading" and index[-1] >= total // steps:
            last = (index[-1] - total // steps + 1) / total  # which has not reached the end yet
        if last < times[-1] - 1e-9:
            times = np.append(times, last)
        elif name == "DDIMScheduler" and config["clip_sample"]:
            raise InputError(
                f"clip_sample=True: {name} clips at a last step that goes nowhere, where set_alpha_to_one=False and "
                f"timestep_spacing={spacing!r}: set clip_sample=False" + ", or steps_offset=1" * (spacing == "leading")
            )
        return np.asarray(times, np.float32)  # of other schedulers such a last step changes nothing

    return grid


def _check_index(
    name: str, config: Mapping[str, Any], index: np.ndarray, steps: int, total: int, to_data: bool
) -> None:
    """Refuse steps that the chain does not have, or of which the scheduler makes something of its own."""
    if index[0] > total - 1:
        offset = config["steps_offset"]
        raise InputError(f"steps={steps}: with steps_offset={offset} they begin beyond the chain's {total}: take less")
    if (np.diff(index) >= 0).any():
        raise InputError(f"steps={steps}: of the chain's {total} {name} takes some twice: take less")
    if index[0] == 0 and total > 1:
        raise InputError(f"steps={steps}: {name} begins at the chain's first step, where there is no noise: take more")
    no_signal = name[:4] in ("DDIM", "DDPM") and config["rescale_betas_zero_snr"] and index[0] == total - 1
    if no_signal and config["prediction_type"] == "epsilon":
        raise InputError(
            "prediction_type='epsilon': tells nothing of the data at the chain's last step, in which "
            "rescale_betas_zero_snr leaves no signal: take a timestep_spacing that begins before it, or v_prediction"
        )
    if name == "DDPMScheduler" and config["variance_type"] == "fixed_large" and index[-1] > 0:
        raise InputError(
            f"{name}: variance_type='fixed_large' adds noise to the last x where timestep_spacing and steps_offset do "
            "not lead to step 0: take fixed_small"
        )
    if name != "PNDMScheduler":
        return
    if steps == 1 and not to_data:
        raise InputError(f"steps=1: {name} begins with two evaluations, and does not of one step: take more")
    if not config["skip_prk_steps"] and (steps < 4 or total // steps % 2):
        raise InputError(
            f"steps={steps}: {name} with skip_prk_steps=False takes 4 steps or more, each of an even part of the "
            f"chain's {total}: take others, or skip_prk_steps=True"
        )


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
