"""Options of sampling that mean nothing."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
import pytest

from jaxdiff.config.schema import RANGES
from jaxdiff.nets import UNet
from jaxdiff.pipelines.draw import make_draw
from tests.helpers.cases import each, refused
from tests.helpers.options import ASKED, TAKES


@pytest.mark.parametrize(("name", "value"), each(ASKED))
def test_what_cannot_be_sampled_is_refused(model, name, value):
    asked = {"n": 2, "frames": 2, "steps": 5, "sampler": TAKES.get(name, "ddim"), name: value}
    with refused():
        model.trajectory(jax.random.key(0), **asked)


def test_every_argument_of_the_network_has_a_range():
    for field in dataclasses.fields(UNet):
        if field.type in (int, float, Sequence[int]):
            assert field.name in RANGES["net"]["unet"], field.name


def test_a_whole_number_may_be_written_as_a_real_one(model):
    compiled = make_draw(model.bind, model.path, model.mesh)
    draw = lambda order: jax.eval_shape(lambda p: compiled(p, *draw_with(order)), model.params)

    def draw_with(order):
        name, fixed, traced = model._chosen("deis", {"order": order})
        times = model.grid(5)
        keep = np.zeros(0, np.int32)
        return jax.random.key(0), times, keep, (None, None), traced, name, fixed, False, (2, 8, 8, 1)

    assert draw(2.0)[0].shape == draw(2)[0].shape == (2, 8, 8, 1)
