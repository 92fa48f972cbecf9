"""Random configurations of diffusers' schedulers, and the last x of a run of each, there and here."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.sampling import find_sampler
from jaxdiff.gaussian.denoiser import clip, make_denoiser, transfer
from jaxdiff.interop.scheduler_fields import FIELDS
from jaxdiff.interop.schedulers import read_scheduler
from jaxdiff.pipelines.draw import named_variance
from jaxdiff.pipelines.ends import from_level
from jaxdiff.pipelines.hooks import from_noise
from jaxdiff.types import expand
from tests.helpers import scheduler_reference as theirs

__all__ = ["drawn", "noise", "ours", "there"]

SHAPE = (1, 5)
BETAS = [
    {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
    {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"trained_betas": np.linspace(1e-4, 0.05, 150).tolist(), "num_train_timesteps": 150},
    {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "num_train_timesteps": 50},
]
VALUES: dict[str, list[Any]] = {
    "num_train_timesteps": [1000, 1000, 1000, 400, 137, 60],
    "prediction_type": ["epsilon", "sample", "v_prediction"],
    "timestep_spacing": ["leading", "trailing", "linspace"],
    "steps_offset": [0, 1],
    "clip_sample": [False, True],
    "clip_sample_range": [1.0, 0.6, 2.0],
    "variance_type": ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned"],
    "rescale_betas_zero_snr": [False, True],
    "set_alpha_to_one": [False, True],
    "skip_prk_steps": [False, True],
    "use_karras_sigmas": [False, False, True],
    "use_exponential_sigmas": [False, False, True],
    "use_beta_sigmas": [False] * 9 + [True],
    "solver_order": [1, 2, 3],
    "lower_order_final": [False, True],
    "final_sigmas_type": ["zero", "sigma_min"],
    "algorithm_type": ["dpmsolver++", "dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"],
    "euler_at_final": [False] * 4 + [True],
    "use_lu_lambdas": [False] * 6 + [True],
    "predict_x0": [True] * 4 + [False],
    "disable_corrector": [[]] * 4 + [[0]],
    "interpolation_type": ["linear"] * 4 + ["log_linear"],
    "timestep_type": ["discrete"] * 4 + ["continuous"],
    "thresholding": [False] * 9 + [True],
}
SOLVERS = {"DPMSolverMultistepScheduler": ["midpoint", "midpoint", "heun"], "UniPCMultistepScheduler": ["bh2", "bh1"]}


def drawn(i: int) -> tuple[str, dict[str, Any], int]:
    """Configuration number i: a scheduler, half of its fields, and a number of steps from 1 to 50."""
    rng = np.random.default_rng([i, 13])
    pick = lambda values: values[rng.integers(len(values))]
    name = pick(list(FIELDS))
    config = dict(pick(BETAS))
    for field in sorted(FIELDS[name]):
        values = SOLVERS.get(name) if field == "solver_type" else VALUES.get(field)
        if values and field not in config and rng.uniform() < 0.5:
            config[field] = pick(values)
    if config.get("variance_type") and not name.startswith("DDPM"):
        del config["variance_type"]
    if name == "DDPMScheduler" and rng.uniform() < 0.3:
        config["beta_schedule"] = "sigmoid"
    if name == "PNDMScheduler":  # which knows one way for all steps
        config.pop("timestep_spacing", None)
    spaced = [f for f in config if f.startswith("use_") and f.endswith("_sigmas") and config[f]]
    for field in spaced[1:]:  # diffusers takes one of them
        del config[field]
    return name, config, int(np.exp(rng.uniform(0, np.log(51))))


def noise(i: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit noise to start from, and one for each step."""
    rng = np.random.default_rng([i, 14])
    return rng.normal(size=SHAPE), rng.normal(size=(steps, *SHAPE))


def linear(x, t, tanh, sin):
    """A network that is linear in x and depends on the step it is told."""
    return (0.5 + 0.4 * sin(t / 130.0)) * x + 0.3 * sin(t / 70.0)


def there(name: str, config: dict[str, Any], steps: int, start: np.ndarray, noises: np.ndarray) -> np.ndarray:
    """The last x of diffusers."""
    uneven = name == "DDIMScheduler" and config.get("timestep_spacing", "leading") != "leading"
    return theirs.run(name, config, steps, start, noises, linear, uneven)


def ours(
    name: str, config: dict[str, Any], steps: int, start: np.ndarray, noises: np.ndarray, told: Callable = linear
) -> np.ndarray:
    """The last x here.

    Args:
      told: the network, as `linear`.

    Raises:
      InputError: it is refused.
    """
    schedule = read_scheduler(config | {"_class_name": name})
    times, key = schedule.grid(steps), jax.random.key(0)
    network = lambda params, x, t, condition, key: told(x, expand(t, x), jnp.tanh, jnp.sin)
    denoiser = make_denoiser(schedule.process, schedule.parameterization, network, {})
    if schedule.path is not schedule.process:
        denoiser = transfer(schedule.process, schedule.path, denoiser)
    constrain, options = clip(schedule.clip), dict(schedule.sampler)
    if "variance" in options:
        options["variance"] = named_variance(options["variance"], None)
    make, begin = find_sampler(options.pop("name")), from_level if schedule.by_level else from_noise

    @jax.jit
    def drawn(start, times, noises):
        x = begin(schedule.path._replace(noise=lambda key, x: start), key, start, times, None)

        def step(state, along):
            path = schedule.path._replace(noise=lambda key, x: along[2])
            sampler = make(path, lambda x, t: constrain(denoiser(x, t)), **options)
            return sampler.step(key, state, along[0], along[1]), None

        sampler = make(schedule.path, denoiser, **options)
        return jax.lax.scan(step, sampler.init(x), (times[:-1], times[1:], noises))[0].x

    return np.asarray(drawn(start, jnp.asarray(times, start.dtype), noises[: len(times) - 1]))
