"""Tasks on a model whose denoiser is exact: images of four pixels, from a Gaussian or a mixture of two."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import pipelines
from jaxdiff.config.sampling import Bound
from jaxdiff.errors import InputError
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.schedules import ncsn, ve, vp
from jaxdiff.guidance import sdedit as translate
from jaxdiff.pipelines.common import time_of_level
from jaxdiff.pipelines.restore import BEGIN
from tests.helpers.cases import tiers
from tests.helpers.models import MEANS, SHAPE, STD, TRACES, N, a_model, flat, images
from tests.helpers.oracle import sliced_wasserstein

pytestmark = pytest.mark.usefixtures("quick_compilation")

HALF = np.array([1, 0, 1, 0]).reshape(1, *SHAPE)


@pytest.mark.system
@pytest.mark.parametrize("method", ["replace", "repaint", "moment_matching", "ddrm"])
def test_inpainting_keeps_what_is_known_and_draws_the_rest_of_the_same_component(method):
    """Two known pixels tell the components apart; the others are then Gaussian and independent of them."""
    mask = np.array([1, 0, 1, 0]).reshape(1, *SHAPE)
    given = np.where(mask, images(), 7.0).clip(-1, 1)
    drawn = pipelines.inpaint(a_model(steps=60), jax.random.key(0), given, mask, method)
    known = np.broadcast_to(mask > 0, drawn.shape)
    np.testing.assert_array_equal(np.asarray(drawn)[known], given.astype(np.float32)[known])
    exact = [flat(MEANS[0] + STD * np.random.default_rng(k).normal(size=(N, *SHAPE)))[:, [1, 3]] for k in (5, 6)]
    distance, floor = sliced_wasserstein(flat(drawn)[:, [1, 3]], exact[0]), sliced_wasserstein(*exact)
    assert distance < 10 * floor, (distance, floor)  # how near each comes in more steps: benchmarks/posterior.py
    unknowing = flat(a_model(steps=60).sample(jax.random.key(1), N))[:, [1, 3]]
    assert sliced_wasserstein(unknowing, exact[0]) > 30 * floor


def test_what_guides_or_steers_is_not_cached():
    given, model, key = images(2), a_model(2, 3), jax.random.key(0)
    for draw in (
        lambda: pipelines.restore(model, key, given, "downsample", method="ddnm", cache=2),
        lambda: pipelines.restore(model, key, given, "downsample", method="dps", cache=2),
        lambda: pipelines.inpaint(model, key, given, np.ones((1, *SHAPE)), cache=2),
    ):
        with pytest.raises(InputError, match="cache: goes with plain drawing"):
            draw()


@pytest.mark.system
def test_ddrm_takes_no_options_of_another_sampler():
    given, model, key = images(2), a_model(2, 3), jax.random.key(0)
    for option, value in {"eta": 0.5, "sampler": "ddim", "corrector": "langevin"}.items():
        with pytest.raises(InputError, match=f"{option}: method 'ddrm' is a sampler of its own"):
            pipelines.restore(model, key, given, "downsample", method="ddrm", **{option: value})
    pipelines.restore(model, key, given, "downsample", method="ddrm", steps=3, clip=1.0, guidance=2.0, condition=[0, 1])


@pytest.mark.statistical
def test_a_mask_of_nothing_draws_as_ever_and_one_of_everything_gives_the_input():
    model, given = a_model(), images()
    everything = pipelines.inpaint(model, jax.random.key(0), given, np.ones((1, *SHAPE)))
    np.testing.assert_array_equal(everything, given)
    nothing = pipelines.inpaint(model, jax.random.key(0), given, np.zeros((1, *SHAPE)), "replace")
    drawn = model.sample(jax.random.key(1), N)
    other = model.sample(jax.random.key(2), N)
    assert sliced_wasserstein(flat(nothing), flat(drawn)) < 4 * sliced_wasserstein(flat(other), flat(drawn))


@pytest.mark.slow
def test_outpainting_puts_the_image_where_it_belongs():
    small = images(8)[:, :1, :1]
    drawn = pipelines.outpaint(a_model(steps=5), jax.random.key(0), small, top=1, left=0)
    np.testing.assert_array_equal(drawn[:, 1:, :1], small)
    with pytest.raises(InputError, match=r"top=2, left=0: the images of \(1, 1\) reach beyond \(2, 2\)"):
        pipelines.outpaint(a_model(), jax.random.key(0), small, top=2, left=0)


@pytest.mark.system
def test_denoising_is_drawing_from_the_posterior():
    """Of one Gaussian, with known noise: mean and spread in closed form."""
    model, noise = a_model(2, 300), 0.3
    clean = MEANS[0] + STD * np.random.default_rng(0).normal(size=(1, *SHAPE))
    noisy = np.broadcast_to(clean + noise * np.random.default_rng(1).normal(size=(1, *SHAPE)), (N, *SHAPE))
    drawn = pipelines.denoise(model, jax.random.key(0), noisy, noise, condition=np.zeros(N, int))
    variance = 1 / (1 / STD**2 + 1 / noise**2)
    mean = variance * (MEANS[0] / STD**2 + noisy[0] / noise**2)
    np.testing.assert_allclose(np.mean(drawn, 0), mean, atol=5 * np.sqrt(variance / N))
    np.testing.assert_allclose(np.std(drawn, 0), np.sqrt(variance), rtol=0.06)


def test_the_noise_level_of_an_image_is_found(rng):
    smooth = (
        np.sin(np.linspace(0, 3, 64))[:, None, None] * np.cos(np.linspace(0, 2, 64))[:, None] * np.ones((4, 1, 1, 1))
    )
    for level in (0.02, 0.2):
        noisy = smooth + level * rng.normal(size=smooth.shape)
        np.testing.assert_allclose(translate.noise_level(noisy), level, rtol=0.06)


@pytest.mark.system
def test_a_translation_keeps_more_the_weaker_it_is():
    model, given = a_model(2), images()
    to = np.ones(N, int)
    moved = [pipelines.img2img(model, jax.random.key(0), given, s, condition=to) for s in (0.05, 0.3, 1.0)]
    distances = [np.abs(flat(m) - flat(given)).mean() for m in moved]
    assert distances[0] < 0.5 * distances[1] < 0.5 * distances[2]
    np.testing.assert_allclose(np.mean(moved[-1], 0), MEANS[1], atol=0.03)


@pytest.mark.system
def test_swapping_a_class_is_optimal_transport_between_gaussians_and_there_and_back_is_the_identity():
    """From N(m, s) to the noise and on to N(n, s) the flow shifts by n - m, but for what noise of level 20 knows."""
    model, given = a_model(2), images(50)
    zero, one = np.zeros(50, int), np.ones(50, int)
    np.testing.assert_allclose(pipelines.class_swap(model, given, zero, zero, 50), given, atol=3e-4)
    np.testing.assert_allclose(
        pipelines.class_swap(model, given, zero, one, 100), given + MEANS[1] - MEANS[0], atol=0.02
    )


def test_a_class_that_is_not_given_is_unknown_where_classes_are_swapped():
    model, given = a_model(2), images(4)
    swapped = [pipelines.class_swap(model, given, before, 1, steps=4) for before in (None, {}, np.full(4, -1))]
    np.testing.assert_allclose(swapped[0], swapped[2], atol=1e-5)
    np.testing.assert_allclose(swapped[1], swapped[2], atol=1e-5)


@pytest.mark.system
def test_interpolation_begins_and_ends_with_its_images():
    a, b = images(2)
    between = pipelines.interpolate(a_model(2), a, b, 5, 50, condition=0)
    assert between.shape == (5, *SHAPE)
    np.testing.assert_allclose(between[np.array([0, -1])], [a, b], atol=5e-3)


def test_the_arc_between_two_points(rng):
    a, b = rng.normal(size=(2, 3, 4, 4, 1))
    np.testing.assert_allclose(translate.slerp(a, b, jnp.array([0.0, 1.0, 0.0])), [a[0], b[1], a[2]], atol=1e-6)
    unit = lambda z: z / np.linalg.norm(flat(z), axis=1)[:, None, None, None]
    middle = translate.slerp(unit(a), unit(b), jnp.full(3, 0.5))
    np.testing.assert_allclose(np.linalg.norm(flat(middle), axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(translate.slerp(a, a, jnp.full(3, 0.3)), a, atol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize("method", ["moment_matching", "pigdm", "ddnm", "ddrm", "dps"])
def test_restoring_a_shrunk_image_agrees_with_it(method):
    model, noise = a_model(2, 200), 0.05
    clean, told = images(500), noise if method != "dps" else None
    small = clean.mean((1, 2), keepdims=True) + noise * np.random.default_rng(3).normal(size=(500, 1, 1, 1))
    restored = pipelines.restore(
        model, jax.random.key(0), small, "downsample", told, method, condition=np.zeros(500, int)
    )
    residual = np.asarray(restored).mean((1, 2)) - small[:, 0, 0]
    assert np.abs(residual).mean() < (0.08 if method != "dps" else 0.2), np.abs(residual).mean()
    if method == "moment_matching":  # exact for a Gaussian
        gain = STD**2 / 4 / (STD**2 / 4 + noise**2)
        mean = MEANS[0] + gain * (small - MEANS[0].mean())
        np.testing.assert_allclose(np.mean(restored - mean, 0), 0, atol=5 * STD / np.sqrt(500))


@pytest.mark.system
def test_a_likelihood_is_that_of_all_levels_whichever_the_process_has():
    """The same data, denoised exactly, along processes that lack the highest levels, the lowest, or none."""
    given = np.concatenate([images(500, 0), images(500, 1)])
    found = []
    for process in (vp(), ncsn(10, 0.01, 1.0), ve(0.05, 50.0)):
        exact = gaussian_mixture(process, np.ones(2), MEANS, np.full((2, *SHAPE), STD))
        model = dataclasses.replace(a_model(), bind=lambda *_, p=process, d=exact: Bound(p, d), path=process)
        found.append(np.mean(pipelines.detect(model, jax.random.key(0), given, "likelihood", 40)[0]))
    np.testing.assert_allclose(found, found[0], rtol=0.02)


@pytest.mark.slow
def test_numbers_may_be_traced_in_a_function_of_the_users():
    model, given, key = a_model(steps=3), images(2), jax.random.key(0)
    for task in (
        lambda v: pipelines.img2img(model, key, given, v),
        lambda v: pipelines.denoise(model, key, given, v),
        lambda v: pipelines.inpaint(model, key, given, HALF, "ddnm", noise=v),
    ):
        np.testing.assert_allclose(jax.jit(task)(0.4), task(0.4), atol=1e-4)


@pytest.mark.slow
def test_a_mean_of_draws_in_pairs_of_opposite_noise_is_the_posterior_mean():
    """Exactly, for one Gaussian and a deterministic sampler: what the first draw is off, the second one is, too."""
    model, noise, known = a_model(2), 0.05, np.zeros(20, int)
    clean = images(20)
    small = clean.mean((1, 2), keepdims=True) + noise * np.random.default_rng(3).normal(size=(20, 1, 1, 1))
    gain = STD**2 / 4 / (STD**2 / 4 + noise**2)
    mean = MEANS[0] + gain * (small - MEANS[0].mean())
    draw = lambda draws: pipelines.restore(
        model, jax.random.key(0), small, "downsample", noise, draws=draws, condition=known
    )
    one, two = draw(1), draw(2)
    assert np.abs(one - mean).mean() > 0.05
    np.testing.assert_allclose(two, mean, atol=0.03)
    mask = np.array([1, 0, 0, 1]).reshape(1, *SHAPE)
    filled = pipelines.inpaint(model, jax.random.key(0), clean, mask, "moment_matching", draws=3, condition=known)
    shown = np.broadcast_to(mask > 0, filled.shape)
    np.testing.assert_array_equal(np.asarray(filled)[shown], clean[shown])


@pytest.mark.slow
def test_restoring_draws_without_noise_in_a_few_steps_unless_told_otherwise():
    model, given, key = a_model(2), images(2)[:, :1, :1], jax.random.key(0)
    start = time_of_level(model, BEGIN)
    told = pipelines.restore(model, key, given, "downsample", sampler="dpmpp_2m", steps=12, start=start)
    np.testing.assert_allclose(pipelines.restore(model, key, given, "downsample"), told, atol=1e-6)
    for options in ({"steps": 4}, {"sampler": "ddim", "steps": 4}, {"start": 0.3}):
        other = pipelines.restore(model, key, given, "downsample", **options)
        assert np.abs(np.asarray(other) - told).max() > 1e-3


def test_noise_that_is_not_white_is_refused_where_white_noise_is_taken_out():
    colored = vp()._replace(noise=lambda key, x: jnp.cumsum(jax.random.normal(key, x.shape), 1))
    model = dataclasses.replace(a_model(), path=colored)
    with pytest.raises(InputError, match="denoise: white noise, .*is that of normal noise"):
        pipelines.denoise(model, jax.random.key(0), images(2), 0.3)


@pytest.mark.system
def test_values_are_traced_one_call_for_each_shape():
    model, given, mask = a_model(2, 5), images(4), np.ones((1, *SHAPE))
    mask[0, 0] = 0
    key, kernel = jax.random.key(0), np.eye(1)
    runs = [
        lambda v: pipelines.inpaint(model, key, given * v, mask if v > 0.5 else 1 - mask, repeats=2 + int(2 * v)),
        lambda v: pipelines.img2img(model, key, given, v),
        lambda v: pipelines.denoise(model, key, given, v),
        lambda v: pipelines.restore(model, key, given, "blur", v, kernel=kernel * v),
        lambda v: pipelines.restore(model, key, given, "blur", v, "ddrm", kernel * v),
    ]
    for run in runs:
        first = run(0.4)
        TRACES.clear()
        second = run(0.9)
        assert not TRACES
        assert np.abs(np.asarray(first) - np.asarray(second)).max() > 1e-4


TASKS = {
    "ddrm": lambda model, key, given, first: pipelines.inpaint(model, key, given, HALF, "ddrm", first=first),
    "repaint": lambda model, key, given, first: pipelines.inpaint(model, key, given, HALF, repeats=2, first=first),
    "img2img": lambda model, key, given, first: pipelines.img2img(model, key, given, first=first),
    "denoise": lambda model, key, given, first: pipelines.denoise(model, key, given, 0.5, first=first),
    "detect": lambda model, key, given, first: pipelines.detect(model, key, given, first=first)[1],
    "score": lambda model, key, given, first: pipelines.detect(model, key, given, "reconstruction", first=first)[1],
}


@pytest.mark.system
@pytest.mark.parametrize("task", tiers(TASKS, ["ddrm"]))
def test_what_becomes_of_an_image_does_not_depend_on_the_batch(task):
    given, key = np.broadcast_to(images(1), (5, *SHAPE)), jax.random.key(0)
    whole, part = (np.asarray(TASKS[task](a_model(steps=3), key, given[i:], i)) for i in (0, 2))
    np.testing.assert_allclose(part, whole[2:], atol=1e-5)
    assert len(np.unique(np.round(whole, 3), axis=0)) == 5


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        (
            "inpaint",
            (images(2), np.ones((1, *SHAPE)), "ddnm", 3),
            "repeats: goes with method 'repaint', not with 'ddnm'",
        ),
        ("inpaint", (images(2), np.ones((1, *SHAPE)), "repaint", 0), "repeats=0: must be at least 1"),
        (
            "restore",
            (images(2)[:, :1, :1], "downsample", 0.1, "ddnm", None, None, 0),
            "draws=0: must be a whole number",
        ),
        ("restore", (images(2), "downsample", 0.1, "dps"), "noise: method 'dps' has no use for it"),
        (
            "restore",
            (images(2), "downsample", 0.1, "ddnm", None, 2.0),
            "scale: goes with method 'dps', not with 'ddnm'",
        ),
        ("inpaint", (images(2), np.ones((1, 3, 2, 1))), r"mask of shape \(1, 3, 2, 1\): must fit images of shape"),
        ("inpaint", (images(2), np.full((1, *SHAPE), 0.5)), "mask: holds values other than 0"),
        ("inpaint", (images(2), np.ones((1, *SHAPE)), "magic"), "unknown method of inpainting 'magic'"),
        (
            "inpaint",
            (images(2)[:, :1], np.ones((1, *SHAPE))),
            r"images of shape \(2, 1, 2, 1\): this model takes \(n, 2",
        ),
        ("img2img", (images(2), 1.5), "strength=1.5: must be above 0 and at most 1"),
        ("img2img", (images(2) * 40, 0.5), "must be real, from -1 to 1"),
        ("denoise", (images(2), -1.0), "noise=-1.0: must be above 0"),
        (
            "restore",
            (np.full((1, 1, 1, 1), 200, np.uint8), "downsample"),
            "images of uint8: must be finite real numbers",
        ),
        ("restore", (np.full((1, 1, 1, 1), np.nan), "downsample"), "images of float64: must be finite real numbers"),
        ("restore", (images(2), "fog"), "unknown operator 'fog': allowed are blur, downsample, grey"),
        ("restore", (images(2), "blur"), "kernel: goes with operator 'blur'"),
        ("restore", (images(2), "grey"), r"images of shape \(2, 2, 1\): are not what 'grey' makes of \(2, 2, 1\)"),
        (
            "detect",
            (images(2), "likelihood", None, None, None, [0, 1]),
            "normal_condition: is known of the images of normal",
        ),
        ("outpaint", (np.zeros((1, 1, 1, 1)), -2), "top=-2, left=0: the images of .* reach beyond"),
        ("outpaint", (np.zeros((1, 3, 3, 1)),), r"must fit into this model's \(2, 2, 1\)"),
    ],
)
def test_bad_input_is_one_line(task, arguments, message):
    with pytest.raises(InputError, match=message):
        getattr(pipelines, task)(a_model(), jax.random.key(0), *arguments)


def test_a_class_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="2 whole numbers from 0 to 1"):
        pipelines.class_swap(a_model(2), images(2), [0, 0], [0, 2])
    with pytest.raises(InputError, match=r"swap: this model knows no classes.*take a run of configs/guided.py"):
        pipelines.class_swap(a_model(), images(2), [0, 0], [0, 1])


@pytest.mark.system
def test_without_a_label_the_class_is_unknown_and_a_model_that_cannot_do_without_says_so():
    plain, classes = a_model(steps=5), a_model(2, 5)
    for draw in (
        lambda model: pipelines.img2img(model, jax.random.key(0), images(4), 0.9),
        lambda model: pipelines.detect(model, jax.random.key(0), images(4))[1],
    ):
        np.testing.assert_allclose(draw(classes), draw(plain), atol=1e-5)
        with pytest.raises(InputError, match="never trained without its 'label': give it"):
            draw(dataclasses.replace(classes, guidable=False))


def test_inpainting_starts_where_noise_is_most():
    """What is unknown is drawn from noise, which is no x_t of a time at which there is more data than that."""
    with pytest.raises(InputError, match="start=0.1: drawing from noise starts where .* is 0.34 there"):
        pipelines.inpaint(a_model(), jax.random.key(0), images(2), np.ones((1, *SHAPE)), "replace", start=0.1)
