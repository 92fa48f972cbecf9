"""Chosen: a sampler and its options, asked for in a call, beside the defaults of a model."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.config.sampling import (
    CORRECTORS,
    GUIDANCE,
    VARIANCES,
    AnyProcess,
    name_of,
    option_range,
    own_options,
    sampler_of,
    shared_options,
)
from jaxdiff.config.schema import check_value
from jaxdiff.errors import InputError, unknown
from jaxdiff.pipelines.options import check_led, check_number, is_traced
from jaxdiff.samplers.ddim import check_temperature
from jaxdiff.types import Array, ConditionSpec

__all__ = ["check_guidable", "check_own_start", "chosen", "only_steps", "sampling", "told_scale"]


def only_steps(config: Mapping[str, Any] | None) -> int:
    """The one number of steps that a student was distilled for; 0 of any other model."""
    return (config or {}).get("sample", {}).get("grid", {}).get("only", 0)


def check_own_start(config: Mapping[str, Any] | None, start: Any) -> None:
    """Refuse a start, such as a strength asks for, between the times of a student that was distilled for these."""
    if start is not None and (only := only_steps(config)):
        raise InputError(
            f"start={start}: this model was distilled for the times of {only} step(s): leave it, or a strength, out"
        )


def chosen(
    sampler: Any,
    options: Mapping[str, Any],
    default: Mapping[str, Any],
    shared: Mapping[str, Any],
    path: AnyProcess | None,
) -> tuple[Any, tuple, dict[str, Array]]:
    """The sampler, the options that are compiled in, and those that are traced.

    Args:
      sampler: its name or the function itself; None for the default.
      options: those asked for, which come before the defaults.
      default: the sampler of the model, `{"name": ..., **options}`.
      shared: the model's defaults for every sampler.
      path: the process along which to sample, as far as it is known.

    Raises:
      InputError: an unknown sampler or option, or a value out of its range.
    """
    name = default["name"] if sampler is None else name_of(sampler)
    make = sampler_of(name, path)
    label = name if isinstance(name, str) else make.__name__
    defaults = default if name == default["name"] else {}
    given = {**shared, **{k: v for k, v in defaults.items() if k != "name"}, **options}
    corrector = given.get("corrector")
    of_all = shared_options({**given, "name": label})
    own = own_options(make) | {k: p for k, p in of_all.items() if p is not None}
    allowed = {**own, **of_all}
    beside = own_options(CORRECTORS[corrector]) if corrector else {}
    if twice := [k for k in own_options(make) if k in beside and k in given]:
        raise InputError(f"{twice[0]}: both of sampler {label!r} and of its corrector: leave it, or the corrector, out")
    for option in given:
        if option not in allowed:
            raise unknown(f"option of sampler {label!r}", option, allowed)
    if given.get("variance", "learned") not in list(VARIANCES):
        raise unknown("variance", given["variance"], VARIANCES)
    # Numbers are traced also where they are left at their default, so that giving one compiles nothing.
    real = {p for p in own if own[p].annotation == float | Array}
    free = {*real, *GUIDANCE, "clip", "threshold", "noise_scale", "cache"}
    for option, value in given.items():
        kind = own[option].annotation if option in own else float
        if kind in (str, bool):
            check_value(option, value, kind)
        elif option not in ("variance", "corrector"):
            whole = option == "cache" or kind is int
            check_number(option, value, option_range(option, label, corrector), whole, option in free)
    if name == "ddim" and "temperature" in given:
        check_temperature(given.get("eta", 0.0), given["temperature"])
    if "threshold" in given and isinstance(clip := given.get("clip", np.inf), int | float) and clip == np.inf:
        raise InputError("threshold: changes nothing without clip, the size beyond which it acts: give clip=1")
    check_led(given, allowed)
    traced = {p: own[p].default for p in real} | {k: given[k] for k in given if k in free}
    plain = {k: int(v) if k in own and own[k].annotation is int else v for k, v in given.items()}
    fixed = tuple(sorted((k, v) for k, v in plain.items() if k not in traced))
    return name, fixed, {k: jnp.float32(v) for k, v in traced.items()}


def sampling(
    section: Mapping[str, Any], options: Mapping[str, Any], steps: int, sampler: Mapping[str, Any]
) -> dict[str, Any]:
    """The section of a configuration that says how to draw, with a model's own defaults."""
    clip, further = options.get("clip", np.inf), {name: value for name, value in options.items() if name != "clip"}
    return {**section, "clip": clip, "steps": steps, "sampler": {**further, **sampler}}


def told_scale(
    scales: tuple[float, float], negative: Any, traced: Mapping[str, Array], n: int
) -> tuple[Array, dict[str, Array]]:
    """The scale of guidance that a student is told of n examples, (n, 1), and the options that are left.

    Args:
      scales: between which it has learned all; the first is its default.
      traced: the options that are traced.

    Raises:
      InputError: another scale, or what only the guidance of two calls of a network can do.
    """
    if negative is not None or (beside := [name for name in GUIDANCE if name in traced and name != "guidance"]):
        raise InputError(
            f"{'negative' if negative is not None else beside[0]}: this model was distilled under guidance, of which "
            "it is told the scale alone: leave it out"
        )
    scale = traced.get("guidance", jnp.float32(scales[0]))
    least, most = map(np.float32, scales)  # as exact as the scale
    if not is_traced(scale) and not least <= float(scale) <= most:
        raise InputError(
            f"guidance={float(scale):g}: this model has learned scales from {scales[0]:g} to {scales[1]:g}"
        )
    return jnp.broadcast_to(scale, (n, 1)), {name: one for name, one in traced.items() if name != "guidance"}


def check_guidable(
    conditions: Mapping[str, ConditionSpec], guidable: bool, asked: Mapping[str, Any], told: Any = None
) -> None:
    """Refuse guidance of a model that knows of no condition, or not of its absence, and what guidance excludes.

    Args:
      told: the condition to be led to; one that holds only what the model is always told, such as which atoms there
        are, leads nowhere.
    """
    if not conditions:
        raise InputError("guidance: this model has no condition to follow: take one trained with net.num_classes")
    if not guidable:
        raise InputError(
            "guidance: this model was never trained without its condition: take one trained with "
            "train.cond_dropout, such as 0.1"
        )
    leading = [name for name, one in conditions.items() if one.missing is not None]
    if isinstance(told, Mapping) and told and told.keys().isdisjoint(leading):
        if not leading:
            raise InputError(
                "guidance: leads away from a negative condition, which this model always has to be told: give "
                "negative, such as the words of an empty caption"
            )
        raise InputError(f"guidance: leads to what the model is told, and nothing is: give {' or '.join(leading)}")
    if "guidance" not in asked:
        raise InputError("negative: changes nothing without guidance: give its scale, such as guidance=2")
    if "cache" in asked:
        raise InputError("guidance and cache: two networks would share one memory: leave one of them out")
