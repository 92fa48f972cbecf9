"""Data: the source that a configuration names."""

from collections.abc import Mapping
from typing import Any

from jaxdiff.config.parts import DATA
from jaxdiff.config.ranges import MOST
from jaxdiff.config.schema import check_fields, check_value
from jaxdiff.data.source import Source, balanced, shrunk
from jaxdiff.errors import InputError
from jaxdiff.types import Batch

Config = Mapping[str, Any]


def source(config: Config) -> Source:
    """The data of a configuration, checked against its network; without labels if the network takes none."""
    check_fields(config)
    data = shrunk(DATA.make(config["data"]), config["train"]["shrink"])
    if config["train"]["balanced"]:
        data = balanced(data)
    classes = config["net"].get("num_classes", 0)
    check_value("config.net.num_classes", classes, int, 0, MOST)
    if not classes:
        return data._replace(num_classes=0, take=lambda i: unlabeled(data.take(i)))
    if classes != data.num_classes:
        raise InputError(
            f"net.num_classes={classes}, but dataset {config['data']['name']!r} has {data.num_classes} classes: "
            "make them equal, or 0 for no classes"
        )
    return data


def unlabeled(batch: Batch) -> Batch:
    """The batch without labels; what else is known of it stays."""
    rest = {name: value for name, value in (batch.condition or {}).items() if name != "label"}
    return batch._replace(condition=rest or None)


def held_out(config: Config) -> Source:
    """The held-out data of a configuration.

    Raises:
      InputError: it names none.
    """
    if not config.get("held_out"):
        raise InputError("this configuration names no held-out data: set config.held_out, a data set like config.data")
    return source({**config, "data": config["held_out"]})
