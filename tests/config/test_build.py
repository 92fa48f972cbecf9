import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.config import build
from jaxdiff.config.build.network import with_unknown
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.draw import make_draw, together
from jaxdiff.training.step import init_state, make_train_step
from jaxdiff.transforms.chain import chain
from jaxdiff.types import Batch, ConditionSpec, StatefulLoss, class_label
from tests.helpers.configs import SPEC, changed, get_config


def test_a_loss_tells_a_network_what_is_unknown():
    """By the values that it learned for it, where a loss gives nothing, as of a guided teacher's other half."""
    seen, x, t = [], jnp.zeros((2, 1)), jnp.zeros(2)

    def network(params, x, t, condition=None, key=None):
        seen.append(condition)
        return x

    specs = {"label": class_label(3), "until": ConditionSpec(()), "words": ConditionSpec((2,), missing=None)}
    with_unknown(network, specs)((), x, t)
    assert seen[-1].keys() == {"label"}
    np.testing.assert_array_equal(seen[-1]["label"], [-1, -1])
    with_unknown(network, specs)((), x, t, given := {"label": jnp.array([0, 2]), "until": t})
    assert seen[-1] == given
    assert with_unknown(network, {}) is network


SETTINGS = {
    "digits": ((8, 8, 1), 701_345),
    "cifar10": ((32, 32, 3), 35_746_307),
    "celeba_hq_256": ((256, 256, 3), 113_673_219),
    "lsun_bedroom": ((256, 256, 3), 113_673_219),
    "fashion_mnist": ((28, 28, 1), None),
    "folder=x": ((64, 64, 3), None),
    "arrays=x": ((32, 32, 3), 35_746_307),
}


@pytest.mark.system
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_builds(setting):
    shape, count = SETTINGS[setting]
    parts = experiment.build(get_config(setting), image_spec(shape))
    total = sum(p.size for p in jax.tree.leaves(parts.model.params))
    assert count in (None, total)
    state = jax.eval_shape(parts.optimizer.init, parts.model.params)
    batch = Batch(jnp.zeros((2, *shape)))
    loss, _ = jax.eval_shape(parts.loss_fn, parts.model.params, jax.random.key(0), batch)
    assert loss.shape == ()
    assert state is not None


@pytest.mark.system
@pytest.mark.parametrize(
    ("file", "setting", "shape", "count"),
    [
        ("iddpm", "digits", (8, 8, 1), None),
        pytest.param("iddpm", "cifar10", (32, 32, 3), None, marks=pytest.mark.slow),
        pytest.param("ncsn", "digits", (8, 8, 1), 701_345, marks=pytest.mark.slow),
        pytest.param("ncsn", "cifar10", (32, 32, 3), 35_746_307, marks=pytest.mark.slow),
        pytest.param("score_sde", "vp", (8, 8, 1), 701_345, marks=pytest.mark.slow),
        pytest.param("score_sde", "sub_vp", (8, 8, 1), 701_345, marks=pytest.mark.slow),
        ("score_sde", "ve", (8, 8, 1), 701_345),
        pytest.param("score_sde", "vp-cifar10", (32, 32, 3), 35_746_307, marks=pytest.mark.slow),
        pytest.param("score_sde", "ve-cifar10", (32, 32, 3), 35_746_307, marks=pytest.mark.slow),
        ("vdm", "digits", (8, 8, 1), None),
        pytest.param("vdm", "cifar10", (32, 32, 3), None, marks=pytest.mark.slow),
        ("edm", "digits", (8, 8, 1), 701_345),
        pytest.param("edm", "cifar10", (32, 32, 3), None, marks=pytest.mark.slow),
        pytest.param("flow", "digits", (8, 8, 1), 701_345, marks=pytest.mark.slow),
        ("guided", "digits", (8, 8, 1), None),
        pytest.param("guided", "fashion_mnist=x", (28, 28, 1), 1_578_004, marks=pytest.mark.slow),
        pytest.param("anoddpm", "digits", (8, 8, 1), 701_345, marks=pytest.mark.slow),
        ("classifier", "digits", (8, 8, 1), None),
        pytest.param("classifier", "fashion_mnist", (28, 28, 1), None, marks=pytest.mark.slow),
        pytest.param("super_resolution", "digits_4", (4, 4, 1), None, marks=pytest.mark.slow),
        ("super_resolution", "digits_4_8", (8, 8, 1), None),
        pytest.param("super_resolution", "fashion_mnist_7=x", (7, 7, 1), None, marks=pytest.mark.slow),
        pytest.param("super_resolution", "fashion_mnist_7_14", (14, 14, 1), None, marks=pytest.mark.slow),
        pytest.param("super_resolution", "fashion_mnist_14_28", (28, 28, 1), None, marks=pytest.mark.slow),
        ("super_resolution", "fashion_mnist_7_28", (28, 28, 1), None),
        pytest.param("flow", "cifar10", (32, 32, 3), 35_746_307, marks=pytest.mark.slow),
    ],
)
def test_every_method_builds(file, setting, shape, count):
    """The digits' network is the same everywhere (twice the outputs for iddpm, a schedule for vdm)."""
    parts = experiment.build(get_config(setting, file), image_spec(shape))
    total = sum(p.size for p in jax.tree.leaves(parts.model.params))
    assert count in (None, total)
    state = jax.eval_shape(lambda: init_state(parts.init(jax.random.key(0)), parts.optimizer, parts.ema, parts.loss_fn))
    step = make_train_step(parts.loss_fn, parts.optimizer, parts.ema, jax.random.key(0), transforms=parts.transforms)
    condition = {"label": jnp.zeros(2, jnp.int32)} if parts.model.num_classes else None
    after, metrics = jax.eval_shape(step, state, Batch(jnp.zeros((2, *shape)), condition))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert metrics["loss"].shape == ()


def test_a_method_by_an_unknown_setting():
    with pytest.raises(ValueError, match=r"unknown setting 'vpp' .did you mean 'vp'.*allowed are sub_vp, "):
        get_config("vpp", "score_sde")


@pytest.mark.system
def test_losses_by_name():
    """Importance sampling, sliced score matching, another process for sampling: by configuration alone."""
    config = changed("loss", {"name": "importance", "weight": {"name": "elbo"}, "steps": 1000})
    assert isinstance(experiment.build(config, SPEC).loss_fn, StatefulLoss)
    experiment.build(changed("loss", {"name": "sliced", "times": {"name": "uniform"}}), SPEC)
    config = changed("sample.process", {"name": "edm"})
    config["sample"] |= {"grid": {"name": "karras", "sigma_max": 50.0, "sigma_min": 0.01}, "sampler": {"name": "heun"}}
    model = experiment.build(config, SPEC).model
    np.testing.assert_allclose(model.grid(18)[[0, -1]], [50 / 80, 0], rtol=1e-5)


@pytest.mark.system
def test_a_path_with_noise_that_the_network_never_saw_is_refused():
    config = changed("process", {"name": "ncsn", "levels": 10, "sigma_min": 0.01, "sigma_max": 1.0})
    config["sample"] |= {"process": {"name": "vp"}, "grid": {"name": "uniform"}, "sampler": {"name": "dpmpp_2m"}}
    with pytest.raises(InputError, match=r"knows noise levels \(sigma / alpha\) from 0 to 1, and the way of sampling"):
        experiment.build(config, SPEC)


@pytest.mark.system
def test_the_noise_of_sampling_is_that_of_training():
    config = changed("process", {"name": "vp", "noise": {"name": "simplex"}})
    config["sample"] |= {"process": {"name": "vp"}, "grid": {"name": "uniform", "t_max": 0.999}}
    config["sample"] |= {"sampler": {"name": "ddim"}}
    model = experiment.build(config, SPEC).model
    assert model.path.noise is model.bind(None, None).process.noise
    with pytest.raises(InputError, match="likelihood: is that of normal noise"):
        model.check_likelihood()
    config["sample"]["process"] = {"name": "vp", "noise": {"name": "simplex", "octaves": 2}}
    with pytest.raises(InputError, match="sample.process.noise=.*: must be that of process, or be left out"):
        experiment.build(config, SPEC)


@pytest.mark.statistical
def test_a_cached_step_computes_its_variance_with_its_image():
    """Flops of a step of a learned variance, against those of the denoiser alone."""
    config = changed("loss", {"name": "hybrid", "levels": 17})
    config["net"] |= {"channels": 8, "groups": 4}
    parts = experiment.build(config, SPEC)
    params = parts.init(jax.random.key(0))
    x, t = jnp.zeros((1, 8, 8, 1)), jnp.float32(0.5)
    bound = parts.model.bind(params, None)
    memory = bound.remembering(x, t, None)[1]

    def flops(f):
        return jax.jit(f).lower(x, memory).compile().cost_analysis()["flops"]

    alone = flops(lambda x, memory: bound.remembering(x, t, memory)[0])
    both = flops(lambda x, memory: together(bound.remembering, bound.fraction)(x, t, memory)[0])
    whole = flops(lambda x, memory: (bound.denoiser(x, t), bound.fraction(x, t)))
    assert both < 1.05 * alone < whole


@pytest.mark.slow
def test_how_an_image_was_augmented_is_told_also_where_its_condition_is_dropped():
    config = changed("train.augment", 0.12)
    config["train"]["cond_dropout"], config["net"] = 0.1, config["net"] | {"num_classes": 10}
    x = jnp.tile(jax.random.normal(jax.random.key(1), (1, 8, 8, 1)), (1000, 1, 1, 1))
    parts = experiment.build(config, SPEC)
    x_0, told = chain(*parts.transforms)(jax.random.key(0), Batch(x, {"label": jnp.arange(1000) % 10}))
    dropped = np.asarray(told["label"]) < 0
    assert 70 < dropped.sum() < 130
    plain = np.all(told["augment"] == 0, axis=1)
    np.testing.assert_array_equal(plain, np.all(x_0 == x, axis=(1, 2, 3)))
    assert 0.1 < plain[dropped].mean() < 0.5
    assert parts.model.conditions.keys() == {"label"}  # what is drawn is never augmented


def test_labels_reach_the_network_only_if_it_takes_them():
    assert build.source(get_config()).take(np.arange(2)).condition is None
    labeled = build.source(changed("net.num_classes", 10))
    np.testing.assert_array_equal(labeled.take(np.arange(2)).condition["label"], [1, 2])  # example 0 is held out
    with pytest.raises(InputError, match="net.num_classes=7, but dataset 'digits' has 10 classes"):
        build.source(changed("net.num_classes", 7))


@pytest.mark.system
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "process.name",
            "dppm",
            r"unknown process 'dppm' \(did you mean 'ddpm'\?\): allowed are cosine, ddpm, edm, flow",
        ),
        (
            "process.betas.name",
            "linaer",
            "unknown table of betas 'linaer'.*'linear'.*cosine, linear, quadratic, sigmoid",
        ),
        ("process.betas.stepz", 5, "unknown argument of table of betas 'cosine' 'stepz'.*'steps'"),
        ("process.betas", [0.5, 2.0], r"numbers in \(0, 1\)"),
        ("process.betas.steps", "many", "table of betas 'cosine'"),
        ("parameterization.name", "epsilon", "unknown parameterization.*'eps'.*edm, eps, .*score, .*v, velocity, x0"),
        ("net.name", "unet2", "unknown net 'unet2'.*'unet'"),
        ("net.dtype", "float16", "unknown net.dtype 'float16'.*bfloat16, float32"),
        ("net.multipliers", (1, 2, 2, 2, 2), "8x8 cannot be halved 4 times"),
        (
            "loss.weight.name",
            "simpel",
            "unknown loss weight 'simpel'.*edm, elbo, eps, likelihood, min_snr, p2, sigmoid, simple",
        ),
        ("train.low_res_noise", 0.1, "train.low_res_noise=0.1: goes with train.upscale above 1"),
        ("train.upscale", 3, "train.upscale=3: must divide the sides of 8x8"),
        ("train.cond_dropout", 0.1, "net 'unet' is told no condition: set it to 0, or net.num_classes"),
        ("process.noise", {"name": "simplex", "octaves": 0}, "octaves=0: must be a whole number from 1 to 16"),
        ("loss.times.name", "even", "unknown time sampler 'even'.*log_normal, logit_normal, stratified, uniform"),
        ("optimizer.name", "adan", "unknown optimizer 'adan'.*'adam'"),
        ("optimizer.momentun", 0.9, "unknown argument of optimizer 'adam' 'momentun'"),
        (
            "sample.grid.name",
            "trail",
            "unknown grid 'trail'.*karras, leading, .*trailing, uniform",
        ),
        ("sample.sampler.name", "dimm", "unknown sampler 'dimm'.*'ddim'.*ancestral, .*ddim"),
        ("sample.steps", 1001, "from 1 to 1000"),
        ("loss", {"name": "elbo"}, "unknown loss 'elbo'.*bound, classification, .*diffusion, .*sliced"),
        ("loss", {"name": "bound", "levels": 17}, "set process.name=learned"),
        ("loss", {"name": "diffusion", "times": {"name": "uniform"}}, "loss 'diffusion': .*weight"),
        ("process", {"name": "learned"}, "needs a loss that learns it"),
        ("process", {"name": "learned", "noise": {"name": "simplex"}}, "process.noise=.*: goes with a process of num"),
        ("process", {"name": "cosine"}, "the grid visits t=1, where alpha=0"),
        ("process", {"name": "shifted", "process": {"name": "learned"}, "factor": 2.0}, "cannot be chosen"),
        ("process", {"name": "shifted", "factor": 2.0}, "process 'shifted'"),
        ("process", {"name": "vp", "beta_min": 0.0}, "beta from 0.0"),
        ("sample.sampler", {"name": "dopri5"}, "cannot end at t=0, where sigma = 0"),
        ("sample.sampler", {"name": "annealed_langevin", "repeats": 2.5}, "repeats=2.5: must be a whole number"),
        ("sample.sampler", {"name": "ddim", "corrector": "langevine"}, "unknown corrector.*'langevin'"),
        ("sample.grid", {"name": "karras", "sigma_max": 1e9}, "not all those of this process"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(path, value, message):
    with pytest.raises(InputError, match=message):
        experiment.build(changed(path, value), SPEC)


def test_an_unknown_dataset_is_named():
    with pytest.raises(InputError, match="unknown dataset 'digit'.*'digits'.*arrays, breast_cancer, .*tfds"):
        build.source(changed("data.name", "digit"))


@pytest.fixture(scope="module")
def small():
    config = changed("net.multipliers", (1, 2))
    config["net"]["attention"] = ()
    parts = experiment.build(config, SPEC)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: jnp.asarray(0.1 * rng.normal(size=p.shape), jnp.float32), parts.model.params)
    return dataclasses.replace(parts.model, params=params)


@pytest.mark.slow
def test_caching_every_step_changes_nothing_and_other_intervals_compile_nothing(small):
    draw = lambda **cache: np.asarray(small.sample(jax.random.key(0), 2, 8, "ddim", **cache))
    np.testing.assert_allclose(draw(cache=1), draw(), atol=1e-5)
    program = make_draw(small.bind, small.path, small.mesh)
    compiled = program._cache_size()
    errors = [np.abs(draw(cache=every) - draw(cache=1)).max() for every in (2, 8)]
    assert 1e-4 < errors[0] < errors[1]
    assert program._cache_size() == compiled > 0


@pytest.mark.statistical
def test_a_chain_of_a_thousand_steps_takes_the_memory_of_ten(small):
    def peak(steps):
        times = np.linspace(1, 0, steps + 1).astype(np.float32)
        nothing = np.zeros(0, np.int32), (None, None), {"clip": jnp.float32(1)}
        how = "ancestral", (("variance", "fixed_large"),), False, (16, 8, 8, 1)
        lowered = make_draw(small.bind, small.path, small.mesh).lower(
            small.params, jax.random.key(0), times, *nothing, *how
        )
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert peak(1000) < 1.01 * peak(10)
