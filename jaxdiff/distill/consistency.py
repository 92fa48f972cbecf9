"""Consistency models (Song et al. 2023): one function to the data, the same all along a path of the flow.

    L = E w d(f(x_t, t), sg f'(x_r, r)),        d(a, b) = sqrt(|a - b|² + c²) - c,   r a little below t

f is the denoiser of a parameterization with f(x, 0) = x. The losses differ in how x_r lies on the flow through x_t: by
a step of a teacher (distillation), or by the same data and noise (training; Song and Dhariwal 2024), which is right in
the mean for r close to t. A distance that is plain at the size of a step finds medians in place of means: of the many
components of an image that is little, of one or few take c = 1.

Even clocks: u in [0, 1] is the share of the angle atan(sigma / alpha). The same key gives both sides the same dropout.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from jaxdiff.distill.common import check_student, fixed, followed, huber, make_teacher, remember, scale_of
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.flow_map import towards
from jaxdiff.gaussian.grids import at_angle
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, perturb
from jaxdiff.losses.needs import needs
from jaxdiff.types import Array, ConditionSpec, Network, StatefulLoss

__all__ = ["consistency_distillation", "consistency_loss", "consistency_training"]

Pairs = Callable[..., tuple[Array, Array, Array, Array, Array | float]]
"""`(memory, key, batch) -> (x_t, t, x_r, r, weight)`."""


def consistency_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    pairs: Pairs,
    c: float,
    half_life: float = 0.0,
    teacher: bool = False,
) -> StatefulLoss:
    """The loss of pairs on one path of the flow, with the target an average, or the student itself at half-life 0."""
    check_student(process, parameterization, boundary=True)

    def loss_fn(params, memory, key, batch):
        key_pair, key_net = jax.random.split(key)
        x_t, t, x_r, r, weight = pairs(memory, key_pair, batch)
        target = memory.average if half_life else params
        f = lambda p: make_denoiser(process, parameterization, network, p, batch.condition, key_net)
        distance = huber(f(params)(x_t, t) - fixed(f(fixed(target))(x_r, r)), c)
        metrics = {"distance": jnp.mean(distance)}
        return jnp.mean(weight * distance), (metrics, followed(memory, params, batch.x_0.shape[0], half_life))

    begin = remember(teacher=teacher, average=half_life > 0)
    return StatefulLoss(None, loss_fn, begin)


@needs(teacher=True, samplers=("renoise",))
def consistency_distillation(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    steps: int = 40,
    guidance: float = 1.0,
    half_life: float = 2000.0,
    c: float = 5.4e-4,
    conditions: Mapping[str, ConditionSpec] = {},
) -> StatefulLoss:
    """x_r is where a step of Heun's method of the teacher, in sigma / alpha, leads from x_t.

    Args:
      steps: of the teacher's grid, even in u.
      guidance: scale of classifier-free guidance of the teacher.
      half_life: examples in which the target, an average of the student, halves its distance to it; 0 for itself.
      c: where the distance turns from squared to plain.
      conditions: what the network can be told, by name.
    """

    def pairs(memory, key, batch):
        key_u, key_eps = jax.random.split(key)
        i = jax.random.randint(key_u, batch.x_0.shape[:1], 1, steps + 1)
        t, r = at_angle(process, i / steps), at_angle(process, (i - 1) / steps)
        x_t, _ = perturb(process, key_eps, batch.x_0, t)
        parts = process, parameterization, network, memory.teacher, batch.condition
        teacher = make_teacher(*parts, scale_of(batch.condition, guidance), conditions)
        first = teacher(x_t, t)
        second = teacher(towards(process, x_t, first, t, r), r)
        return x_t, t, fixed(towards(process, x_t, (first + second) / 2, t, r)), r, 1.0

    return consistency_loss(process, parameterization, network, pairs, c, half_life, True)


@needs(samplers=("renoise",))
def consistency_training(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    first: int = 10,
    last: int = 1280,
    stage: int = 100_000,
    c: float = 5.4e-4,
) -> StatefulLoss:
    """Without a teacher: x_r has the data and the noise of x_t; its target is the student itself.

    Args:
      first, last: steps of the grid, even in u, which double after each stage up to the last.
      stage: examples.
    """

    def pairs(memory, key, batch):
        key_u, key_eps = jax.random.split(key)
        steps = jnp.minimum(first * 2.0 ** (memory.seen // stage), last)
        i = jnp.floor(jax.random.uniform(key_u, batch.x_0.shape[:1]) * steps) + 1
        t, r = at_angle(process, i / steps), at_angle(process, (i - 1) / steps)
        (x_t, _), (x_r, _) = (perturb(process, key_eps, batch.x_0, time) for time in (t, r))
        return x_t, t, x_r, r, steps

    return consistency_loss(process, parameterization, network, pairs, c)
