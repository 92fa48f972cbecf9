"""Inductive moment matching (Zhou et al. 2025, IMM): jumps to s from t and from r < t have one law.

    MMD² = E k(y, y') + k(y*, y*') - 2 k(y, y*'),      y = X(x_t, t, s),   y* = sg X(x_r, r, s),   k = exp(-w |y - y'|)

over groups of particles that share s < r < t; x_r has the data and the noise of x_t, w is one over the part of the
endpoint in x_s, so that distances are those of endpoints, and of one component. With one particle this is consistency
training.
"""

import jax
import jax.numpy as jnp

from jaxdiff.distill.common import check_student, fixed, followed, remember
from jaxdiff.errors import InputError
from jaxdiff.gaussian.flow_map import ddim_map, make_endpoint
from jaxdiff.gaussian.grids import at_angle
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, perturb
from jaxdiff.losses.needs import needs
from jaxdiff.types import Array, Network, StatefulLoss

__all__ = ["distances", "moment_matching_loss"]


def distances(x: Array, y: Array) -> Array:
    """The root mean square over components of all differences in a group: (groups, particles, particles)."""
    square = jnp.square(x[:, :, None] - y[:, None]).reshape(*x.shape[:2], y.shape[1], -1).mean(-1)
    return jnp.sqrt(square + 1e-12)


@needs(second_time=True, samplers=("jump", "renoise"))
def moment_matching_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    particles: int = 4,
    gap: float = 0.08,
    width: float = 1.0,
) -> StatefulLoss:
    """A loss of groups of a batch, which the number of particles divides.

    Args:
      particles: in a group.
      gap: from t to r, as a share of the angle atan(sigma / alpha) at t = 1; never below s.
      width: of the kernel.
    """
    check_student(process, parameterization)

    def loss_fn(params, memory, key, batch):
        n = batch.x_0.shape[0]
        if n % particles:
            raise InputError(f"particles={particles}: must divide the batch of {n}")
        key_t, key_s, key_eps, key_net = jax.random.split(key, 4)
        draw = lambda key: jnp.repeat(jax.random.uniform(key, (n // particles,)), particles)
        u = 1 - draw(key_t)
        end = u * draw(key_s)
        t, s, r = (at_angle(process, share) for share in (u, end, jnp.maximum(u - gap, end)))
        (x_t, _), (x_r, _) = (perturb(process, key_eps, batch.x_0, time) for time in (t, r))
        endpoint = lambda p: make_endpoint(process, parameterization, network, p, batch.condition, key_net)
        y = ddim_map(process, endpoint(params))(x_t, t, s)
        goal = fixed(ddim_map(process, endpoint(fixed(params)))(x_r, r, s))
        share = process.alpha(s) - process.sigma(s) / process.sigma(t) * process.alpha(t)
        scale = (1 / jnp.maximum(share, 1e-3)).reshape(-1, particles)[:, :1, None] / width
        y, goal = (a.reshape(-1, particles, *a.shape[1:]) for a in (y, goal))
        kernel = lambda a, b: jnp.exp(-scale * distances(a, b)).mean((1, 2))
        loss = jnp.mean(kernel(y, y) + kernel(goal, goal) - 2 * kernel(y, goal))
        return loss, ({"mmd2": loss}, followed(memory, params, n, 0))

    return StatefulLoss(None, loss_fn, remember())
