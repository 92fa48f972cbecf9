"""What a run draws, class by class and from any place."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxdiff.cli import evaluate as command
from jaxdiff.data.source import Source
from jaxdiff.evaluation.evaluate import featured
from jaxdiff.evaluation.features import find_features
from jaxdiff.evaluation.sets import Examples, first, held, labels_like, of_model, of_source
from jaxdiff.modalities.images import digits
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch
from tests.helpers.cases import refused
from tests.helpers.models import MEANS, a_model

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.system
def test_what_a_model_draws_goes_on_where_it_was_killed(how, tmp_path, cache):
    model = a_model(steps=3)
    how = how._replace(features=[find_features("pixels", model.spec)], seeds=0, groups=0)
    whole = of_model(model, 60, 16, 3, {"workdir": "run"}, sampler="ddim")
    assert whole.told["sampler"] == "ddim"
    assert (whole.told["steps"], whole.told["seed"]) == (3, 3)
    asked = []

    def torn(start):
        asked.append(start)
        for i, batch in enumerate(whole.batches(start)):
            if len(asked) == 1 and i == 2:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        featured(whole._replace(batches=torn), how, tmp_path / "work")
    again, _ = featured(whole._replace(batches=torn), how, tmp_path / "work")
    at_once, _ = featured(whole, how, tmp_path / "other")
    assert asked == [0, 32]
    np.testing.assert_allclose(again["pixels"]["features"], at_once["pixels"]["features"], atol=1e-6)
    x = model.sample(jax.random.key(3), 60, sampler="ddim")
    np.testing.assert_allclose(at_once["pixels"]["features"], np.asarray(x).reshape(60, -1), atol=0.005)


def test_examples_of_one_class_alone():
    source = digits("test")
    some = of_source(source, "digits", 3)
    labels = source.take(np.arange(source.size)).condition["label"]
    np.testing.assert_array_equal(first(some, some.size), source.take(np.flatnonzero(labels == 3)).x_0)
    assert next(some.batches(5)).shape[0] == some.size - 5
    assert some.told != of_source(source, "digits", 4).told
    with refused("--label 12: digits has no example of this class"):
        of_source(source, "digits", 12)


def test_labels_have_the_shares_of_the_data():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], [900, 90, 10]))
    source = Source(1000, image_spec((2, 2, 1)), lambda indices: Batch(None), labels=lambda: labels)
    drawn = labels_like(source, 2000, seed=5)
    for n in (200, 2000):  # each first part, too
        np.testing.assert_allclose(np.bincount(drawn[:n]) / n, [0.9, 0.09, 0, 0.01], atol=2 / n)
    np.testing.assert_array_equal(labels_like(source, 300, seed=5), drawn[:300])
    assert (labels_like(source, 2000, seed=6) != drawn).any()
    untold = source._replace(labels=None, take=lambda indices: Batch(None, {"label": labels[indices]}))
    np.testing.assert_array_equal(labels_like(untold, 2000, seed=5), drawn)


@pytest.mark.system
def test_a_model_is_told_the_labels_in_any_batch_and_from_any_place():
    model, labels = a_model(classes=2, steps=1), np.array([0, 0, 1, 0, 0, 0, 1])
    drawn = lambda start, batch: np.concatenate([*of_model(model, 7, batch, 0, {}, labels).batches(start)])
    whole = drawn(0, 7)
    np.testing.assert_array_equal(np.square(whole - MEANS[0]).sum((1, 2, 3)) > 1, labels)
    np.testing.assert_allclose(drawn(0, 3), whole, atol=1e-6)
    np.testing.assert_allclose(drawn(4, 3), whole[4:], atol=1e-6)
    assert of_model(model, 7, 7, 0, {}, labels).told != of_model(model, 7, 7, 0, {}, 1 - labels).told


def test_a_run_draws_each_class_as_often_as_its_data_has_it(monkeypatch):
    found = {}
    monkeypatch.setattr(
        command, "of_model", lambda model, n, batch, seed, told, labels, **_: found.update(labels=labels)
    )
    model = dataclasses.replace(a_model(classes=10), spec=digits("all").spec)
    rare = lambda config: digits("all")._replace(labels=lambda: np.repeat(np.int32([0, 7]), [1700, 97]))
    monkeypatch.setattr(command.build, "source", rare)
    line = ["--workdir", "run", "--num", "500"]
    command.drawn(command.make_parser().parse_args(line), Path("run"), {}, model)
    np.testing.assert_array_equal(np.bincount(found["labels"]) > 0, np.arange(8) % 7 == 0)
    assert abs((found["labels"] == 7).mean() - 97 / 1797) < 0.005
    command.drawn(command.make_parser().parse_args([*line, "--label", "7"]), Path("run"), {}, model)
    assert found["labels"] is None


def test_what_is_held_is_made_once():
    made = []

    def batches(start):
        for i in range(start, 10, 4):
            made.append(i)
            yield np.arange(i, min(i + 4, 10))

    examples = held(Examples(10, image_spec((2, 2, 1)), {}, batches), 5)
    rest = lambda start: np.concatenate([*examples.batches(start)]).tolist()
    assert first(examples, 2).tolist() == [0, 1]
    assert rest(0) == [*range(10)]
    assert made == [0, 4, 8]
    assert rest(3) == [*range(3, 10)]
    assert first(examples, 6).tolist() == [*range(6)]
    assert made == [0, 4, 8, 8]
    assert rest(9) == [9]


def test_what_is_told_of_a_model_tells_how_it_draws_by_itself():
    model = a_model(steps=3)
    told = lambda model: of_model(model, 4, 4, 0, {}).told
    assert told(model) == told(a_model(steps=3))
    changes = [{"options": {"clip": 1.0}}, {"sampler": {"name": "ancestral", "temperature": 0.5}}]
    for change in [*changes, {"grid": lambda steps: np.linspace(0.9, 0, steps + 1)}]:
        assert told(dataclasses.replace(model, **change)) != told(model)
