"""Setup: all that a training needs before its first step, built from a configuration."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxdiff.cli import preview as watch
from jaxdiff.cli.output import say
from jaxdiff.config import build
from jaxdiff.config.names import in_words
from jaxdiff.config.record import Record
from jaxdiff.config.schema import check_fields
from jaxdiff.data.source import Source, fingerprint
from jaxdiff.errors import InputError
from jaxdiff.modalities import check_alike, find
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.experiment import Trained
from jaxdiff.pipelines.load import load_any
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.warm_start import check_teacher, for_players, other_meanings, others, same_pieces, warm_start
from jaxdiff.training import feed, hosts, sharding
from jaxdiff.training.checkpoints import rollback
from jaxdiff.training.errors import looked_for
from jaxdiff.training.step import TrainState, in_calls, init_state, make_train_step
from jaxdiff.types import Key, Params, StatefulLoss

__all__ = ["Setup", "described", "prepare"]


class Setup(NamedTuple):
    """All that a training needs before its first step.

    Attributes:
      record: what the run's folder will hold of the configuration and the data.
      initial: `key -> state` before the first step, and `init_key`, its key.
      placed: where on the mesh each array of a state lies.
      step_fn: `(state, resident, along) -> (state, metrics)`, compiled.
      feed: what the steps are fed, `length` of them in one call.
      measure: `params -> figures`, at each checkpoint.
      preview: `(averages, workdir, journal, step)`, pictures of what was learned.
    """

    record: Record
    source: Source
    parts: experiment.Experiment
    mesh: Mesh
    initial: Callable[[Key], TrainState]
    init_key: Key
    placed: Any
    step_fn: Callable[..., tuple[TrainState, dict[str, Any]]]
    feed: feed.Feed
    length: int
    measure: Callable[[Params], dict[str, float]]
    preview: Callable[..., None]

    def first(self) -> TrainState:
        """The state before the first step, on the mesh."""
        return jax.jit(self.initial, out_shardings=self.placed)(self.init_key)

    def begun(self, state: TrainState, init: Any) -> TrainState:
        """The first state with the weights of a trained model, as far as they fit, in it and in its averages.

        Args:
          init: the path of a run or a model folder, or a model; nothing if it is "".

        Raises:
          InputError: there is no model, or nothing of it fits.
        """
        if not init:
            return state
        try:
            model = load_any(init) if isinstance(init, str) else init()
            if not isinstance(model, Trained):
                raise InputError("give a model, or the path of a run or a model folder")
            trained, known = for_players(state.params, model.params), model.config if isinstance(model, Model) else None
            if self.parts.teacher:
                check_teacher(self.record.config, known, state.params, trained)
                check_alike(
                    "the teacher", model.spec, self.record.spec, model.conditions if isinstance(model, Model) else ()
                )
            details = (spec.details.get("text") for spec in (model.spec, self.record.spec))
            trained, tokenizers = same_pieces(trained, *details)
            params, kept = warm_start(state.params, trained)
            differing = [*others(self.record.config, known), *tokenizers, *other_meanings(model.spec, self.record.spec)]
        except InputError as error:
            raise InputError(f"train.init={in_words(init)}: {error}") from error
        if hosts.is_writer():
            say(f"init: {kept}" + "".join(f"; learned with another {part}" for part in differing))
        loss, memory = self.parts.loss_fn, state.memory
        if isinstance(loss, StatefulLoss) and loss.begin:  # a teacher, which is what the student begins as
            memory = jax.jit(loss.begin, out_shardings=self.placed.memory)(params)
        averages = {name: jax.tree.map(jnp.copy, params) for name in state.ema}
        return state._replace(params=params, ema=averages, memory=memory)

    def averages(self, state: TrainState) -> list[tuple[str, Params]]:
        """The averages of a state by name; the first is the one to sample with."""
        return [(name, state.ema[name]) for name in self.parts.ema]


def prepare(config: dict) -> Setup:
    """Build all parts of a training, and refuse what does not fit, before anything is computed or written.

    Raises:
      InputError: a field, name or argument that does not fit, or data that cannot be read.
    """
    check_fields(config)
    settings = config["train"]
    mesh = sharding.make_mesh(**settings["mesh"])
    batch_size = settings["batch_size"]
    sharding.check_batch(batch_size, settings["accumulate"], sharding.batch_shards(mesh))

    source = build.source(config)
    parts = experiment.build(config, source.spec, mesh)
    if isinstance(parts.model, Model):
        build.check_conditions(source, parts.model.conditions)
        given = build.transform_conditions(config, source.spec)
        build.check_told({*source.conditions, *given}, parts.model.conditions)
    init_key, train_key, preview_key = jax.random.split(jax.random.key(config["seed"]), 3)
    every = {f"train.{k}": settings[k] for k in ("log_every", "sample_every", "checkpoint_every")}
    length = feed.steps_per_call(settings["steps_per_call"], every, 4 * batch_size * math.prod(source.spec.shape))
    food = feed.make_feed(source, mesh, batch_size, config["seed"], settings["device_data"])
    rollback.check(**settings["guard"])

    initial = lambda key: init_state(parts.init(key), parts.optimizer, parts.ema, parts.loss_fn)
    placed = sharding.shard(mesh, jax.eval_shape(initial, init_key), parts.tensor_axis)
    step_fn = make_train_step(
        parts.loss_fn,
        parts.optimizer,
        parts.ema,
        train_key,
        settings["accumulate"],
        settings["guard"]["spike"],
        parts.transforms,
    )
    # jax_debug_nans runs the step again, so its inputs must not be donated.
    donated = () if any(looked_for(config["debug"]["nans"])) else (0,)
    out = (placed, sharding.replicated(mesh))
    step_fn = jax.jit(in_calls(step_fn, feed.examples), donate_argnums=donated, out_shardings=out)

    measure = watch.monitor(config, parts.model, source)
    preview = watch.make_preview(config, parts.model, source, preview_key)
    record = Record(config, source.spec, {"examples": source.size, "sha256": fingerprint(source)})
    return Setup(record, source, parts, mesh, initial, init_key, placed, step_fn, food, length, measure, preview)


def described(setup: Setup, state: TrainState) -> str:
    """The data, the size of the network and the devices, in words."""
    source, mesh = setup.source, setup.mesh
    count = sum(p.size for p in jax.tree.leaves(state.params))
    devices = f"{mesh.size} {jax.default_backend()} device(s)"
    shape = ", ".join(f"{axis}={size}" for axis, size in mesh.shape.items() if size > 1)
    of = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    devices += of + (f" ({shape})" if shape else "")
    examples = f"{source.size:,} {find(source.spec.modality, 'show').describe(source.spec)}"
    return f"{examples}, {count:,} parameters, {devices}"
