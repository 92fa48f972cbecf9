"""Everything that a configuration names may come from outside, by package.module:name."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import flags

from jaxdiff import samplers
from jaxdiff.cli import command
from jaxdiff.config import build
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.gaussian import betas, parameterization, schedules
from jaxdiff.gaussian.process import Process
from jaxdiff.losses.diffusion import squared_error
from jaxdiff.losses.needs import needs
from jaxdiff.pipelines import experiment
from jaxdiff.types import Batch
from tests.helpers.configs import SPEC, get_config


class Net(nn.Module):
    channels: int = 4

    @nn.compact
    def __call__(self, x, t, condition=None, train=False):
        h = nn.Conv(self.channels, (3, 3))(x) + nn.Dense(self.channels)(t[:, None] / 1000)[:, None, None]
        return nn.Conv(x.shape[-1], (3, 3))(nn.silu(h))


class Flat(nn.Module):
    @nn.compact
    def __call__(self, x, t, condition=None, train=False):
        return x.mean((1, 2))


class NoTime(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x


def two(size: int = 2) -> Source:
    return Source(size, SPEC, lambda i: Batch(np.ones((len(i), 8, 8, 1), np.float32)))


def process(top: float = 2.0) -> Process:
    return schedules.edm(top)


def meaning():
    return parameterization.x0()


def loss(process, parameterization, network, power: float = 1.0):
    def loss_fn(params, key, batch):
        t = jnp.full(batch.x_0.shape[0], 0.5)
        return power * jnp.mean(squared_error(process, parameterization, network, params, key, batch, t)), {}

    return loss_fn


@needs(outputs=2)
def loss_of_two(process, parameterization, network):
    return loss(process, parameterization, network)


def weight(factor: float = 1.0):
    return lambda process, parameterization, t: factor * jnp.ones_like(t)


def times():
    return lambda process, key, n: jnp.full(n, 0.5)


def table(steps: int = 10):
    return betas.linear(steps)


def noise():
    return lambda key, x: jax.random.rademacher(key, x.shape, x.dtype)


def optimizer(learning_rate, factor: float = 1.0):
    return optax.sgd(lambda step: factor * learning_rate(step))


def schedule(value, after: int = 3):
    return lambda step: jnp.where(step < after, value, 0.0)


def grid(steps: int):
    return np.linspace(1, 0, steps + 1)


def sampler(process, denoiser, share: float | jax.Array = 1.0, form: str = "plain"):
    share = -share if form == "negative" else share
    return samplers.Sampler(samplers.State, lambda key, state, t, s: samplers.State(share * denoiser(state.x, t)))


def nothing(*given, **further):
    return None


HERE = __name__
OWN = {
    "data": {"name": f"{HERE}:two", "size": 3},
    "process": {"name": f"{HERE}:process", "top": 3.0, "noise": {"name": f"{HERE}:noise"}},
    "parameterization": {"name": f"{HERE}:meaning"},
    "net": {"name": f"{HERE}:Net", "channels": 2},
    "loss": {"name": f"{HERE}:loss", "power": 2.0},
    "optimizer": {
        "name": f"{HERE}:optimizer",
        "factor": 0.5,
        "schedule": {"name": f"{HERE}:schedule", "after": 2},
        "learning_rate": 0.1,
        "warmup": 1,
        "clip": 0.0,
    },
}
DRAWN = {"steps": 2, "grid": {"name": f"{HERE}:grid"}, "sampler": {"name": f"{HERE}:sampler", "share": 0.5}}


def owned():
    config = get_config() | OWN
    return config | {"sample": config["sample"] | DRAWN}


def parsed(*arguments):
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    return command.parse(["train.py", "--config=configs/ddpm.py", *arguments], values)[0]


def leaves(part, prefix=""):
    for name, value in part.items():
        inner = leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
        yield from inner


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections
def test_the_command_line_names_all_of_them():
    config = parsed(*(f"--config.{k}={v}" for k, v in leaves({**OWN, "sample": DRAWN})))
    assert {k: config[k] for k in OWN} == OWN
    assert config["sample"] == owned()["sample"]


@pytest.mark.slow
def test_all_of_them_train_and_draw():
    config = owned()
    source = build.source(config)
    assert source.size == 3
    parts = experiment.build(config, source.spec)
    params = parts.init(jax.random.key(0))
    assert parts.model.path.sigma(jnp.float32(1)) == 3
    value, _ = parts.loss_fn(params, jax.random.key(0), source.take(np.arange(3)))
    assert value > 0
    update, _ = parts.optimizer.update(params, parts.optimizer.init(params), params)
    np.testing.assert_allclose(jax.tree.leaves(update)[1], -0.05 * jax.tree.leaves(params)[1], rtol=1e-6)
    images = replace(parts.model, params=params).sample(jax.random.key(0), 2)
    assert images.shape == (2, 8, 8, 1)
    assert jnp.isfinite(images).all()
    negative = replace(parts.model, params=params).sample(jax.random.key(0), 2, form="negative")
    assert np.abs(images - negative).max() > 0.1
    with pytest.raises(InputError, match="form=3.*must be"):
        parts.model.sample(jax.random.key(0), 2, form=3)


@pytest.mark.system
@pytest.mark.parametrize("part", ["weight", "times"])
def test_a_part_of_a_loss(part):
    config = owned()
    spec = {"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "uniform"}}
    config["loss"] = spec | {part: {"name": f"{HERE}:{part}"}}
    parts = experiment.build(config, SPEC)
    batch = Batch(jnp.ones((2, 8, 8, 1)))
    assert parts.loss_fn(parts.init(jax.random.key(0)), jax.random.key(0), batch)[0] > 0


@pytest.mark.system
def test_a_table_of_betas():
    config = get_config()
    config["process"]["betas"] = {"name": f"{HERE}:table", "steps": 1000}
    assert experiment.build(config, SPEC).model.path.sigma(jnp.float32(1)) < 1


@pytest.mark.parametrize(
    ("field", "name", "message"),
    [
        ("data", "nothing", "it must be a function that returns a jaxdiff.data.source.Source"),
        ("process", "nothing", "returns a NoneType: it must be a function .* jaxdiff.gaussian.process.Process"),
        ("process.noise", "nothing", "it must be a function that returns .key, x. -> eps"),
        ("parameterization", "weight", "it must be a function that returns a .*Parameterization"),
        ("net", "Flat", r"returns an array of shape \(1, 1\) .* needs one like x, of shape \(1, 8, 8, 1\)"),
        ("net", "NoTime", "it must be a Flax module called as .x, t, condition, train. -> out"),
        ("net", "weight", "it must be a Flax module called as .x, t, condition, train. -> out"),
        ("loss", "nothing", "it must be a function .* that returns .*params, key, batch"),
        ("loss", "loss_of_two", r"net .*:Net' returns .* needs one like x, of shape \(1, 8, 8, 2\)"),
        ("optimizer", "weight", "it must be a function .learning_rate, .* optax.GradientTransformation"),
        ("optimizer.schedule", "nothing", "it must be a function .* that returns step -> learning rate"),
        ("sample.grid", "nothing", "it must be a function .steps, .* falling times"),
        ("sample.sampler", "no_such", "it must be a function .process, denoiser, .*samplers.Sampler"),
    ],
)
def test_what_breaks_its_contract_is_refused_with_the_contract(field, name, message):
    config = owned()
    *parents, last = field.split(".")
    part = config
    for parent in parents:
        part[parent] = dict(part[parent])
        part = part[parent]
    kept = {k: part[last][k] for k in ("learning_rate", "warmup", "clip", "schedule") if k in part[last]}
    part[last] = kept | {"name": f"{HERE}:{name}"}
    with pytest.raises(InputError, match=message) as caught:
        experiment.build(config, build.source(config).spec)
    assert "\n" not in str(caught.value)
