"""Model: a network with its parameters, ready to sample."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import samplers
from jaxdiff.denoiser import clip, dynamic_threshold, make_denoiser
from jaxdiff.errors import InputError, unknown
from jaxdiff.names import named
from jaxdiff.parameterization import Parameterization
from jaxdiff.process import Process, prior
from jaxdiff.training.sharding import data_mesh, split
from jaxdiff.types import Array, Condition, Key, Network, Params

SAMPLERS = named(samplers, samplers.Sampler)
VARIANCES = {"fixed_small": samplers.fixed_small, "fixed_large": samplers.fixed_large}
RANGES = {"eta": (0, 1), "temperature": (0, np.inf), "clip": (0, np.inf), "threshold": (0, 1)}


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network, ready to sample; `dataclasses.replace(model, params=...)` gives it other parameters.

    Attributes:
      params: of the network.
      draw: the compiled sampling function, see `make_draw`.
      shape: of one image: (height, width, channels).
      num_classes: that the network is conditioned on; 0 for none.
      grid: `(steps) -> times`.
      steps: how many `sample` takes, unless told otherwise.
      sampler: its default, `{"name": ..., **options}`.
      options: defaults for every sampler, such as `clip`.
    """

    params: Params
    draw: Callable[..., tuple[Array, Array]]
    shape: tuple[int, ...]
    num_classes: int
    grid: Callable[[int], np.ndarray]
    steps: int
    sampler: Mapping[str, Any]
    options: Mapping[str, Any]

    def sample(
        self,
        key: Key,
        n: int,
        steps: int | None = None,
        sampler: str | None = None,
        condition: Condition = None,
        **options: Any,
    ) -> Array:
        """Draw n images, (n, height, width, channels), near [-1, 1].

        The chain is one compiled call, compiled anew only for another n, number of steps, sampler or `variance`.

        Args:
          key: the images are a function of it.
          steps: of the sampler.
          sampler: "ancestral" or "ddim".
          condition: class labels, (n,); by default 0, 1, 2 ... in turn, if the network has classes.
          **options: the sampler's own, `eta` for ddim and `variance` for ancestral, and for both: `temperature`, factor
            on the noise that steps add; `clip`, the bound on x̂_0 (infinite for none); `threshold`, the quantile for
            dynamic thresholding in place of plain clipping.

        Raises:
          InputError: an unknown sampler or option, or a value out of its range.
        """
        return self.trajectory(key, n, 0, steps, sampler, condition, **options)[0]

    def trajectory(
        self,
        key: Key,
        n: int,
        frames: int,
        steps: int | None = None,
        sampler: str | None = None,
        condition: Condition = None,
        **options: Any,
    ) -> tuple[Array, Array]:
        """As `sample`, and the images at `frames` moments on the way, evenly spaced from the noise to the end.

        Returns: `(images, (frames, n, height, width, channels))`; no more states than these are held in memory.
        """
        if n < 1:
            raise InputError(f"n={n}: draw at least one image")
        times = self.grid(self.steps if steps is None else steps)
        if not 0 <= frames <= len(times):
            raise InputError(f"frames={frames}: {len(times) - 1} steps pass through {len(times)} states")
        keep = np.round(np.linspace(0, len(times) - 1, frames)).astype(np.int32)
        name, fixed, traced = self._options(sampler, options)
        return self.draw(
            self.params, key, times, keep, self._condition(condition, n), traced, name, fixed, (n, *self.shape)
        )

    def check(self) -> None:
        """Refuse defaults that `sample` would refuse."""
        self.grid(self.steps)
        self._options(None, {})

    def _options(self, sampler: str | None, options: Mapping[str, Any]) -> tuple[str, tuple, dict[str, Array]]:
        """The sampler's name, the options that are compiled in, and those that are traced."""
        name = sampler or self.sampler["name"]
        if name not in SAMPLERS:
            raise unknown("sampler", name, SAMPLERS)
        parameters = {p.name: p.default for p in inspect.signature(SAMPLERS[name]).parameters.values()}
        own = [p for p in parameters if p not in ("process", "denoiser", "constrain")]
        defaults = self.sampler if name == self.sampler["name"] else {}
        given = {**self.options, **{k: v for k, v in defaults.items() if k != "name"}, **options}
        for option in given:
            if option not in (*own, "clip", "threshold"):
                raise unknown(f"option of sampler {name!r}", option, (*own, "clip", "threshold"))
        # Numbers are traced also where they are left at their default, so that giving one compiles nothing.
        given = {p: parameters[p] for p in own if isinstance(parameters[p], float)} | given
        variance = given.pop("variance", None)
        if variance not in (None, *VARIANCES):
            raise unknown("variance", variance, VARIANCES)
        for option, value in given.items():
            _check_number(option, value)
        fixed = (("variance", variance),) if variance else ()
        return name, fixed, {k: jnp.float32(v) for k, v in given.items()}

    def _condition(self, condition: Condition, n: int) -> Condition:
        if condition is None:
            return jnp.arange(n) % self.num_classes if self.num_classes else None
        labels = np.asarray(condition)
        if not self.num_classes:
            raise InputError("condition: this model was trained without classes; leave the condition out")
        if (
            labels.shape != (n,)
            or not np.issubdtype(labels.dtype, np.integer)
            or labels.min() < 0
            or labels.max() >= self.num_classes
        ):
            raise InputError(f"condition: must be {n} class labels from 0 to {self.num_classes - 1}")
        return jnp.asarray(labels)


def _check_number(option: str, value: Any) -> None:
    low, high = RANGES[option]
    try:
        fits = low <= float(value) <= high
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise InputError(f"{option}={value}: must be a number from {low} to {high}")


def make_draw(process: Process, parameterization: Parameterization, network: Network):
    """The compiled sampling of a network: noise, then `trajectory`, split over all devices where they divide n."""
    mesh = data_mesh()

    @functools.partial(jax.jit, static_argnames=("sampler", "fixed", "shape"))
    def draw(params, key, times, keep, condition, traced, sampler, fixed, shape):
        traced = dict(traced)
        bound = traced.pop("clip", jnp.inf)
        constrain = dynamic_threshold(traced.pop("threshold"), bound) if "threshold" in traced else clip(bound)
        denoiser = make_denoiser(process, parameterization, network, params, condition)
        options = {k: VARIANCES[v] for k, v in fixed} | traced | {"constrain": constrain}
        key_start, key_steps = jax.random.split(key)
        x_1 = prior(process, key_start, jnp.zeros(shape), times[0])
        if shape[0] % mesh.size == 0:
            x_1 = jax.lax.with_sharding_constraint(x_1, split(mesh))
        return samplers.trajectory(SAMPLERS[sampler](process, denoiser, **options), key_steps, x_1, times, keep)

    return draw
