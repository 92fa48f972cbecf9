"""The training step: one compiled function from a state and a batch to the next state."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdiff.training.ema import follow
from jaxdiff.training.guard import Health, assess, choose, healthy
from jaxdiff.transforms.chain import transformed
from jaxdiff.types import Array, Key, LossFn, Params, StatefulLoss, Transform

__all__ = ["TrainState", "in_calls", "init_state", "make_train_step"]


class TrainState(NamedTuple):
    """All that training changes. The data and the noise of a step follow from its number."""

    step: Array
    params: Params
    ema: dict[str, Params]
    """The averages, by name."""
    opt_state: Any
    health: Health
    memory: Any = ()
    """Of a loss that has one."""


def init_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    ema: Iterable[str],
    loss_fn: LossFn | StatefulLoss | None = None,
) -> TrainState:
    """The state before the first step, the averages at the parameters. A loss that remembers has to be given."""
    memory = loss_fn.first(params) if isinstance(loss_fn, StatefulLoss) else ()
    averages = {name: jax.tree.map(jnp.copy, params) for name in ema}
    return TrainState(jnp.zeros((), jnp.int32), params, averages, optimizer.init(params), healthy(), memory)


def make_train_step(
    loss_fn: LossFn | StatefulLoss,
    optimizer: optax.GradientTransformation,
    ema: Mapping[str, Callable[[Array], Array]],
    key: Key,
    accumulate: int = 1,
    spike: float = 0.0,
    transforms: Sequence[Transform] = (),
):
    """`(state, batch) -> (state, metrics)`, to be jitted with the state donated.

    Args:
      loss_fn: `(params, key, batch) -> (loss, metrics)`, both means over the batch; or one that remembers.
      optimizer: any optax transformation.
      ema: the decay of each average, see `jaxdiff.training.ema`, by how many updates it has seen.
      key: step n draws from `fold_in(key, n)`.
      accumulate: average the gradients of this many parts of the batch, one after the other.
      spike: see `jaxdiff.training.guard`.
      transforms: of each batch, or part of one, before its loss.

    The metrics are those of the loss, with "loss", "grad_norm" (before clipping), and the numbers of steps "skipped" so
    far and "skipped_in_row" now: a step that is not finite changes nothing but the state's step and health.
    """
    stateful = loss_fn if isinstance(loss_fn, StatefulLoss) else _forgetful(loss_fn)
    gradient = jax.value_and_grad(stateful.loss, has_aux=True)

    def whole(params, memory, key, batch):
        key, batch = transformed(transforms, key, batch)
        (loss, (metrics, memory)), grads = gradient(params, memory, key, batch)
        return memory, (grads, {"loss": loss, **metrics})

    def in_parts(params, memory, key, batch):
        # Part i takes every accumulate-th example, so that a batch split over devices stays where it is.
        parts = jax.tree.map(lambda x: x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1), batch)
        shapes = jax.eval_shape(whole, params, memory, key, batch)[1]
        zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        def body(carry, along):
            memory, total = carry
            i, part = along
            memory, results = whole(params, memory, jax.random.fold_in(key, i), part)
            return (memory, jax.tree.map(jnp.add, total, results)), None

        # XLA on CPU runs convolution gradients far slower inside a loop than in straight code.
        unroll = accumulate if jax.default_backend() == "cpu" else 1
        (memory, total), _ = jax.lax.scan(body, (memory, zero), (jnp.arange(accumulate), parts), unroll=unroll)
        return memory, jax.tree.map(lambda x: x / accumulate, total)

    def train_step(state, batch):
        step_key = jax.random.fold_in(key, state.step)
        run = whole if accumulate == 1 else in_parts
        memory, (grads, metrics) = run(state.params, state.memory, step_key, batch)
        grad_norm = optax.tree.norm(grads)
        sound, health = assess(state.health, metrics["loss"], grad_norm, spike)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        seen = state.health.sound
        averages = {name: follow(decay, state.ema[name], params, seen) for name, decay in ema.items()}
        old = (state.params, state.ema, state.opt_state, state.memory)
        params, averages, opt_state, memory = choose(sound, (params, averages, opt_state, memory), old)
        counts = {"skipped": health.skipped, "skipped_in_row": health.skipped_in_row}
        metrics = {**metrics, "grad_norm": grad_norm, **counts}
        return TrainState(state.step + 1, params, averages, opt_state, health, memory), metrics

    return train_step


def in_calls(train_step, examples: Callable[[Any, Any], Any] = lambda resident, part: part):
    """`(state, resident, along) -> (state, metrics)`: n steps in one compiled call, for `along` of leading axis n.

    Args:
      train_step: of `make_train_step`.
      examples: `(resident, part) -> batch`, see `jaxdiff.training.feed`.

    The metrics are those of each step, (n,).
    """

    def run(state, resident, along):
        one = lambda state, part: train_step(state, examples(resident, part))
        if len(jax.tree.leaves(along)[0]) > 1:
            return jax.lax.scan(one, state, along)
        state, metrics = one(state, jax.tree.map(lambda x: x[0], along))
        return state, jax.tree.map(lambda m: m[None], metrics)

    return run


def _forgetful(loss_fn: LossFn) -> StatefulLoss:
    """A plain loss as one with an empty memory."""

    def loss(params, memory, key, batch):
        value, metrics = loss_fn(params, key, batch)
        return value, (metrics, memory)

    return StatefulLoss(lambda: (), loss)
