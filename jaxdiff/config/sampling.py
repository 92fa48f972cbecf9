"""Sampling: the samplers that can be named, their options, and what they need of a network."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jaxdiff import samplers
from jaxdiff.config.names import Arguments, Part, Spec, named
from jaxdiff.config.ranges import RANGES, SHARED
from jaxdiff.discrete import samplers as symbol_samplers
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Product, columnwise
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.flow_map import Endpoint
from jaxdiff.gaussian.posterior import Posterior
from jaxdiff.gaussian.process import Process
from jaxdiff.samplers.cached import Remembering
from jaxdiff.types import Array, Condition, Denoiser, Noise, Params

__all__ = [
    "CORRECTORS",
    "EVERY",
    "FEW_STEPS",
    "FRAMEWISE",
    "GIVEN",
    "GUIDANCE",
    "INNER_LOOPS",
    "KINDS",
    "MIXED_SAMPLERS",
    "OPTIONS",
    "SAMPLER",
    "SAMPLERS",
    "SYMBOL_SAMPLERS",
    "UNBOUNDED",
    "VARIANCES",
    "AnyProcess",
    "Bind",
    "Bound",
    "allows",
    "find_sampler",
    "has_symbols",
    "name_of",
    "option_range",
    "own_options",
    "sampler_of",
    "shared_options",
]

GIVEN = ("process", "denoiser", "flow_map", "posterior", "constrain", "use_clipped_model_output")
CORRECTORS = {"langevin": samplers.langevin}
FRAMEWISE = {"staggered": samplers.staggered}
"""Samplers of models that were trained with a time for each frame."""
SAMPLERS = {
    name: make
    for name, make in named(samplers, samplers.Sampler).items()
    if list(inspect.signature(make).parameters)[:2] == ["process", "denoiser"] and name not in (*CORRECTORS, *FRAMEWISE)
}
FEW_STEPS = {f.__name__: f for f in (samplers.jump, samplers.renoise, samplers.posterior_jumps)}
"""Samplers of models that are made for few steps: of a flow map, or a posterior."""
SYMBOL_SAMPLERS = {
    name: make
    for name, make in named(symbol_samplers, samplers.Sampler).items()
    if list(inspect.signature(make).parameters)[:2] == ["process", "denoiser"]
}
"""Those of processes of symbols."""
AnyProcess: TypeAlias = Any
"""A Process of numbers, a Replacement of symbols, or a Product of both."""
MIXED_SAMPLERS = {"columnwise": columnwise}
"""Those of numbers and symbols."""
KINDS: dict[type, tuple[str, dict[str, Any]]] = {
    Process: ("numbers", SAMPLERS | FEW_STEPS | FRAMEWISE),
    Replacement: ("symbols", SYMBOL_SAMPLERS),
    Product: ("numbers and symbols", MIXED_SAMPLERS),
}
"""What a model of a process draws, in words, and by which samplers."""
EVERY = SAMPLERS | FEW_STEPS | FRAMEWISE | SYMBOL_SAMPLERS | MIXED_SAMPLERS
VARIANCES = {"fixed_small": samplers.fixed_small, "fixed_large": samplers.fixed_large, "learned": None}
INNER_LOOPS = ("annealed_langevin", "dopri5", "plms", "pndm")
"""Samplers that call the denoiser within inner loops, which no cache looks into."""
GUIDANCE = {"guidance": 1.0, "guidance_rescale": 0.0, "guidance_low": 0.0, "guidance_high": np.inf}
"""Options of guidance, and what they are where one of the others is given."""
UNBOUNDED = ("clip", "guidance_high", "churn_max")
"""Options that may be infinite."""


class Bound(NamedTuple):
    """A network with its parameters and a condition: a process and a denoiser, of numbers, symbols or both."""

    process: Any
    denoiser: Denoiser
    fraction: Callable[..., Array] | None = None
    """`(x_t, t, memory=None) -> f` of a learned variance, from the memory if there is one: `samplers.learned_range`."""
    remembering: Remembering | None = None
    """The denoiser with a memory, see `jaxdiff.samplers.cached`."""
    endpoint: Endpoint | None = None
    """Of a network that is told a second time, see `jaxdiff.gaussian.flow_map`."""
    posterior: Callable[[Noise], Posterior] | None = None
    """Of a generator, see `jaxdiff.gaussian.posterior`, by the noise from which it draws."""


Bind = Callable[[Params, Condition | None], Bound]


def own_options(make: Callable) -> dict[str, inspect.Parameter]:
    """The options of a sampler or corrector itself."""
    return {name: p for name, p in inspect.signature(make).parameters.items() if name not in GIVEN}


def shared_options(spec: Spec) -> Arguments:
    """The options that every sampler takes: bounds, guidance, and a corrector with its own; of symbols, its scale."""
    if spec.get("name") in (*SYMBOL_SAMPLERS, *MIXED_SAMPLERS):
        return {"guidance": None}
    if spec.get("name") in FRAMEWISE:  # a corrector knows one time for all
        return dict.fromkeys(("clip", "threshold", "noise_scale", *GUIDANCE))
    corrector = spec.get("corrector")
    if corrector is not None and (not isinstance(corrector, str) or corrector not in CORRECTORS):
        raise unknown("corrector", corrector, CORRECTORS)
    cache = () if spec.get("name") in (*INNER_LOOPS, *FEW_STEPS) else ("cache",)
    shared = dict.fromkeys(("clip", "threshold", "corrector", "noise_scale", *GUIDANCE, *cache))
    return shared | (own_options(CORRECTORS[corrector]) if corrector else {})


SAMPLER = Part(
    "sampler",
    EVERY,
    samplers.Sampler,
    "a function (process, denoiser, ...) that returns a jaxdiff.samplers.Sampler(init, step)",
    GIVEN,
    beside=shared_options,
)
OPTIONS = set(shared_options({})).union(*map(own_options, (*EVERY.values(), *CORRECTORS.values())))
"""All that some sampler takes."""


def find_sampler(name: Any) -> Callable[..., samplers.Sampler]:
    """The function that makes a sampler, by its name, or itself.

    Raises:
      InputError: there is none.
    """
    return name if inspect.isfunction(name) else SAMPLER.find({"name": name})


def allows(allowed: Sequence[str], name: Any) -> bool:
    """Tell whether a model may be drawn from with a sampler, by `jaxdiff.losses.needs.Needs.samplers`."""
    if name in allowed:
        return True
    return name not in [*FEW_STEPS, *FRAMEWISE] and (not allowed or "any" in allowed)


def has_symbols(path: Any) -> bool:
    """Tell whether a process is of symbols, or of numbers and symbols."""
    return isinstance(path, Replacement | Product)


def sampler_of(name: Any, path: AnyProcess | None) -> Callable[..., samplers.Sampler]:
    """The function that makes a sampler, as `find_sampler`, which must not be of another kind of process.

    Args:
      path: the process along which to sample; None, of numbers, if the parameters decide.
    """
    kind, ours = KINDS[Process if path is None else type(path)]
    if isinstance(name, str) and name in EVERY and name not in ours:
        raise InputError(f"sampler {name!r}: this model draws {kind}: take one of {', '.join(sorted(ours))}")
    if isinstance(name, str) and ":" not in name and name not in ours:
        raise unknown("sampler", name, ours)
    return find_sampler(name)


def name_of(sampler: Any) -> Any:
    """The name of a sampler or corrector that is given as the library's own function; else what is given."""
    return next((name for name, make in (EVERY | CORRECTORS).items() if make is sampler), sampler)


def option_range(option: str, sampler: str, corrector: str | None = None) -> tuple[float, float]:
    """The least and the most that an option of a sampler may be: from 0 on, unless declared."""
    correcting, own = RANGES["corrector"].get(corrector or "", {}), RANGES["sampler"].get(sampler, {})
    known = {**SHARED, **correcting, **own}
    return known.get(option, (0, np.inf))
