import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.cli.preview import levels_of
from jaxdiff.errors import InputError
from jaxdiff.gaussian.parameterization import eps
from jaxdiff.gaussian.process import perturb
from jaxdiff.gaussian.schedules import ncsn, ve, vp
from jaxdiff.guidance.classifier import make_bind, of_class
from jaxdiff.losses.classification import classification_loss
from jaxdiff.losses.times import uniform
from jaxdiff.nets import Classifier as Network
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.classifier import Classifier, accuracy
from jaxdiff.types import Batch, Spec
from tests.helpers.configs import SPEC, get_config

MEANS = np.array([[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0]])


def logits(params, x, t, condition=None, key=None):
    """Of three round Gaussians, as if there were no noise."""
    return -params * jnp.sum((x[:, None] - MEANS) ** 2, axis=2) / 2


@pytest.mark.system
def test_the_loss_is_the_cross_entropy_of_noisy_examples(rng):
    x_0, label, key = jnp.asarray(rng.normal(size=(6, 2))), np.array([0, 1, 2, 0, 1, 2]), jax.random.key(3)
    loss, metrics = classification_loss(vp(), eps(), logits, uniform())(0.7, key, Batch(x_0, {"label": label}))
    key_t, key_eps, _ = jax.random.split(key, 3)
    x_t, _ = perturb(vp(), key_eps, x_0, uniform()(vp(), key_t, 6))
    scores = -0.7 * ((np.asarray(x_t, np.float64)[:, None] - MEANS) ** 2).sum(2) / 2
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(loss, -np.log(p[np.arange(6), label]).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], (scores.argmax(1) == label).mean())


def test_its_answers_are_log_probabilities_of_which_one_is_picked(rng):
    x = jnp.asarray(rng.normal(size=(5, 2)))
    log_p = make_bind(vp(), eps(), logits)(1.0)
    np.testing.assert_allclose(np.exp(log_p(x, 0.5)).sum(1), 1, rtol=1e-5)
    label = jnp.array([0, 2, 1, 1, 0])
    np.testing.assert_array_equal(of_class(log_p, label)(x, 0.5), log_p(x, 0.5)[np.arange(5), label])


def test_accuracy_falls_with_the_noise(rng):
    label = rng.integers(0, 3, 3000)
    x_0 = jnp.asarray(MEANS[label] + 0.3 * rng.normal(size=(3000, 2)), jnp.float32)
    classifier = Classifier(1.0, make_bind(vp(), eps(), logits), vp(), Spec((2,), "tables"), 3)
    batch = Batch(x_0, {"label": jnp.asarray(label)})
    clear, faint, none = accuracy(classifier, 1.0, jax.random.key(0), batch, jnp.array([0.01, 2.0, 100.0]))
    assert clear > 0.99
    assert 0.5 < faint < 0.95
    np.testing.assert_allclose(none, 1 / 3, atol=0.05)


def test_it_is_measured_at_the_levels_that_its_process_has():
    """Above its highest it would be asked there once more, and its accuracy count twice."""
    np.testing.assert_allclose(levels_of(vp()), np.geomspace(0.02, 50, 12))
    few = levels_of(ncsn(10, 0.05, 1.0))
    assert few[0] == 0.02  # towards t = 0 its noise falls on to 0
    assert 0.6 < few[-1] < 1
    assert 0.08 < levels_of(ve(0.05, 1.0))[0] < 0.1


@pytest.mark.system
def test_a_fresh_network_finds_all_classes_alike_and_a_bad_size_is_refused():
    net = Network(num_classes=4, channels=32, multipliers=(1, 2), blocks=1, attention=(4,), groups=16)
    x, t = jax.random.normal(jax.random.key(1), (2, 8, 8, 1)), jnp.array([3.0, 700.0])
    params = jax.jit(net.init)(jax.random.key(0), x, t)
    np.testing.assert_array_equal(net.apply(params, x, t), np.zeros((2, 4)))
    for shape, options, message in (
        ((1, 7, 8, 1), {}, "an image of 7x8: its sides must be divisible by 2"),
        ((1, 8, 8, 1), {"attention": (3,)}, r"attention at \[3\] never happens"),
        ((1, 8, 8, 1), {"groups": 24}, r"widths \[32, 64\] are not multiples"),
    ):
        broken = net.clone(**options)
        with pytest.raises(InputError, match=message):
            jax.eval_shape(broken.init, jax.random.key(0), jnp.zeros(shape), jnp.zeros(1))


def changed(**values):
    config = get_config("digits", "classifier")
    for path, value in values.items():
        part, name = path.split("__")
        config[part][name] = value
    return config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(loss__name="diffusion"), "net 'classifier' returns .* loss 'diffusion' needs one like x"),
        (changed(train__cond_dropout=0.1), "net 'classifier' is told no condition"),
        (changed(net__vectors={"a": 9}), "unknown argument of net 'classifier'.*vectors"),
        (changed(process__name="learned"), "unknown argument"),
    ],
)
def test_what_a_classifier_cannot_be_is_refused(config, message):
    with pytest.raises(InputError, match=message):
        experiment.build(config, SPEC)


def test_it_needs_labels():
    parts = experiment.build(changed(), SPEC)
    with pytest.raises(InputError, match="needs labels"):
        jax.eval_shape(parts.loss_fn, parts.model.params, jax.random.key(0), Batch(jnp.zeros((2, 8, 8, 1))))


@pytest.mark.system
def test_examples_of_unknown_class_teach_nothing():
    logits = lambda params, x, t, condition=None, key=None: jnp.broadcast_to(jnp.arange(3.0), (len(x), 3))
    loss = classification_loss(vp(), eps(), logits, uniform())
    of = lambda *label: loss(0, jax.random.key(0), Batch(jnp.zeros((4, 2)), {"label": jnp.array(label)}))
    for some, all_known in zip(jax.tree.leaves(of(-1, 0, 2, -1)), jax.tree.leaves(of(0, 2, 0, 2)), strict=True):
        np.testing.assert_allclose(some, all_known, rtol=1e-6)
    assert of(-1, -1, -1, -1)[0] == 0
    log_p = lambda x, t: jnp.log(jnp.array([[0.2, 0.8], [0.3, 0.7]]))
    np.testing.assert_allclose(of_class(log_p, jnp.array([-1, 0]))(None, None), [0, np.log(0.3)], rtol=1e-6)
