"""Draw: the compiled sampling function of a network, derived from how it is bound to its parameters."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
from jaxdiff.gaussian.noise import by_example
from jaxdiff.gaussian.process import Process, log_snr, time_at
from jaxdiff.guidance.classifier_free import classifier_free, within
from jaxdiff.pipelines.hooks import NOTHING, PLAIN, Hooks, Inputs
from jaxdiff.samplers.base import Carry
from jaxdiff.samplers.cached import Remembering, along, cached
from jaxdiff.training.sharding import batch_shards, drawing_mesh, replicated, split
from jaxdiff.types import Array, Condition, Constraint, Denoiser, Key, Params, as_time

__all__ = ["Drawing", "Fed", "How", "Stages", "apart", "make_draw", "make_stages", "named_variance", "together"]


class Fed(NamedTuple):
    """What a drawing is computed from; all of it is traced."""

    params: Params
    key: Key
    times: Array
    keep: Array
    given: tuple[Condition | None, Condition | None]
    traced: dict[str, Array]
    inputs: Inputs = NOTHING


class How(NamedTuple):
    """How it is computed; compiled in."""

    sampler: Any
    fixed: tuple
    denoise: bool
    shape: tuple[int, ...]
    hooks: Hooks = PLAIN


class Stages(NamedTuple):
    """The compiled parts of a drawing that stops on the way.

    Attributes:
      begin: `(fed, how) -> carry`, from noise.
      advance: `(carry, start, stop, fed, how) -> carry`, the steps from start to before stop, compiled once for any.
      end: `(carry, fed, how) -> (examples, frames)`.
    """

    begin: Callable[..., Carry]
    advance: Callable[..., Carry]
    end: Callable[..., tuple[Array, Array]]


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
    mesh = mesh or drawing_mesh()

    @functools.partial(jax.jit, static_argnames=How._fields)
    def draw(params, key, times, keep, given, traced, sampler, fixed, denoise, shape, inputs=NOTHING, hooks=PLAIN):
        fed = Fed(params, key, times, keep, given, traced, inputs)
        drawing = _drawing(bind, path, mesh, fed, How(sampler, fixed, denoise, shape, hooks))
        key_start, key_steps = jax.random.split(key)
        x, frames = samplers.trajectory(drawing.steps, key_steps, drawing.begin(key_start), times, keep)
        return drawing.end(x, frames)

    return draw


@functools.lru_cache(maxsize=64)
def make_stages(bind: Bind, path: Process | None = None, mesh: Mesh | None = None) -> Stages:
    """The same drawing in three compiled parts, for a loop on the host that tells how far it has come.

    The loop over steps has bounds that are traced, so that any number of steps at once is the same program.
    """
    mesh = mesh or drawing_mesh()
    compiled = functools.partial(jax.jit, static_argnames="how")

    def settled(carry, how):
        """Fix types and places, so that what one call returns the next one takes without compiling anew."""
        count = how.shape[0] + -how.shape[0] % batch_shards(mesh)

        def settle(leaf):
            where = split(mesh, leaf.shape.index(count)) if count in leaf.shape else replicated(mesh)
            return jax.lax.with_sharding_constraint(jnp.asarray(leaf, leaf.dtype), where)

        return jax.tree.map(settle, carry)

    @compiled
    def begin(fed, how):
        drawing = _drawing(bind, path, mesh, fed, how)
        x_1 = drawing.begin(jax.random.split(fed.key)[0])
        return settled(samplers.first(drawing.steps, x_1, fed.keep), how)

    @compiled
    def advance(carry, start, stop, fed, how):
        steps, key = _drawing(bind, path, mesh, fed, how).steps, jax.random.split(fed.key)[1]
        walk = samplers.onward(steps, key, as_time(fed.times, carry[0].x), fed.keep)
        return settled(jax.lax.fori_loop(start, stop, lambda i, carry: walk(carry, i), carry), how)

    @compiled
    def end(carry, fed, how):
        (state, frames) = carry
        return _drawing(bind, path, mesh, fed, how).end(state.x, frames)

    return Stages(begin, advance, end)


class Drawing(NamedTuple):
    """A sampler over the network that it calls, with what comes before and after it.

    Attributes:
      steps: the sampler.
      begin: `key -> x_1`.
      end: `(x, frames) -> (examples, frames)`.
    """

    steps: samplers.Sampler
    begin: Callable[[Key], Array]
    end: Callable[[Array, Array], tuple[Array, Array]]


def _drawing(bind: Bind, path: Process | None, mesh: Mesh, fed: Fed, how: How) -> Drawing:
    n, more = how.shape[0], -how.shape[0] % batch_shards(mesh)
    options, times, keep, hooks = dict(how.fixed) | fed.traced, fed.times, fed.keep, how.hooks
    first = options.pop("first", jnp.uint32(0))
    index = jax.lax.with_sharding_constraint(first + jnp.arange(n + more, dtype=jnp.uint32), split(mesh))
    padded = jax.tree.map(lambda c: jnp.concatenate([c, c[jnp.arange(more) % n]]), (fed.given, fed.inputs.each))
    (condition, negative), inputs = padded[0], fed.inputs._replace(each=padded[1])
    scales = [options.pop(name) for name in GUIDANCE if name in options]
    bound = _bound(bind, fed.params, condition, negative, scales, path)
    noise = by_example(bound.process.noise, index, options.pop("noise_scale", 1.0))
    process = bound.process._replace(noise=noise)
    bound = bound._replace(process=process, denoiser=hooks.guide(process, bound.denoiser, inputs))
    limit = options.pop("clip", jnp.inf)
    constrain = dynamic_threshold(options.pop("threshold"), limit) if "threshold" in options else clip(limit)
    constrained = lambda x_t, t: constrain(bound.denoiser(x_t, t))
    steps = hooks.steer(process, constrained, _steps(bound, constrain, how.sampler, options), inputs)

    def begin(key):
        x_1 = hooks.begin(process, key, jnp.zeros((n + more, *how.shape[1:])), times, inputs)
        return jax.lax.with_sharding_constraint(x_1, split(mesh))

    def end(x, frames):
        drawn = constrained(x, times[-1]) if how.denoise else x
        if how.denoise and len(keep):
            frames = frames.at[-1].set(jnp.where(keep[-1] == len(times) - 1, drawn, frames[-1]))
        drawn = hooks.finish(drawn, inputs)
        # Every host gets all examples: a host can read only what its own devices hold.
        return jax.lax.with_sharding_constraint((drawn[:n], frames[:, :n]), replicated(mesh))

    return Drawing(steps, begin, end)


def _steps(bound: Bound, constrain: Constraint, sampler: Any, options: dict[str, Any]) -> samplers.Sampler:
    """The sampler that is named, with its options, over the constrained denoiser."""
    variance = options.pop("variance", None)
    corrector = CORRECTORS.get(options.pop("corrector", None))
    every = options.pop("cache", None)
    own = {name: options.pop(name) for name in list(options) if name in own_options(find_sampler(sampler))}

    def make(denoiser, fraction=bound.fraction):
        further = {"variance": named_variance(variance, fraction)} if variance else {}
        parts = asked_for(sampler, bound.process, lambda x_t, t: constrain(denoiser(x_t, t)), bound, constrain)
        return SAMPLER.checked(sampler, find_sampler(sampler)(*parts, **own, **further))

    if every is None:
        steps = make(bound.denoiser)
    elif bound.remembering is None:
        raise InputError("cache: this model's network has no levels to remember; leave the option out")
    elif bound.fraction is None:
        steps = cached(make, bound.remembering, every)
    else:
        steps = cached(lambda both: make(*apart(both)), together(bound.remembering, bound.fraction), every)
    if corrector:
        constrained = lambda x_t, t: constrain(bound.denoiser(x_t, t))
        steps = samplers.then(steps, corrector(bound.process, constrained, **options))
    return steps


def _bound(bind: Bind, params, condition, negative, scales: Sequence[Array], path: Process | None) -> Bound:
    """The network under its condition, guided, if there are values of `GUIDANCE`, and along the path of sampling."""
    known = bind(params, condition)
    process, denoiser, _, remembering, endpoint, posterior = known
    if scales:
        scale, rescale, low, high = scales
        guided = classifier_free(denoiser, bind(params, negative).denoiser, scale, rescale, process.space)
        denoiser = within(process, guided, denoiser, low, high)
    # A process is bound to a space anew for each condition, and is the same all the while.
    if path is None or (path.alpha, path.sigma) == (process.alpha, process.sigma):
        return known._replace(denoiser=denoiser)
    path = path._replace(noise=process.noise, space=process.space, space_of=None)
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
