"""Conform: `jaxdiff sample --smiles SMILES` or `--ccd CODE` draws conformers (`jaxdiff.pipelines.conformers`)."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from PIL import Image

from jaxdiff.cli.written import claimed
from jaxdiff.errors import InputError
from jaxdiff.modalities.molecules import files, report, show_conformers
from jaxdiff.modalities.molecules.conformers import read_ccd
from jaxdiff.pipelines.conformers import conformers
from jaxdiff.pipelines.model import Model

__all__ = ["add_arguments", "conformed", "is_asked"]


def add_arguments(what: Callable[..., Any]) -> None:
    """The flags that say of which molecule."""
    what("--smiles", help="of a model of conformers: draw those of this molecule, to --out FILE.sdf, .pdb or .xyz")
    what("--ccd", metavar="CODE", help="the same of a ligand by its code in the Chemical Component Dictionary, as ATP")


def is_asked(arguments: argparse.Namespace, model: Model) -> bool:
    """Tell whether conformers are to be drawn."""
    return bool({arguments.smiles, arguments.ccd} - {None}) or "conformers" in model.spec.details


def conformed(arguments: argparse.Namespace, out: Path, model: Model, options: dict[str, Any]) -> None:
    """Draw `--num` conformers of `--smiles` or `--ccd` to a file .sdf, .pdb or .xyz, or to samples.sdf in a folder.

    A picture of the first of them stands beside, as .png. How far those of a ligand of the dictionary are from the
    coordinates there is said.

    Raises:
      InputError: the model is of another kind, the molecule does not fit it, or files of this suffix are not written.
    """
    if arguments.smiles is None and arguments.ccd is None:
        raise InputError("--smiles: this model draws the conformers of a molecule: say of which, as in --smiles CCO")
    named = bool(out.suffix)
    if named:
        files.check_suffix(out)
    given = {name: value for name in ("steps", "sampler") if (value := getattr(arguments, name)) is not None}
    given |= {"first": arguments.first, **options}
    of = arguments.smiles if arguments.ccd is None else read_ccd(arguments.ccd)
    begin = time.perf_counter()
    drawn = list(conformers(model, jax.random.key(arguments.seed), of, arguments.num, arguments.batch, **given))
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
    if arguments.ccd is not None:
        print(_compared(of, drawn))


def _compared(known: Any, drawn: Sequence[Any]) -> str:
    rmsd = report.figures(known, [one.GetConformer().GetPositions() for one in drawn])["rmsd"]
    return (
        f"RMSD to the dictionary's ideal coordinates: {rmsd.min():.2f} Å of the nearest, {rmsd.mean():.2f} Å on average"
    )


def _write(path: Path, drawn: list[Any], picture: Any) -> None:
    files.write(path, drawn)
    Image.fromarray(picture).save(path.with_suffix(".png"))
