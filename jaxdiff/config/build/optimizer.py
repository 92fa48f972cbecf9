"""Optimizer: one of optax, its learning rate a schedule after a linear warm-up, clipping by the global norm."""

import fnmatch
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdiff.config.names import Spec
from jaxdiff.config.parts import OPTIMIZER, SCHEDULE
from jaxdiff.errors import InputError
from jaxdiff.types import path_name

__all__ = ["frozen", "make_optimizer"]


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
      patterns: with commas between them, "*" for any text; "mid" stands for all below it, too.
      shapes: of the parameters.

    Raises:
      InputError: a pattern that fits no parameter, or all.
    """
    asked = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    if not asked:
        return optimizer
    fits = lambda name, pattern: fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}/*")
    stays = jax.tree_util.tree_map_with_path(lambda path, _: any(fits(path_name(path), p) for p in asked), shapes)
    names = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)]
    for pattern in asked:
        if not any(fits(name, pattern) for name in names):
            tops = ", ".join(sorted({name.partition("/")[0] for name in names}))
            raise InputError(f"train.freeze={patterns!r}: no parameter fits {pattern!r}; they begin with {tops}")
    if all(jax.tree.leaves(stays)):
        raise InputError(f"train.freeze={patterns!r}: leaves no parameter to train: name fewer")
    still = optax.masked(optax.set_to_zero(), stays)
    return optax.chain(still, optimizer, still)  # before, so that clipping sees them alone; after, for weight decay
