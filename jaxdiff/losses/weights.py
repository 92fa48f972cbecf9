"""Loss weights: `(process, parameterization, t) -> w`, the factor on the squared error of the network's output.

A weight is given for the output's error, and most are stated in the literature for the error in eps; `eps_error` is the
factor between them, so each weight below means the same for every parameterization. Where alpha = 0 a weight is what it
is just before, at `jaxdiff.gaussian.process.interior(process, t)`: its limit, if it has one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.parameterization import Parameterization, determinant, eps_error
from jaxdiff.gaussian.process import Process, interior, log_snr, with_slopes
from jaxdiff.types import Array

__all__ = ["Weight", "edm", "elbo", "eps", "likelihood", "min_snr", "p2", "sigmoid", "simple", "velocity"]

Weight = Callable[[Process, Parameterization, Array], Array]
"""`(process, parameterization, t) -> w`, (batch,), the factor on the squared error of the output."""


def simple() -> Weight:
    """One, whatever the output means (for eps: L_simple of Ho et al. 2020, equation 14)."""
    return lambda process, parameterization, t: jnp.ones_like(t)


def elbo() -> Weight:
    """`-lambda'(t) / 2` on the error in eps: the variational bound, in nats per component when t is uniform on [0, 1].

    Kingma et al. 2021, equation 17. Grows without limit towards t = 0.
    """

    def weight(process, parameterization, t):
        # -lambda' alpha² / 2 = alpha (alpha sigma' / sigma - alpha'), without lambda', which is infinite at alpha = 0.
        t = interior(process, t)
        (alpha, sigma), slopes = with_slopes(process, t)
        return alpha * (alpha * slopes[1] / sigma - slopes[0]) / determinant(process, parameterization, t) ** 2

    return weight


def likelihood() -> Weight:
    """g² on the error in the score: twice `elbo`, likelihood weighting (Song, Durkan et al. 2021)."""
    weight = elbo()
    return lambda process, parameterization, t: 2 * weight(process, parameterization, t)


def min_snr(gamma: float = 5.0) -> Weight:
    """min(SNR, gamma) on the error in x_0, which is min(1, gamma / SNR) on that in eps (Hang et al. 2023)."""
    return _on_eps(lambda process, t: jnp.minimum(1, gamma * jnp.exp(-log_snr(process, t))))


def p2(k: float = 1.0, gamma: float = 1.0) -> Weight:
    """1 / (k + SNR)^gamma on the error in eps (Choi et al. 2022, equation 8)."""
    return _on_eps(lambda process, t: (k + jnp.exp(log_snr(process, t))) ** -gamma)


def sigmoid(bias: float = -3.0) -> Weight:
    """sigmoid(bias - lambda) times `elbo` (Kingma and Gao 2023; Hoogeboom et al. 2024, SiD2: bias of -1 to -3)."""
    weight = elbo()
    return lambda process, parameterization, t: (
        jax.nn.sigmoid(bias - log_snr(process, t)) * weight(process, parameterization, t)
    )


def edm(sigma_data: float = 0.5) -> Weight:
    """1 on the output of parameterization `edm`: `1 + (sigma / alpha / sigma_data)²` on the error in eps.

    Karras et al. 2022, table 1: `(sigma² + sigma_data²) / (sigma sigma_data)²` on the error in x_0.
    """

    def weight(process, parameterization, t):
        t = interior(process, t)
        size = process.alpha(t) ** 2 + (process.sigma(t) / sigma_data) ** 2
        return size / determinant(process, parameterization, t) ** 2

    return weight


def eps() -> Weight:
    """1 on the error in eps, whatever the output means: for a score, sigma² (Song and Ermon 2019)."""
    return _on_eps(lambda process, t: jnp.ones_like(t))


def velocity(t_min: float = 0.0) -> Weight:
    """1 on the error of the velocity `alpha' x_0 + sigma' eps`: of x_0 along a straight path, 1 / t².

    Li and He 2025 ("JiT").

    Args:
      t_min: below it the weight is what it is there; 0.05 in the paper.
    """

    def weight(process, parameterization, t):
        later = interior(process, jnp.maximum(t, t_min))
        (alpha, sigma), slopes = with_slopes(process, later)
        return ((alpha * slopes[1] - sigma * slopes[0]) / determinant(process, parameterization, later)) ** 2

    return weight


def _on_eps(factor: Callable[[Process, Array], Array]) -> Weight:
    def weight(process, parameterization, t):
        t = interior(process, t)
        return factor(process, t) * eps_error(process, parameterization, t)

    return weight
