"""Options of sampling: what a sampler takes, checked against the process and the grid of times."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.config.names import in_words
from jaxdiff.config.sampling import (
    FEW_STEPS,
    FRAMEWISE,
    UNBOUNDED,
    AnyProcess,
    allows,
    has_symbols,
)
from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process, with_slopes
from jaxdiff.types import Array

__all__ = [
    "AMPLIFIED",
    "FLOWS",
    "INTERVALS",
    "LEADERS",
    "check_allowed",
    "check_applies",
    "check_guided",
    "check_key",
    "check_led",
    "check_mean",
    "check_number",
    "check_start",
    "check_together",
    "finite",
    "from_time",
    "is_text",
    "is_traced",
    "is_whole",
    "sigma_at",
]

FLOWS = ("euler", "midpoint", "heun", "rk4", "dopri5")
"""Those that follow dx/dt."""


LEADERS = {
    "guidance": ("negative", "guidance_rescale", "guidance_low", "guidance_high"),
    "churn": ("churn_noise", "churn_min", "churn_max"),
}
"""Options without which others, that say how they act, change nothing."""
INTERVALS = (("guidance_low", "guidance_high"), ("churn_min", "churn_max"))
"""Between these noise levels."""


AMPLIFIED = 100
"""How much alpha may grow in a step of pndm or plms, which divide by it what is left of x_t without the eps."""


def from_time(times: np.ndarray, start: float | Array) -> np.ndarray | Array:
    """A grid of as many steps that starts at a later time, perhaps a traced one, and is spaced like the rest of it.

    Raises:
      InputError: the time is not between the grid's ends.
    """
    places = np.arange(len(times), dtype=np.float32)
    if is_traced(start):
        first = jnp.interp(-start, -times, places)
        return jnp.interp(jnp.linspace(first, places[-1], len(times)), places, times)
    try:
        time = float(start)
    except (TypeError, ValueError, OverflowError):
        time = np.nan
    if not times[-1] < time <= times[0]:
        shown = " ".join(str(start).split())[:80]
        raise InputError(f"start={shown}: must be a time above {times[-1]:g} and up to {times[0]:g}")
    first = np.interp(-time, -times, places)
    later = np.interp(np.linspace(first, places[-1], len(times)), places, times)
    return later.astype(times.dtype)


def check_start(path: Any, start: float | Array) -> None:
    """Refuse to start from noise at a time, if it is known, at which x_t is more data than noise."""
    if is_traced(start):
        return
    if has_symbols(path):
        raise InputError(f"start={start}: symbols are drawn from t=1 alone: leave it out")
    with jax.ensure_compile_time_eval():
        level = path.sigma(jnp.float32(start)) / path.alpha(jnp.float32(start))
    if not isinstance(level, Tracer) and level < 1:
        raise InputError(
            f"start={start}: drawing from noise starts where x_t is mostly that, and the noise level (sigma / alpha) "
            f"is {float(level):.2g} there: start where it is 1 or above, or from images, as img2img does"
        )


def is_whole(value: Any, least: int = 1, most: int = 2**31 - 1) -> bool:
    """Tell whether a value is a whole number within a range."""
    return isinstance(value, (int, np.integer)) and bool(least <= value <= most)


def check_key(key: Any) -> None:
    """Refuse what is no key of JAX, such as a number.

    Raises:
      InputError: it is none, or several.
    """
    kind, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = kind is not None and jnp.issubdtype(kind, jax.dtypes.prng_key)
    if not (shape == () if typed else kind == np.uint32 and len(shape or ()) == 1):
        raise InputError(f"key={str(key)[:80]}: must be a key of JAX, such as jax.random.key(0)")


def is_text(value: Any) -> bool:
    """Tell whether a value is a text, or a row of texts."""
    return isinstance(value, str) or (
        isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(one, str) for one in value)
    )


def is_traced(value: Any) -> bool:
    """Tell whether a number is a tracer, of a function that JAX is compiling, so that its value is unknown."""
    return isinstance(value, Tracer) and value.ndim == 0


def check_number(option: str, value: Any, within: tuple[float, float], whole: bool, free: bool) -> None:
    """Refuse a value out of its range; of one that is traced, which only a `free` option may be, it is not known."""
    if free and is_traced(value):
        return
    low, high = within
    try:
        finite = option in UNBOUNDED or np.isfinite(float(value))
        fits = finite and not isinstance(value, bool) and low <= value <= high and (not whole or int(value) == value)
    except (TypeError, ValueError, OverflowError):  # a tracer's error is a TypeError
        fits = False
    if not fits:
        raise InputError(f"{option}={value}: must be a {'whole ' * whole}number from {low} to {high}")


def check_led(given: Mapping[str, Any], allowed: Container[str]) -> None:
    """Refuse options that change nothing: those of `LEADERS` without their leader, and intervals that are empty.

    Args:
      given: the options, and `allowed`, the names of all that the sampler takes.
    """
    for leader, others in LEADERS.items():
        idle = [name for name in others if name in given and leader in allowed and leader not in given]
        if idle:
            raise InputError(f"{idle[0]}: changes nothing without {leader}: give {leader}, too, or leave it out")
    for low, high in INTERVALS:
        least, most = given.get(low, 0), given.get(high, np.inf)
        if not (is_traced(least) or is_traced(most)) and least > most:
            raise InputError(f"{low}={least}, {high}={most}: no noise level lies between them")


def check_allowed(allowed: Sequence[str], name: Any) -> None:
    """Refuse a sampler that is not for what a model has learned, by `jaxdiff.losses.needs.Needs.samplers`."""
    if not allows(allowed, name):
        can = ", ".join(s for s in allowed if s != "any") or "a sampler of denoisers, such as ddim"
        raise InputError(f"sampler {in_words(name)!r}: is not for what this model has learned: take {can}")


def check_guided(name: Any) -> None:
    """Refuse to guide a sampler that jumps, which asks no denoiser."""
    if name in list(FEW_STEPS):
        raise InputError(f"sampler {name!r}: jumps, and has the guidance of its training: take ddim, or no guidance")


def check_mean(allowed: Sequence[str], what: str) -> None:
    """Refuse to take a model of few steps for a denoiser: what it has learned is where jumps lead, not E[x_0 | x_t].

    Args:
      allowed: the samplers of the model, by `jaxdiff.losses.needs.Needs.samplers`.
    """
    if allowed and "any" not in allowed:
        raise InputError(
            f"{what}: asks for E[x_0 | x_t], and this model has learned jumps instead, for {' and '.join(allowed)}: "
            "take the model that it was distilled from, or one of another loss"
        )


def check_together(name: Any, what: str) -> None:
    """Refuse a sampler that has a time for each frame, where all of an example is taken to be at one time."""
    if name in list(FRAMEWISE):
        raise InputError(f"sampler {name!r}: has a time for each frame, and {what} knows one for all: take another")


def check_applies(name: str, path: AnyProcess | None, times: np.ndarray) -> None:
    """Refuse a sampler that is undefined at an end of the grid, or amplifies errors without measure.

    Args:
      path: the process along which to sample; None if the parameters decide.
    """
    if name == "dopri5" and times[-1] <= 0:
        data = path is not None and sigma_at(path, 0.0) == 0
        where = "where sigma = 0" if data else "which its clock never reaches"
        raise InputError(f"sampler 'dopri5' cannot end at t=0, {where}: end the grid above, with t_min=0.001")
    if name in FRAMEWISE and (times[0], times[-1]) != (1, 0):
        raise InputError(
            f"sampler {name!r}: its grid is a clock from 1 to 0, and this one goes from {times[0]:g} to {times[-1]:g}: "
            "take grid uniform"
        )
    if path is None or has_symbols(path):
        return
    with jax.ensure_compile_time_eval():
        alpha = np.asarray(jax.jit(path.alpha)(jnp.asarray(times, jnp.float32)))
        slopes = np.asarray(jax.jit(lambda t: with_slopes(path, t)[1])(jnp.float32(times[0])))
    start = f"sampler {name!r} cannot start at t={times[0]:g}"
    if name in ("euler_maruyama", "srk", "churned") and alpha[0] < 1e-6:
        raise InputError(f"{start}, where alpha = 0: start the grid below, or take reverse_diffusion")
    if name in FLOWS and not np.isfinite(slopes).all():
        raise InputError(f"{start}, where alpha falls infinitely fast: start the grid below, or take dpmpp_2m")
    if name in ("plms", "pndm"):
        with np.errstate(divide="ignore"):
            amplified = (alpha[1:] / alpha[:-1]).max()
        least = 4 if name == "pndm" else 1
        if len(times) <= least or not amplified <= AMPLIFIED:
            raise InputError(
                f"sampler {name!r} needs {least} steps, in none of which alpha, and errors, grow over {AMPLIFIED}x: "
                f"here are {len(times) - 1} with up to {amplified:.3g}x; start the grid lower or take dpmpp_2m"
            )


def finite(images: np.ndarray, what: str = "images") -> np.ndarray:
    """The images, (n, ...), if they are numbers, or numbers of symbols.

    Raises:
      InputError: some hold NaN or infinity, or -1, which a network that told NaN leaves of symbols.
    """
    if images.dtype.kind == "U":  # text
        return images
    if images.dtype.kind == "i" and (lost := (images < 0).reshape(len(images), -1).any(1)).any():
        raise InputError(f"{lost.sum()} of {what} hold symbols of which the network told NaN: take other weights")
    bad = ~np.isfinite(images).reshape(len(images), -1).all(1)
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {what} are not finite: bound them with clip=1, take more steps, another sampler such as "
            "dpmpp_2m, a grid that starts later (t_max), or other weights"
        )
    return images


def sigma_at(path: Process, t: float) -> float:
    """sigma(t) as a number, also while JAX compiles a function."""
    with jax.ensure_compile_time_eval():
        return float(jax.jit(path.sigma)(jnp.float32(t)))
