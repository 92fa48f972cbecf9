"""What one molecule is: atoms with their elements, and, as a network sees them, features (Hoogeboom et al. 2022, EDM).

In the data's own units a molecule is (atoms, 4), the atomic number and the coordinates in Angstrom, rows of 0 being
padding. A network sees (atoms, 3 + elements + 1): centered coordinates, the element as one of so many times 1/4, and
the atomic number times 1/10. An atom that is drawn is the element of its largest feature.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.types import Codec, Condition, Key, Spec

__all__ = [
    "CHARGE",
    "COMPLETED",
    "KIND",
    "SYMBOLS",
    "complete",
    "make_codec",
    "mask_of",
    "molecule_spec",
    "retold",
    "sizes_of",
    "told_property",
]

KIND, CHARGE = 0.25, 0.1
"""Factors on the element, one of so many, and on its atomic number."""
COMPLETED = ("mask",)
"""What `complete` draws of a condition."""
_LINE = (
    "- H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe"
)
SYMBOLS: tuple[str, ...] = tuple(_LINE.split())
"""Of the elements, by their atomic numbers; a dash for padding."""


def molecule_spec(numbers: Sequence[int], sizes: np.ndarray) -> Spec:
    """A molecule of these elements.

    Args:
      numbers: atomic numbers, rising.
      sizes: how many molecules have 0, 1, 2 ... atoms, the last of them the most that one can have.
    """
    details = {"elements": list(map(int, numbers)), "sizes": list(map(int, sizes))}
    return Spec((len(sizes) - 1, 3 + len(numbers) + 1), "molecules", details=details)


def make_codec(spec: Spec) -> Codec:
    """Between molecules (..., atoms, 4) and what a network sees, (..., atoms, 3 + elements + 1).

    Raises:
      InputError: details that are not those of molecules.
    """
    elements, _ = _known(spec)

    def encode(x):
        x = np.asarray(x, np.float64)
        number, place = np.rint(x[..., 0]).astype(int), x[..., 1:]
        there = number > 0
        if (strange := np.setdiff1d(number[there], elements)).size:
            raise InputError(
                f"element {SYMBOLS[strange[0]]}: this data has it, and the network knows {_named(elements)}: leave its "
                "molecules out"
            )
        count = np.maximum(there.sum(-1), 1)[..., None, None]
        place = (place - np.where(there[..., None], place, 0).sum(-2, keepdims=True) / count) * there[..., None]
        kind = number[..., None] == elements
        return np.concatenate([place, KIND * kind, CHARGE * number[..., None]], -1).astype(np.float32)

    def decode(x):
        x = np.asarray(x)
        there = np.any(x != 0, -1)
        number = np.where(there, elements[x[..., 3:-1].argmax(-1)], 0)
        return np.concatenate([number[..., None], np.where(there[..., None], x[..., :3], 0)], -1).astype(np.float32)

    return Codec(encode, decode)


def mask_of(spec: Spec, atoms: np.ndarray) -> np.ndarray:
    """The mask (n, atoms), float32, of molecules of so many atoms, (n,).

    Raises:
      InputError: fewer than 2 atoms, more than the network has room for, or no whole numbers.
    """
    atoms, most = np.asarray(atoms), spec.shape[0]
    if atoms.ndim != 1 or atoms.dtype.kind not in "iu" or atoms.min() < 2 or atoms.max() > most:
        raise InputError(f"atoms={atoms.tolist()}: this model draws molecules of 2 to {most} atoms")
    return (np.arange(most) < atoms[:, None]).astype(np.float32)


def sizes_of(spec: Spec) -> np.ndarray:
    """The share of molecules of 0, 1, 2 ... atoms in the data of training: (most + 1,)."""
    counts = np.asarray(_known(spec)[1], np.float64)
    return counts / counts.sum()


def complete(spec: Spec, key: Key, index: np.ndarray, given: Condition) -> Condition:
    """The condition with the mask of molecules of as many atoms as are asked for, "atoms", or as the data has.

    A "property" in the data's own units, one for all or (n,), becomes the condition of `told_property`.

    Args:
      key: molecule i draws its number of atoms from the key and `index[i]`.
    """
    if "conformers" in spec.details:
        return given
    if np.ndim(given.get("property", np.zeros((1, 1)))) < 2:
        given = {**given, "property": told_property(spec, given["property"], len(index))}
    if "mask" in given:
        return given
    rest = {name: value for name, value in given.items() if name != "atoms"}
    if "atoms" in given:
        return {**rest, "mask": mask_of(spec, np.broadcast_to(given["atoms"], len(index)))}
    upto = jnp.asarray(np.cumsum(sizes_of(spec))[:-1], jnp.float32)
    draw = lambda i: jax.random.uniform(jax.random.fold_in(jax.random.fold_in(key, i), 1))
    atoms = jnp.searchsorted(upto, jax.vmap(draw)(jnp.asarray(index, jnp.uint32)), side="right")
    return {**rest, "mask": (jnp.arange(spec.shape[0]) < atoms[:, None]).astype(jnp.float32)}


def told_property(spec: Spec, values: np.ndarray | float, n: int) -> np.ndarray:
    """A property of n molecules as a network is told it, (n, 2): in deviations from its mean, and that it is known.

    Args:
      values: in the data's own units, one for all or (n,).

    Raises:
      InputError: the data of training has no property, or the values are not finite.
    """
    if not (kept := spec.details.get("property")):
        raise InputError("property: this model was trained without one: set data.property in training, or leave it out")
    values = np.asarray(values, np.float64)
    if values.shape not in ((), (n,)) or not np.isfinite(values).all():
        raise InputError(f"property of shape {values.shape}: must be one finite number for all, or {n}")
    deviations = np.broadcast_to((values - kept["mean"]) / kept["std"], (n,))
    return np.stack([deviations, np.ones(n)], -1).astype(np.float32)


def retold(its: Spec, spec: Spec) -> Callable[[Condition], Condition]:
    """From a property in deviations from the mean of one data set to that in those of another.

    Raises:
      InputError: they are two properties.
    """
    old, new = its.details.get("property"), spec.details.get("property")
    if not old or not new:
        return lambda condition: condition
    if old["name"] != new["name"]:
        raise InputError(f"property {old['name']!r}: the data of training has {new['name']!r}: set data.property to it")

    def again(condition):
        if "property" not in condition:
            return condition
        deviations, known = np.moveaxis(np.asarray(condition["property"], np.float64), -1, 0)
        moved = (deviations * old["std"] + old["mean"] - new["mean"]) / new["std"]
        return {**condition, "property": np.stack([moved * known, known], -1).astype(np.float32)}

    return again


def _known(spec: Spec) -> tuple[np.ndarray, list[int]]:
    """The elements and the sizes that the details of a specification hold."""
    try:
        elements, sizes = np.asarray(spec.details["elements"], int), list(map(int, spec.details["sizes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"details of molecules: {type(error).__name__} {error}: they hold no elements") from error
    fits = elements.ndim == 1 and (np.diff(elements) > 0).all() and spec.shape[1] == len(elements) + 4
    fits = fits and elements.min(initial=1) > 0 and elements.max(initial=1) < len(SYMBOLS)
    if not (fits and len(sizes) == spec.shape[0] + 1 and sum(sizes) > 0 and min(sizes) >= 0 and not sum(sizes[:2])):
        raise InputError(f"details of molecules: {dict(spec.details)} are not those of examples of shape {spec.shape}")
    return elements, sizes


def _named(elements: np.ndarray) -> str:
    return ", ".join(SYMBOLS[z] for z in elements)
