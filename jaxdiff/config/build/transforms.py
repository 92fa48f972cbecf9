"""Transforms of the examples of a training: augmentation, a small image beside, dropping the condition."""

from jaxdiff.config.build.data import Config
from jaxdiff.errors import InputError
from jaxdiff.transforms import augment, dropout
from jaxdiff.transforms import low_resolution as enlarge
from jaxdiff.types import LossFn, StatefulLoss


def prepared(loss_fn: LossFn | StatefulLoss, config: Config, shape: tuple[int, ...]) -> LossFn | StatefulLoss:
    """The loss of examples that are augmented, known in small, or without their condition, at random."""
    train, net = config["train"], config["net"]
    rate, factor = train["augment"], train["enlarge"]
    if net["name"] == "classifier" and (rate or factor > 1 or train["drop_condition"]):
        raise InputError(
            "a classifier has no condition: set train.augment=0, train.enlarge=1 and train.drop_condition=0"
        )
    if rate and factor > 1:
        raise InputError(f"train.augment={rate} and train.enlarge={factor}: choose one, as both need net.vector")
    if rate and net.get("vector") != augment.WIDTH:
        raise InputError(f"train.augment={rate} tells the network what was done: set net.vector={augment.WIDTH}")
    if factor > 1 and (net.get("vector"), net.get("image")) != (enlarge.WIDTH, shape[2]):
        raise InputError(
            f"train.enlarge={factor} tells the network the small image and its noise: set net.image={shape[2]} and "
            f"net.vector={enlarge.WIDTH}"
        )
    if factor == 1 and train["enlarge_noise"]:
        raise InputError(f"train.enlarge_noise={train['enlarge_noise']}: goes with train.enlarge above 1: set it, or 0")
    if shape[0] % factor or shape[1] % factor:
        raise InputError(f"train.enlarge={factor}: must divide the sides of {shape[0]}x{shape[1]} images")
    # How an example was augmented is told also where its condition is dropped; a small image is dropped with its noise.
    dropped = dropout.drop_condition(augment.augmented(loss_fn, rate), train["drop_condition"])
    return enlarge.enlarging(dropped, factor, train["enlarge_noise"])
