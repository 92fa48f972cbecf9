"""Every skeleton of docs/architecture.md is run, and used by `module:name`, from Python and from the command line."""

import dataclasses
import importlib
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags

from jaxdiff.cli import command, tasks
from jaxdiff.cli.sample import make_parser
from jaxdiff.config import build
from jaxdiff.evaluation.features import find_features
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines import experiment
from jaxdiff.training.step import init_state, make_train_step
from tests.helpers.models import a_model

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
FILES = {m[1]: m[2] for m in re.finditer(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL)}
COMMANDS = re.findall(r"^    python train\.py (--config=.*)$", PAGE, re.MULTILINE)
TASKS = re.findall(r"^    python sample\.py (--workdir runs/\w+ --task \w+:.*)$", PAGE, re.MULTILINE)
QUICK = [
    "--config.net.channels=32",
    "--config.net.multipliers=(1,)",
    "--config.net.attention=()",
    "--config.net.blocks=1",
]


pytestmark = pytest.mark.filterwarnings("ignore:the load_module")  # absl's, which reads configs/


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    """The skeletons as files of a folder of the user's own."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(ROOT)


@pytest.mark.system
@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: re.search(r"=(\w+:\w+)", line)[1])
def test_from_the_command_line(line):
    """The command is parsed, its parts are built, and a step of training and a draw are traced."""
    own_net = "config.net.name" in line
    arguments = [*shlex.split(line), *([] if own_net else QUICK)]
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    config, *_ = command.parse(["train.py", *arguments], values)
    source = build.source(config)
    parts = experiment.build(config, source.spec)
    step = make_train_step(parts.loss_fn, parts.optimizer, parts.ema, jax.random.key(0), transforms=parts.transforms)

    def trained(key):
        state = init_state(parts.init(key), parts.optimizer, parts.ema, parts.loss_fn)
        return step(state, jax.tree.map(jnp.asarray, source.take(np.arange(2))))[1]["loss"]

    assert jax.eval_shape(trained, jax.random.key(0)).shape == ()
    draw = lambda params: dataclasses.replace(parts.model, params=params).sample(jax.random.key(0), 2, steps=3)
    assert jax.eval_shape(draw, parts.model.params).shape == (2, *source.spec.shape)


def test_every_skeleton_is_used():
    used = {name for line in COMMANDS for name in re.findall(r"=(\w+):", line)}
    assert used | {"my_guidance", "my_task", "my_features"} == FILES.keys()
    for name in FILES:
        importlib.import_module(name)


def test_features_of_examples():
    apply = find_features("my_features:edges", image_spec((4, 4, 1))).apply
    assert apply(np.zeros((3, 4, 4, 1)))["features"].shape == (3, 12)


@pytest.mark.system
@pytest.mark.parametrize("line", TASKS, ids=lambda line: re.search(r"--task (\w+:\w+)", line)[1])
def test_a_task_of_ones_own(line, tmp_path):
    """The command does what the function does, of which the grey is known."""
    task = re.search(r"--task (\w+:\w+)", line)[1]
    args = make_parser(task).parse_args([*shlex.split(line), "--num=4"])
    tasks.perform(args, tmp_path / "samples", {}, a_model(steps=20), {})
    drawn = np.load(tmp_path / "samples" / task.replace(":", ".") / "images.npz")["images"]
    pull = importlib.import_module("my_task").pull
    np.testing.assert_allclose(drawn, pull(a_model(steps=20), jax.random.key(0), 4, 0.25, strength=0.9), atol=1e-5)
    np.testing.assert_allclose(drawn, 0.25, atol=0.3)
