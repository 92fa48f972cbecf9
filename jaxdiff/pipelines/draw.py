"""Draw: the compiled sampling function of a network, derived from how it is bound to its parameters."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxdiff import samplers
from jaxdiff.config.sampling import (
    CORRECTORS,
    FEW_STEPS,
    GUIDANCE,
    SAMPLER,
    VARIANCES,
    Bind,
    Bound,
    find_sampler,
    own_options,
)
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import clip, dynamic_threshold, transfer
from jaxdiff.gaussian.flow_map import ddim_map, one_time
from jaxdiff.gaussian.noise import ByExample
from jaxdiff.gaussian.process import Process, log_snr, time_at
from jaxdiff.guidance.classifier_free import classifier_free, within
from jaxdiff.pipelines.hooks import NOTHING, PLAIN
from jaxdiff.samplers.cached import Remembering, along, cached
from jaxdiff.training.sharding import batch_shards, make_mesh, replicated, split
from jaxdiff.types import Array, Constraint, Denoiser

__all__ = ["apart", "make_draw", "named_variance", "together"]


@functools.lru_cache(maxsize=64)
def make_draw(bind: Bind, path: Process | None = None, mesh: Mesh | None = None):
    """The compiled sampling of a network: noise, then `trajectory`, split over all devices.

    The same function for the same arguments, so that it compiles once.

    Example i draws its noise from the key and `first + i`. Where the devices do not divide n, a few more are drawn
    and left out: the others are as they would be alone.

    Args:
      path: the process along which to sample; by default the one of training.

    With `denoise`, static, the last x is replaced by its x̂_0: for grids that end above the data.
    """
    mesh = mesh or make_mesh()
    shards = batch_shards(mesh)

    @functools.partial(jax.jit, static_argnames=("sampler", "fixed", "denoise", "shape", "hooks"))
    def draw(params, key, times, keep, given, traced, sampler, fixed, denoise, shape, inputs=NOTHING, hooks=PLAIN):
        n, more = shape[0], -shape[0] % shards
        options = dict(fixed) | traced
        first = options.pop("first", jnp.uint32(0))
        index = jax.lax.with_sharding_constraint(first + jnp.arange(n + more, dtype=jnp.uint32), split(mesh))
        padded = jax.tree.map(lambda c: jnp.concatenate([c, c[jnp.arange(more) % n]]), (given, inputs.each))
        (condition, negative), inputs = padded[0], inputs._replace(each=padded[1])
        scales = [options.pop(name) for name in GUIDANCE if name in options]
        known = process, denoiser, fraction, remembering, *_ = _bound(bind, params, condition, negative, scales, path)
        process = process._replace(noise=ByExample(process.noise, index, options.pop("noise_scale", 1.0)))
        denoiser = hooks.guide(process, denoiser, inputs)
        bound = options.pop("clip", jnp.inf)
        constrain = dynamic_threshold(options.pop("threshold"), bound) if "threshold" in options else clip(bound)
        variance = options.pop("variance", None)
        corrector = CORRECTORS.get(options.pop("corrector", None))
        every = options.pop("cache", None)
        constrained = lambda x_t, t: constrain(denoiser(x_t, t))
        own = {name: options.pop(name) for name in list(options) if name in own_options(find_sampler(sampler))}

        def make(denoiser, fraction=fraction):
            further = {"variance": named_variance(variance, fraction)} if variance else {}
            parts = asked_for(sampler, process, lambda x_t, t: constrain(denoiser(x_t, t)), known, constrain)
            return SAMPLER.checked(sampler, find_sampler(sampler)(*parts, **own, **further))

        if every is None:
            steps = make(denoiser)
        elif remembering is None:
            raise InputError("cache: this model's network has no levels to remember; leave the option out")
        elif fraction is None:
            steps = cached(make, remembering, every)
        else:
            steps = cached(lambda both: make(*apart(both)), together(remembering, fraction), every)
        if corrector:
            steps = samplers.then(steps, corrector(process, constrained, **options))

        steps = hooks.steer(process, constrained, steps, inputs)
        key_start, key_steps = jax.random.split(key)
        x_1 = hooks.begin(process, key_start, jnp.zeros((n + more, *shape[1:])), times, inputs)
        x_1 = jax.lax.with_sharding_constraint(x_1, split(mesh))
        x, frames = samplers.trajectory(steps, key_steps, x_1, times, keep)
        drawn = constrained(x, times[-1]) if denoise else x
        if denoise and len(keep):
            frames = frames.at[-1].set(jnp.where(keep[-1] == len(times) - 1, drawn, frames[-1]))
        drawn = hooks.finish(drawn, inputs)
        # Every host gets all examples: a host can read only what its own devices hold.
        return jax.lax.with_sharding_constraint((drawn[:n], frames[:, :n]), replicated(mesh))

    return draw


def _bound(bind: Bind, params, condition, negative, scales: Sequence[Array], path: Process | None) -> Bound:
    """The network under its condition, guided, if there are values of `GUIDANCE`, and along the path of sampling."""
    known = bind(params, condition)
    process, denoiser, _, remembering, endpoint, posterior = known
    if scales:
        scale, rescale, low, high = scales
        guided = classifier_free(denoiser, bind(params, negative).denoiser, scale, rescale)
        denoiser = within(process, guided, denoiser, low, high)
    if path is None or path is process:
        return known._replace(denoiser=denoiser)
    change = functools.partial(transfer, process, path)
    there = lambda s: time_at(process, log_snr(path, s))
    return Bound(
        path,
        change(denoiser),
        None,
        along(change, remembering) if remembering else None,
        endpoint and (lambda x_t, t, s: change(lambda x, t: endpoint(x, t, there(s)))(x_t, t)),
        posterior and (lambda noise: lambda key, x_t, t: change(functools.partial(posterior(noise), key))(x_t, t)),
    )


def asked_for(sampler: Any, process: Process, denoiser: Denoiser, known: Bound, constrain: Constraint) -> list[Any]:
    """What a sampler is made of: a process and a denoiser, or, if it is one of few steps, a flow map or a posterior.

    Args:
      denoiser: constrained; it is the flow map of a network that is told no second time.
    """
    if sampler not in list(FEW_STEPS):
        return [process, denoiser]
    aim, posterior = known.endpoint, known.posterior and known.posterior(process.noise)
    endpoint = (lambda x_t, t, s: constrain(aim(x_t, t, s))) if aim else one_time(denoiser)
    draw = (lambda key, x_t, t: constrain(posterior(key, x_t, t))) if posterior else None
    given = {"process": process, "flow_map": ddim_map(process, endpoint), "posterior": draw}
    return [given[name] for name in inspect.signature(FEW_STEPS[sampler]).parameters]


def together(remembering: Remembering, fraction: Callable[..., Array]) -> Remembering:
    """`(x_t, t, memory) -> ((x̂_0, f), memory)`: two calls of one network at one place, compiled as one."""

    def both(x_t, t, memory):
        x_0, left = remembering(x_t, t, memory)
        return (x_0, fraction(x_t, t, memory)), left

    return both


def apart(both: Callable[[Array, Array], Any]) -> tuple[Denoiser, Callable[[Array, Array], Array]]:
    """The denoiser, and the fraction."""
    return lambda x_t, t: both(x_t, t)[0], lambda x_t, t: both(x_t, t)[1]


def named_variance(name: str, fraction: Callable[[Array, Array], Array] | None) -> samplers.Variance:
    """One of `VARIANCES`, the learned one of a model's own fraction."""
    if name != "learned":
        return VARIANCES[name]
    if fraction is None:
        raise InputError("variance 'learned': this model has no learned variance along this path; take fixed_small")
    return samplers.learned_range(fraction)
