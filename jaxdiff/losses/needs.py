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
      second_time: whether the network is told the time at which a step ends, too: a flow map.
      players: of whom there are two, {"generator", "critic"}: with the network each, "scores" where both take x,
        "judged" where the critic is two of them, {"score", "judge"}, and "adversary" where both take twice the channels
        of x; or "patches", where the critic is a network of its own, `loss.critic`, that takes x alone. The generator
        is the model.
      samplers: with which a model of this loss is drawn from: names, of those of few steps too, and "any" for all
        others; if it is empty, all but those of few steps.
      forward: whether it takes forward derivatives (jvp) through the network, which some kernels do not have.
      teacher: whether training must begin with the weights of a trained model.
      times: whether the network is asked at a time for each step of an example, (batch, steps).
      autoencoder: whether the network codes examples and decodes them, `(params, x, key) -> (x, mean, log_variance)`.
      classifier: whether the network returns the logits of classes, (batch, num_classes), in place of an array like x.
    """

    outputs: int = 1
    learned_process: bool = False
    classifier: bool = False
    autoencoder: bool = False
    second_time: bool = False
    players: str = ""
    samplers: tuple[str, ...] = ()
    teacher: bool = False
    forward: bool = False
    times: bool = False


def needs(**declared: Any) -> Callable[[Maker], Maker]:
    """Decorator: declare the `Needs` of a function that makes a loss."""

    def declare(loss: Any):
        loss.needs = Needs(**declared)
        return loss

    return declare


def needs_of(loss: Callable) -> Needs:
    """The declared needs of a function that makes a loss; the plain ones where it has declared none."""
    return getattr(loss, "needs", Needs())
