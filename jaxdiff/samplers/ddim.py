"""DDIM (Song, Meng and Ermon 2021): the same marginals as the ancestral chain with less noise, or none.

    x_s = alpha_s x̂_0 + sqrt(sigma_s² - c²) eps + c z,      c = eta sigma_s sqrt(1 - e^-drop)      (equation 12)

`eta = 0` is deterministic, a first-order solver of the probability-flow ODE; `eta = 1` is the ancestral step with
`fixed_small` variance. eps is the noise that x̂_0 leaves of x_t, `(x_t - alpha_t x̂_0) / sigma_t`, after any constraint
on x̂_0: a step to the constrained image along the noise of the unconstrained one would lead elsewhere.
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process, log_snr_drop
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Constraint, Denoiser

__all__ = ["check_temperature", "ddim"]


def ddim(
    process: Process,
    denoiser: Denoiser,
    eta: float | Array = 0.0,
    temperature: float | Array = 1.0,
    constrain: Constraint = lambda x_0: x_0,
    use_clipped_model_output: bool = True,
) -> Sampler:
    """The DDIM sampler.

    With a denoiser that always says 0, eps is all that there is, and it shrinks with sigma:

    >>> import jax
    >>> from jaxdiff.gaussian.schedules import flow
    >>> sampler = ddim(flow(), lambda x_t, t: jnp.zeros_like(x_t))
    >>> state = sampler.init(jnp.array([[2.0, -4.0]]))
    >>> sampler.step(jax.random.key(0), state, jnp.float32(1.0), jnp.float32(0.5)).x.tolist()
    [[1.0, -2.0]]

    Args:
      eta: in [0, 1], how much of the ancestral step's noise is drawn anew.
      temperature: factor on that noise; there is none where eta = 0.
      constrain: applied to x̂_0, such as `jaxdiff.gaussian.denoiser.clip(1.0)`.
      use_clipped_model_output: derive eps from the constrained x̂_0; False is diffusers' default, which leaves eps.

    Raises:
      InputError: a temperature other than 1 with eta = 0.
    """
    check_temperature(eta, temperature)

    def step(key, state, t, s):
        free = denoiser(state.x, t)
        x_0 = constrain(free)
        kept = x_0 if use_clipped_model_output else free
        eps = (state.x - process.alpha(t) * kept) / process.sigma(t)
        fresh = eta**2 * -jnp.expm1(-log_snr_drop(process, s, t))
        sigma_s = process.sigma(s)
        x_s = process.alpha(s) * x_0 + sigma_s * jnp.sqrt(1 - fresh) * eps
        return State(x_s + temperature * sigma_s * jnp.sqrt(fresh) * process.noise(key, state.x))

    return Sampler(State, step)


def check_temperature(eta: float | Array, temperature: float | Array) -> None:
    """Refuse a temperature where there is no noise for it to scale, unless eta is traced."""
    if isinstance(eta, Tracer) or isinstance(temperature, Tracer):
        return
    if np.all(np.asarray(eta) == 0) and np.any(np.asarray(temperature) != 1):
        raise InputError(f"temperature={temperature}: ddim with eta=0 adds no noise: set eta above 0, at most 1")
