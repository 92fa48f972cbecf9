import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import experiment
from jaxdiff.errors import InputError
from jaxdiff.types import Batch

CONFIGS = Path(__file__).parent.parent / "configs"


def get_config(setting="digits"):
    spec = importlib.util.spec_from_file_location("ddpm", CONFIGS / "ddpm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(setting).to_dict()


def changed(path, value):
    config = get_config()
    *parents, leaf = path.split(".")
    part = config
    for parent in parents:
        part = part[parent]
    part[leaf] = value
    return config


SETTINGS = {
    "digits": ((8, 8, 1), 701_345),
    "cifar10": ((32, 32, 3), 35_746_307),
    "celeba_hq_256": ((256, 256, 3), 113_673_219),
    "lsun_bedroom": ((256, 256, 3), 113_673_219),
    "fashion_mnist": ((28, 28, 1), None),
    "folder=x": ((64, 64, 3), None),
    "arrays=x": ((32, 32, 3), 35_746_307),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_builds(setting):
    shape, count = SETTINGS[setting]
    parts = experiment.build(get_config(setting), shape)
    total = sum(p.size for p in jax.tree.leaves(parts.model.params))
    assert count in (None, total)
    state = jax.eval_shape(parts.optimiser.init, parts.model.params)
    batch = Batch(jnp.zeros((2, *shape)))
    loss, _ = jax.eval_shape(parts.loss_fn, parts.model.params, jax.random.key(0), batch)
    assert loss.shape == ()
    assert state is not None


def test_the_learning_rate_warms_up_to_its_value():
    config = changed("optimizer", {"name": "sgd", "learning_rate": 0.5, "warmup": 4, "clip": 0.0})
    optimiser = experiment.build(config, (8, 8, 1)).optimiser
    params = jnp.zeros(1)
    state, rates = optimiser.init(params), []
    for _ in range(6):
        update, state = optimiser.update(jnp.ones(1), state, params)
        rates.append(-float(update[0]))
    np.testing.assert_allclose(rates, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_labels_reach_the_network_only_if_it_takes_them():
    assert experiment.source(get_config()).take(np.arange(2)).condition is None
    labelled = experiment.source(changed("net.num_classes", 10))
    np.testing.assert_array_equal(labelled.take(np.arange(2)).condition, [0, 1])
    with pytest.raises(InputError, match="net.num_classes=7, but dataset 'digits' has 10 classes"):
        experiment.source(changed("net.num_classes", 7))


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
        ("parameterization.name", "epsilon", "unknown parameterization.*edm, eps, score, v, velocity, x0"),
        ("net.name", "unet2", "unknown net 'unet2'.*'unet'"),
        ("net.dtype", "float16", "unknown net.dtype 'float16'.*bfloat16, float32"),
        ("net.multipliers", (1, 2, 2, 2, 2), "8x8 cannot be halved 4 times"),
        (
            "loss.weight.name",
            "simpel",
            "unknown loss weight 'simpel'.*edm, elbo, eps, likelihood, min_snr, p2, sigmoid, simple",
        ),
        ("loss.times.name", "even", "unknown time sampler 'even'.*log_normal, logit_normal, stratified, uniform"),
        ("optimizer.name", "adan", "unknown optimizer 'adan'.*'adam'"),
        ("optimizer.momentun", 0.9, "unknown argument of optimizer 'adam' 'momentun'"),
        (
            "sample.grid.name",
            "trail",
            "unknown grid 'trail'.*karras, leading, linspace, log_snr, table, trailing, uniform",
        ),
        ("sample.sampler.name", "dimm", "unknown sampler 'dimm'.*'ddim'.*ancestral, annealed_langevin, ddim"),
        ("sample.steps", 1001, "from 1 to 1000"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(path, value, message):
    with pytest.raises(InputError, match=message):
        experiment.build(changed(path, value), (8, 8, 1))


def test_an_unknown_dataset_is_named():
    with pytest.raises(InputError, match="unknown dataset 'digit'.*'digits'.*arrays, digits, folder, tfds"):
        experiment.source(changed("data.name", "digit"))
