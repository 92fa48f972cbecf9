"""`sample.py --task` on files, with a model that is exact."""

import argparse
import sys

import jax.numpy as jnp
import numpy as np

from jaxdiff.cli import tasks
from jaxdiff.config.sampling import Bound
from jaxdiff.gaussian import grids
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.schedules import vp
from jaxdiff.modalities import images
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines.model import Model
from tests.helpers.configs import get_config

SHAPE = (8, 8, 1)
PATH = vp()


def bind(params, condition):
    return Bound(PATH, gaussian_mixture(vp(), np.ones(1), np.full((1, *SHAPE), -0.3), np.full((1, *SHAPE), 0.6)))


MODEL = Model(
    params=jnp.zeros(()),
    spec=image_spec(SHAPE),
    grid=lambda n: grids.uniform(n, 1.0, 1e-3),
    steps=10,
    sampler={"name": "ddim"},
    options={"clip": 1.0},
    bind=bind,
    path=PATH,
)


def perform(tmp_path, *arguments, model=MODEL):
    parser = argparse.ArgumentParser()
    tasks.add_arguments(parser)
    for name, default in (("--num", 6), ("--seed", 0), ("--batch", 8), ("--steps", None)):
        parser.add_argument(name, type=int, default=default)
    for name in ("--atoms", "--length"):
        parser.add_argument(name, type=int)
    for name in ("--label", "--property"):
        parser.add_argument(name)
    args = parser.parse_args(list(arguments))
    tasks.perform(args, tmp_path / "samples", get_config(), model, {} if args.steps is None else {"steps": args.steps})
    return np.load(tmp_path / "samples" / args.task / "images.npz")


def replace_load(monkeypatch, pipeline, model, name="load"):
    """The pipeline's file reads this model, whatever the run."""
    monkeypatch.setattr(sys.modules[f"jaxdiff.pipelines.{pipeline}"], name, lambda *run: model)


def held_out(n=6):
    return images.digits("test").take(np.arange(n)).x_0
