"""Langevin dynamics at a fixed noise level, `x <- x + (a / 2) ∇ log q(x) + sqrt(a) z`, with a in proportion to sigma².

Long runs of short steps draw from q at that level; few steps of any length are biased. The step of Song et al. 2021,
`a = 4 (snr |z| / |score|)²`, is `(2 snr sigma)²` in expectation, which is what is used here: so the examples of a
batch do not depend on each other.
"""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import to_score
from jaxdiff.gaussian.process import Process
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Denoiser

__all__ = ["annealed_langevin", "langevin"]


def langevin(process: Process, denoiser: Denoiser, snr: float | Array = 0.16, repeats: int = 1) -> Sampler:
    """A corrector for `then`: `repeats` steps at time s, where the predictor came to (Song et al. 2021, algorithm 4).

    It leaves x alone where sigma(s) = 0. Any process; for `vp` and its like the paper's snr is the same times alpha.
    """
    walk = _walk(process, denoiser, repeats)

    def step(key, state, t, s):
        at_data = process.sigma(s) == 0
        level = jnp.where(at_data, t, s)
        rate = jnp.where(at_data, 0, (2 * snr) ** 2)
        return State(jnp.where(at_data, state.x, walk(key, state.x, level, rate)))

    return Sampler(State, step)


def annealed_langevin(process: Process, denoiser: Denoiser, rate: float | Array = 0.2, repeats: int = 100) -> Sampler:
    """`repeats` steps at every level that the grid comes to, from high noise to low (Song and Ermon 2019, algorithm 1).

    x begins as a draw at the first level, and needs no steps there. The step that ends at the data gives x̂_0, the mean,
    as in the later work of the authors. For processes with alpha = 1, such as `ncsn`.

    Args:
      rate: `a / sigma²`; the paper's 2e-5 at sigma = 0.01 is 0.2.

    Raises:
      InputError: the process scales the data.
    """
    with jax.ensure_compile_time_eval():
        alpha = process.alpha(jnp.array([0.25, 0.75]))
        if isinstance(alpha, Tracer) or not bool((alpha == 1).all()):
            raise InputError("annealed_langevin needs a process with alpha = 1, such as ncsn, ve or edm")
    walk = _walk(process, denoiser, repeats)

    def step(key, state, t, s):
        to_mean = lambda x: denoiser(x, t).astype(x.dtype)
        return State(jax.lax.cond(process.sigma(s) == 0, to_mean, lambda x: walk(key, x, s, rate), state.x))

    return Sampler(State, step)


def _walk(process: Process, denoiser: Denoiser, repeats: int):
    score = to_score(process, denoiser)

    def walk(key, x, t, rate):
        a = rate * process.sigma(t) ** 2

        def body(x, i):
            z = process.noise(jax.random.fold_in(key, i), x)
            return (x + a / 2 * score(x, t) + jnp.sqrt(a) * z).astype(x.dtype), None

        return jax.lax.scan(body, x, jnp.arange(repeats))[0]

    return walk
