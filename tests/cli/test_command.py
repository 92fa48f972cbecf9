"""The command line of train.py: every argument of everything that a configuration can name is set from there."""

import math
from collections.abc import Mapping, Sequence
from typing import get_args, get_origin

import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags

from jaxdiff.cli import command
from jaxdiff.config.parts import PARTS
from jaxdiff.config.sampling import FEW_STEPS, SAMPLERS
from jaxdiff.config.schema import check_argument
from jaxdiff.errors import InputError
from jaxdiff.pipelines import experiment
from tests.helpers.configs import SPEC

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections

FILE = "configs/ddpm.py"


def parsed(*arguments, file=FILE):
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    return command.parse(["train.py", f"--config={file}", *arguments], values).config


def at(config, field):
    for name in field.split("."):
        config = config[name]
    return config


def text_of(parameter):
    """A value that a parameter takes, as a text, and as itself."""
    if parameter is None:
        return "0.5", 0.5
    annotation, default = parameter.annotation, parameter.default
    if get_origin(annotation) is Mapping:
        return "{'one': 1}", {"one": 1}
    if annotation is bool or isinstance(default, bool):
        return str(not default), not default
    if annotation is str or isinstance(default, str):
        return "12", "12"
    if annotation in (Sequence[int], Sequence[float], np.ndarray):
        return "(1, 2)", (1, 2)
    if isinstance(default, (int, float)) and math.isfinite(default):
        return str(default), default
    if annotation is int or int in get_args(annotation):
        return "1", 1
    if parameter.name in ("dtype", "variance"):
        return ("bfloat16",) * 2 if parameter.name == "dtype" else ("fixed_small",) * 2
    return "0.5", 0.5


def places(parts, above=""):
    for name, part in parts.items():
        yield above + name, part
        if above.count(".") < 2:
            inner = {k: p for k, p in part.inner.items() if k not in ("numbers", "symbols")}
            yield from places(inner, f"{above}{name}.")


def every_function():
    for place, part in places(PARTS):
        for name in part.known:
            yield pytest.param(place, part, name, id=f"{place}={name}")


CORRECTED = SAMPLERS | FEW_STEPS
"""Samplers that may have a corrector: those of numbers."""


@pytest.mark.parametrize(("place", "part", "name"), list(every_function()))
def test_every_argument_of_all_that_can_be_named_is_set(place, part, name):
    spec = {"name": name} | ({"corrector": "langevin"} if place == "sample.sampler" and name in CORRECTED else {})
    arguments = {k: p for k, p in part.arguments(spec).items() if k not in (*part.inner, "corrector")}
    values = {k: text_of(p) for k, p in arguments.items()}
    texts = {**spec, **{k: text for k, (text, _) in values.items()}}
    above = {"betas": "ddpm", "noise": "ddpm", "process": "shifted"}  # what has to be named for this place to be there
    *outer, last = place.split(".")
    around = ["--config.loss.name=adversarial_reconstruction"] if last in ("features", "critic") else []
    while outer and outer[-1] == "process":
        around.append(f"--config.{'.'.join(outer)}.name={above[last]}")
        *outer, last = outer
    config = parsed(*around, *(f"--config.{place}.{k}={text}" for k, text in texts.items()))
    found = at(config, place)
    assert found["name"] == name
    assert {k: found[k] for k in values} == {k: value for k, (_, value) in values.items()}
    for k, parameter in arguments.items():
        if parameter is not None:
            check_argument(part.kind, name, k, found[k], parameter)
    left = found.keys() - arguments.keys() - spec.keys() - part.inner.keys()
    assert left <= {"clip", "warmup", "learning_rate", "num_classes"}


@pytest.mark.system
def test_an_argument_reaches_what_is_built():
    config = parsed(
        "--config.optimizer.name=adamw",
        "--config.optimizer.weight_decay=0.5",
        "--config.optimizer.warmup=0",
        "--config.process.zero_terminal_snr",
        "--config.parameterization.name=v",
        "--config.sample.sampler.name=ddim",
        "--config.sample.sampler.eta",
        "0.25",
    )
    parts = experiment.build(config, SPEC)
    assert parts.model.path.alpha(jnp.float32(1)) == 0
    assert parts.model.sampler == {"name": "ddim", "eta": 0.25}
    params = jnp.ones(2)
    update, _ = parts.optimizer.update(jnp.zeros(2), parts.optimizer.init(params), params)
    np.testing.assert_allclose(update, -0.5 * config["optimizer"]["learning_rate"], rtol=1e-6)


SET = [
    (["--config.sample.process.name=vp"], "sample.process", {"name": "vp"}),
    (["--config.sample.sampler.name=heun"], "sample.sampler", {"name": "heun"}),
    (["--config.sample.grid.name=karras"], "sample.grid", {"name": "karras"}),
    (["--config.sample.grid.name=linspace"], "sample.grid", {"name": "linspace", "total": 1000}),
    (["--config.loss.name=hybrid"], "loss", {"name": "hybrid"}),
    (["--config.loss.name=importance", "--config.loss.even=0.01"], "loss.even", 0.01),
    (["--config.process.name=vp"], "process", {"name": "vp"}),
    (["--config.process.betas=[0.1, 0.2]"], "process.betas", [0.1, 0.2]),
    (["--config.process.betas={'name': 'sigmoid', 'steps': 7}"], "process.betas", {"name": "sigmoid", "steps": 7}),
    (["--config.process.noise.name=simplex", "--config.process.noise.octaves", "3"], "process.noise.octaves", 3),
    (["--config.process.noise.octaves=3", "--config.process.noise.name=simplex"], "process.noise.octaves", 3),
    (["--config.held_out.name=arrays", "--config.held_out.path=7"], "held_out", {"name": "arrays", "path": "7"}),
    (["--config.sample.sampler.snr=0.1", "--config.sample.sampler.corrector=langevin"], "sample.sampler.snr", 0.1),
    (["--config.sample.grid.name=uniform", "--config.sample.grid.t_min", "1e-3"], "sample.grid.t_min", 1e-3),
    (
        ["--config.sample.sampler.name=heun", "--config.sample.sampler.churn_max=inf"],
        "sample.sampler.churn_max",
        np.inf,
    ),
    (["--config.net.name=classifier"], "net.num_classes", 0),
    (["--config.optimizer.name=sgd", "--config.optimizer.nesterov"], "optimizer.nesterov", True),
    (["--config.optimizer.mu_dtype=bfloat16"], "optimizer.mu_dtype", "bfloat16"),
]


@pytest.mark.parametrize(("arguments", "field", "value"), SET)
def test_another_name_and_its_arguments(arguments, field, value):
    assert at(parsed(*arguments), field) == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["zero_terminal_snrr=True"],
            r"argument of process 'ddpm' 'zero_terminal_snrr' \(did you mean 'zero_terminal_snr'",
        ),
        (["name=vp", "betas.steps=7"], "unknown argument of process 'vp' 'betas'"),
        (["name=vp", "betas.name=linear"], "unknown argument of process 'vp' 'betas'"),
        (["name=vpp"], r"unknown process 'vpp' \(did you mean 'vp'"),
        (["name=vpp", "beta_min=1"], r"unknown process 'vpp' \(did you mean 'vp'"),
        (["noise.octaves=3"], "config.process.noise.octaves: nothing is named there: give .*name, one of simplex"),
        (["betas.name.x=3"], "unknown field"),
        (["zero_terminal_snr=maybe"], "zero_terminal_snr='maybe': must be True or False"),
    ],
)
def test_what_is_not_there_is_said(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        experiment.build(parsed(*(f"--config.process.{a}" for a in arguments)), SPEC)
    assert len(str(caught.value).splitlines()) == 1
