"""Held-out likelihood, in bits per dimension (of molecules, in nats each), and held-out denoising error of a model.

Two figures for the same model: the variational bound in its continuous form, term by term, and the probability flow's
likelihood of dequantized data. For chains also the bound of the chain's own steps, with the variance that the model
draws them with: `fixed_large`, `fixed_small` or its own. Each is a mean over examples, and its standard error that of
the mean, which includes the randomness of the estimate.

The continuous bound does not depend on the path, so it is taken along one that suits all: log-SNR linear in time.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Product
from jaxdiff.errors import InputError
from jaxdiff.evaluation import of_molecules, of_symbols
from jaxdiff.evaluation.of_symbols import Figure
from jaxdiff.gaussian.denoiser import transfer
from jaxdiff.gaussian.process import log_snr, perturb, time_at
from jaxdiff.gaussian.schedules import from_log_snr
from jaxdiff.likelihood import (
    bits_per_dim,
    continuous_bound,
    dequantize,
    discrete_bound,
    discretized_decoder,
    log_likelihood,
    softmax_decoder,
)
from jaxdiff.modalities.images import controls, low_resolution
from jaxdiff.modalities.images.operators import downsampled
from jaxdiff.pipelines.draw import named_variance
from jaxdiff.pipelines.follow import control_of
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import check_mean
from jaxdiff.training.sharding import drawing_mesh, on_mesh
from jaxdiff.types import Array, Batch, Key, Params, Spec, expand

__all__ = ["Figure", "examples", "make_monitor", "measure", "unit_of"]


BANDS = 4
"""Parts of the times, from the data to the noise."""


def unit_of(spec: Spec) -> str:
    """The unit of the likelihood of examples."""
    return {"molecules": "nats a molecule", "text": "bits a symbol"}.get(spec.modality, "bits per dimension")


def examples(model: Model, source: Source, n: int) -> Batch:
    """n examples, evenly spread as sources may be sorted by class, with all that the model is conditioned on.

    Raises:
      InputError: the source lacks a condition that the model was never trained without.
    """
    batch = source.take(np.linspace(0, source.size - 1, n).astype(int))
    condition = model.own(batch.condition)
    if model.upscales > 1:
        small = downsampled(model.upscales)(jnp.asarray(batch.x_0))
        told = low_resolution.as_condition(jax.random.key(0), small, model.upscales, jnp.zeros(n))
        condition = {**(condition or {}), **told}
    if "control" in model.conditions:
        condition = {**(condition or {}), **controls.as_condition(control_of(model, batch.x_0))}
    return batch._replace(condition=model.check_condition(condition or {}, n))


def measure(model: Model, source: Source, key: Key, n: int, draws: int = 16, chain: int = 0) -> dict[str, Figure]:
    """The figures of n examples, evenly spread, by name.

    Args:
      draws: times for each example in the continuous bound.
      chain: steps of the discrete bound; 0 to leave it out.

    Raises:
      InputError: the data is not on known levels, or there are not as many examples.
    """
    model.check_likelihood()
    if isinstance(model.path, Product):
        raise InputError("likelihood: of rows of numbers and symbols there is no bound here: take the report of sample")
    if isinstance(model.path, Replacement):
        return of_symbols.measure(model, source, key, n, draws)
    if {"elements", "conformers"} & source.spec.details.keys():
        return of_molecules.measure(model, source, key, n, draws)
    if not source.spec.levels:
        raise InputError("likelihood: this data has no known levels (8-bit images keep theirs if they are not resized)")
    if (source.spec.low, source.spec.high) != (-1, 1):
        raise InputError(f"likelihood: levels are counted from -1 to 1, not {source.spec.low} to {source.spec.high}")
    if not 2 <= n <= source.size:
        raise InputError(f"n={n}: there are {source.size} held-out examples, and 2 are needed")
    batch, levels = examples(model, source, n), source.spec.levels
    x_0, condition = jnp.asarray(batch.x_0), batch.condition
    variance = model.sampler.get("variance", "fixed_small")
    run = jax.jit(_nats, static_argnames=("bind", "levels", "draws", "chain", "variance"))
    params = on_mesh(drawing_mesh(), model.params)
    bound, flow, discrete = run(params, key, x_0, condition, model.bind, levels, draws, chain, variance)
    dimensions = x_0[0].size
    bits = {"variational bound": bits_per_dim(bound.total(), dimensions)}
    bits |= {f"  {name}": bits_per_dim(term, dimensions) for name, term in bound._asdict().items()}
    if discrete:
        bits[f"bound of {chain} steps, {variance}"] = bits_per_dim(discrete.total(), dimensions)
    bits["probability flow"] = bits_per_dim(-flow, dimensions, levels)
    return {name: Figure(float(b.mean()), float(b.std(ddof=1) / np.sqrt(n))) for name, b in bits.items()}


def make_monitor(model: Model, source: Source, n: int) -> Callable[[Params], dict[str, float]]:
    """`params -> {"held_out_mse"}`: the mean squared error of eps over n examples, for use during training.

    Of symbols it is "held_out_bits", the bound in bits a symbol.

    Each has its own time, evenly spread over (0, 1), and its own noise, the same at every call: a curve without jitter.
    Beside the mean over all stand those over `BANDS` parts of the times, such as "held_out_mse/0.00-0.25": which noise
    level is still improving? A part that none of the examples falls into is left out. The ends that a loss holds, the
    network is shown free of noise here, too, and they do not count.

    Raises:
      InputError: there are not as many examples, or the model is of few steps, which have no such error.
    """
    check_mean(model.samplers, f"train.held_out_examples={n} (set it to 0)")
    if not 1 <= n <= source.size:
        raise InputError(f"train.held_out_examples={n}: there are {source.size} held-out examples")
    batch = examples(model, source, n)
    condition = batch.condition
    if isinstance(model.path, Replacement):
        return of_symbols.make_monitor(model, batch)
    if isinstance(model.path, Product):
        raise InputError(f"train.held_out_examples={n}: rows of numbers and symbols have no measure here: set it to 0")
    t = jax.random.permutation(jax.random.key(1), (jnp.arange(n) + 0.5) / n)
    band = np.floor(np.asarray(t) * BANDS).astype(int)
    ends = _ends(model, n)

    @jax.jit
    def error(params):
        process, denoiser, *_ = model.bind(params, condition)
        x_0 = jnp.asarray(batch.x_0)
        x_t, _ = perturb(process, jax.random.key(0), x_0, t)
        weight = (process.alpha(t) / process.sigma(t)) ** 2
        wrong = (1 - ends) * (denoiser(jnp.where(ends > 0, x_0, x_t), t) - x_0)
        squared = (expand(weight, x_0) * wrong**2).reshape(n, -1).sum(1)
        dimensions = process.space.dimension(x_0) * (1 - ends.reshape(len(ends), -1).mean(1))
        return squared.sum() / dimensions.sum(), squared / dimensions

    def measure(params):
        mean, each = error(params)
        parts = {b: float(np.asarray(each)[band == b].mean()) for b in range(BANDS) if (band == b).any()}
        named = {f"held_out_mse/{b / BANDS:.2f}-{(b + 1) / BANDS:.2f}": value for b, value in parts.items()}
        return {"held_out_mse": float(mean), **named}

    return measure


def _ends(model: Model, n: int) -> Array:
    """1 where the loss of a model holds states of n examples in their place, as often as in training; 0 elsewhere."""
    loss, places = (model.config or {}).get("loss", {}), jnp.arange(model.shape[0])
    if loss.get("name") != "held":
        return jnp.zeros(1)
    begins, stops = jax.random.uniform(jax.random.key(2), (2, n, 1)) < loss.get("share", 1.0)
    ends = (begins & (places < loss.get("first", 1))) | (stops & (places >= len(places) - loss.get("last", 1)))
    return expand(ends.astype(jnp.float32), jnp.zeros((n, *model.shape)))


def _nats(params, key, x_0, condition, bind, levels, draws, chain, variance):
    """The continuous bound, the log density of the flow, and the chain's bound, if one was asked for."""
    process, denoiser, fraction, *_ = bind(params, condition)
    keys = jax.random.split(key, 4)
    # The decoder works best where the noise is a sixth of the distance of two levels, or as near to it as there is.
    high = jnp.minimum(-2 * jnp.log(2 / (levels - 1) / 6), log_snr(process, jnp.float32(0)))
    low = jnp.maximum(-10.0, log_snr(process, jnp.float32(1)))
    path = from_log_snr(lambda t: high + (low - high) * t)
    decoder = softmax_decoder(levels)
    bound = continuous_bound(path, transfer(process, path, denoiser), keys[0], x_0, decoder, draws=draws)
    # x_t has the data's density in units of alpha, which some processes have below 1 where the noise is still small.
    # Where the noise at t = 0 is more than the best, that is 0, from which no flow starts.
    first, x = jnp.maximum(time_at(process, high), 1e-7), dequantize(keys[2], x_0, levels)
    alpha = process.alpha(first)
    flow = log_likelihood(process, denoiser, keys[1], alpha * x, first) + x[0].size * jnp.log(alpha)
    discrete = None
    if chain:
        times = jnp.arange(chain, -1, -1) / chain
        of_steps = named_variance(variance, fraction)
        # The step to the data has a width of its own, but for `fixed_small`, which is 0 there.
        last = discretized_decoder(levels, None if variance == "fixed_small" else of_steps)
        discrete = discrete_bound(process, denoiser, keys[3], x_0, times, last, of_steps)
    return bound, flow, discrete
