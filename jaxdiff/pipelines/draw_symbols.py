"""Draw symbols: the compiled sampling function of a network of symbols, as `jaxdiff.pipelines.draw` is of numbers."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxdiff import samplers
from jaxdiff.config.sampling import GUIDANCE, SAMPLER, Bind, find_sampler
from jaxdiff.discrete import product
from jaxdiff.discrete.denoiser import guided
from jaxdiff.discrete.process import prior
from jaxdiff.discrete.product import Product, guided_parts
from jaxdiff.gaussian.noise import ByExample
from jaxdiff.pipelines.hooks import NOTHING, PLAIN
from jaxdiff.training.sharding import batch_shards, drawing_mesh, replicated, split
from jaxdiff.types import Array, Key

__all__ = ["make_symbol_draw"]


@functools.lru_cache(maxsize=64)
def make_symbol_draw(bind: Bind, mesh: Mesh | None = None):
    """The compiled sampling of a network of symbols: draws of pi, then `trajectory`, split over all devices.

    The same function for the same arguments, so that it compiles once. Example i draws its uniform numbers from the key
    and `first + i`. Of hooks it takes those that guide, steer and finish.
    """
    mesh = mesh or drawing_mesh()
    shards = batch_shards(mesh)

    @functools.partial(jax.jit, static_argnames=("sampler", "fixed", "shape", "hooks"))
    def draw(params, key, times, keep, given, traced, sampler, fixed, shape, inputs=NOTHING, hooks=PLAIN):
        n, more = shape[0], -shape[0] % shards
        options = dict(fixed) | traced
        index = jnp.uint32(options.pop("first")) + jnp.arange(n + more, dtype=jnp.uint32)
        index = jax.lax.with_sharding_constraint(index, split(mesh))
        padded = jax.tree.map(lambda c: jnp.concatenate([c, c[jnp.arange(more) % n]]), (given, inputs.each))
        (condition, negative), inputs = padded[0], inputs._replace(each=padded[1])
        scale = {name: options.pop(name) for name in GUIDANCE if name in options}
        process, denoiser, *_ = bind(params, condition)
        if scale:
            lead = guided_parts if isinstance(process, Product) else guided
            denoiser = lead(denoiser, bind(params, negative).denoiser, scale["guidance"])
        process, begin, whole = _by_example(process, index)
        denoiser = hooks.guide(process, denoiser, inputs)
        steps = SAMPLER.checked(sampler, find_sampler(sampler)(process, denoiser, **options))
        steps = hooks.steer(process, denoiser, steps, inputs)
        key_start, key_steps = jax.random.split(key)
        x_1 = jnp.zeros((n + more, *shape[1:]))
        x_1 = jax.lax.with_sharding_constraint(begin(key_start, x_1), split(mesh))
        x, frames = samplers.trajectory(steps, key_steps, x_1, times, keep)
        x, frames = whole(x), whole(frames)
        # Every host gets all examples: a host can read only what its own devices hold.
        return jax.lax.with_sharding_constraint((hooks.finish(x, inputs)[:n], frames[:, :n]), replicated(mesh))

    return draw


def _by_example(process: Any, index: Array) -> tuple[Any, Callable[[Key, Array], Any], Callable[[Any], Array]]:
    """The process with noise by example, `(key, x) -> x_1`, and what makes one array of a state."""
    if isinstance(process, Product):
        own = lambda part: part._replace(noise=ByExample(part.noise, index))
        process = Product(own(process.numbers), own(process.symbols))
        return process, functools.partial(product.prior, process), product.joined
    process = process._replace(noise=ByExample(process.noise, index))
    return process, functools.partial(prior, process), lambda x: x
