"""Optimizer: one of optax, its learning rate a schedule after a linear warm-up, clipping by the global norm."""

import fnmatch
import re
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdiff.config.names import Spec
from jaxdiff.config.parts import OPTIMIZER, SCHEDULE
from jaxdiff.errors import InputError
from jaxdiff.types import by_path, path_name

__all__ = ["frozen", "make_optimizer", "rated"]


def make_optimizer(spec: Spec) -> optax.GradientTransformation:
    """The optimizer of a configuration.

    A rate that never changes is a number, for which optax keeps no count of steps.
    """
    spec = dict(spec)
    clip, warmup, rate, schedule = (spec.pop(name) for name in ("clip", "warmup", "learning_rate", "schedule"))
    if warmup and "warmup_steps" in schedule:
        raise InputError(f"optimizer.warmup={warmup}: the schedule has warmup_steps of its own: set optimizer.warmup=0")
    rises = SCHEDULE.takes(schedule, "peak_value")
    after = SCHEDULE.make(schedule, value=rate, init_value=0.0 if rises else rate, peak_value=rate)

    def learning_rate(step):
        return after(jnp.maximum(step - warmup, 0)) * (jnp.minimum(1, (step + 1) / warmup) if warmup else 1)

    constant = schedule["name"] == "constant_schedule" and not warmup
    optimizer = OPTIMIZER.make(spec, learning_rate=rate if constant else learning_rate)
    try:
        jax.eval_shape(optimizer.init, jnp.zeros(1))
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer {spec['name']!r}: {' '.join(str(error).split())}") from error
    return optax.chain(optax.clip_by_global_norm(clip), optimizer) if clip else optimizer


def frozen(optimizer: optax.GradientTransformation, patterns: str, shapes: Any) -> optax.GradientTransformation:
    """The optimizer for all parameters but those whose paths, such as "down0/conv1/kernel", fit one of the patterns.

    Args:
      patterns: with commas between them, "*" for any text; "mid" stands for all below it, too, and "!mid" for all
        else.
      shapes: of the parameters.

    Raises:
      InputError: a pattern that fits no parameter, or all.
    """
    asked = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    if not asked:
        return optimizer
    stays = jax.tree_util.tree_map_with_path(lambda path, _: any(_fits(path_name(path), p) for p in asked), shapes)
    names = list(by_path(shapes))
    for pattern in asked:
        if not any(_fits(name, pattern) for name in names):
            tops = ", ".join(sorted({name.partition("/")[0] for name in names}))
            raise InputError(f"train.freeze={patterns!r}: no parameter fits {pattern!r}; they begin with {tops}")
    if all(jax.tree.leaves(stays)):
        raise InputError(f"train.freeze={patterns!r}: leaves no parameter to train: name fewer")
    still = optax.masked(optax.set_to_zero(), stays)
    return optax.chain(still, optimizer, still)  # before, so that clipping sees them alone; after, for weight decay


def rated(optimizer: optax.GradientTransformation, rates: str, shapes: Any) -> optax.GradientTransformation:
    """The optimizer, with factors on the updates of some parameters, such as two players that learn at two rates.

    Args:
      rates: "critic=4,embed*=0.5", by the patterns of `frozen`; of several that fit a parameter the last counts.
      shapes: of the parameters.

    Raises:
      InputError: something else, or a pattern that fits no parameter.
    """
    asked = [text.strip().partition("=")[::2] for text in rates.split(",") if text.strip()]
    if not asked:
        return optimizer
    names = list(by_path(shapes))
    for pattern, factor in asked:
        if not re.fullmatch(r"\d+(\.\d+)?(e-?\d+)?", factor) or not any(_fits(name, pattern) for name in names):
            tops = ", ".join(sorted({name.partition("/")[0] for name in names}))
            raise InputError(f"train.rates={rates!r}: must be PATTERN=FACTOR, of parameters that begin with {tops}")

    def factor_of(path: Any, _: Any) -> float:
        return next((float(factor) for pattern, factor in reversed(asked) if _fits(path_name(path), pattern)), 1.0)

    factors = jax.tree_util.tree_map_with_path(factor_of, shapes)
    return optax.chain(optimizer, optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors)))


def _fits(name: str, pattern: str) -> bool:
    if pattern.startswith("!"):
        return not _fits(name, pattern[1:])
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}/*")
