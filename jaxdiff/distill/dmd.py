"""Distribution matching (Yin et al. 2024, DMD2): a generator whose own score, learned beside it, is the teacher's.

    x = G(noise),   x_t its noised copy,   pull = (D_fake(x_t, t) - D_real(x_t, t)) / mean |x - D_real(x_t, t)|
    L_G = |x - sg(x - pull)|² / 2            L_D = |D_fake - sg x|² in the output, on draws of G

`pull` is the gradient of the Kullback-Leibler divergence of the noised laws, by the scores of both. The two players are
`params["generator"]` and `params["critic"]`; each has the gradient of its own loss alone. The critic has to keep up:
give it a higher rate (`train.rates`).

With an adversary the critic is two networks, {"score": D_fake, "judge": J}, and the judge tells noised data from noised
draws, by a logit that is the sum of its output over the root of its size:

    L_G + adversary softplus(-J(x_t, t))       L_J = softplus(-J(data_t, t)) + softplus(J(sg x_t, t))

so that G is better than its teacher where that is wrong. (In the paper the judge is a head on D_fake.) The training of
several steps is left out.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.distill.common import Memory, check_student, fixed, followed, make_teacher, mean_square, scale_of
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.grids import at_angle
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, perturb, prior
from jaxdiff.losses.diffusion import squared_error
from jaxdiff.losses.needs import needs
from jaxdiff.types import Batch, ConditionSpec, Network, StatefulLoss, expand

__all__ = ["distribution_matching", "judged_matching"]


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
    return _matching(process, parameterization, network, low, high, guidance, conditions, None)


@needs(teacher=True, players="judged", samplers=("renoise",))
def judged_matching(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    low: float = 0.02,
    high: float = 0.98,
    guidance: float = 1.0,
    adversary: float = 0.01,
    conditions: Mapping[str, ConditionSpec] = {},
) -> StatefulLoss:
    """The same with an adversary, the judge, which begins as the teacher, too.

    Args:
      adversary: its weight in the generator's loss; the others as above.
    """
    return _matching(process, parameterization, network, low, high, guidance, conditions, adversary)


def _matching(process, parameterization, network, low, high, guidance, conditions, adversary):
    check_student(process, parameterization)

    def judged(judge, x_t, data_t, t, told):
        """The generator's part in fooling the judge, and the judge's own loss."""

        def logit(params, x):
            out = network(params, x, parameterization.time_input(process, t), told, None)
            return out.reshape(out.shape[0], -1).sum(1) / np.sqrt(out[0].size)

        told_apart = jax.nn.softplus(-logit(judge, data_t)) + jax.nn.softplus(logit(judge, fixed(x_t)))
        return jnp.mean(jax.nn.softplus(-logit(fixed(judge), x_t))), jnp.mean(told_apart)

    def loss_fn(params, memory, key, batch):
        key_x, key_u, key_eps, key_net, key_critic, key_data = jax.random.split(key, 6)
        critic = params["critic"] if adversary is None else params["critic"]["score"]
        n, told = batch.x_0.shape[0], batch.condition
        one = jnp.ones(n)
        generator = make_denoiser(process, parameterization, network, params["generator"], told, key_net)
        x = generator(prior(process, key_x, batch.x_0), one)

        t = at_angle(process, low + (high - low) * jax.random.uniform(key_u, (n,)))
        moving, _ = perturb(process, key_eps, x, t)
        x_t = fixed(moving)
        fake = make_denoiser(process, parameterization, network, fixed(critic), told)(x_t, t)
        parts = process, parameterization, network, memory.teacher, told
        real = make_teacher(*parts, scale_of(told, guidance), conditions)(x_t, t)
        size = jnp.abs(fixed(x) - real).reshape(n, -1).mean(1)
        pull = fixed((fake - real) / expand(size + 1e-6, x))
        loss, metrics = (
            0.5 * jnp.mean(mean_square(x - fixed(x - pull))),
            {"pull": jnp.mean(jnp.sqrt(mean_square(pull)))},
        )
        if adversary is not None:
            data_t, _ = perturb(process, key_data, batch.x_0, t)
            fooled, told_apart = judged(params["critic"]["judge"], moving, data_t, t, told)
            loss, metrics = loss + adversary * fooled + told_apart, metrics | {"judge": told_apart}

        key_u, key_error = jax.random.split(key_critic)
        t = at_angle(process, 1 - jax.random.uniform(key_u, (n,)))
        drawn = Batch(fixed(x), told)
        of_critic = jnp.mean(squared_error(process, parameterization, network, critic, key_error, drawn, t))
        return loss + of_critic, (metrics | {"critic": of_critic}, followed(memory, params, n, 0))

    def begin(params):
        return Memory(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params["generator"]))

    return StatefulLoss(None, loss_fn, begin)
