"""Replacement: how symbols turn to noise. A symbol is kept with probability alpha(t), else replaced by a draw of pi.

    q(x_t | x_0)        = alpha_t [x_t = x_0] + (1 - alpha_t) pi(x_t)
    q(x_t | x_s), s < t = keep [x_t = x_s] + (1 - keep) pi(x_t)              keep = alpha_t / alpha_s
    p(x_s | x_t)        = sum_k p_k q(x_s | x_t, x_0 = k)                    p = E[one-hot(x_0) | x_t]
                        ∝ q(x_t | x_s) (alpha_s w(x_s) + (1 - alpha_s) pi(x_s) sum w)
                          w_k = p_k / q(x_t | x_0 = k)

each position alone. pi all on one more symbol, [MASK], is absorbing or masked diffusion; the uniform pi is multinomial
diffusion (Hoogeboom et al. 2021); pi may be the frequencies of the data (Austin et al. 2021, D3PM; Vignac et al. 2023).

In continuous time a symbol is replaced at the rate beta = -alpha' / alpha, and the reverse process jumps from x to
y != x at the rate

    R(x -> y) = pi(x) (-alpha' w_y + beta (1 - alpha) pi(y) sum w)

(Campbell et al. 2022, proposition 3), which for masks is -alpha' / (1 - alpha) p_y.

Symbols are whole numbers from 0 to K - 1, arrays (batch, positions); [MASK] is K. Probabilities are (batch, positions,
symbols). What a Gaussian process has as eps is here a uniform number for each position: whatever is drawn is drawn
from one by the inverse of its distribution, so that no draw is lost in the tails of a float32 Gumbel.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.types import Array, Key, Noise, TimeFunction, as_time, expand

__all__ = [
    "SCHEDULES",
    "Replacement",
    "categorical",
    "marginals",
    "masked",
    "multinomial",
    "onward",
    "perturb",
    "plug_in",
    "posterior",
    "prior",
    "reverse_rates",
    "slope",
    "uniforms",
]


def uniforms(key: Key, x: Array) -> Array:
    """Uniform numbers in [0, 1), float32, shaped like x."""
    return jax.random.uniform(key, x.shape)


class Replacement(NamedTuple):
    """A process of symbols.

    Attributes:
      alpha: the probability that a symbol is kept, falling from 1 at t = 0 to 0 at t = 1.
      base: pi, (states,) or (positions, states). With masks there is one more state than symbols, the last.
      valid: which symbols there are, (symbols,) or (positions, symbols): columns may have fewer than others.
      noise: `(key, x) -> u`, uniform numbers shaped like x.
    """

    alpha: TimeFunction
    base: np.ndarray
    valid: np.ndarray
    noise: Noise = uniforms

    @property
    def symbols(self) -> int:
        """The number of symbols of the data."""
        return self.valid.shape[-1]

    @property
    def states(self) -> int:
        """The number of values of x_t."""
        return self.base.shape[-1]

    @property
    def masks(self) -> bool:
        """Whether what is replaced becomes [MASK], the symbol after the last."""
        return self.states > self.symbols


SCHEDULES: dict[str, TimeFunction] = {
    "linear": lambda t: 1 - t,
    "cosine": lambda t: 1 - jnp.cos(jnp.pi / 2 * (1 - t)),
    "square": lambda t: 1 - t**2,
}
"""alpha(t). MDLM's log-linear noise is the linear one; cosine and square are those of Shi et al. 2024 (MD4)."""


def masked(law: Sequence[float] | np.ndarray, schedule: str = "linear") -> Replacement:
    """Replaces by [MASK] (Austin et al. 2021; Sahoo et al. 2024, MDLM; Shi et al. 2024, MD4).

    Args:
      law: the frequencies of the symbols, (symbols,) or (positions, symbols); those that there are not have 0.
      schedule: linear, cosine or square.
    """
    valid = _law(law) > 0
    base = np.zeros((valid.shape[-1] + 1,), np.float32)
    base[-1] = 1
    return Replacement(_alpha(schedule), base, valid)


def multinomial(law: Sequence[float] | np.ndarray, schedule: str = "cosine") -> Replacement:
    """Replaces by any symbol, all alike (Hoogeboom et al. 2021)."""
    valid = _law(law) > 0
    return Replacement(_alpha(schedule), (valid / valid.sum(-1, keepdims=True)).astype(np.float32), valid)


def marginals(law: Sequence[float] | np.ndarray, schedule: str = "cosine") -> Replacement:
    """Replaces by a symbol drawn with the frequencies of the data."""
    law = _law(law)
    return Replacement(_alpha(schedule), (law / law.sum(-1, keepdims=True)).astype(np.float32), law > 0)


def _law(law: Sequence[float] | np.ndarray) -> np.ndarray:
    law = np.asarray(law, np.float64)
    fits = law.ndim in (1, 2) and law.size and np.isfinite(law).all() and (law >= 0).all() and (law.sum(-1) > 0).all()
    if not fits:
        raise InputError(
            f"law of shape {law.shape}: must be frequencies, (symbols,) or (positions, symbols), from 0 on"
        )
    return law


def _alpha(schedule: str) -> TimeFunction:
    if schedule not in SCHEDULES:
        raise unknown("schedule", schedule, SCHEDULES)
    return SCHEDULES[schedule]


def slope(process: Replacement, t: Array) -> tuple[Array, Array]:
    """`(alpha, -alpha')` at t."""
    alpha, d_alpha = jax.jvp(process.alpha, (t,), (jnp.ones_like(t),))
    return alpha, -d_alpha


def categorical(u: Array, weights: Array) -> Array:
    """The symbols that uniform numbers u (...) pick by weights (..., symbols), which need not sum to one: int32.

    A symbol of weight 0 is never picked; where weights are NaN there is none, -1.

    >>> categorical(jnp.array([0.0, 0.3, 0.99]), jnp.array([[0.0, 1.0, 3.0]] * 3)).tolist()
    [1, 2, 2]
    """
    reached = jnp.where(weights > 0, jnp.cumsum(weights, axis=-1), -jnp.inf)
    picked = jnp.argmax(reached > (u * reached.max(-1))[..., None], axis=-1).astype(jnp.int32)
    return jnp.where(jnp.isnan(weights).any(-1), -1, picked)


def perturb(process: Replacement, key: Key, x_0: Array, t: Array) -> Array:
    """Draw `x_t ~ q(x_t | x_0)`, shaped like x_0. t is a scalar, (batch,) or (batch, positions).

    >>> perturb(masked([1, 1, 1]), jax.random.key(0), jnp.array([[0, 1, 2]] * 2), jnp.array([0.0, 1.0])).tolist()
    [[0, 1, 2], [3, 3, 3]]
    """
    first, second = jax.random.split(key)
    kept = process.noise(first, x_0) < expand(process.alpha(jnp.asarray(t)), x_0)
    return jnp.where(kept, x_0, _drawn(process, second, x_0))


def onward(process: Replacement, key: Key, x_s: Array, s: Array, t: Array) -> Array:
    """Draw `x_t ~ q(x_t | x_s)`, s <= t, shaped like x_s: how the process goes on from a state."""
    alpha_s = process.alpha(jnp.asarray(s))
    keep = process.alpha(jnp.asarray(t)) / jnp.where(alpha_s > 0, alpha_s, 1)
    return perturb(process._replace(alpha=lambda t: keep), key, x_s, t)


def prior(process: Replacement, key: Key, x: Array) -> Array:
    """Draw x_1, a draw of pi at each position: int32, shaped like x."""
    return _drawn(process, key, x)


def _drawn(process: Replacement, key: Key, x: Array) -> Array:
    if process.masks:
        return jnp.full(x.shape, process.symbols, jnp.int32)
    return categorical(process.noise(key, x), jnp.broadcast_to(process.base, (*x.shape, process.states)))


def posterior(process: Replacement, s: Array, t: Array, x_t: Array, x_0: Array) -> Array:
    """The law of x_s at each position, s <= t, given x_t and the probabilities of x_0: (batch, positions, states).

    Exact where x_0 is E[one-hot(x_0) | x_t]; of a known x_0, its one-hot, it is q(x_s | x_t, x_0).
    """
    a_s, a_t, here, base_here = _at(process, s, t, x_t)
    keep = jnp.where(a_s > 0, a_t / jnp.where(a_s > 0, a_s, 1), 1)
    gone = jnp.where(a_s > 0, (a_s - a_t) / jnp.where(a_s > 0, a_s, 1), 0)
    weight = _ratio(x_0, a_t * here[..., : process.symbols] + (1 - a_t) * base_here)
    before = a_s * _padded(process, weight) + (1 - a_s) * process.base * weight.sum(-1, keepdims=True)
    return _normalized((keep * here + gone * base_here) * before, here)


def plug_in(process: Replacement, s: Array, t: Array, x_t: Array, x_0: Array) -> Array:
    """q(x_s | x_t, x_0) with probabilities in place of the one-hot x_0, normalized (Hoogeboom et al. 2021, eq. 15).

    What multinomial diffusion and TabDDPM take for p(x_s | x_t): equal to `posterior` where x_0 is certain.
    Probabilities that are trained to make it right are not E[one-hot(x_0) | x_t], which all samplers here ask for.
    """
    a_s, a_t, here, base_here = _at(process, s, t, x_t)
    keep = jnp.where(a_s > 0, a_t / jnp.where(a_s > 0, a_s, 1), 1)
    before = a_s * _padded(process, x_0) + (1 - a_s) * process.base
    return _normalized((keep * here + (1 - keep) * base_here) * before, here)


def reverse_rates(process: Replacement, t: Array, x_t: Array, x_0: Array) -> Array:
    """The rates at which the reverse process jumps from x_t to other states, per unit of t: (batch, positions, states).

    Args:
      x_0: its probabilities given x_t.
    """
    t = as_time(t, x_t)
    alpha, fall = (expand(c, x_t)[..., None] for c in slope(process, t))
    _, _, here, base_here = _at(process, t, t, x_t)
    weight = _ratio(x_0, alpha * here[..., : process.symbols] + (1 - alpha) * base_here)
    again = fall / jnp.maximum(alpha, 1e-6) * (1 - alpha) * process.base * weight.sum(-1, keepdims=True)
    return base_here * (fall * _padded(process, weight) + again) * (1 - here)


def _at(process: Replacement, s: Array, t: Array, x_t: Array) -> tuple[Array, Array, Array, Array]:
    """`(alpha_s, alpha_t, one-hot x_t, pi(x_t))`, each with an axis of states."""
    a_s, a_t = (expand(process.alpha(as_time(time, x_t)), x_t)[..., None] for time in (s, t))
    here = jax.nn.one_hot(x_t, process.states)
    return jnp.asarray(a_s), jnp.asarray(a_t), here, (here * process.base).sum(-1, keepdims=True)


def _ratio(x: Array, y: Array) -> Array:
    return jnp.where(y > 0, x / jnp.where(y > 0, y, 1), 0)


def _padded(process: Replacement, x: Array) -> Array:
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, process.states - process.symbols)])


def _normalized(law: Array, otherwise: Array) -> Array:
    total = law.sum(-1, keepdims=True)
    return jnp.where(total == 0, otherwise, law / jnp.where(total == 0, 1, total))  # NaN stays NaN
