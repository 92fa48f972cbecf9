"""Model: a network with its parameters, ready to sample."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh

from jaxdiff.config.names import in_words
from jaxdiff.config.record import Record
from jaxdiff.config.sampling import GUIDANCE, AnyProcess, Bind, has_symbols
from jaxdiff.config.schema import check_value
from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import is_white
from jaxdiff.modalities import complete, completed, find, has_space, make_codec
from jaxdiff.pipelines.chosen import check_guidable, check_own_start, chosen, sampling, told_scale
from jaxdiff.pipelines.conditions import Given, Known, by_name, checked, prompted
from jaxdiff.pipelines.draw import Fed, How
from jaxdiff.pipelines.draw_symbols import make_symbol_draw
from jaxdiff.pipelines.ends import USUAL, Ends
from jaxdiff.pipelines.folder import check_new, save_folder
from jaxdiff.pipelines.hooks import NOTHING, PLAIN, Hooks, Inputs
from jaxdiff.pipelines.options import (
    check_allowed,
    check_applies,
    check_guided,
    check_key,
    check_mean,
    check_start,
    check_together,
    finite,
    from_time,
    is_traced,
    is_whole,
    sigma_at,
)
from jaxdiff.pipelines.progress import drawn
from jaxdiff.samplers.base import Sampler
from jaxdiff.training.sharding import drawing_mesh, on_mesh
from jaxdiff.types import Array, Batch, Codec, Condition, ConditionSpec, Key, Params, Spec

__all__ = ["Given", "Model"]


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network, ready to sample; `dataclasses.replace(model, params=...)` gives it other parameters.

    Attributes:
      params, spec: of the network; what one example is.
      conditions: what the network can be told of an example, by name.
      guidable: whether it was trained to do without its condition, too.
      upscales: how many times smaller the images of its condition "low_res" are; 1 for none.
      scales: of guidance, from which to which it has learned all and is told one; None where it is not told.
      samplers: with which it is drawn from, see `jaxdiff.losses.needs.Needs.samplers`.
      low_res_noise: the most noise that was in those in training, as a standard deviation; infinite where not known.
      grid: `(steps) -> times`.
      steps: how many `sample` takes, unless told otherwise.
      bind: `(params, condition) -> Bound`, the denoiser.
      path: the process along which to sample; None where only the parameters know.
      weights: which parameters these are: of which average and step.
      sampler: its default, `{"name": ..., **options}`.
      options: defaults for every sampler, such as `clip`.
      mesh: of the devices that draw; all of them by default.
      config: the configuration that it was built from; None for one that was put together by hand.
      ends: how sampling begins and ends, and of latents, how they are decoded.
    """

    params: Params
    spec: Spec
    grid: Callable[[int], np.ndarray]
    steps: int
    sampler: Mapping[str, Any]
    options: Mapping[str, Any]
    bind: Bind
    path: AnyProcess | None
    weights: str = "parameters of unknown origin"
    conditions: Mapping[str, ConditionSpec] = dataclasses.field(default_factory=dict)
    guidable: bool = True
    upscales: int = 1
    low_res_noise: float = np.inf
    scales: tuple[float, float] | None = None
    samplers: tuple[str, ...] = ()
    mesh: Mesh | None = None
    config: Mapping[str, Any] | None = None
    ends: Ends = USUAL

    def __repr__(self) -> str:
        count = sum(math.prod(p.shape) for p in jax.tree.leaves(self.params))
        told = f", told {', '.join(sorted(self.conditions))}" if self.conditions else ""
        sampler = in_words(self.sampler["name"])
        return (
            f"Model: {find(self.spec.modality, 'show').describe(self.spec)}{told}; {count:,} parameters, "
            f"{self.weights}; draws with {sampler} in {self.steps} steps"
        )

    def save(self, path: str | Path, dtype: str = "float32", picture: bool = True, **said: str) -> Path:
        """Write a folder that one can mail: configuration, parameters, a card, a picture (`jaxdiff.pipelines.folder`).

        The configuration is the model's, with the sampler, the options and the number of steps that it has now.

        Args:
          dtype: of the parameters there, float32 or float16.
          picture: draw a few examples for the card, where the model draws without being told more than a class.
          **said: for the card: the model's `license`, the `data` that it was trained on, what else there is `about` it.

        Raises:
          InputError: something else is at `path`; or the model was put together by hand.
        """
        if self.config is None:
            raise InputError("save: this model was put together by hand: save one that was trained or loaded")
        check_new(path)
        key = jax.random.key(0)
        drawn, usual = None, ("label", *completed(self.spec))
        told = [one for name, one in self.conditions.items() if name not in usual]
        if picture and all(self.guidable and one.missing is not None for one in told):
            given = self.check_condition(self.completed(key, None, 16), 16)
            x_0 = self.sample(key, 16, min(self.steps, 100), condition=given)
            drawn = Batch(np.asarray(x_0), given)
        config = {**self.config, "sample": sampling(self.config["sample"], self.options, self.steps, self.sampler)}
        return save_folder(path, Record(config, self.spec), self.params, self.weights, dtype, drawn, said)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example, as the network sees it."""
        return self.spec.shape

    @property
    def codec(self) -> Codec:
        """Between the data's own units and what the network sees."""
        return self.ends.codec or make_codec(self.spec)

    @property
    def num_classes(self) -> int:
        """The number of classes it is conditioned on; 0 for none."""
        return self.conditions["label"].values or 0 if "label" in self.conditions else 0

    def own(self, condition: Condition | None) -> Condition | None:
        """The conditions that it knows of; None if these are none."""
        return {name: value for name, value in (condition or {}).items() if name in self.conditions} or None

    def sample(
        self,
        key: Key,
        n: int,
        steps: int | None = None,
        sampler: str | Callable[..., Sampler] | None = None,
        condition: Given = None,
        first: int = 0,
        **options: Any,
    ) -> Array:
        """Draw n examples, (n, ...), in the data's own units, in one batch: see `stream` for many.

        The chain is one compiled call, compiled anew only for another n, number of steps, sampler, corrector or option
        that is not a real number. Where the grid ends above the data (sigma > 0), the examples are the last x̂_0.

        Args:
          key: example i draws all its noise from the key and `first + i`, so that it is the same in any batch and on
             any number of devices, but for rounding (and the tolerances of dopri5, whose steps suit a whole batch).
          steps: of the sampler.
          sampler: a function of `jaxdiff.samplers`, or its name; or another that keeps their contract.
          condition: one class, by number or name, or (n,), -1 for none; or all that is known, as a `Condition` of n
            rows; by default the labels 0, 1, 2 ... in turn, from that of example 0, if the network has classes.
          first: the number of the first example among those of the key.
          **options: the sampler's own, such as `eta` for ddim and `variance` for ancestral; `corrector`, "langevin" for
            predictor-corrector sampling, with that one's own; and for all, `clip`, the bound on x̂_0 (infinite for
            none), `threshold`, the quantile for dynamic thresholding in place of plain clipping, `noise_scale`, a
            factor on all noise that is drawn, x_1 included, and `cache`, to compute the network's deeper levels at
            every so many steps only (`jaxdiff.samplers.cached`). Also `guidance`, the scale of
            `jaxdiff.guidance.classifier_free.classifier_free`, with `guidance_rescale`, between the noise levels
            `guidance_low` and `guidance_high`; and `negative`, like `condition`, from which it leads away. Of a model
            that reads captions, `prompt`, one for all or a list of n; `negative` may be such, too. And `progress`, as
            for `trajectory`.

        Raises:
          InputError: an unknown sampler or option, or a value out of its range.
        """
        return self.codec.decode(self.trajectory(key, n, 0, steps, sampler, condition, first=first, **options)[0])

    def stream(
        self,
        key: Key,
        n: int,
        batch: int = 256,
        steps: int | None = None,
        sampler: str | Callable[..., Sampler] | None = None,
        condition: Given = None,
        first: int = 0,
        **options: Any,
    ) -> Iterator[np.ndarray]:
        """Draw n examples as NumPy arrays of `batch`, the last one shorter, one at a time: memory does not grow with n.

        All batches run the same compiled call, and the examples are those of one `sample` of n. The rest is as there.

        Raises:
          InputError: some are not finite, which `sample` returns as they are; and what it raises.
        """
        if not (is_whole(n) and is_whole(batch) and is_whole(first, 0)):
            raise InputError(
                f"n={n}, batch={batch}, first={first}: draw at least one example, in batches of at least one, from 0 on"
            )
        batch = min(n, batch)
        condition = self.completed(key, prompted(self.conditions, condition, options), n, first)
        negative = options.pop("negative", None)
        negative = None if negative is None else self.check_condition(negative, n, False) or {}
        # Where nothing is known the condition is empty: of None each batch would have the classes in turn.
        condition = by_name(self.conditions, condition, n, first=first)
        known = self.check_condition(condition, n, first=first) or {}
        every = jax.device_get(({name: known[name] for name in condition}, negative))
        for i in range(0, n, batch):
            rows = (i + np.arange(batch)) % n
            given, negative = jax.tree.map(lambda a, rows=rows: a[rows], every)
            further = options | ({} if negative is None else {"negative": negative})
            x, _ = self.trajectory(key, batch, 0, steps, sampler, given, first=first + i, **further)
            drawn = finite(np.asarray(x)[: n - i], f"examples {i} to {min(i + batch, n) - 1}")
            yield self.codec.decode(drawn)

    def trajectory(
        self,
        key: Key,
        n: int,
        frames: int,
        steps: int | None = None,
        sampler: str | Callable[..., Sampler] | None = None,
        condition: Given = None,
        hooks: Hooks = PLAIN,
        inputs: Inputs = NOTHING,
        start: float | Array | None = None,
        first: int = 0,
        progress: bool | None = None,
        **options: Any,
    ) -> tuple[Array, Array]:
        """As `sample`, and the states at `frames` moments on the way, evenly spaced from the noise to the end.

        All are as the network sees them, as the inputs of a task are; `codec.decode` brings them to the data's units.

        Args:
          hooks, inputs: what to do other than to draw from noise, and with what; see `jaxdiff.pipelines.hooks`. The
            inputs are traced.
          start: the time to start at, with as many steps; by default that of the grid.
          first: as for `sample`; the examples of the inputs are those from there on.
          progress: show a bar; by default in a terminal and in a notebook, and never of symbols. No example changes.

        Returns: `(examples, (frames, n, ...))`; no more states than these are held in memory.
        """
        if not (is_whole(n) and is_whole(first, 0)):
            raise InputError(f"n={n}, first={first}: draw at least one example, a whole number, from 0 on")
        check_value("steps", steps := self.steps if steps is None else steps, int)
        times = self.grid(steps) if start is None else from_time(self.grid(steps), start)
        if start is not None and hooks.begin is PLAIN.begin:
            check_start(self.path or self.bind(self.params, None).process, start)
        if not is_whole(frames, 0, len(times)):
            raise InputError(f"frames={frames}: {len(times) - 1} steps pass through {len(times)} states")
        condition = self.completed(key, prompted(self.conditions, condition, options), n, first)
        keep = np.round(np.linspace(0, len(times) - 1, frames)).astype(np.int32)
        negative = options.pop("negative", None)
        name, fixed, traced = self._chosen(sampler, options)
        given, traced = self._led(condition, negative, traced, n, first)
        self._check_task(name, traced, hooks, start)
        known = self.grid(steps) if isinstance(times, Tracer) else np.asarray(times)
        traced["first"] = jnp.uint32(first)
        mesh = drawing_mesh(self.mesh)
        params, key, given, inputs = on_mesh(mesh, (self.params, key, given, inputs))
        if has_symbols(self.path):
            if progress:
                raise InputError("progress: a chain of symbols is one call, without a bar: leave it out")
            draw, shape = make_symbol_draw(self.bind, mesh), (n, *self.shape)
            return draw(params, key, times, keep, given, traced, name, fixed, shape, inputs, hooks)
        check_applies(name, self.path, known)
        denoise = self.ends.denoise and (self.path is None or sigma_at(self.path, known[-1]) > 0)
        hooks = hooks._replace(begin=self.ends.begin) if hooks.begin is PLAIN.begin else hooks
        fed = Fed(params, key, jnp.asarray(times), jnp.asarray(keep), given, traced, inputs)
        how = How(name, fixed, denoise, (n, *self.shape), hooks)
        return drawn((self.bind, self.path, mesh), fed, how, progress)

    def completed(self, key: Key, given: Given, n: int, first: int = 0) -> Given:
        """What is known of n examples from `first` on, with the sizes that the key draws where they are not given."""
        check_key(key)
        if "label" in self.conditions and completed(self.spec):
            given = by_name(self.conditions, given, n, first=first)
        return complete(self.spec, key, first + np.arange(n), given)

    def check(self) -> None:
        """Refuse defaults that `sample` would refuse."""
        name, *_ = self._chosen(None, {})
        check_applies(name, self.path, self.grid(self.steps))

    def check_likelihood(self) -> None:
        """Refuse a model whose noise has no density that the library knows, or that has learned jumps."""
        check_mean(self.samplers, "likelihood")
        if self.path and not has_symbols(self.path) and not is_white(self.path):
            raise InputError("likelihood: is that of normal noise, and this model's noise is another")

    def check_condition(self, given: Given, n: int, default: bool = True, first: int = 0) -> Condition | None:
        """The condition of n examples, all that the network can be told, of its types; None if that is nothing.

        Args:
          default: whether classes come in turn, from that of example `first`, where nothing is given, and a model that
            was never trained without its condition needs all of it.

        Raises:
          InputError: another condition than the model has, or of another shape, or not all.
        """
        return checked(Known(self.conditions, self.spec, self.guidable), given, n, default, first)

    def _chosen(self, sampler: Any, options: Mapping[str, Any]) -> tuple[Any, tuple, dict[str, Array]]:
        name, fixed, traced = chosen(sampler, options, self.sampler, self.options, self.path)
        check_allowed(self.samplers, name)
        given = {**self.options, **self.sampler, **options}
        for option in ("corrector", "eta"):
            if is_traced(value := given.get(option)) or value:
                check_mean(self.samplers, option)
        asked = {**self.options, **options}
        if has_space(self.spec) and (asked.get("clip", np.inf) != np.inf or "threshold" in asked):
            raise InputError("clip, threshold: no box is these examples' space: leave them out, clip at inf")
        return name, fixed, traced

    def _check_task(self, name: Any, traced: Mapping[str, Any], hooks: Hooks, start: Any) -> None:
        """Refuse hooks and a start that do not go with a sampler, its options or the grid of a student."""
        if hooks.guide != PLAIN.guide or not traced.keys().isdisjoint(GUIDANCE):
            check_guided(name)
            check_mean(self.samplers, "guidance")
        if hooks.steer != PLAIN.steer or start is not None:
            check_together(name, "a start" if start is not None else "what steers it")
        check_own_start(self.config, start)
        if "cache" in traced and (hooks.guide, hooks.steer) != (PLAIN.guide, PLAIN.steer):
            raise InputError("cache: goes with plain drawing: what guides or steers it would not be remembered")

    def _led(
        self, condition: Given, negative: Given, traced: dict[str, Array], n: int, first: int
    ) -> tuple[tuple, dict]:
        """The condition and the one to lead away from; the traced options, with all of guidance, if there is any."""
        given = self.check_condition(condition, n, first=first)
        if self.scales:
            scale, traced = told_scale(self.scales, negative, traced, n)
            return ({**(given or {}), "guidance": scale}, None), traced
        if negative is None and traced.keys().isdisjoint(GUIDANCE):
            return (given, None), traced
        check_guidable(self.conditions, self.guidable, traced, condition if negative is None else None)
        # What a network is always told, such as which atoms there are, it is told of what to lead away from, too.
        always = {name: value for name, value in (given or {}).items() if self.conditions[name].missing is None}
        away = self.check_condition({} if negative is None else negative, n, False)
        return (given, {**always, **(away or {})} or None), {k: jnp.float32(v) for k, v in GUIDANCE.items()} | traced
