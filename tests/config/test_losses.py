"""What a loss asks of the data and of the condition."""

import pytest

from jaxdiff.config.build.losses import check_loss
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import ConditionSpec, Spec, class_label
from tests.helpers.cases import refused

LABEL = {"label": class_label(3)}
AUGMENTED = {"augment": ConditionSpec((9,))}
FLOW = {"name": "mean_flow", "omega": 0.5}


def a_config(loss, cond_dropout=0.0):
    return {"loss": loss, "train": {"cond_dropout": cond_dropout}}


@pytest.mark.parametrize("name", ["hybrid", "bound"])
def test_a_decoder_is_of_the_levels_of_the_data(name):
    """Of 17 levels a bin is 1/8 wide, and of 256 levels 1/128: each probability would be another."""
    for levels, data in ((17, 17), (256, 256), (256, None)):
        check_loss(a_config({"name": name, "levels": levels}), image_spec((8, 8, 1), data), {})
    with refused("loss.levels=256: this data has 17, set it to that"):
        check_loss(a_config({"name": name}), image_spec((8, 8, 1), 17), {})
    with refused("is of data from -1 to 1, not None to None"):
        check_loss(a_config({"name": name}), Spec((2,), "tables"), {})
    check_loss(a_config({"name": "diffusion"}), Spec((2,), "tables"), {})
    check_loss(a_config({"name": "shortcut", "levels": 7}), image_spec((8, 8, 1), 17), {})


def test_guidance_of_a_student_needs_a_condition():
    spec = image_spec((8, 8, 1))
    for loss in ({"name": "dmd", "guidance": 3.0}, {**FLOW, "kappa": 0.5}):
        check_loss(a_config(loss), spec, LABEL)
        for known in ({}, AUGMENTED):
            with refused("guides, and the network is told no condition to follow"):
                check_loss(a_config(loss), spec, known)
    check_loss(a_config({"name": "dmd", "guidance": 1.0}), spec, {})


def test_guidance_inside_mean_flow_needs_the_network_without_its_condition():
    spec = image_spec((8, 8, 1))
    check_loss(a_config(FLOW, 0.1), spec, LABEL)
    check_loss(a_config({**FLOW, "kappa": 0.5}), spec, LABEL)  # which leads away from nothing
    with refused("loss.omega=0.5: leads away from the network without its condition, which it never learns"):
        check_loss(a_config(FLOW), spec, LABEL)
