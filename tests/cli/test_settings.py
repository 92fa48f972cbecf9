from pathlib import Path

import pytest

from jaxdiff.cli.settings import page
from jaxdiff.config.schema import FIELDS, check_fields, defaults, may_change
from jaxdiff.errors import InputError

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_made_from_the_schema():
    assert (DOCS / "settings.md").read_text() == page()


def test_the_defaults_are_a_configuration():
    check_fields(defaults())
    check_fields({**defaults(), "held_out": {"name": "digits"}})


@pytest.mark.parametrize("field", [name for name, field in FIELDS.items() if not field.optional])
def test_each_field_has_to_be_there(field):
    config = defaults()
    *parents, last = field.split(".")
    part = config
    for name in parents:
        part = part[name]
    del part[last]
    with pytest.raises(InputError, match=f"config.{field}.* is missing"):
        check_fields(config)


@pytest.mark.parametrize("field", ["colour", "train.colour", "train.guard.colour", "sample.colour", "ema.colour"])
def test_an_unknown_field_is_refused(field):
    config = defaults()
    *parents, last = field.split(".")
    part = config
    for name in parents:
        part = part[name]
    part[last] = "red"
    with pytest.raises(InputError, match=f"unknown field 'config.{field}'"):
        check_fields(config)


def test_a_resumed_run_may_change_how_long_and_how_but_not_what_is_learned():
    assert all(map(may_change, ("train.steps", "train.mesh.fsdp", "net.remat", "sample.sampler.eta", "held_out.name")))
    assert not any(map(may_change, ("train.batch_size", "net.channels", "net", "loss.name", "optimizer.b1", "seed")))
