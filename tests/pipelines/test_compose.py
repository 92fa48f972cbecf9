"""Several models at once, each of them exact: see tests/helpers/models.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import pipelines
from jaxdiff.config.sampling import Bound
from jaxdiff.errors import InputError
from jaxdiff.gaussian import grids
from jaxdiff.gaussian.mixture import gaussian_mixture, mixture_log_density
from jaxdiff.gaussian.schedules import cosine, flow, ncsn, vp
from jaxdiff.modalities.audio.spec import audio_spec
from jaxdiff.modalities.images.low_resolution import as_condition
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.ends import Ends
from jaxdiff.types import Codec, class_label
from tests.helpers.cases import refused
from tests.helpers.models import MEANS, PATH, SHAPE, STD, TRACES, N, a_model, conditional

pytestmark = pytest.mark.usefixtures("quick_compilation")


def classifier(process):
    """The exact one of the two components, for another process than the model's."""

    def bind(params):
        def log_p(x_t, t):
            of = [mixture_log_density(process, np.ones(1), MEANS[k][None], np.full((1, *SHAPE), STD)) for k in (0, 1)]
            return params * jax.nn.log_softmax(jnp.stack([density(x_t, t) for density in of], axis=1), axis=1)

        return log_p

    return Classifier(jnp.ones(()), bind, process, image_spec(SHAPE), 2)


@pytest.mark.system
@pytest.mark.parametrize("process", [vp(), cosine()], ids=["its own process", "another"])
def test_an_exact_classifier_makes_an_unconditional_model_conditional(process):
    labels, key = np.repeat([0, 1], N // 2), jax.random.key(0)
    drawn = pipelines.guide(a_model(steps=50), key, N, classifier(process), labels)
    np.testing.assert_allclose(drawn, a_model(2, 50).sample(key, N, condition=labels), atol=2e-3)


@pytest.mark.system
def test_an_exact_classifier_guides_along_a_path_that_begins_without_data():
    """Where alpha = 0: the flow, led by a classifier for a chain that never gets there."""

    def unknowing(params, condition):
        return Bound(flow(), gaussian_mixture(flow(), np.ones(2), MEANS, np.full((2, 1, 1, 1), STD)))

    model = dataclasses.replace(a_model(), bind=unknowing, path=flow(), grid=lambda n: grids.uniform(n, 1.0, 0.0))
    drawn = pipelines.guide(model, jax.random.key(0), N, classifier(vp()), 1, sampler="ddim", steps=100)
    np.testing.assert_allclose(np.mean(drawn, 0), MEANS[1], atol=0.03)
    np.testing.assert_allclose(np.std(drawn, 0), STD, rtol=0.1)


@pytest.mark.system
def test_latents_are_decoded_and_are_no_pixels():
    """Though they may have the shape of pixels."""
    codec, key = Codec(lambda x: x / 2, lambda z: 2 * z), jax.random.key(0)
    model = dataclasses.replace(a_model(steps=4), ends=Ends(codec=codec, pictures=image_spec(SHAPE)))
    plain = model.sample(key, 3)
    np.testing.assert_allclose(pipelines.autoguide(model, key, 3, model, 1.0), plain, atol=1e-5)
    np.testing.assert_allclose(pipelines.guide(model, key, 3, classifier(vp()), 0, 0.0), plain, atol=1e-5)
    x = np.zeros((2, *SHAPE), np.float32)
    tasks = {
        "img2img": lambda: pipelines.img2img(model, key, x),
        "inpaint": lambda: pipelines.inpaint(model, key, x, x),
        "restore": lambda: pipelines.restore(model, key, x, "blur", kernel=np.ones((1, 1))),
    }
    for task in tasks.values():
        with refused("for models of pixels, and this one draws latents"):
            task()


@pytest.mark.system
def test_at_scale_0_a_classifier_changes_nothing_and_scales_are_traced():
    model, labels, its = a_model(steps=20), np.zeros(8, int), classifier(vp())
    plain = model.sample(jax.random.key(0), 8)
    for scale in (0.0, 1.0):
        TRACES.clear()
        drawn = pipelines.guide(model, jax.random.key(0), len(labels), its, labels, scale)
        assert (np.abs(np.asarray(drawn) - plain).max() > 1e-3) == (scale > 0)
    assert not TRACES  # of the second


def narrow(std):
    def bind(params, condition):
        stds = np.full((1, *SHAPE), std) * params
        return Bound(PATH, gaussian_mixture(vp(), np.ones(1), np.zeros((1, *SHAPE)), stds))

    return dataclasses.replace(a_model(), params=jnp.ones(()), bind=bind)


@pytest.mark.slow
def test_autoguidance_leads_away_from_the_worse_model():
    """At scale 1 the model itself, bit for bit; above, Gaussians whose wider version is led away from get narrower."""
    good, worse, key = narrow(0.3), narrow(0.6), jax.random.key(0)
    np.testing.assert_array_equal(pipelines.autoguide(good, key, N, worse, 1.0), good.sample(key, N))
    stds = [np.std(pipelines.autoguide(good, key, N, worse, scale)) for scale in (1.0, 1.5, 2.0)]
    assert stds[0] > stds[1] + 0.02 > stds[2] + 0.04


def test_a_classifier_of_other_data_and_stages_that_know_other_classes_are_refused():
    """Latents may have the shape of the pictures that a classifier knows, and classes the numbers of others."""
    plain = a_model()
    latents = dataclasses.replace(plain, spec=plain.spec._replace(details={"autoencoder": {"sha256": "0"}}))
    with refused(r"guide: the classifier: is of other data \(autoencoder\)"):
        pipelines.guide(latents, jax.random.key(0), 2, classifier(vp()))
    named = lambda model, *names: dataclasses.replace(
        model,
        conditions=model.conditions | {"label": class_label(2)},
        spec=model.spec._replace(details={"classes": names}),
    )
    with refused("the models know the classes cat, dog and dog, cat"):
        pipelines.cascade(named(dot(), "cat", "dog"), jax.random.key(0), 2, [named(conditional(2), "dog", "cat")])


def test_a_worse_model_of_other_data_is_refused():
    """Of other classes, where it is told these, or of other units: it would lead away from something else."""
    key, model = jax.random.key(0), a_model(2)
    named = lambda *classes, told=2: dataclasses.replace(a_model(told), spec=image_spec(SHAPE, None, classes))
    other, ours = named("dog", "cat"), dataclasses.replace(model, spec=image_spec(SHAPE, None, ("cat", "dog")))
    with refused(r"autoguide: the worse model: is of other data \(classes\)"):
        pipelines.autoguide(ours, key, 2, other)
    assert np.isfinite(pipelines.autoguide(ours, key, 2, named("dog", "cat", told=0), steps=2)).all()
    sound = lambda scale: dataclasses.replace(a_model(), spec=audio_spec((4, 1), 8000, scale))
    with refused(r"is of other data \(scale\)"):
        pipelines.autoguide(sound(0.1), key, 2, sound(0.2))


def dot():
    """Single pixels around 0.4."""

    def bind(params, condition):
        return Bound(PATH, gaussian_mixture(vp(), np.ones(1), np.full((1, 1, 1, 1), 0.4), np.full((1, 1, 1, 1), 0.05)))

    return dataclasses.replace(a_model(), spec=image_spec((1, 1, 1)), bind=bind)


@pytest.mark.slow
def test_a_worse_model_is_told_all_that_it_knows_of():
    """Led away from itself under the same condition, a model is itself, whatever the condition is."""
    key, model = jax.random.key(0), conditional()
    told = as_condition(key, jnp.full((4, 1, 1, 1), 0.4), 2, jnp.full(4, 0.1))
    led = pipelines.autoguide(model, key, 4, model, 3.0, told, steps=3)
    np.testing.assert_allclose(led, model.sample(key, 4, condition=told, steps=3), atol=1e-5)
    unknown = pipelines.autoguide(a_model(2), key, 4, a_model(2), 3.0, {}, steps=3)
    np.testing.assert_allclose(unknown, a_model(2).sample(key, 4, condition={}, steps=3), atol=1e-5)
    with pytest.raises(InputError, match=r"is told .'low_res', 'low_res_noise'., and the other .* is told \[\]"):
        pipelines.autoguide(a_model(), key, 4, model)


@pytest.mark.system
def test_small_images_are_real_and_one_class_is_that_of_all():
    key, small = jax.random.key(0), np.full((3, 1, 1, 1), 0.4, np.float32)
    with pytest.raises(InputError, match="images of uint8: must be finite real numbers"):
        pipelines.upscale(conditional(), key, np.uint8(small * 255))
    one, each = (pipelines.upscale(conditional(2), key, small, condition=c, steps=3) for c in (1, [1, 1, 1]))
    np.testing.assert_array_equal(one, each)


@pytest.mark.slow
def test_a_cascade_adds_no_more_noise_than_its_models_were_trained_with():
    draw = lambda most, **noise: pipelines.cascade(
        dot(), jax.random.key(0), 4, [dataclasses.replace(conditional(), low_res_noise=most)], steps=3, **noise
    )[1]
    np.testing.assert_array_equal(draw(0.0), draw(0.3, noise=0.0))
    np.testing.assert_array_equal(draw(0.3), draw(np.inf, noise=0.1))
    with pytest.raises(InputError, match="added=0.4: this model was trained to enlarge images with noise up to 0.3"):
        draw(0.3, noise=0.4)


@pytest.mark.system
def test_a_cascade_hands_each_stage_to_the_next_with_noise():
    """A first model of single pixels at 0.4, then one whose images are what it is told, wider the more noise."""
    first = dot()
    small, large = pipelines.cascade(first, jax.random.key(0), N, [conditional()], noise=0.2)
    assert (small.shape, large.shape) == ((N, 1, 1, 1), (N, *SHAPE))
    np.testing.assert_allclose(np.mean(large, 0), 0.4, atol=0.03)
    np.testing.assert_allclose(np.std(large - small), np.hypot(0.2, 0.1 + 0.2 * 0.2), rtol=0.08)
    with pytest.raises(InputError, match=r"model 1 draws images of \(2, 2, 1\), and model 2 upscales images of \(1,"):
        pipelines.cascade(a_model(), jax.random.key(0), 4, [conditional()])
    with pytest.raises(InputError, match="model 2 does not upscale"):
        pipelines.cascade(first, jax.random.key(0), 4, [a_model()])


@pytest.mark.statistical
def test_what_several_models_draw_does_not_depend_on_the_batch():
    key, its, labels = jax.random.key(0), classifier(vp()), np.array([0, 1, 0, 1, 0])
    for draw in (
        lambda n, i: pipelines.guide(a_model(steps=3), key, n, its, labels[i : i + n], first=i),
        lambda n, i: pipelines.autoguide(a_model(2, 3), key, n, a_model(2), first=i),
        lambda n, i: pipelines.cascade(dot(), key, n, [conditional()], first=i, steps=3)[1],
    ):
        np.testing.assert_allclose(draw(3, 2), draw(5, 0)[2:], atol=1e-5)


def test_bad_input_is_one_line():
    key, its = jax.random.key(0), classifier(vp())
    with pytest.raises(
        InputError, match="the classifier: knows noise levels .* to 1, and the way of sampling has some"
    ):
        pipelines.guide(a_model(), key, 1, classifier(ncsn(10, 0.01, 1.0)), [0])
    with pytest.raises(InputError, match="must be 2 class labels from 0 to 1"):
        pipelines.guide(a_model(), key, 2, its, [0, 2])
    with pytest.raises(InputError, match=r"of images of \(4, 4, 1\) cannot guide a model of \(2, 2, 1\)"):
        pipelines.guide(a_model(), key, 1, dataclasses.replace(its, spec=image_spec((4, 4, 1))))
    with pytest.raises(InputError, match="scale=nan: must be a finite number"):
        pipelines.guide(a_model(), key, 1, its, 0, float("nan"))
    with pytest.raises(InputError, match="autoguide: the worse model draws images of"):
        pipelines.autoguide(a_model(), key, 2, a_model(2))
