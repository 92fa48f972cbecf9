"""Held-out likelihood of molecules, in nats a molecule, as Hoogeboom et al. 2022 (EDM, section 3.3) count it.

    -log p(x, h, N) <= prior + diffusion + reconstruction - log p(N)

The coordinates have a density in Angstrom on the (N - 1) * 3 dimensions of a center at 0. An element is the feature
whose noised value is nearest to 1, an atomic number the nearest whole one: both are probabilities, normal laws
cut at ±1/2. Numbers of atoms are as often as in the data of training.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr

from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.evaluation.of_symbols import Figure
from jaxdiff.gaussian.denoiser import transfer
from jaxdiff.gaussian.process import log_snr
from jaxdiff.gaussian.schedules import from_log_snr
from jaxdiff.gaussian.space import centered
from jaxdiff.likelihood import continuous_bound
from jaxdiff.modalities.molecules.spec import CHARGE, KIND, sizes_of
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Array, Key

__all__ = ["decoder", "measure"]

AT_ONCE = 64


def measure(model: Model, source: Source, key: Key, n: int, draws: int = 16) -> dict[str, Figure]:
    """The bound of n molecules, evenly spread, and its terms, by name, in nats a molecule.

    Args:
      draws: times for each molecule.

    Raises:
      InputError: the model draws conformers; there are not as many; or some have a size that none had in training.
    """
    if "conformers" in model.spec.details:
        raise InputError("likelihood: is that of elements and coordinates, and a model of conformers draws no elements")
    if not 2 <= n <= source.size:
        raise InputError(f"n={n}: there are {source.size} held-out examples, and 2 are needed")
    shares, spread, found = sizes_of(model.spec), np.linspace(0, source.size - 1, n).astype(int), []

    @jax.jit
    def nats(params, key, x_0, condition):
        process, denoiser, *_ = model.bind(params, condition)
        high = jnp.minimum(log_snr(process, jnp.float32(0)), 11.5)
        low = jnp.maximum(log_snr(process, jnp.float32(1)), -11.5)
        path = from_log_snr(lambda t: high + (low - high) * t)._replace(noise=process.noise, space=process.space)
        bound = continuous_bound(path, transfer(process, path, denoiser), key, x_0, decoder, draws=draws)
        return jnp.stack([bound.prior, bound.diffusion, bound.reconstruction])

    for first in range(0, n, AT_ONCE):
        batch = source.take(spread[np.arange(first, first + AT_ONCE) % n])
        told = model.check_condition(model.own(batch.condition) or {}, AT_ONCE) or {}
        terms = nats(model.params, jax.random.fold_in(key, first), jnp.asarray(batch.x_0), told)
        with np.errstate(divide="ignore"):
            size = -np.log(shares[np.asarray(told["mask"]).sum(1).astype(int)])
        found.append(np.concatenate([np.asarray(terms), size[None]])[:, : n - first])
    terms = np.concatenate(found, 1)
    if not np.isfinite(terms[3]).all():
        raise InputError("likelihood: some held-out molecules have a number of atoms that none had in training")
    rows = {"bound": terms.sum(0)}
    names = ("  prior", "  diffusion", "  reconstruction", "  number of atoms")
    rows |= dict(zip(names, terms, strict=True))
    return {name: Figure(float(row.mean()), float(row.std(ddof=1) / np.sqrt(n))) for name, row in rows.items()}


def decoder(process, denoiser, x_0: Array, x_t: Array, t: Array) -> Array:
    """log p(x_0 | x_t) of the last step, (batch,), as `jaxdiff.likelihood.Decoder`."""
    mask = jnp.any(x_0 != 0, -1)
    std, space = process.sigma(t) / process.alpha(t), centered(mask.astype(x_0.dtype))
    square = jnp.sum(((x_0 - denoiser(x_t, t)) / std)[..., :3] ** 2, (1, 2))
    place = -0.5 * square - space.dimension(x_0[..., :3]) * jnp.log(std * np.sqrt(2 * np.pi))
    nearer = x_t / process.alpha(t)
    kinds = _within(nearer[..., 3:-1] / KIND - 1, std / KIND)
    kind = jnp.sum(jnp.where(x_0[..., 3:-1] > 0, jax.nn.log_softmax(kinds, -1), 0), -1)
    number = _within((nearer[..., -1] - x_0[..., -1]) / CHARGE, std / CHARGE)
    return place + jnp.sum(jnp.where(mask, kind + number, 0), 1)


def _within(gap: Array, std: Array) -> Array:
    """log P(|gap + std eps| < 1/2), elementwise."""
    low, high = (-0.5 - jnp.abs(gap)) / std, (0.5 - jnp.abs(gap)) / std
    above, below = log_ndtr(high), log_ndtr(low)
    return above + jnp.log(-jnp.expm1(jnp.minimum(below - above, -1e-7)))
