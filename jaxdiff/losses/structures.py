"""The loss of AlphaFold 3 for structures: points (batch, points, 3), such as the atoms of a molecule, in Angstrom.

    L = E_{t, x_0, eps} w(t) (d / sigma)² |x̂_0(x_t, t) - A x_0|² / dimension + lddt (1 - smooth LDDT(x̂_0, x_0))

where A moves x_0 as a rigid body to lie nearest to x̂_0, and (d / sigma)² turns an error of x̂_0 into one of the
network's output, on which weights act (`jaxdiff.gaussian.parameterization`); no gradient passes through A. With
`aligned` False, A is the identity, and with an lddt of 0, too, L is the loss `diffusion`.

Only then is its minimum the posterior mean E[x_0 | x_t]. The mean of a body in many orientations is a smaller one; the
aligned error does not ask where the body points, and its minimum keeps the size. So what the rest of the library says
of a denoiser - scores, likelihoods, the order of a sampler, guidance - holds for a network trained so at low noise,
where x_t tells the orientation, and no longer at high noise.

Abramson et al. 2024, section 3.7.1; the weight is `jaxdiff.losses.weights.edm`, as in Boltz and Protenix.
"""

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.parameterization import Parameterization, determinant
from jaxdiff.gaussian.process import Process, interior, on, perturb
from jaxdiff.geometry.rigid import align
from jaxdiff.geometry.structures import smooth_lddt
from jaxdiff.losses.times import Times
from jaxdiff.losses.weights import Weight
from jaxdiff.types import LossFn, Network

__all__ = ["structure_loss"]


def structure_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    weight: Weight,
    times: Times,
    aligned: bool = True,
    lddt: float = 1.0,
    radius: float = 15.0,
) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`: "mse", the error of x̂_0 in Å², aligned or not, and "lddt".

    Args:
      aligned: whether x_0 is laid onto x̂_0 before they are compared.
      lddt: weight of the smooth LDDT; 0 for none.
      radius: of its pairs, in Angstrom.
    """

    def loss_fn(params, key, batch):
        key_t, key_eps, key_net = jax.random.split(key, 3)
        condition = batch.condition or {}
        own, mask = on(process, condition), condition.get("mask")
        x_0 = batch.x_0
        if x_0.ndim != 3 or x_0.shape[-1] != 3:
            raise InputError(f"loss 'structures': is for points (batch, points, 3), not examples of {x_0.shape[1:]}")
        x_0, t = own.space.project(x_0), times(own, key_t, x_0.shape[0])
        x_t, _ = perturb(own, key_eps, x_0, t)
        drawn = make_denoiser(own, parameterization, network, params, condition or None, key_net)(x_t, t)
        goal = jax.lax.stop_gradient(align(x_0, drawn, mask)) if aligned else x_0
        error = own.space.project(drawn - goal)
        error = jnp.square(error).sum((1, 2)) / own.space.dimension(x_0)
        inside = interior(own, t)
        of_output = (determinant(own, parameterization, inside) / own.sigma(inside)) ** 2
        score = smooth_lddt(drawn, x_0, mask, radius)
        loss = jnp.mean(weight(own, parameterization, t) * of_output * error) + lddt * jnp.mean(1 - score)
        return loss, {"mse": jnp.mean(error), "lddt": jnp.mean(score)}

    return loss_fn
