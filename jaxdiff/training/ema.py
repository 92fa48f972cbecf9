"""Averages of the weights over training, several at once, and any width of them afterwards.

An average θ̄ follows the weights θ update by update,

    θ̄(t) = θ̄(t - 1) + share(t) (θ(t) - θ̄(t - 1)),        beta(t) = 1 - share(t),        t = 1, 2, ... updates,

and three families of it are here. A step that the guard skips, or that a return to a checkpoint undoes, is no update
and has no t. After millions of updates a share is about the spacing of float32, where rounding to the nearest number
would lose or double it at every update; `follow` rounds up and down in turn, so that what is lost averages out.

With `sigma_rel`, θ̄ weighs the past by tau^gamma, a profile that keeps its shape as training grows; its standard
deviation, as a share of the training so far, is what names it (Karras et al. 2024, EDM2, appendix C):

    std² = (gamma + 1) / ((gamma + 2)² (gamma + 3)),     p_i(tau) = (gamma_i + 1) tau^gamma_i / t_i^(gamma_i + 1)

for tau up to t_i. Of averages that were kept at several times t_i, with one gamma or more, a weighted sum comes as near
as possible to one that was never computed: the `x` of sum one that has the least |sum_i x_i p_i - p|², from A_ij =
<p_i, p_j> and b_i = <p_i, p>, where for t_i <= t_j

    <p_i, p_j> = (gamma_i + 1) (gamma_j + 1) / (gamma_i + gamma_j + 1) · (t_i / t_j)^gamma_j / t_j.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.types import Array, Params

__all__ = ["SIGMA_REL", "Decay", "averages", "follow", "gamma", "half_life", "names_of", "power", "recipe", "warmed_up"]


class Decay(NamedTuple):
    """The decay of an average: `decay(n)` is beta of the update that follows n others."""

    rate: Callable[[Array], Array]
    """-log(beta), of which both beta and 1 - beta have all their digits, near 0 and near 1."""

    def __call__(self, n: Array) -> Array:
        return jnp.exp(-self.rate(n))

    def share(self, n: Array) -> Array:
        """1 - beta."""
        return -jnp.expm1(-self.rate(n))


NARROWEST, WIDEST = 1e-4, 0.288
"""A std of 12^-1/2 is the plain mean; nothing is wider. Narrower ones have exponents that float32 cannot follow."""
SIGMA_REL = "sigma_rel_"


def warmed_up(decay: float) -> Decay:
    """`min(decay, (1 + n) / (10 + n))` after n updates, so that the average forgets the random start."""
    return Decay(lambda n: -jnp.log1p(-jnp.maximum(1 - decay, 9 / (10 + n))))


def half_life(steps: float, share: float = 0.05) -> Decay:
    """EMA with a half-life of `steps`, at most `share` of the steps so far (EMA ramp-up, Karras et al. 2022)."""
    return Decay(lambda n: np.log(2) / jnp.clip(share * n, 1e-8, steps))


def power(std: float) -> Decay:
    """`(1 - 1/t)^(gamma + 1)` at update t: the power function of this relative standard deviation."""
    exponent = gamma(std) + 1
    return Decay(lambda n: -exponent * jnp.log1p(-1 / (n + 1)))


def follow(decay: Callable[[Array], Array], average: Params, params: Params, n: Array) -> Params:
    """The average after one more update, to `params`, when there were n before it; any function of n may be its beta.

    An average of float32 is rounded up or down so that over several updates its error stays below a few units of its
    last digit: by the fractions of n times the golden ratio, which fill [0, 1) as evenly as any.
    """
    share = decay.share(n) if isinstance(decay, Decay) else 1 - decay(n)
    turn = (jnp.asarray(n).astype(jnp.uint32) * np.uint32(2654435769)) >> 9  # 2^32 / 1.618...; wraps around
    offset = (turn.astype(jnp.float32) + 0.5) / 2**23 - 0.5

    def one(old, new):
        size = jnp.abs(old)
        spacing = size - jnp.nextafter(size, jnp.zeros_like(size))
        return old + (share * (new - old) + offset * spacing).astype(old.dtype)

    return jax.tree.map(one, average, params)


def gamma(std: float) -> float:
    """The exponent of the power function of a relative standard deviation.

    Raises:
      InputError: it is not from 1e-4 to 0.288, that of the plain mean.
    """
    if not NARROWEST <= std <= WIDEST:
        raise InputError(f"an average of relative standard deviation {std:g}: must be from {NARROWEST} to {WIDEST}")
    roots = np.roots([1, 7, 16 - std**-2, 12 - std**-2])
    return float(roots.real.max())


def averages(spec: Mapping[str, Iterable[float]], batch_size: int) -> dict[str, Decay]:
    """The averages that a configuration asks for, by name; samples are drawn with the first.

    Args:
      spec: `decay`, numbers below 1, see `warmed_up`; `half_life`, in examples; `sigma_rel`, relative deviations.
      batch_size: examples a step.

    Raises:
      InputError: there is none, two have one name, or a number is out of its range.
    """
    makers = {"decay": warmed_up, "half_life": lambda examples: half_life(examples / batch_size), "sigma_rel": power}
    return {name: makers[kind](value) for name, (kind, value) in _listed(spec).items()}


def names_of(spec: Mapping[str, Iterable[float]]) -> list[str]:
    """The names of the averages that a configuration asks for, as `averages` has them."""
    return list(_listed(spec))


def _listed(spec: Mapping[str, Iterable[float]]) -> dict[str, tuple[str, float]]:
    """Each average by its name: the kind, and its number."""
    found: dict[str, tuple[str, float]] = {}
    for kind, prefix in (("decay", "ema_"), ("half_life", "half_life_"), ("sigma_rel", SIGMA_REL)):
        for value in spec[kind]:
            _check(kind, value)
            name = f"{prefix}{value:g}"
            if name in found:
                raise InputError(f"ema: two averages are named {name}: leave one out, names have six digits")
            found[name] = kind, value
    if not found:
        raise InputError("ema: name at least one average, such as --config.ema.decay='(0.999,)'")
    return found


def _check(kind: str, value: float) -> None:
    if kind == "decay" and not 0 <= value < 1:
        raise InputError(f"ema.decay={value}: must be at least 0 and below 1")
    if kind == "half_life" and not value > 0:
        raise InputError(f"ema.half_life={value}: must be a positive number of examples")
    if kind == "sigma_rel":
        try:
            gamma(value)
        except InputError as error:
            raise InputError(f"ema.sigma_rel={value}: {error}") from error


def recipe(std: float, stored: list[tuple[float, float]], end: float) -> tuple[np.ndarray, float]:
    """The weights of stored averages that make up that of `std` at `end`, and the distance of the two profiles.

    Args:
      std: relative standard deviation of the average that is wanted.
      stored: (its own standard deviation, updates that it has seen) of each that there is; no two are equal.
      end: how many updates the wanted one has seen.

    Returns:
      Shares that sum to one, and the norm of the difference of the profiles as a share of that of the wanted one.
    """
    gammas, times, wanted = np.array([gamma(s) for s, _ in stored]), np.array([t for _, t in stored], float), gamma(std)
    A = _overlap(gammas[:, None], times[:, None], gammas[None], times[None])
    b = _overlap(gammas, times, wanted, end)
    ones = np.ones((len(b), 1))
    x = np.linalg.solve(np.block([[A * end, ones], [ones.T, 0]]), np.append(b * end, 1))[:-1]
    norm = _overlap(wanted, end, wanted, end)
    return x, float(np.sqrt(max(norm - 2 * b @ x + x @ A @ x, 0) / norm))


def _overlap(gamma_i, t_i, gamma_j, t_j):
    """<p_i, p_j>, elementwise."""
    later_exponent, later = np.where(t_i <= t_j, gamma_j, gamma_i), np.maximum(t_i, t_j)
    ratio = np.minimum(t_i, t_j) / later
    return (gamma_i + 1) * (gamma_j + 1) / (gamma_i + gamma_j + 1) * ratio**later_exponent / later
