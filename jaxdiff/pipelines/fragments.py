"""Fragments: draw the rest of molecules around atoms that are held, such as a scaffold, or two ends to be linked.

A molecule is drawn about a center of 0, and where atoms that are held lie about it is not known before the others are.
So what is held is how they lie to each other, and their elements (`jaxdiff.guidance.inpainting.keep_shape`); at the end
each molecule is moved to where they were given.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.guidance import inpainting
from jaxdiff.modalities import require
from jaxdiff.modalities.molecules.source import read
from jaxdiff.pipelines.common import draw_with
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite, is_whole
from jaxdiff.pipelines.pipeline import Argument, Pipeline
from jaxdiff.types import Key

__all__ = ["PIPELINES", "fragments"]

METHODS = ("repaint", "replace")


def _steer(process, denoiser, sampler, inputs):
    known, repeats = inputs.each, inputs.shared["repeats"]
    return inpainting.repaint(process, sampler, known["y"], known["mask"], repeats, inpainting.keep_shape)


def _finish(x, inputs):
    return inpainting.keep_shape(x, inputs.each["y"], inputs.each["mask"])


HELD = Hooks(steer=_steer, finish=_finish)


def fragments(
    model: Model,
    key: Key,
    n: int,
    held: np.ndarray,
    atoms: Any,
    method: str = "repaint",
    repeats: int | None = None,
    property: Any = None,
    **options: Any,
) -> np.ndarray:
    """Draw n molecules, (n, most, 4), that begin with the atoms that are held, exactly as and where they are.

    Args:
      held: (held, 4), atomic numbers and places in Angstrom; rows of 0 at the end are padding.
      atoms: how many each has in all, one number or (n,).
      method: "repaint", or "replace", which is that with a single repeat.
      repeats: of each step of "repaint"; 10.
      property: that the model is told, in its own units.
      options: those of `Model.sample`, but for the condition.

    Raises:
      InputError: a model of another kind, atoms that are none, of an element that it does not know, or that leave
        nothing to be drawn, or another method.
    """
    require("molecules", model.spec, "fragments")
    if "conformers" in model.spec.details:
        raise InputError("fragments: this model draws conformers of a graph: take one of configs/molecules.py")
    if method not in METHODS:
        raise unknown("method of fragments", method, METHODS)
    if repeats is not None and (method != "repaint" or not is_whole(repeats)):
        raise InputError(f"repeats={repeats}: goes with method 'repaint', a whole number from 1")
    if (held := np.asarray(held, np.float64)).ndim != 2 or held.shape[1] != 4 or not np.isfinite(held).all():
        raise InputError(f"held of shape {held.shape}: must be finite numbers (atoms, 4), atomic numbers and places")
    held = held[held[:, 0] > 0]
    count, most = len(held), model.shape[0]
    if not 0 < count < np.min(atoms):
        raise InputError(f"{count} atoms are held, and atoms={atoms}: hold some, and leave some to be drawn")
    known = np.zeros((1, most, 4))
    known[0, :count] = held[:most]
    each = {"y": model.codec.encode(known), "mask": (np.arange(most) < count).astype(np.float32)[None, :, None]}
    each = {name: jnp.asarray(np.repeat(value, n, axis=0)) for name, value in each.items()}
    shared = {"repeats": jnp.int32((10 if repeats is None else repeats) if method == "repaint" else 1)}
    told = {"atoms": atoms} | ({} if property is None else {"property": property})
    drawn = draw_with(model, key, n, HELD, Inputs(each, shared), **options, condition=told)
    x = np.asarray(model.codec.decode(finite(np.asarray(drawn), "molecules")))
    there = x[..., :1] > 0
    x[..., 1:] += there * (held[:, 1:].mean(0) - x[:, :count, 1:].mean(1, keepdims=True))
    x[:, :count] = held
    return x


def _read(path: str, model: Model) -> np.ndarray:
    """The one molecule, or the one set of parts, of a file."""
    numbers, places, _ = read(path)
    if len(numbers) != 1:
        raise InputError(f"--held {path}: holds {len(numbers)} molecules: give one, of all the atoms that are held")
    return np.concatenate([numbers[0][:, None], places[0]], axis=1)


PIPELINES = {
    "fragments": Pipeline(
        fragments,
        "molecules around atoms that are held: a scaffold, or ends to be linked",
        (
            Argument("held", "the atoms: a file .sdf, .xyz, .pdb or .npz of one molecule", read=_read, required=True),
            Argument("atoms", "how many a molecule has in all", int, required=True),
            Argument("property", "that the model is told, in its units", float, default="unknown"),
            Argument("method", ", ".join(METHODS), default="repaint"),
            Argument("repeats", "of each step of repaint", int, default="10"),
        ),
        takes=None,
        modality="molecules",
    )
}
