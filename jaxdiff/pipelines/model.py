"""Model: a network with its parameters, ready to sample."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh

from jaxdiff import samplers
from jaxdiff.config.sampling import (
    CORRECTORS,
    GUIDANCE,
    SAMPLER,
    UNBOUNDED,
    VARIANCES,
    Bind,
    Bound,
    find_sampler,
    option_range,
    own_options,
    shared_options,
)
from jaxdiff.config.schema import check_value
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.denoiser import clip, dynamic_threshold, transfer
from jaxdiff.gaussian.noise import ByExample
from jaxdiff.gaussian.process import Process, is_white, with_slopes
from jaxdiff.guidance.classifier_free import classifier_free, within
from jaxdiff.pipelines.task import NOTHING, PLAIN, Inputs, Task
from jaxdiff.samplers.cached import Remembering, along, cached
from jaxdiff.samplers.ddim import check_temperature
from jaxdiff.training.sharding import batch_shards, make_mesh, replicated, split
from jaxdiff.types import Array, Condition, Denoiser, Key, Params

FLOWS = ("euler", "midpoint", "heun", "rk4", "dopri5")
"""Those that follow dx/dt."""
AMPLIFIED = 100
"""How much alpha may grow in a step of pndm, which divides by it what is left of x_t without a mixture of eps."""
Given = Condition | Sequence[int] | np.ndarray | Array | None
"""What is known of the images to be drawn: a condition, labels alone, or nothing."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network, ready to sample; `dataclasses.replace(model, params=...)` gives it other parameters.

    Attributes:
      params: of the network.
      draw: the compiled sampling function, see `make_draw`.
      shape: of one image: (height, width, channels).
      num_classes: that the network is conditioned on; 0 for none.
      widths: of the vectors, images and sequences that it is conditioned on, by these names.
      guidable: whether it was trained to do without its condition, too.
      enlarges: how many times smaller the images are that it is conditioned on (`jaxdiff.transforms.low_resolution`); 1
      for none.
      enlarge_noise: the most noise that was in those in training, as a standard deviation; infinite where not known.
      grid: `(steps) -> times`.
      steps: how many `sample` takes, unless told otherwise.
      bind: `(params, condition) -> Bound`, the denoiser.
      path: the process along which to sample; None where only the parameters know.
      weights: which parameters these are: of which average and step.
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
    bind: Bind
    path: Process | None
    weights: str = "parameters of unknown origin"
    widths: Mapping[str, int] = dataclasses.field(default_factory=dict)
    guidable: bool = True
    enlarges: int = 1
    enlarge_noise: float = np.inf

    @property
    def known(self) -> dict[str, int]:
        """What it is conditioned on: how many classes, as "label", and the widths of the other parts of a condition."""
        return {part: n for part, n in {"label": self.num_classes, **self.widths}.items() if n}

    def own(self, condition: Condition | None) -> Condition | None:
        """The parts of a condition that it is conditioned on; None if these are none."""
        parts = {} if condition is None else {part: getattr(condition, part) for part in self.known}
        return Condition(**parts) if any(part is not None for part in parts.values()) else None

    def sample(
        self,
        key: Key,
        n: int,
        steps: int | None = None,
        sampler: str | None = None,
        condition: Given = None,
        first: int = 0,
        **options: Any,
    ) -> Array:
        """Draw n images, (n, height, width, channels), near [-1, 1], in one batch: see `stream` for many.

        The chain is one compiled call, compiled anew only for another n, number of steps, sampler, corrector or option
        that is not a real number. Where the grid ends above the data (sigma > 0), the images are the last x̂_0.

        Args:
          key: image i draws all its noise from the key and `first + i`, so that it is the same image in any batch and
            on any number of devices, but for rounding (and the tolerances of dopri5, whose steps suit a whole batch).
          steps: of the sampler.
          sampler: a name of `jaxdiff.samplers`.
          condition: class labels, (n,), -1 for none, or all that is known, as a `Condition` of n rows; by default the
            labels 0, 1, 2 ... in turn, from that of image 0, if the network has classes.
          first: the number of the first image among those of the key.
          **options: the sampler's own, such as `eta` for ddim and `variance` for ancestral; `corrector`, "langevin" for
            predictor-corrector sampling, with that one's own; and for all, `clip`, the bound on x̂_0 (infinite for
            none), `threshold`, the quantile for dynamic thresholding in place of plain clipping, `noise_scale`, a
            factor on all noise that is drawn, x_1 included, and `cache`, to compute the network's deeper levels at
            every so many steps only (`jaxdiff.samplers.cached`). Also `guidance`, the scale of
            `jaxdiff.guidance.classifier_free.classifier_free`, with `rescale`, between the noise levels `guide_low` and
            `guide_high`; and `negative`, like `condition`, from which it leads away.

        Raises:
          InputError: an unknown sampler or option, or a value out of its range.
        """
        return self.trajectory(key, n, 0, steps, sampler, condition, first=first, **options)[0]

    def stream(
        self,
        key: Key,
        n: int,
        batch: int = 256,
        steps: int | None = None,
        sampler: str | None = None,
        condition: Given = None,
        first: int = 0,
        **options: Any,
    ) -> Iterator[np.ndarray]:
        """Draw n images as NumPy arrays of `batch`, the last one shorter, one at a time: memory does not grow with n.

        All batches run the same compiled call, and the images are those of one `sample` of n. The rest is as there.

        Raises:
          InputError: some are not finite, which `sample` returns as they are; and what it raises.
        """
        if not (_whole(n) and _whole(batch) and _whole(first, 0)):
            raise InputError(
                f"n={n}, batch={batch}, first={first}: draw at least one image, in batches of at least one, from 0 on"
            )
        batch = min(n, batch)
        negative = self._condition(options.pop("negative", None), n, False)
        every = jax.device_get((self._condition(condition, n, first=first), negative))
        for i in range(0, n, batch):
            rows = (i + np.arange(batch)) % n
            given, negative = jax.tree.map(lambda a, rows=rows: a[rows], every)
            further = options | ({} if negative is None else {"negative": negative})
            images = self.sample(key, batch, steps, sampler, given, first + i, **further)
            yield finite(np.asarray(images)[: n - i], f"images {i} to {min(i + batch, n) - 1}")

    def trajectory(
        self,
        key: Key,
        n: int,
        frames: int,
        steps: int | None = None,
        sampler: str | None = None,
        condition: Given = None,
        task: Task = PLAIN,
        inputs: Inputs = NOTHING,
        start: float | Array | None = None,
        first: int = 0,
        **options: Any,
    ) -> tuple[Array, Array]:
        """As `sample`, and the images at `frames` moments on the way, evenly spaced from the noise to the end.

        Args:
          task, inputs: what to do other than to draw from noise, and with what; see `jaxdiff.tasks`. The inputs are
            traced.
          start: the time to start at, with as many steps; by default that of the grid.
          first: as for `sample`; the images of the inputs are those from there on.

        Returns: `(images, (frames, n, height, width, channels))`; no more states than these are held in memory.
        """
        if not (_whole(n) and _whole(first, 0)):
            raise InputError(f"n={n}, first={first}: draw at least one image, a whole number of them, from number 0 on")
        check_value("steps", steps := self.steps if steps is None else steps, int)
        times = self.grid(steps) if start is None else from_time(self.grid(steps), start)
        if not _whole(frames, 0, len(times)):
            raise InputError(f"frames={frames}: {len(times) - 1} steps pass through {len(times)} states")
        keep = np.round(np.linspace(0, len(times) - 1, frames)).astype(np.int32)
        negative = self._condition(options.pop("negative", None), n, False)
        name, fixed, traced = self._options(sampler, options)
        given = self._condition(condition, n, first=first), negative
        if negative is not None or not traced.keys().isdisjoint(GUIDANCE):
            self._check_guidable(traced)
            traced = {k: jnp.float32(v) for k, v in GUIDANCE.items()} | traced
        if "cache" in traced and (task.guide, task.steer) != (PLAIN.guide, PLAIN.steer):
            raise InputError("cache: goes with plain drawing: what guides or steers it would not be remembered")
        known = self.grid(steps) if isinstance(times, Tracer) else np.asarray(times)
        check_applies(name, self.path, known)
        denoise = self.path is None or _sigma(self.path, known[-1]) > 0
        shape = (n, *self.shape)
        traced["first"] = jnp.uint32(first)
        return self.draw(self.params, key, times, keep, given, traced, name, fixed, denoise, shape, inputs, task)

    def check(self) -> None:
        """Refuse defaults that `sample` would refuse."""
        check_applies(self._options(None, {})[0], self.path, self.grid(self.steps))

    def check_likelihood(self) -> None:
        """Refuse a model whose noise has no density that the library knows."""
        if self.path and not is_white(self.path):
            raise InputError("likelihood: is that of normal noise, and this model's noise is another")

    def _options(self, sampler: str | None, options: Mapping[str, Any]) -> tuple[str, tuple, dict[str, Array]]:
        """The sampler's name, the options that are compiled in, and those that are traced."""
        name = self.sampler["name"] if sampler is None else sampler
        make = find_sampler(name)
        defaults = self.sampler if name == self.sampler["name"] else {}
        given = {**self.options, **{k: v for k, v in defaults.items() if k != "name"}, **options}
        corrector = given.get("corrector")
        shared = shared_options({**given, "name": name})
        own = own_options(make) | {k: p for k, p in shared.items() if p is not None}
        allowed = {**own, **shared}
        for option in given:
            if option not in allowed:
                raise unknown(f"option of sampler {name!r}", option, allowed)
        if given.get("variance", "learned") not in list(VARIANCES):
            raise unknown("variance", given["variance"], VARIANCES)
        # Numbers are traced also where they are left at their default, so that giving one compiles nothing.
        real = {p for p in own if own[p].annotation == float | Array}
        free = {*real, *GUIDANCE, "clip", "threshold", "noise_scale", "cache"}
        for option, value in given.items():
            if option not in ("variance", "corrector"):
                whole = option == "cache" or (option in own and own[option].annotation is int)
                _check_number(option, value, option_range(option, name, corrector), whole, option in free)
        if name == "ddim" and "temperature" in given:
            check_temperature(given.get("eta", 0.0), given["temperature"])
        traced = {p: own[p].default for p in real} | {k: given[k] for k in given if k in free}
        plain = {k: int(v) if k in own and own[k].annotation is int else v for k, v in given.items()}
        fixed = tuple(sorted((k, v) for k, v in plain.items() if k not in traced))
        return name, fixed, {k: jnp.float32(v) for k, v in traced.items()}

    def _condition(self, given: Given, n: int, default: bool = True, first: int = 0) -> Condition | None:
        """What is given, checked: n rows of each part that the network knows of."""
        if given is None and self.num_classes and default:
            given = (first + np.arange(n)) % self.num_classes
        if given is not None and not isinstance(given, Condition):
            given = Condition(given)
        for part in ("label", "image", "sequence") if default and not self.guidable else ():
            if part in self.known and getattr(given, part, None) is None:
                raise InputError(f"condition: this model was never trained without its {part}s: give them")
        if given is None:
            return None
        if given.label is not None:
            given = given._replace(label=self._labels(given.label, n))
        for part, width in {"vector": 0, "image": 0, "sequence": 0, **self.widths}.items():
            value = getattr(given, part)
            if value is None:
                continue
            sides = {"vector": (), "image": self.shape[:2], "sequence": np.shape(value)[1:2]}
            shape = (n, *sides[part], width)
            if not width:
                raise InputError(f"condition: this model was trained without {part}s: leave the {part} out")
            if np.shape(value) != shape:
                raise InputError(f"condition: {part}s of shape {np.shape(value)}: this model takes {shape}")
            given = given._replace(**{part: jnp.asarray(value, jnp.float32)})
        return given

    def _labels(self, given: Any, n: int) -> Array:
        try:
            labels = np.asarray(given)
        except ValueError:  # rows of several lengths
            labels = np.zeros(())
        if not self.num_classes:
            raise InputError("condition: this model was trained without classes; leave the condition out")
        if (
            labels.shape != (n,)
            or not np.issubdtype(labels.dtype, np.integer)
            or labels.min() < -self.guidable
            or labels.max() >= self.num_classes
        ):
            none = ", or -1 for none" if self.guidable else ""
            raise InputError(f"condition: must be {n} class labels from 0 to {self.num_classes - 1}{none}")
        return jnp.asarray(labels, jnp.int32)

    def _check_guidable(self, traced: Mapping[str, Array]) -> None:
        if not self.known:
            raise InputError("guidance: this model has no condition to follow: take one trained with net.num_classes")
        if not self.guidable:
            raise InputError(
                "guidance: this model was never trained without its condition: take one trained with "
                "train.drop_condition, such as 0.1"
            )
        if "cache" in traced:
            raise InputError("guidance and cache: two networks would share one memory: leave one of them out")


def from_time(times: np.ndarray, start: float | Array) -> np.ndarray | Array:
    """A grid of as many steps that starts at a later time, perhaps a traced one, and is spaced like the rest of it.

    Raises:
      InputError: the time is not between the grid's ends.
    """
    places = np.arange(len(times), dtype=np.float32)
    if is_traced(start):
        first = jnp.interp(-start, -times, places)
        return jnp.interp(jnp.linspace(first, places[-1], len(times)), places, times)
    try:
        time = float(start)
    except (TypeError, ValueError, OverflowError):
        time = np.nan
    if not times[-1] < time <= times[0]:
        shown = " ".join(str(start).split())[:80]
        raise InputError(f"start={shown}: must be a time above {times[-1]:g} and up to {times[0]:g}")
    first = np.interp(-time, -times, places)
    later = np.interp(np.linspace(first, places[-1], len(times)), places, times)
    return later.astype(times.dtype)


def _whole(value: Any, least: int = 1, most: int = 2**31 - 1) -> bool:
    return isinstance(value, (int, np.integer)) and bool(least <= value <= most)


def is_traced(value: Any) -> bool:
    """Whether a number is one of a function that JAX is compiling, so that nothing is known of it yet."""
    return isinstance(value, Tracer) and value.ndim == 0


def _check_number(option: str, value: Any, within: tuple[float, float], whole: bool, free: bool) -> None:
    """Refuse a value out of its range; of one that is traced, which only a `free` option may be, it is not known."""
    if free and is_traced(value):
        return
    low, high = within
    try:
        finite = option in UNBOUNDED or np.isfinite(float(value))
        fits = finite and not isinstance(value, bool) and low <= value <= high and (not whole or int(value) == value)
    except (TypeError, ValueError, OverflowError):  # a tracer's error is a TypeError
        fits = False
    if not fits:
        raise InputError(f"{option}={value}: must be a {'whole ' * whole}number from {low} to {high}")


def check_applies(name: str, path: Process | None, times: np.ndarray) -> None:
    """Refuse a sampler that is undefined at an end of the grid, or amplifies errors without measure.

    Args:
      path: the process along which to sample; None if the parameters decide.
    """
    if path is None:
        return
    with jax.ensure_compile_time_eval():
        alpha = np.asarray(jax.jit(path.alpha)(jnp.asarray(times, jnp.float32)))
        slopes = np.asarray(jax.jit(lambda t: with_slopes(path, t)[1])(jnp.float32(times[0])))
    start = f"sampler {name!r} cannot start at t={times[0]:g}"
    if name in ("euler_maruyama", "srk") and alpha[0] < 1e-6:
        raise InputError(f"{start}, where alpha = 0: start the grid below, or take reverse_diffusion")
    if name in FLOWS and not np.isfinite(slopes).all():
        raise InputError(f"{start}, where alpha falls infinitely fast: start the grid below, or take dpmpp_2m")
    if name == "pndm":
        with np.errstate(divide="ignore"):
            amplified = (alpha[1:] / alpha[:-1]).max()
        if len(times) < 5 or not amplified <= AMPLIFIED:
            raise InputError(
                f"sampler 'pndm' needs 4 steps, in none of which alpha, and errors with it, grow over {AMPLIFIED}x: "
                f"here are {len(times) - 1} with up to {amplified:.3g}x; start the grid lower or take dpmpp_2m"
            )
    if name == "dopri5" and times[-1] <= 0:
        where = "where sigma = 0" if _sigma(path, 0.0) == 0 else "which its clock never reaches"
        raise InputError(f"sampler 'dopri5' cannot end at t=0, {where}: end the grid above, with t_min=0.001")


def finite(images: np.ndarray, what: str = "images") -> np.ndarray:
    """The images, (n, ...), if they are numbers.

    Raises:
      InputError: some hold NaN or infinity.
    """
    bad = ~np.isfinite(images).reshape(len(images), -1).all(1)
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {what} are not finite: bound them with clip=1, take more steps, another sampler such as "
            "dpmpp_2m, a grid that starts later (t_max), or other weights"
        )
    return images


def _sigma(path: Process, t: float) -> float:
    with jax.ensure_compile_time_eval():
        return float(jax.jit(path.sigma)(jnp.float32(t)))


def make_draw(bind: Bind, path: Process | None = None, mesh: Mesh | None = None):
    """The compiled sampling of a network: noise, then `trajectory`, split over all devices.

    Image i draws its noise from the key and `first + i`. Where the devices do not divide n, a few images more are drawn
    and left out: the others are as they would be alone.

    Args:
      path: the process along which to sample; by default the one of training.

    With `denoise`, static, the last x is replaced by its x̂_0: for grids that end above the data.
    """
    mesh = mesh or make_mesh()
    shards = batch_shards(mesh)

    @functools.partial(jax.jit, static_argnames=("sampler", "fixed", "denoise", "shape", "task"))
    def draw(params, key, times, keep, given, traced, sampler, fixed, denoise, shape, inputs=NOTHING, task=PLAIN):
        n, more = shape[0], -shape[0] % shards
        options = dict(fixed) | traced
        first = options.pop("first", jnp.uint32(0))
        index = jax.lax.with_sharding_constraint(first + jnp.arange(n + more, dtype=jnp.uint32), split(mesh))
        padded = jax.tree.map(lambda c: jnp.concatenate([c, c[jnp.arange(more) % n]]), (given, inputs.each))
        (condition, negative), inputs = padded[0], inputs._replace(each=padded[1])
        guidance = [options.pop(name) for name in GUIDANCE if name in options]
        process, denoiser, fraction, remembering = _bound(bind, params, condition, negative, guidance, path)
        process = process._replace(noise=ByExample(process.noise, index, options.pop("noise_scale", 1.0)))
        denoiser = task.guide(process, denoiser, inputs)
        bound = options.pop("clip", jnp.inf)
        constrain = dynamic_threshold(options.pop("threshold"), bound) if "threshold" in options else clip(bound)
        variance = options.pop("variance", None)
        corrector = CORRECTORS.get(options.pop("corrector", None))
        every = options.pop("cache", None)
        constrained = lambda x_t, t: constrain(denoiser(x_t, t))  # noqa: E731
        own = {name: options.pop(name) for name in list(options) if name in own_options(find_sampler(sampler))}

        def make(denoiser, fraction=fraction):
            further = {"variance": named_variance(variance, fraction)} if variance else {}
            made = find_sampler(sampler)(process, lambda x_t, t: constrain(denoiser(x_t, t)), **own, **further)
            return SAMPLER.checked(sampler, made)

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

        steps = task.steer(process, constrained, steps, inputs)
        key_start, key_steps = jax.random.split(key)
        x_1 = task.begin(process, key_start, jnp.zeros((n + more, *shape[1:])), times, inputs)
        x_1 = jax.lax.with_sharding_constraint(x_1, split(mesh))
        x, frames = samplers.trajectory(steps, key_steps, x_1, times, keep)
        images = constrained(x, times[-1]) if denoise else x
        if denoise and len(keep):
            frames = frames.at[-1].set(jnp.where(keep[-1] == len(times) - 1, images, frames[-1]))
        images = task.finish(images, inputs)
        # Every host gets all images: a host can read only what its own devices hold.
        return jax.lax.with_sharding_constraint((images[:n], frames[:, :n]), replicated(mesh))

    return draw


def _bound(bind: Bind, params, condition, negative, guidance: Sequence[Array], path: Process | None) -> Bound:
    """The network under its condition, guided, if there are values of `GUIDANCE`, and along the path of sampling."""
    process, denoiser, fraction, remembering = bind(params, condition)
    if guidance:
        scale, rescale, low, high = guidance
        guided = classifier_free(denoiser, bind(params, negative).denoiser, scale, rescale)
        denoiser = within(process, guided, denoiser, low, high)
    if not path:
        return Bound(process, denoiser, fraction, remembering)
    change = functools.partial(transfer, process, path)
    return Bound(path, change(denoiser), None, along(change, remembering) if remembering else None)


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
