"""Transforms of a training's batches: augmentation, a small image beside, dropping the condition."""

from collections.abc import Mapping

from jaxdiff.config.build.data import Config
from jaxdiff.config.build.losses import droppable
from jaxdiff.config.parts import LOSS
from jaxdiff.errors import InputError
from jaxdiff.modalities import require
from jaxdiff.modalities.images import augment, controls, low_resolution
from jaxdiff.modalities.images.coded import require_pixels
from jaxdiff.transforms.dropout import condition_dropout
from jaxdiff.transforms.rotation import rotated
from jaxdiff.transforms.scale import SPEC, scaled
from jaxdiff.types import ConditionSpec, Spec, Transform

__all__ = ["make_transforms", "scales_of", "transform_conditions"]


def transform_conditions(config: Config, spec: Spec) -> dict[str, ConditionSpec]:
    """The conditions that the transforms of a configuration add to each example."""
    train = config["train"]
    for name, none in (("augment", 0), ("upscale", 1), ("control", "")):
        if train.get(name, none) != none:
            require("images", spec, f"train.{name}={train[name]}")
            require_pixels(spec, f"train.{name}={train[name]}")
    told = {"augment": augment.SPEC} if train["augment"] else {}
    told |= low_resolution.specs(spec.shape) if train["upscale"] > 1 else {}
    told |= controls.specs(spec.shape) if train.get("control") else {}
    return told | ({"guidance": SPEC} if scales_of(config) else {})


def scales_of(config: Config) -> tuple[float, float] | None:
    """The scales of guidance between which a student learns all; None of one scale.

    Raises:
      InputError: they are no range, or the loss guides no teacher, or by a scale of its own.
    """
    if not (scales := tuple(config["train"].get("guidance", ()))):
        return None
    said = f"train.guidance={scales}"
    if len(scales) != 2 or scales[0] >= scales[1]:
        raise InputError(f"{said}: must be the least and the greatest scale, such as (1, 4)")
    if "guidance" not in LOSS.arguments(config["loss"]):
        raise InputError(f"{said}: goes with a loss that guides a teacher, such as progressive: leave it out")
    if config["loss"].get("guidance", 1.0) != 1:
        raise InputError(f"{said}: goes with loss.guidance=1, and this is {config['loss']['guidance']}: leave one out")
    return scales[0], scales[1]


def make_transforms(config: Config, spec: Spec, known: Mapping[str, ConditionSpec]) -> list[Transform]:
    """Make the transforms of a batch before its loss.

    Args:
      known: what the network can be told.

    A small image and a control are those of the augmented one, and how it was augmented is told also where its
    condition is dropped.
    """
    train, net = config["train"], config["net"]["name"]
    rate, factor = train["augment"], train["upscale"]
    if factor == 1 and train["low_res_noise"]:
        raise InputError(f"train.low_res_noise={train['low_res_noise']}: goes with train.upscale above 1: set it, or 0")
    if factor > 1:
        low_resolution.check_factor(spec.shape, factor)
    dropped = droppable(known)
    if train["cond_dropout"] and not dropped:
        raise InputError(
            f"train.cond_dropout={train['cond_dropout']}: net {net!r} is told no condition: set it to 0, or "
            "net.num_classes"
        )
    steps = [augment.augmented(rate)] if rate else []
    if train.get("rotate"):
        require("molecules", spec, "train.rotate=True")
        steps.append(rotated())
    steps += [low_resolution.low_resolution(factor, train["low_res_noise"])] if factor > 1 else []
    steps += [controls.controlled(train["control"])] if train.get("control") else []
    if scales := scales_of(config):
        steps.append(scaled(*scales))
    return steps + ([condition_dropout(train["cond_dropout"], dropped)] if train["cond_dropout"] else [])
