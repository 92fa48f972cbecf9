"""The configurations of configs/, with a field changed."""

import importlib.util
from pathlib import Path

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
