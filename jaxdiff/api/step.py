"""A training step for a loop of one's own.

step = jaxdiff.make_step((28, 28, 1), net=MyModule(), optimizer=optax.adam(1e-3))
state = step.init(jax.random.key(0))
for batch in batches:                 # float (n, 28, 28, 1) in [-1, 1]
    state = step(state, batch)        # state.metrics["loss"]
model = step.model(state)
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.api.train import configured, set_by_name
from jaxdiff.config import build
from jaxdiff.config.schema import FIELDS
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.model import Model
from jaxdiff.training.step import TrainState, init_state, make_train_step
from jaxdiff.types import Array, Batch, Key, Spec, class_label

__all__ = ["OF_STEP", "State", "Step", "make_step"]

OF_STEP = (
    *("freeze", "rates", "accumulate", "batch_size", "cond_dropout"),
    *("augment", "rotate", "upscale", "low_res_noise", "control", "guard.spike"),
)
"""Fields of `train` that a step honors (the batch size is that of averages by examples); the others are of a loop."""
UNSEEN = 10_000
"""Of an unknown number of examples, the network is chosen as for so many."""


class State(NamedTuple):
    """The state of a training, and the metrics of its last step, such as "loss"."""

    train: TrainState
    metrics: Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Step:
    """A training step: `state = step(state, batch)`, compiled once; the state before is used up.

    Attributes:
      parts: what it was built from: the network's `init`, the loss, the optimizer, the averages.
      update: `(state, batch) -> (state, metrics)`, pure, for `jax.jit` or `lax.scan` of one's own.
      told: the conditions that a batch has to bring, by name.
    """

    parts: experiment.Experiment
    update: Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]
    told: frozenset[str]
    _compiled: Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]

    def init(self, key: Key) -> State:
        """The state before the first step."""
        start = lambda key: init_state(self.parts.init(key), self.parts.optimizer, self.parts.ema, self.parts.loss_fn)
        return State(jax.jit(start)(key), {})

    def __call__(self, state: State, batch: Any) -> State:
        """The state after a step on a batch: x_0 as the network sees it, or a `Batch` of it and its condition.

        Raises:
          InputError: a batch without what the network is made to be told; where it is unknown of an example, it is the
            value that stands for that, such as a label of -1.
        """
        batch = batch if isinstance(batch, Batch) else Batch(batch)
        build.check_told(batch.condition or {}, self.told)
        return State(*self._compiled(state.train, batch))

    def model(self, state: State) -> experiment.Trained:
        """The model of a state, with the first of its averages, which stays when the state is used up."""
        name = next(iter(self.parts.ema))
        weights = f"{name} of step {int(state.train.step):,}"
        params = jax.tree.map(jnp.copy, state.train.ema[name])
        return dataclasses.replace(self.parts.model, params=params, weights=weights)


def make_step(
    spec: Spec | Sequence[int],
    *,
    classes: int = 0,
    config: Any = None,
    fields: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Step:
    """Make a training step.

    Args:
      spec: what one example is; (height, width, channels) for images in [-1, 1].
      classes: of the labels that the batches have, as `Batch(x_0, {"label": label})`.
      config, fields, **parts: as for `jaxdiff.train`, but for data and what is of the loop, which is the caller's: such
        fields are refused, and what `config` says of them, such as how many steps there are, has no meaning here.

    Raises:
      InputError: parts that do not fit together, or fields that a step does not honor.
    """
    if not isinstance(spec, Spec):
        if len(spec) != 3 or not all(isinstance(side, int) and side > 0 for side in spec):
            raise InputError(f"spec={spec}: must be (height, width, channels), or a jaxdiff.types.Spec")
        spec = image_spec(tuple(spec))
    conditions = {"label": class_label(classes)} if classes else {}
    unseen = lambda indices: Batch(np.zeros((len(indices), *spec.shape), np.float32))
    whole = configured(Source(UNSEEN, spec, unseen, conditions), {}, config, fields, parts)
    train = whole["train"]
    if train["init"]:
        raise InputError(
            "train.init: a loop of one's own begins with the parameters of `step.init`: take jaxdiff.train, which "
            "loads others and keeps a teacher"
        )
    _check_of_step(set_by_name(parts, fields or {}))
    made = experiment.build(whole, spec)
    key = jax.random.key(whole["seed"])
    update = make_train_step(
        made.loss_fn, made.optimizer, made.ema, key, train["accumulate"], train["guard"]["spike"], made.transforms
    )
    known = {"label"} if isinstance(made.model, Classifier) else set()
    known = made.model.conditions.keys() if isinstance(made.model, Model) else known
    told = frozenset(known - build.transform_conditions(whole, spec).keys())
    return Step(made, update, told, jax.jit(update, donate_argnums=0))


def _check_of_step(names: Iterable[str]) -> None:
    """Refuse fields that would do nothing, by their dotted names."""
    for name in names:
        section, _, field = name.partition(".")
        if section in ("data", "held_out", "debug") or (name in FIELDS and section == "train" and field not in OF_STEP):
            raise InputError(
                f"{name}: is of data or a loop, and a step has neither: leave it out, or take jaxdiff.train; of train "
                f"a step honors {', '.join(OF_STEP)}"
            )
