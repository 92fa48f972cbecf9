"""Needs: what a loss asks of the process and of the network that it trains."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["Maker", "Needs", "needs", "needs_of"]

Maker = TypeVar("Maker", bound=Callable)


class Needs(NamedTuple):
    """The needs of a loss: of the process and of the network.

    Attributes:
      outputs: how many times the channels of x the network returns: 2 for a learned variance.
      learned_process: whether the process is learned with the network, from `params["schedule"]`.
      classifier: whether the network returns the logits of classes, (batch, num_classes), in place of an array like x.
    """

    outputs: int = 1
    learned_process: bool = False
    classifier: bool = False


def needs(**declared: Any) -> Callable[[Maker], Maker]:
    """Decorator: declare the `Needs` of a function that makes a loss."""

    def declare(loss: Any):
        loss.needs = Needs(**declared)
        return loss

    return declare


def needs_of(loss: Callable) -> Needs:
    """The declared needs of a function that makes a loss; the plain ones where it has declared none."""
    return getattr(loss, "needs", Needs())
