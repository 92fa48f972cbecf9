"""The configurations of configs/, with a field changed."""

import importlib
import importlib.util
import math
from pathlib import Path

from jaxdiff.config.build import source as source_of
from jaxdiff.config.schema import check_fields
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines import experiment
from jaxdiff.training import feed, sharding, stop
from jaxdiff.training.checkpoints import rollback

SPEC = image_spec((8, 8, 1), 17)
"""Of the digits."""
CONFIGS = Path(__file__).parents[2] / "configs"


def get_config(setting="digits", file="ddpm"):
    spec = importlib.util.spec_from_file_location(file, CONFIGS / f"{file}.py")
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


FILES = {
    "ddpm": "digits",
    "iddpm": "digits",
    "ncsn": "digits",
    "score_sde": "ve",
    "edm": "digits",
    "flow": "digits",
    "vdm": "digits",
}


def leaves(part, prefix=""):
    for name, value in part.items():
        yield prefix + name, value
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")


def with_field(config, field, value):
    """The configuration with another value at a dotted name; without it, if that is `...`."""
    *parents, last = field.split(".")
    part = config
    for name in parents:
        part = part[name]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return config


def small(name="ddpm"):
    """A configuration with as small a network as there is, which takes the least time to trace."""
    config = get_config(FILES[name], name)
    config["net"] |= {"multipliers": [1], "attention": [], "blocks": 1}
    return config


def begin(config):
    """What train.py does with a configuration before it computes anything, and sample.py with the held-out data."""
    check_fields(config)
    train = config["train"]
    mesh = sharding.make_mesh(**train["mesh"])
    sharding.check_batch(train["batch_size"], train["accumulate"], sharding.batch_shards(mesh))
    if config["held_out"]:
        source_of({**config, "data": config["held_out"]})
    source = source_of(config)
    parts = experiment.build(config, source.spec, mesh)
    every = {f"train.{k}": train[k] for k in ("log_every", "sample_every", "checkpoint_every")}
    feed.steps_per_call(train["steps_per_call"], every, 4 * train["batch_size"] * math.prod(source.spec.shape))
    feed.make_feed(source, mesh, train["batch_size"], config["seed"], train["device_data"])
    rollback.check(**train["guard"])
    with stop.stopping(train["max_hours"]):
        return parts


def tiny():
    config = small()
    config["process"]["betas"]["steps"] = config["loss"]["times"]["steps"] = config["sample"]["grid"]["total"] = 100
    config["sample"]["steps"] = 5
    return config
