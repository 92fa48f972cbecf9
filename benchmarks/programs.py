"""Programs: jaxdiff and its peers behind one door, for quality.py: how each is timed, trained and drawn from."""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import measure
import numpy as np

OURS, OURS_V, DOCUMENTED, SAME = "jaxdiff", "jaxdiff, v", "its example", "jaxdiff's rates"
PEERS = ("diffusers", "lucidrains")
TRIED = [f"{peer}, {how}" for peer in PEERS for how in (DOCUMENTED, SAME)]
CHAIN, FAST = "DDPM", "DPM-Solver++"


class Images(NamedTuple):
    """Training and held-out images in [-1, 1], (n, height, width, channels), and the labels of the latter."""

    training: np.ndarray
    held_out: np.ndarray
    labels: np.ndarray


def load(data: str) -> Images:
    """The digits, or a .npz of train_images, test_images and test_labels."""
    if data == "digits":
        from jaxdiff.modalities.images import digits

        ours, others = (source.take(np.arange(source.size)) for source in (digits("train"), digits("test")))
        return Images(np.asarray(ours.x_0), np.asarray(others.x_0), np.asarray(others.condition["label"]))
    with np.load(data) as content:
        pair = [np.float32(content[f"{part}_images"]) / 127.5 - 1 for part in ("train", "test")]
        return Images(*(x.reshape(*x.shape[:3], -1) for x in pair), content["test_labels"])


def recipe(data: str, images: np.ndarray, minutes: float, steps: int, seed: int = 0) -> dict:
    """jaxdiff's configuration for so many steps: that of configs/ddpm.py, or what is chosen for a time."""
    from jaxdiff.api.basis import basis
    from jaxdiff.config.budget import Speed, within
    from jaxdiff.config.names import Given
    from jaxdiff.configs import ddpm
    from jaxdiff.modalities.images.memory import image_array

    if data == "digits":
        config = ddpm.get_config().to_dict()
    else:
        source = image_array(images)
        config = basis(source, {"name": Given(source)}, {"train.minutes": minutes})
    config |= {"seed": seed, "train": config["train"] | {"steps": steps, "minutes": 0.0}}
    return config if data == "digits" else within(config, 0, Speed(1.0), ("train.steps",))[0]


def batch_of(name: str, config: dict) -> int:
    """Images an update."""
    documented = {f"{PEERS[0]}, {DOCUMENTED}": 16, f"{PEERS[1]}, {DOCUMENTED}": 64}
    return documented.get(name, config["train"]["batch_size"])


def falls(name: str, config: dict) -> bool:
    """Whether the rate falls until the end, so that a shorter run is another run."""
    if DOCUMENTED in name:
        return name.startswith(PEERS[0])
    return config["optimizer"]["schedule"]["name"] != "constant_schedule"


def make_peer(name: str, config: dict, images: np.ndarray):
    """A run of a peer as `config` says, that is, for as many steps, with its seed."""
    import peers

    library, _, how = name.partition(", ")
    steps = config["train"]["steps"]
    made = peers.jaxdiffs(config) if how == SAME else peers.example(library, steps)
    return peers.Training(library, made, images, config["seed"], cosine=how == SAME)


def timed(arguments: argparse.Namespace) -> measure.Ready:
    """A program that has compiled, whose call is some updates."""
    images = load(arguments.data).training
    if arguments.worker == OURS:
        begin_ours()
    config = recipe(arguments.data, images, arguments.minutes, 10**6)
    batch = batch_of(arguments.worker, config)
    if arguments.worker != OURS:
        return measure.warm(make_peer(arguments.worker, config, images).step, batch)
    import jax

    from jaxdiff.cli.setup import prepare
    from jaxdiff.training import feed

    setup = prepare(config)
    state, stream = setup.first(), feed.ahead(setup.feed.read, feed.Calls(0, 10**6, setup.length), 2)

    def run():
        nonlocal state
        state, metrics = setup.step_fn(state, setup.feed.resident, next(stream))
        jax.block_until_ready(metrics)

    return measure.warm(run, batch * setup.length)


def train(arguments: argparse.Namespace) -> None:
    """Train to each of `--marks`, and keep what was drawn there below `--folder`; all seconds are the processor's."""
    began, images = time.process_time(), load(arguments.data).training
    if arguments.train in (OURS, OURS_V):
        begin_ours()
    config = recipe(arguments.data, images, arguments.minutes, max(arguments.marks), arguments.seed)
    name, load_then = arguments.train, os.getloadavg()[0]
    if name in (OURS, OURS_V):
        config["parameterization"] = {"name": "v"} if name == OURS_V else config["parameterization"]
        size, draw = train_ours(config)
        keep(arguments, max(arguments.marks), draw, (CHAIN, FAST), size, time.process_time() - began, load_then)
        return
    run, drawing = make_peer(name, config, images), 0.0
    for mark in sorted(arguments.marks):
        while run.done < mark:
            run.step()
        took = time.process_time() - began - drawing
        drawing += keep(arguments, mark, run.draw, tuple(run.peer.samplers), run.size, took, load_then)


def begin_ours() -> None:
    """As the command begins, before anything asks JAX for a device."""
    from jaxdiff.config import schema
    from jaxdiff.training import sharding

    sharding.use_cpu_devices(schema.defaults()["train"]["cpu_devices"])
    sharding.use_compilation_cache()


def train_ours(config: dict):
    """The number of parameters, and `(sampler, seed, n) -> images`."""
    import jax

    import jaxdiff

    model = jaxdiff.train(config, progress=False)
    own = {} if config["sample"]["sampler"]["name"] == "ancestral" else {"sampler": "ancestral", "steps": 1000}
    options: dict[str, dict[str, Any]] = {CHAIN: own, FAST: {"sampler": "dpmpp_2m", "steps": 50}}
    draw = lambda sampler, seed, n: np.asarray(model.sample(jax.random.key(seed), n, **options[sampler]))
    return sum(p.size for p in jax.tree.leaves(model.params)), draw


def keep(arguments, mark: int, draw, samplers: tuple[str, ...], size: int, took: float, load_then: float) -> float:
    """Draw and write; the seconds of that."""
    begin, sets, seconds = time.process_time(), {}, {}
    for sampler in samplers:
        own = sampler not in (CHAIN, FAST) and (arguments.seed or mark < max(arguments.marks))
        if own or (sampler == CHAIN and mark != arguments.chain_at):
            continue
        first = time.process_time()
        parts = 1 if sampler == CHAIN else arguments.parts
        sets[sampler] = np.stack([draw(sampler, 100 * arguments.seed + i, arguments.num) for i in range(parts)])
        seconds[sampler] = (time.process_time() - first) / parts
    told = {"parameters": size, "cpu_s": took, "sampling_s": seconds, "load": [load_then, os.getloadavg()[0]]}
    file = path(arguments.folder, arguments.train, arguments.seed, mark)
    np.savez(file.with_suffix(".part.npz"), told=json.dumps(told), **sets)
    file.with_suffix(".part.npz").rename(file)
    return time.process_time() - begin


def path(folder: Path, name: str, seed: int, mark: int) -> Path:
    """Where the sets of a run are."""
    return folder / f"{name.replace(', ', '-').replace(' ', '_').replace(chr(39), '')}-{seed}-{mark}.npz"
