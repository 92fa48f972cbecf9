"""Calls from Python that are refused, each in one line."""

import numpy as np
import optax
import pytest

import jaxdiff
from jaxdiff.api.step import OF_STEP
from jaxdiff.config.schema import FIELDS
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.memory import image_array
from tests.helpers.api import IMAGES, LABELS, TEN, Small, plain

WRONG = {
    "range": (lambda: jaxdiff.train((IMAGES + 1) / 2), "say which range they are in"),
    "outside": (lambda: jaxdiff.train(IMAGES * 2), r"outside the range \(-1, 1\)"),
    "channels first": (lambda: jaxdiff.train(IMAGES.transpose(0, 3, 1, 2).repeat(3, 1)), "the channels come last"),
    "integers": (lambda: jaxdiff.train(LABELS.reshape(10, 2, 2)), "must be uint8"),
    "labels": (lambda: jaxdiff.train(IMAGES, labels=[1, 2]), r"labels of shape \(2,\): must be \(40,\)"),
    "argument": (lambda: jaxdiff.train(IMAGES, bach_size=3), "batch_size"),
    "field": (lambda: jaxdiff.train(IMAGES, fields={"train.bach_size": 3}), "batch_size"),
    "section": (lambda: jaxdiff.train(IMAGES, fields={"trian.steps": 3}), "config.trian"),
    "argument of its own": (lambda: jaxdiff.train(IMAGES, step=2), "unknown argument 'step' .did you mean 'steps'"),
    "path": (lambda: jaxdiff.train("nowhere.zip"), "must be a folder"),
    "labels of a path": (lambda: jaxdiff.train("x.npy", labels=[1]), "labels: go with images in memory"),
    "two rates": (lambda: jaxdiff.train(IMAGES, optimizer=optax.sgd(1), learning_rate=1), "has its own"),
    "weight": (
        lambda: jaxdiff.train(IMAGES, net=Small(), weight=lambda gamma=5: None),
        "loss weight .* must be a function that returns .process, parameterization, t.",
    ),
    "labels that nobody reads": (lambda: jaxdiff.train(IMAGES, labels=LABELS, net=Small()), "is told no classes"),
    "no labels": (lambda: jaxdiff.train(IMAGES, labels=[None] * 40), "whole numbers from 0, or texts"),
    "a field of a part": (
        lambda: jaxdiff.train(IMAGES, net=Small(), fields={"net.channels": 8}),
        "net is given, and replaces 'net.channels': leave one",
    ),
    "a field of an optimizer": (
        lambda: jaxdiff.train(IMAGES, optimizer=optax.sgd(1), fields={"optimizer.warmup": 5}),
        "optimizer is given, and replaces 'optimizer.warmup'",
    ),
    "a field of a sampler": (
        lambda: jaxdiff.train(IMAGES, sampler="ddim", fields={"sample.sampler.eta": 0.5}),
        "replaces 'sample.sampler.eta': .* sampler=.'name': ..., 'eta': ...",
    ),
    "steps twice": (lambda: jaxdiff.train(IMAGES, 2, fields=TEN), "steps: is given as the field 'train.steps'"),
    "a field twice": (lambda: jaxdiff.train(IMAGES, seed=1, fields={"seed": 2}), "seed: is given as the field 'seed'"),
    "names without labels": (lambda: jaxdiff.train(IMAGES, classes=["a", "b"]), "classes: are the names of labels"),
    "a name twice": (lambda: jaxdiff.train(IMAGES, labels=LABELS, classes=["a", "b", "a"]), "each its own name"),
    "a label of no class": (lambda: jaxdiff.train(IMAGES, labels=["a"] * 40, classes=["b"]), "'a' is none of the"),
    "one picture": (
        lambda: jaxdiff.train(IMAGES[..., 0].repeat(3, 2)[0][..., None].repeat(3, 2)),
        r"give images\[None",
    ),
    "what is no model": (lambda: jaxdiff.train(IMAGES, net=Small(), init=3), "give a model"),
    "what is no configuration": (lambda: jaxdiff.train(IMAGES, config=3), "must be a configuration"),
    "nothing": (lambda: jaxdiff.train(), "config=None: must be a configuration, such as 'ddpm'"),
    "an unknown configuration": (lambda: jaxdiff.train(config="ddmp"), "did you mean 'ddpm'"),
    "a configuration as data": (lambda: jaxdiff.train("ddpm:cifar10"), "is config='ddpm:cifar10'"),
    "a function without parameters": (lambda: jaxdiff.train(IMAGES, net=plain), "give .*function, params"),
    "network": (lambda: jaxdiff.train(IMAGES, net=lambda x, t: x), "net"),
    "freeze": (lambda: jaxdiff.train(IMAGES, net=Small(), freeze="Cnov*"), "begin with Conv_0, Conv_1, Dense_0"),
    "freeze all": (lambda: jaxdiff.train(IMAGES, net=Small(), freeze="*"), "leaves no parameter to train"),
    "init": (lambda: jaxdiff.train(IMAGES, net=Small(), init="nowhere"), "train.init=nowhere: no run"),
    "steps": (lambda: jaxdiff.train(IMAGES, -1), "config.train.steps=-1"),
    "weights that nobody loads": (
        lambda: jaxdiff.make_step((8, 8, 1), net=Small(), fields={"train.init": "runs/teacher"}),
        "train.init: a loop of one's own begins with the parameters of",
    ),
    "shape": (lambda: jaxdiff.make_step((8, 8)), "must be .height, width, channels."),
    "grey pictures": (lambda: jaxdiff.show(IMAGES[..., 0]), r"give images\[..., None\] if these are grey"),
    "picture": (lambda: jaxdiff.show(np.zeros((2, 2))), r"images of shape \(2, 2\)"),
}


@pytest.mark.parametrize("name", [*(name for name, field in FIELDS.items() if field.folder), "train.cpu_devices"])
def test_a_field_that_would_do_nothing_is_refused(name):
    value = {int: 7, bool: True, str: "held_out_mse"}[FIELDS[name].kind]
    with pytest.raises(InputError, match=f"^{name}.* is of "):
        jaxdiff.train(IMAGES, net=Small(), fields={name: value})


LOOP = [name for name in FIELDS if name.startswith(("train.", "debug.")) and name[6:] not in OF_STEP]


@pytest.mark.parametrize("name", [*LOOP, "data.flip", "held_out"])
def test_a_field_of_the_loop_is_refused_by_a_step(name):
    value = FIELDS[name].default if name in FIELDS else True
    with pytest.raises(InputError, match=f"^{name}: is of data or a loop"):
        jaxdiff.make_step((8, 8, 1), net=Small(), fields={name: value})


@pytest.mark.parametrize("part", ["data", "held_out"])
def test_data_is_refused_by_a_step(part):
    with pytest.raises(InputError, match=f"^{part}: is of data or a loop"):
        jaxdiff.make_step((8, 8, 1), net=Small(), **{part: image_array(IMAGES)})


def test_the_other_fields_are_taken_by_a_step():
    fields = {f"train.{name}": FIELDS[f"train.{name}"].default for name in OF_STEP}
    assert jaxdiff.make_step((8, 8, 1), net=Small(), fields=fields).told == frozenset()


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_are_refused(case):
    call, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
