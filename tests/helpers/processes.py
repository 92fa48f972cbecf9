"""train.py and sample.py on a network small enough to train in seconds, and what their runs hold."""

import json
import sys
from pathlib import Path

import jax
from PIL import Image

from jaxdiff.config import record as run_record
from jaxdiff.pipelines import experiment
from jaxdiff.training.checkpoints.checkpoint import Checkpoints
from jaxdiff.training.step import init_state

ROOT = Path(__file__).parents[2]
TINY = [
    "--config=configs/ddpm.py",
    "--config.net.channels=32",
    "--config.net.multipliers=(1,)",
    "--config.net.attention=()",
    "--config.train.batch_size=16",
    "--config.train.steps=40",
    "--config.train.log_every=5",
    "--config.train.sample_every=20",
    "--config.train.checkpoint_every=10",
    "--config.sample.steps=10",
]


def command(script, *arguments):
    return [sys.executable, str(ROOT / script), *arguments]


def size_of(file):
    with Image.open(file) as picture:
        return picture.size


def state_of(folder):
    record = run_record.read_record(folder)
    parts = experiment.build(record.config, record.spec)
    like = jax.jit(lambda key: init_state(parts.init(key), parts.optimizer, parts.ema))(jax.random.key(9))
    with Checkpoints(folder / "checkpoints") as checkpoints:
        return checkpoints.restore(like)


def rows(folder, metric="loss"):
    every = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in every if metric in row]
