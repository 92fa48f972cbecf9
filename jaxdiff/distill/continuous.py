"""Continuous-time consistency (Lu and Song 2025, sCM): the tangent of f along the flow is to vanish.

With phi = atan(sigma / alpha) as the clock, `f = A x + B out` the consistency function of an output, A = b / d and
B = -sigma / d (`jaxdiff.gaussian.parameterization`), and dx/dphi along the flow,

    df/dphi = A dx/dphi + B' out + r (A' x + B dout/dphi)             r rises from 0 to 1
    g = cos(phi) df/dphi,         L = |out - sg(out + sign(d) g / (rms(g) + c))|²

dout/dphi is a forward derivative (jvp) through the network. Along which flow: the teacher's (distillation), or by each
pair of data and noise, which is right in the mean (training; there `normalize` trades a little of that for stability).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxdiff.distill.common import check_student, fixed, followed, make_teacher, mean_square, remember, scale_of
from jaxdiff.gaussian.denoiser import to_velocity
from jaxdiff.gaussian.parameterization import Parameterization, determinant, evaluate
from jaxdiff.gaussian.process import Process, perturb, with_slopes
from jaxdiff.losses.needs import needs
from jaxdiff.losses.times import Times
from jaxdiff.types import ConditionSpec, Network, StatefulLoss, expand

__all__ = ["continuous_distillation", "continuous_training"]


def _continuous(process, parameterization, network, times, warmup, normalize, c, teacher=None):
    check_student(process, parameterization, boundary=True)

    def of_x_and_out(t):
        _, b = parameterization.coefficients(process, t)
        d = determinant(process, parameterization, t)
        return b / d, -process.sigma(t) / d

    def loss_fn(params, memory, key, batch):
        key_t, key_eps, key_net = jax.random.split(key, 3)
        n = batch.x_0.shape[0]
        t = times(process, key_t, n)
        x_t, eps = perturb(process, key_eps, batch.x_0, t)
        (alpha, sigma), slopes = with_slopes(process, t)
        if teacher:
            velocity = to_velocity(process, teacher(memory.teacher, batch.condition))(x_t, t)
        else:
            velocity = expand(slopes[0], x_t) * batch.x_0 + expand(slopes[1], x_t) * eps
        pace = (alpha**2 + sigma**2) / (slopes[1] * alpha - slopes[0] * sigma)  # dt/dphi
        dx = fixed(expand(pace, x_t) * velocity)

        run = lambda x, t: evaluate(process, parameterization, network, params, x, t, batch.condition, key_net)
        out, along = jax.jvp(run, (x_t, t), (dx, pace))
        (of_x, of_out), (d_of_x, d_of_out) = jax.jvp(of_x_and_out, (t,), (pace,))
        rise = jnp.minimum(memory.seen / warmup, 1) if warmup else 1.0
        tangent = expand(of_x, x_t) * dx + expand(d_of_out, x_t) * out
        tangent += rise * (expand(d_of_x, x_t) * x_t + expand(of_out, x_t) * along)
        g = fixed(expand(alpha * jax.lax.rsqrt(alpha**2 + sigma**2), x_t) * tangent)
        size = jnp.sqrt(mean_square(g))
        g = g / expand(size + c, x_t) if normalize else g
        sign = jnp.sign(determinant(process, parameterization, t))
        loss = jnp.mean(mean_square(out - fixed(out + expand(sign, x_t) * g)))
        return loss, ({"tangent": jnp.mean(size)}, followed(memory, params, n, 0))

    return StatefulLoss(None, loss_fn, remember(teacher=teacher is not None))


@needs(forward=True, samplers=("renoise",))
def continuous_training(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    times: Times,
    warmup: int = 100_000,
    normalize: bool = True,
    c: float = 0.1,
) -> StatefulLoss:
    """sCT: without a teacher.

    Args:
      times: of t, such as log_normal(-1.0, 1.4).
      warmup: examples until r is 1; 0 for at once.
      normalize: bring g to a size below 1.
      c: the size of g from where on it is.
    """
    return _continuous(process, parameterization, network, times, warmup, normalize, c)


@needs(forward=True, teacher=True, samplers=("renoise",))
def continuous_distillation(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    times: Times,
    guidance: float = 1.0,
    warmup: int = 100_000,
    normalize: bool = True,
    c: float = 0.1,
    conditions: Mapping[str, ConditionSpec] = {},
) -> StatefulLoss:
    """sCD: along the flow of the teacher, under classifier-free guidance of this scale.

    Args:
      conditions: what the network can be told, by name.
    """

    def teacher(params, told):
        return make_teacher(process, parameterization, network, params, told, scale_of(told, guidance), conditions)

    return _continuous(process, parameterization, network, times, warmup, normalize, c, teacher)
