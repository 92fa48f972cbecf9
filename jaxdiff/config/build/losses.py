"""Losses: what one asks of the data and of the condition, beside its process and network."""

from collections.abc import Mapping

from jaxdiff.config.build.data import Config
from jaxdiff.config.names import in_words
from jaxdiff.config.parts import LOSS
from jaxdiff.distill import mean_flow_loss
from jaxdiff.errors import InputError
from jaxdiff.losses import bound_loss, hybrid_loss
from jaxdiff.types import ConditionSpec
from jaxdiff.types import Spec as DataSpec

__all__ = ["check_loss", "droppable"]

DECODED = (bound_loss, hybrid_loss)
"""Losses with a decoder of data on levels from -1 to 1."""
UNGUIDED = {"guidance": 1.0, "omega": 1.0, "kappa": 0.0}


def droppable(known: Mapping[str, ConditionSpec]) -> dict[str, ConditionSpec]:
    """The conditions that may be dropped, for guidance: all but how an example was augmented, a second time, and what a
    network is always told.
    """
    return {k: one for k, one in known.items() if k not in ("augment", "until") and one.missing is not None}


def check_loss(config: Config, spec: DataSpec, known: Mapping[str, ConditionSpec]) -> None:
    """Refuse a loss whose decoder is of other levels than the data has, or whose guidance has nothing to follow.

    Args:
      known: what the network can be told.
    """
    loss = config["loss"]
    made, name = LOSS.find(loss), in_words(loss["name"])
    if made in DECODED:
        _check_levels(name, loss.get("levels", 256), spec)
    asked = [(f"loss.{k}", loss[k]) for k, usual in UNGUIDED.items() if loss.get(k, usual) != usual]
    asked += [("train.guidance", scales)] if (scales := config["train"].get("guidance")) else []
    if not asked or made not in LOSS.known.values():
        return
    said = f"{asked[0][0]}={asked[0][1]}"
    if not droppable(known):
        raise InputError(f"{said}: guides, and the network is told no condition to follow: leave it out")
    away = 1 - loss.get("omega", 1.0) - loss.get("kappa", 0.0)
    if made is mean_flow_loss and abs(away) > 1e-6 and not config["train"]["cond_dropout"]:
        raise InputError(
            f"{said}: leads away from the network without its condition, which it never learns: set "
            "train.cond_dropout, such as 0.1, or omega and kappa that sum to 1"
        )


def _check_levels(name: str, levels: int, spec: DataSpec) -> None:
    if (spec.low, spec.high) != (-1, 1):
        raise InputError(f"loss {name!r}: is of data from -1 to 1, not {spec.low} to {spec.high}: take diffusion")
    if spec.levels is not None and spec.levels != levels:
        raise InputError(f"loss.levels={levels}: this data has {spec.levels}, set it to that")
