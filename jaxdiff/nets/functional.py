"""Networks that are no Linen modules: functions of plain JAX with their parameters, and NNX modules."""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax

from jaxdiff.errors import InputError
from jaxdiff.types import Array, Condition, ConditionSpec, Key, Params, Spec, class_label

if TYPE_CHECKING:
    from flax import nnx

__all__ = ["Function", "as_module", "from_nnx"]


class Function:
    """A function as a network: called and initialized as a Linen module is, its first parameters those given.

    Args:
      function: `(params, x, t, condition) -> out`, like x; t is (batch,). If it has a parameter `key` too, that is one
        for dropout in training, and None otherwise.
      params: a tree of arrays.
      num_classes: that it is told, as `condition["label"]` (batch,), -1 where unknown; 0 for none.
    """

    def __init__(self, function: Callable[..., Array], params: Params, num_classes: int = 0):
        self.function, self.params, self.num_classes = function, params, num_classes
        self._drops = "key" in inspect.signature(function).parameters

    def __call__(self, params: Params, x: Array, t: Array, condition: Condition | None = None, key: Key | None = None):
        return self.function(params, x, t, condition, **({"key": key} if self._drops else {}))

    def init(self, key: Key, x: Array, t: Array, condition: Condition | None = None) -> dict[str, Params]:
        return {"params": self.params}

    def init_with_output(self, key: Key, x: Array, t: Array, condition: Condition | None = None):
        return self(self.params, x, t, condition), {"params": self.params}

    def apply(
        self,
        variables: Mapping[str, Params],
        x: Array,
        t: Array,
        condition: Condition | None = None,
        train: bool = False,
        rngs: Mapping[str, Key] | None = None,
    ) -> Array:
        return self(variables["params"], x, t, condition, rngs["dropout"] if rngs else None)

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The class, if it is told one."""
        return {"label": class_label(self.num_classes)} if self.num_classes else {}


def from_nnx(module: "nnx.Module", num_classes: int = 0) -> Function:
    """An NNX module, called as `(x, t, condition)`, by its functional form; it is in training where it is given a key.

    The parameters are a flat dictionary by their paths, such as "layers.0.kernel".

    Raises:
      InputError: it keeps something else between calls, such as the averages of batch normalization.
    """
    from flax import nnx  # half a second

    graph, params, streams, rest = nnx.split(module, nnx.Param, nnx.RngState, ...)
    if kept := [_dotted(path) for path, _ in nnx.to_flat_state(rest)]:
        raise InputError(
            f"net {type(module).__name__}: keeps {', '.join(kept)} beside its parameters, which a run does not save: "
            "choose layers that do not, such as LayerNorm in place of BatchNorm"
        )
    paths = {_dotted(path): path for path, _ in nnx.to_flat_state(params)}
    drawn = sorted({variable.tag for _, variable in nnx.to_flat_state(streams)} - {"default", "dropout"})
    first = {_dotted(path): variable.get_value() for path, variable in nnx.to_flat_state(params)}

    def function(values, x, t, condition, key=None):
        state = nnx.from_flat_state({paths[name]: nnx.Param(value) for name, value in values.items()})
        net = nnx.merge(graph, state, jax.tree.map(lambda leaf: leaf, streams))  # reseeding changes them
        if key is None:
            net.eval()
        else:
            net.train()
            others = {name: jax.random.fold_in(key, i) for i, name in enumerate(drawn, 2)}
            anew: dict[str, Any] = {"default": key, "dropout": jax.random.fold_in(key, 1), **others}
            nnx.reseed(net, **anew)
        return net(x, t, condition)

    return Function(function, first, num_classes)


def as_module(net: Any, classes: int = 0) -> Any:
    """A network as what has `init` and `apply`: an NNX module, or `(function, params)`; anything else as it is.

    Raises:
      InputError: a function without its parameters.
    """
    if "flax.nnx" in sys.modules and isinstance(net, sys.modules["flax.nnx"].Module):
        return from_nnx(net, classes)
    if isinstance(net, tuple) and len(net) == 2 and callable(net[0]):
        return Function(*net, classes)
    if inspect.isfunction(net):
        raise InputError(f"net={net.__qualname__}: give a function with its parameters, (function, params)")
    return net


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))
