"""Progressive distillation (Salimans and Ho 2022): a student whose one DDIM step is two of its teacher's.

    x_m = towards(x_t, D(x_t, t), t, m)      x_s = towards(x_m, D(x_m, m), m, s)           t > m > s, two steps of D
    L = max(SNR, 1) |D_student(x_t, t) - x*|²,     x* with towards(x_t, x*, t, s) = x_s

After each stage the student's average becomes the teacher, and the steps are half as many. All grids are every 2^k-th
time of one grid, so that they nest bit for bit.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxdiff.distill.common import check_student, fixed, followed, make_teacher, mean_square, remember, scale_of
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.flow_map import endpoint_of, towards
from jaxdiff.gaussian.grids import nested
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, log_snr, perturb
from jaxdiff.losses.needs import needs
from jaxdiff.types import ConditionSpec, Network, StatefulLoss

__all__ = ["progressive_loss", "stage_of"]


def stage_of(seen: jax.Array, stage: int, stages: int) -> jax.Array:
    """The stage, from 0 to stages - 1, after so many examples, in stages of `stage` examples."""
    return jnp.minimum(seen // stage, stages - 1)


@needs(teacher=True, samplers=("ddim",))
def progressive_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    total: int = 64,
    last: int = 1,
    stage: int = 25_600,
    guidance: float = 1.0,
    conditions: Mapping[str, ConditionSpec] = {},
) -> StatefulLoss:
    """The loss of all stages, from a teacher of `total` steps to a student of `last`.

    Args:
      total: steps of the first teacher, on `jaxdiff.gaussian.grids.nested`.
      last: steps of the last student: total halved some times.
      stage: examples after which the student becomes the teacher; the last stage goes on.
      guidance: scale of classifier-free guidance of the first teacher, which its students have learned.
      conditions: what the network can be told, by name.

    Raises:
      InputError: steps that do not halve, or a parameterization undefined at t = 1.
    """
    check_student(process, parameterization)
    if last >= total:
        raise InputError(f"last={last}: a student takes fewer steps than its teacher's total={total}")
    nested(process, last, total)
    times = jnp.asarray(nested(process, total, total)[::-1])
    stages = (total // last).bit_length() - 1

    def loss_fn(params, memory, key, batch):
        n = batch.x_0.shape[0]
        key_i, key_eps, key_net = jax.random.split(key, 3)
        now = stage_of(memory.seen, stage, stages)
        begins = now > stage_of(memory.seen - n, stage, stages)
        teacher = jax.tree.map(lambda old, new: jnp.where(begins, new, old), memory.teacher, memory.average)
        half = 2**now
        i = 2 * half * jax.random.randint(key_i, (n,), 1, total // (2 * half) + 1)
        t, m, s = times[i], times[i - half], times[i - 2 * half]
        x_t, _ = perturb(process, key_eps, batch.x_0, t)

        parts = process, parameterization, network, teacher, batch.condition
        told = lambda scale: make_teacher(*parts, scale, conditions)
        scale = scale_of(batch.condition, guidance)
        plain, guided = told(1.0), told(scale)
        same = isinstance(scale, int | float) and scale == 1
        denoise = plain if same else lambda x, t: jax.lax.cond(now == 0, guided, plain, x, t)
        x_m = towards(process, x_t, denoise(x_t, t), t, m)
        x_s = towards(process, x_m, denoise(x_m, m), m, s)
        goal = fixed(endpoint_of(process, x_t, x_s, t, s))
        x_0 = make_denoiser(process, parameterization, network, params, batch.condition, key_net)(x_t, t)
        error = mean_square(x_0 - goal)
        weight = jnp.maximum(jnp.exp(log_snr(process, t)), 1)
        after = followed(memory._replace(teacher=teacher), params, n, stage / 20)
        return jnp.mean(weight * error), ({"mse": jnp.mean(error), "steps": total / (2.0 * half)}, after)

    begin = remember(teacher=True, average=True)
    return StatefulLoss(None, loss_fn, begin)
