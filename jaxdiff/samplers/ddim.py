"""DDIM (Song, Meng and Ermon 2021): the same marginals as the ancestral chain with less noise, or none.

    x_s = alpha_s x̂_0 + sqrt(sigma_s² - c²) eps + c z,      c = eta sigma_s sqrt(1 - e^-drop)      (equation 12)

`eta = 0` is deterministic, a first-order solver of the probability-flow ODE; `eta = 1` is the ancestral step with
`fixed_small` variance. As in the paper's code, constraining x̂_0 leaves eps as the network gave it.
"""

import jax.numpy as jnp

from jaxdiff.process import Process, log_snr_drop
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Constraint, Denoiser


def ddim(
    process: Process,
    denoiser: Denoiser,
    eta: float | Array = 0.0,
    temperature: float | Array = 1.0,
    constrain: Constraint = lambda x_0: x_0,
) -> Sampler:
    """The DDIM sampler.

    Args:
      eta: in [0, 1], how much of the ancestral step's noise is drawn anew.
      temperature: factor on that noise.
      constrain: applied to x̂_0, such as `jaxdiff.denoiser.clip(1.0)`.
    """

    def step(key, state, t, s):
        x_0 = denoiser(state.x, t)
        eps = (state.x - process.alpha(t) * x_0) / process.sigma(t)
        fresh = eta**2 * -jnp.expm1(-log_snr_drop(process, s, t))
        sigma_s = process.sigma(s)
        x_s = process.alpha(s) * constrain(x_0) + sigma_s * jnp.sqrt(1 - fresh) * eps
        return State(x_s + temperature * sigma_s * jnp.sqrt(fresh) * process.noise(key, state.x))

    return Sampler(State, step)
