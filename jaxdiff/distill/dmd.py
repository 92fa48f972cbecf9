"""Distribution matching (Yin et al. 2024, DMD2): a generator whose own score, learned beside it, is the teacher's.

    x = G(noise),   x_t its noised copy,   pull = (D_fake(x_t, t) - D_real(x_t, t)) / mean |x - D_real(x_t, t)|
    L_G = |x - sg(x - pull)|² / 2            L_D = |D_fake - sg x|² in the output, on draws of G

`pull` is the gradient of the Kullback-Leibler divergence of the noised laws, by the scores of both. The two players are
`params["generator"]` and `params["critic"]`; each has the gradient of its own loss alone. The critic has to keep up:
give it a higher rate (`train.rates`). Of DMD2 the adversary and the training of several steps are left out.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxdiff.distill.common import Memory, check_student, fixed, followed, make_teacher, mean_square
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.grids import at_angle
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, perturb, prior
from jaxdiff.losses.diffusion import squared_error
from jaxdiff.losses.needs import needs
from jaxdiff.types import Batch, ConditionSpec, Network, StatefulLoss, expand

__all__ = ["distribution_matching"]


@needs(teacher=True, players="scores", samplers=("renoise",))
def distribution_matching(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    low: float = 0.02,
    high: float = 0.98,
    guidance: float = 1.0,
    conditions: Mapping[str, ConditionSpec] = {},
) -> StatefulLoss:
    """The loss of both players; the teacher is the generator with which training begins, and so is the critic.

    Args:
      low, high: the shares of the angle atan(sigma / alpha) between which x is noised.
      guidance: scale of classifier-free guidance of the teacher.
      conditions: what the network can be told, by name.
    """
    check_student(process, parameterization)

    def loss_fn(params, memory, key, batch):
        key_x, key_u, key_eps, key_net, key_critic = jax.random.split(key, 5)
        n, told = batch.x_0.shape[0], batch.condition
        one = jnp.ones(n)
        generator = make_denoiser(process, parameterization, network, params["generator"], told, key_net)
        x = generator(prior(process, key_x, batch.x_0), one)

        t = at_angle(process, low + (high - low) * jax.random.uniform(key_u, (n,)))
        x_t, _ = perturb(process, key_eps, fixed(x), t)
        fake = make_denoiser(process, parameterization, network, fixed(params["critic"]), told)(x_t, t)
        teacher = make_teacher(process, parameterization, network, memory.teacher, told, guidance, conditions)
        real = teacher(x_t, t)
        size = jnp.abs(fixed(x) - real).reshape(n, -1).mean(1)
        pull = fixed((fake - real) / expand(size + 1e-6, x))
        of_generator = 0.5 * jnp.mean(mean_square(x - fixed(x - pull)))

        key_u, key_error = jax.random.split(key_critic)
        t = at_angle(process, 1 - jax.random.uniform(key_u, (n,)))
        drawn = Batch(fixed(x), told)
        of_critic = jnp.mean(squared_error(process, parameterization, network, params["critic"], key_error, drawn, t))
        metrics = {"pull": jnp.mean(jnp.sqrt(mean_square(pull))), "critic": of_critic}
        return of_generator + of_critic, (metrics, followed(memory, params, n, 0))

    def begin(params):
        return Memory(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params["generator"]))

    return StatefulLoss(None, loss_fn, begin)
