"""Conform: `jaxdiff sample --smiles SMILES` draws conformers of a molecule (`jaxdiff.pipelines.conformers`)."""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
from PIL import Image

from jaxdiff.cli.written import claimed
from jaxdiff.errors import InputError
from jaxdiff.modalities.molecules import files, show_conformers
from jaxdiff.pipelines.conformers import conformers
from jaxdiff.pipelines.model import Model

__all__ = ["conformed"]


def conformed(arguments: argparse.Namespace, out: Path, model: Model, options: dict[str, Any]) -> None:
    """Draw `--num` conformers of `--smiles` to a file .sdf, .pdb or .xyz, or to samples.sdf in a folder.

    A picture of the first of them stands beside, as .png.

    Raises:
      InputError: the model is of another kind, the SMILES does not fit it, or files of this suffix are not written.
    """
    if arguments.smiles is None:
        raise InputError("--smiles: this model draws the conformers of a molecule: say of which, as in --smiles CCO")
    named = bool(out.suffix)
    if named:
        files.check_suffix(out)
    given = {name: value for name in ("steps", "sampler") if (value := getattr(arguments, name)) is not None}
    given |= {"first": arguments.first, **options}
    begin = time.perf_counter()
    drawn = conformers(model, jax.random.key(arguments.seed), arguments.smiles, arguments.num, arguments.batch, **given)
    drawn = list(drawn)
    picture = show_conformers.rendered(show_conformers.gallery(drawn))
    if named:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            _write(out, drawn, picture)
        except OSError as error:
            raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    else:
        with claimed(out) as out:
            _write(out / "samples.sdf", drawn, picture)
        out /= "samples.sdf"
    seconds = time.perf_counter() - begin
    print(f"{len(drawn)} conformers drawn in {seconds:.1f} s: {out}; look at {out.with_suffix('.png')}")


def _write(path: Path, drawn: list[Any], picture: Any) -> None:
    files.write(path, drawn)
    Image.fromarray(picture).save(path.with_suffix(".png"))
