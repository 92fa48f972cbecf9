"""Fill: `jaxdiff sample --fill TEXT` draws what is blank in a text (`jaxdiff.pipelines.infill`)."""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdiff.cli.written import claimed
from jaxdiff.modalities import find, require
from jaxdiff.pipelines.infill import infill
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Batch

__all__ = ["filled"]


def filled(arguments: argparse.Namespace, out: Path, model: Model, options: dict[str, Any]) -> None:
    """Draw `--num` texts whose blanks, the underscores of `--fill`, are filled, and write them as samples are.

    Raises:
      InputError: the model is not of text, or the text does not fit it.
    """
    require("text", model.spec, f"--fill {arguments.fill}")
    given = {name: value for name in ("steps", "sampler") if (value := getattr(arguments, name)) is not None}
    key, parts = jax.random.key(arguments.seed), []
    for first in range(0, arguments.num, arguments.batch):
        count = min(arguments.batch, arguments.num - first)
        parts.append(infill(model, key, [arguments.fill] * count, first=arguments.first + first, **given, **options))
    texts = np.concatenate(parts)
    with claimed(out) as out:
        seen = find("text", "show").save_samples(out, model.spec, Batch(texts), None, model.weights)
        record = vars(arguments) | {"weights": model.weights}
        (out / "samples.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"{len(texts)} filled; look at {out / seen[0]}")
