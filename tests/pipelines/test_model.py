import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.config.sampling import SAMPLERS, Bound
from jaxdiff.errors import InputError
from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.parameterization import eps
from jaxdiff.gaussian.process import on, within
from jaxdiff.gaussian.schedules import edm, vp
from jaxdiff.gaussian.space import centered
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.nets.conditional_unet import ConditionalUNet
from jaxdiff.pipelines import latents
from jaxdiff.pipelines import model as models
from jaxdiff.pipelines.chosen import sampling
from jaxdiff.pipelines.draw import _bound as bound_of
from jaxdiff.pipelines.draw import make_draw
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import from_time
from jaxdiff.types import ConditionSpec, class_label
from tests.helpers.models import conditional
from tests.helpers.samplers import SAMPLERS as REGISTRY

pytestmark = pytest.mark.usefixtures("quick_compilation")

TRACES = []
PATH = vp()


def network(params, x, t, condition=None, key=None):
    TRACES.append(1)
    known = None if condition is None else condition["label"]
    shift = 0 if known is None else 1 + known[:, None, None, None]
    return params * x + t[:, None, None, None] / 1000 + 0.1 * shift


def bind(params, condition):
    return Bound(PATH, make_denoiser(PATH, eps(), network, params, condition))


@pytest.fixture
def model():
    make_draw.cache_clear()  # so that every test traces anew
    return Model(
        params=jnp.float32(0.3),
        spec=image_spec((4, 4, 1)),
        grid=grids.uniform,
        steps=20,
        sampler={"name": "ancestral", "variance": "fixed_large"},
        options={"clip": 1.0},
        bind=bind,
        path=PATH,
    )


@pytest.mark.system
def test_values_are_traced_and_structure_is_not(model):
    TRACES.clear()
    key = jax.random.key(0)
    first = model.sample(key, 3)
    assert len(TRACES) == 1
    np.testing.assert_array_equal(first, model.sample(key, 3))
    others = [
        model.sample(jax.random.key(1), 3),
        model.sample(key, 3, clip=0.5),
        model.sample(key, 3, temperature=0.5),
        dataclasses.replace(model, grid=lambda n: grids.uniform(n) ** 1.5).sample(key, 3),
        dataclasses.replace(model, params=jnp.float32(0.4)).sample(key, 3),
    ]
    assert len(TRACES) == 1
    assert all(jnp.abs(first - other).max() > 1e-4 for other in others)
    model.sample(key, 3, sampler="ddim", eta=0.1)
    model.sample(key, 3, sampler="ddim", eta=0.9)
    assert len(TRACES) == 2
    model.sample(key, 3, variance="fixed_small")
    assert len(TRACES) == 3


@pytest.mark.system
def test_clipping_and_thresholding_bound_the_samples(model):
    key = jax.random.key(0)
    assert jnp.abs(model.sample(key, 8, clip=0.25)).max() <= 0.25
    assert jnp.abs(model.sample(key, 8, clip=jnp.inf)).max() > 1
    thresholded = model.sample(key, 8, threshold=0.9)
    assert jnp.abs(thresholded).max() <= 1
    assert jnp.abs(thresholded - model.sample(key, 8)).max() > 1e-3


@pytest.mark.statistical
def test_every_sampler_draws_by_name(model):
    """From the same noise: the deterministic ones draw nearly the same images in many steps."""
    key, expected = jax.random.key(0), model.sample(jax.random.key(0), 4, 200, "ddim", clip=jnp.inf)
    start = dataclasses.replace(model, grid=lambda n: grids.uniform(n, 1.0, 1e-3))
    for name in SAMPLERS:
        if name == "annealed_langevin":
            continue  # not on this path, see below
        drawn = start.sample(key, 4, 200, name, clip=jnp.inf)
        assert jnp.isfinite(drawn).all(), name
        if REGISTRY[name].order or REGISTRY[name].adaptive:
            np.testing.assert_allclose(drawn, expected, atol=0.05 * float(jnp.abs(expected).max()), err_msg=name)
    with pytest.raises(InputError, match="alpha = 1"):
        start.sample(key, 4, 10, "annealed_langevin")


@pytest.mark.system
def test_a_sampler_is_given_by_name_or_as_the_function_itself(model):
    drawn = lambda sampler, steps=1, **options: model.sample(jax.random.key(0), 3, steps, sampler, **options)
    np.testing.assert_array_equal(drawn(samplers.ddim, 4, eta=0.5), drawn("ddim", 4, eta=0.5))

    def doubled(process, denoiser, factor: float | jax.Array = 2.0):
        return samplers.Sampler(samplers.State, lambda key, state, t, s: samplers.State(factor * denoiser(state.x, t)))

    np.testing.assert_allclose(drawn(doubled, factor=1.0), drawn(doubled) / 2, rtol=1e-6)
    with pytest.raises(InputError, match="unknown option of sampler 'doubled' 'eta'"):
        drawn(doubled, eta=0.5)


@pytest.mark.system
def test_a_grid_that_ends_above_the_data_ends_with_the_denoiser(model):
    short = dataclasses.replace(model, grid=lambda n: grids.uniform(n, 1.0, 0.3))
    images, frames = short.trajectory(jax.random.key(0), 2, 3, sampler="ddim", clip=jnp.inf)
    unfinished = dataclasses.replace(short, path=None)  # the same draw
    np.testing.assert_allclose(images, unfinished.sample(jax.random.key(0), 2, sampler="ddim", clip=jnp.inf), rtol=1e-6)
    np.testing.assert_array_equal(frames[-1], images)
    assert jnp.abs(images - frames[-2]).max() > 1e-3


@pytest.mark.system
def test_a_corrector_changes_the_draw(model):
    key = jax.random.key(0)
    plain = model.sample(key, 3)
    corrected = model.sample(key, 3, corrector="langevin", snr=0.1, repeats=2)
    assert jnp.abs(plain - corrected).max() > 1e-3
    TRACES.clear()
    model.sample(key, 3, corrector="langevin", snr=0.2, repeats=2)
    assert not TRACES
    with pytest.raises(InputError, match="unknown option of sampler 'ancestral' 'snr'"):
        model.sample(key, 3, snr=0.1)


@pytest.mark.system
def test_another_path_gives_the_same_images():
    """DDIM does not see the path: vp's model drawn along edm's, at the same noise levels."""
    vp_path, edm_path = vp(), edm(200.0)
    times = grids.karras(vp_path, 30, 100.0, 0.02)
    there = grids.karras(edm_path, 30, 100.0, 0.02)
    shape, keep, key = (2, 4, 4, 1), np.zeros(0, np.int32), jax.random.key(0)
    draws = [
        make_draw(bind, path)(jnp.float32(0.3), key, t, keep, (None, None), {"eta": 0.0}, "ddim", (), False, shape)[0]
        for path, t in ((None, times), (edm_path, there))
    ]
    np.testing.assert_allclose(draws[0], draws[1], rtol=2e-2, atol=2e-2)


def test_a_process_that_is_bound_to_a_space_is_no_other_path():
    """A learned variance is kept, and the network is asked at the times of the grid, not at those of their log-SNR."""
    trained = within(schedules.cosine(), lambda condition: centered(condition["mask"]))
    fraction = lambda x_t, t: x_t
    denoiser = lambda x_t, t: x_t
    bind = lambda params, condition: Bound(on(trained, condition), denoiser, fraction)
    bound = bound_of(bind, {}, {"mask": jnp.ones((2, 4))}, None, [], trained)
    assert (bound.denoiser, bound.fraction) == (denoiser, fraction)
    other = bound_of(bind, {}, {"mask": jnp.ones((2, 4))}, None, [], PATH)
    assert (other.denoiser, other.fraction) != (denoiser, fraction)


@pytest.mark.system
def test_trajectory_goes_from_noise_to_the_sample(model):
    images, frames = model.trajectory(jax.random.key(0), 500, 5)
    assert frames.shape == (5, 500, 4, 4, 1)
    np.testing.assert_array_equal(frames[-1], images)
    np.testing.assert_allclose(frames[0].std(), 1, rtol=0.02)


@pytest.mark.system
@pytest.mark.parametrize("labels", [None, "own", "unknown"])
def test_a_stream_is_its_batches_one_after_the_other(model, labels):
    classes = dataclasses.replace(model, conditions={"label": class_label(3)})
    key, condition = jax.random.key(0), {None: None, "own": np.arange(10) // 4, "unknown": {}}[labels]
    TRACES.clear()
    parts = list(classes.stream(key, 10, 4, condition=condition))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert len(TRACES) == 1
    known = np.arange(10) % 3 if labels is None else condition
    whole = classes.sample(key, 10, condition=known)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    np.testing.assert_array_equal(
        classes.sample(key, 4, condition=known[4:8] if labels == "own" else condition, first=4), parts[1]
    )
    np.testing.assert_array_equal(next(model.stream(key, 3, 8)), model.sample(key, 3))
    with pytest.raises(InputError, match="n=4, batch=0"):
        next(model.stream(key, 4, 0))


@pytest.mark.slow
def test_an_image_is_the_same_in_any_batch_with_all_the_noise_of_its_steps(model):
    key, options = jax.random.key(0), {"corrector": "langevin", "repeats": 2}
    images, frames = model.trajectory(key, 7, 3, **options)
    for batch in (2, 3):
        np.testing.assert_allclose(np.concatenate(list(model.stream(key, 7, batch, **options))), images, atol=1e-5)
    some, moments = model.trajectory(key, 2, 3, first=3, **options)
    np.testing.assert_allclose(some, images[3:5], atol=1e-5)
    np.testing.assert_allclose(moments, frames[:, 3:5], atol=1e-5)
    assert len(np.unique(np.round(np.asarray(images), 3), axis=0)) == 7
    with pytest.raises(InputError, match="first=-1: draw at least one example"):
        model.sample(key, 2, first=-1)


@pytest.mark.system
def test_numbers_may_be_traced_in_a_function_of_the_users(model):
    key, times = jax.random.key(0), {"sampler": "ddim", "steps": 3}
    traced = jax.jit(lambda eta, clip: model.sample(key, 2, eta=eta, clip=clip, **times))(0.5, 0.8)
    np.testing.assert_allclose(traced, model.sample(key, 2, eta=0.5, clip=0.8, **times), atol=1e-6)
    traced = jax.jit(lambda start: model.trajectory(key, 2, 0, start=start, **times)[0])(0.7)
    np.testing.assert_allclose(traced, model.trajectory(key, 2, 0, start=0.7, **times)[0], atol=1e-5)
    with pytest.raises(InputError, match="order=.*: must be a whole number"):
        jax.jit(lambda order: model.sample(key, 2, sampler="unipc", order=order))(2)


@pytest.mark.system
def test_a_bar_stands_in_the_way_of_no_gradient(model):
    """Where parameters, of any shape, are traced, there is none: its loop has no derivative."""
    many, key = dataclasses.replace(model, params=jnp.full((1,), 0.3)), jax.random.key(0)

    def total(params, progress):
        return dataclasses.replace(many, params=params).trajectory(key, 2, 0, steps=3, progress=progress)[0].sum()

    slopes = [jax.grad(total)(many.params, progress) for progress in (True, False)]
    np.testing.assert_allclose(*slopes, rtol=1e-5)


@pytest.mark.system
def test_images_that_are_not_finite_do_not_pass_for_images(model):
    broken = dataclasses.replace(model, params=jnp.float32(np.nan))
    with pytest.raises(InputError, match=r"2 of examples 0 to 1 are not finite: bound them with clip=1"):
        next(broken.stream(jax.random.key(0), 3, 2, steps=2))
    assert not jnp.isfinite(broken.sample(jax.random.key(0), 2, steps=2)).all()


@pytest.mark.system
def test_thresholding_to_a_bound_of_0_draws_0(model):
    assert (model.sample(jax.random.key(0), 2, threshold=0.9, clip=0.0, steps=3) == 0).all()


def test_the_adaptive_method_ends_above_0_on_a_learned_path_too(model):
    with pytest.raises(InputError, match="'dopri5' cannot end at t=0, which its clock never reaches"):
        dataclasses.replace(model, path=None).sample(jax.random.key(0), 2, sampler="dopri5")


@pytest.mark.system
def test_classes_in_turn_unless_told(model):
    classes = dataclasses.replace(model, conditions={"label": class_label(3)})
    key = jax.random.key(0)
    np.testing.assert_array_equal(classes.sample(key, 4), classes.sample(key, 4, condition=[0, 1, 2, 0]))
    with pytest.raises(InputError, match="4 whole numbers from 0 to 2"):
        classes.sample(key, 4, condition=[0, 1, 2, 3])
    with pytest.raises(InputError, match="trained without 'label'"):
        model.sample(key, 1, condition=[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"sampler": "dimm"},
            r"unknown sampler 'dimm' \(did you mean 'ddim'\?\): allowed are ancestral, annealed_langevin, churned",
        ),
        (
            {"eta": 0.5},
            "unknown option of sampler 'ancestral' 'eta'.*cache, clip, corrector, guidance, .*, threshold, variance",
        ),
        ({"sampler": "ddim", "eta": 1.5}, "eta=1.5: must be a number from 0 to 1"),
        ({"variance": "large"}, "unknown variance 'large'.*fixed_large, fixed_small"),
        ({"clip": -1.0}, "clip=-1.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"steps": 0}, "0 steps: the number of steps must be from 1"),
        ({"guidance": 2.0}, "guidance: this model has no condition to follow: take one trained with net.num_classes"),
        ({"guidance_rescale": 0.5}, "guidance_rescale: changes nothing without guidance"),
        ({"guidance_high": 5.0}, "guidance_high: changes nothing without guidance"),
        ({"guidance": 2.0, "guidance_low": 5.0, "guidance_high": 1.0}, "no noise level lies between them"),
        ({"threshold": 0.9, "clip": np.inf}, "threshold: changes nothing without clip"),
        ({"sampler": "heun", "churn_noise": 1.007}, "churn_noise: changes nothing without churn"),
        ({"sampler": "heun", "churn": 0.1, "churn_min": 2.0, "churn_max": 1.0}, "no noise level lies between"),
        (
            {"sampler": "annealed_langevin", "corrector": "langevin", "repeats": 2},
            "repeats: both of sampler 'annealed_langevin' and of its",
        ),
        ({"sampler": "langevin"}, "did you mean 'annealed_langevin'.*with any other sampler, corrector='langevin'"),
        ({"sampler": samplers.langevin}, "unknown sampler 'langevin'"),
        ({"start": 0.1}, "start=0.1: drawing from noise .* is 0.34 there"),
        ({"start": 1.5}, "start=1.5: must be a time above 0 and up to 1"),
        ({"temperature": "hot"}, "temperature=hot: must be a number"),
        ({"n": 0}, "n=0"),
        ({"variance": "learned"}, "no learned variance"),
        ({"sampler": "dopri5"}, "cannot end at t=0"),
        ({"cache": 2}, "no levels to remember"),
        ({"cache": 0}, "cache=0: must be a whole number from 1"),
        ({"cache": 1.5}, "cache=1.5: must be a whole number from 1"),
        ({"sampler": "dopri5", "cache": 2}, "unknown option of sampler 'dopri5' 'cache'"),
        ({"sampler": "unipc", "order": 4}, "order=4: must be a whole number from 1 to 3"),
        ({"sampler": "unipc", "order": 2.5}, "order=2.5: must be a whole number"),
    ],
)
def test_bad_requests_are_refused(model, arguments, message):
    with pytest.raises(InputError, match=message):
        model.sample(jax.random.key(0), **{"n": 2, **arguments})


@pytest.fixture
def classes(model):
    return dataclasses.replace(model, conditions={"label": class_label(3)})


@pytest.mark.system
def test_guidance_at_one_is_the_conditional_model_and_at_zero_the_unconditional(model, classes):
    key, labels = jax.random.key(0), np.array([2, 1, 0])
    draw = lambda **options: np.asarray(classes.sample(key, 3, condition=labels, **options))
    TRACES.clear()
    np.testing.assert_allclose(draw(guidance=1.0), draw(), atol=1e-6)
    traced = len(TRACES)
    assert np.abs(draw(guidance=3.0) - draw()).max() > 1e-3
    np.testing.assert_allclose(draw(guidance=3.0, guidance_low=1e9), draw(), atol=1e-6)
    assert len(TRACES) == traced, "values compile nothing"
    np.testing.assert_allclose(draw(guidance=0.0), model.sample(key, 3), atol=1e-6)
    np.testing.assert_allclose(draw(guidance=2.0, negative=labels), draw(), atol=1e-6)


def test_a_negative_condition_without_guidance_is_refused(classes):
    with pytest.raises(InputError, match="negative: changes nothing without guidance"):
        classes.sample(jax.random.key(0), 2, negative=1)
    with pytest.raises(InputError, match="negative: changes nothing without guidance"):
        next(classes.stream(jax.random.key(0), 2, negative={}))
    with pytest.raises(InputError, match="negative: changes nothing without guidance"):
        next(classes.stream(jax.random.key(0), 2, negative=1))


def test_guidance_needs_a_model_that_can_do_without_its_condition(classes):
    with pytest.raises(InputError, match="never trained without its condition: .*train.cond_dropout"):
        dataclasses.replace(classes, guidable=False).sample(jax.random.key(0), 2, guidance=2.0)
    wide = dataclasses.replace(classes, conditions={"vector": ConditionSpec((3,))})
    with pytest.raises(InputError, match="'vector' of shape .*: this model takes"):
        wide.sample(jax.random.key(0), 2, condition={"vector": np.zeros((2, 4))})
    with pytest.raises(InputError, match="trained without 'image' .*: leave it out"):
        classes.sample(jax.random.key(0), 2, condition={"image": np.zeros((2, 4, 4, 1))})


@pytest.mark.parametrize("one", [2, np.array(2), jnp.int32(2), np.uint8(2), {"label": 2}, {"label": jnp.array(2)}])
def test_one_label_is_that_of_all(classes, one):
    given = classes.check_condition(one, 3)["label"]
    np.testing.assert_array_equal(given, [2, 2, 2])
    assert given.dtype == jnp.int32


def test_a_class_is_told_by_its_name(classes):
    named = dataclasses.replace(classes, spec=classes.spec._replace(details={"classes": ["cat", "dog", "emu"]}))
    np.testing.assert_array_equal(named.check_condition("dog", 2)["label"], [1, 1])
    np.testing.assert_array_equal(named.check_condition(["emu", "2", "cat"], 3)["label"], [2, 2, 0])
    with pytest.raises(InputError, match="unknown class 'dgo' .did you mean 'dog'"):
        named.check_condition({"label": "dgo"}, 2)
    with pytest.raises(InputError, match="unknown class 'dog': allowed are numbers"):
        classes.check_condition("dog", 2)


@pytest.mark.parametrize("key", [0, "0", None, np.zeros(2), np.uint32(1)])
def test_what_is_no_key_is_refused(classes, key):
    for draw in (classes.sample, lambda *given: next(classes.stream(*given))):
        with pytest.raises(InputError, match=r"must be a key of JAX, such as jax.random.key\(0\)"):
            draw(key, 2)
    with pytest.raises(InputError, match="must be a key of JAX"):
        classes.sample(jax.random.split(jax.random.key(0)), 2)


@pytest.mark.parametrize("value", [np.full((2, 3), 200, np.uint8), np.full((2, 3), np.nan), jnp.full((2, 3), jnp.inf)])
def test_conditions_are_on_the_scale_of_training(classes, value):
    told = dataclasses.replace(classes, conditions={"vector": ConditionSpec((3,))})
    with pytest.raises(InputError, match="condition: 'vector' holds .* 8 bits, or not finite"):
        told.check_condition({"vector": value}, 2)
    for mask in (np.ones((2, 3), np.uint8), np.ones((2, 3), bool), [[0, 5, 1], [1, 2, 0]]):
        assert told.check_condition({"vector": mask}, 2)["vector"].dtype == jnp.float32


def test_what_is_always_told_has_no_value_for_unknown(classes):
    """Such as the words of latent diffusion, whose network says itself that they are missing."""
    words = {"context": ConditionSpec((None, 4), missing=None)}
    told = dataclasses.replace(classes, conditions=classes.conditions | words).check_condition({}, 2)
    np.testing.assert_array_equal(told.pop("label"), [-1, -1])
    assert not told
    net = ConditionalUNet(widths=(8,), context=4)
    assert net.condition_spec(image_spec((4, 4, 1)))["context"] == words["context"]


@pytest.mark.system
def test_a_model_that_always_had_its_image_asks_for_it(classes):
    told = classes.conditions | {"image": ConditionSpec((*classes.shape[:2], 1))}
    always = dataclasses.replace(classes, conditions=told, guidable=False)
    for given in (None, [0, 1]):
        with pytest.raises(InputError, match="never trained without its 'image': give it"):
            always.sample(jax.random.key(0), 2, condition=given)
    image = np.zeros((2, *classes.shape[:2], 1))
    with pytest.raises(InputError, match="never trained without its 'label': give it"):
        always.sample(jax.random.key(0), 2, condition={"image": image})
    always.sample(jax.random.key(0), 2, condition={"label": np.array([0, 1]), "image": image})


def test_a_grid_from_a_later_time_keeps_its_steps_and_its_shape():
    times = grids.karras(vp(), 10)
    np.testing.assert_array_equal(from_time(times, times[0]), times)
    later = from_time(times, times[4])
    assert len(later) == len(times)
    np.testing.assert_allclose(later[[0, -1]], times[[4, -1]], rtol=1e-6)
    np.testing.assert_allclose(later[5], np.interp(7, np.arange(11), times), rtol=1e-5)


def test_a_model_without_a_bound_is_saved_without_one():
    assert sampling({"clip": 1.0}, {}, 5, {"name": "ddim"}) == {"clip": np.inf, "steps": 5, "sampler": {"name": "ddim"}}


@pytest.mark.system
def test_the_noise_of_a_latent_follows_from_its_number(model):
    key = jax.random.key(0)
    some = latents._noise(model, key, 2, {"first": 3, "noise_scale": 2.0})
    of_ones = dataclasses.replace(model, path=model.path._replace(noise=lambda key, x: jnp.ones_like(x)))
    np.testing.assert_array_equal(latents._noise(of_ones, key, 2, {}), np.ones((2, *model.shape)))
    np.testing.assert_allclose(some, 2 * latents._noise(model, key, 5, {})[3:], rtol=1e-6)
    np.testing.assert_array_equal(latents._noise(model, key, 2, {"noise_scale": 2.0}, given=some), 2 * some)


def test_a_model_that_has_to_be_told_something_is_saved_without_a_picture(monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(models, "save_folder", lambda *given: kept.append(given[5]))
    dataclasses.replace(conditional(), guidable=False, config={"sample": {}}).save(tmp_path / "new")
    assert kept == [None]


def test_noise_is_no_start_where_there_is_data(model):
    """Also of a process that is learned, which only the parameters know."""
    for path in (PATH, None):
        with pytest.raises(InputError, match="start=0.1: drawing from noise starts where .* is 0.34 there"):
            dataclasses.replace(model, path=path).trajectory(jax.random.key(0), 1, 0, start=0.1)
