"""Optimizer: one of optax, its learning rate a schedule after a linear warm-up, clipping by the global norm."""

import jax
import jax.numpy as jnp
import optax

from jaxdiff.config.names import Spec
from jaxdiff.config.parts import OPTIMIZER, SCHEDULE
from jaxdiff.errors import InputError

__all__ = ["make_optimizer"]


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
