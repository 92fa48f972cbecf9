"""Networks that are an exact flow map, plus a parameter times a bump, for the losses of few steps."""

import jax.numpy as jnp

from jaxdiff.gaussian.parameterization import target
from jaxdiff.types import expand

CHAIN = 1000
"""Steps in which the parameterizations of the tests give their networks t."""


def exact_network(process, parameterization, endpoint):
    """A network of `params`, one number, whose output is that of an endpoint where it is 0.

    Where it is told no second time it is the consistency function, the endpoint at s = 0.
    """

    def network(params, x, index, condition=None, key=None):
        t = (index + 1) / CHAIN
        s = (condition["until"] + 1) / CHAIN if condition and "until" in condition else jnp.zeros_like(t)
        alpha, sigma = expand(process.alpha(t), x), expand(process.sigma(t), x)
        x_0 = endpoint(x, t, s)
        eps = (x - alpha * x_0) / jnp.where(sigma > 0, sigma, 1)
        return target(process, parameterization, x_0, eps, t) + params * jnp.sin(3 * x + 1)

    return network
