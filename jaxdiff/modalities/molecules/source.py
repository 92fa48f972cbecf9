"""Molecules of a file, with the coordinates and elements of all their atoms, hydrogens among them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.molecules.graphs import check_solid, rdkit
from jaxdiff.modalities.molecules.spec import SYMBOLS, make_codec, mask_of, molecule_spec, told_property
from jaxdiff.types import Batch, ConditionSpec

__all__ = ["HELD_OUT", "UNITS", "molecules", "read", "split_of"]

HELD_OUT = 0.155
"""The share of molecules in the split "test": 1,101 of the 7,101 of QM7."""
SPLITS = ("all", "train", "test")
UNITS = {"angstrom": 1.0, "nanometer": 10.0, "bohr": 0.529177}
NEAREST = (0.6, 1.6)
"""Of the median distance of an atom's nearest neighbor, in Angstrom: of hydrogen it is 1.1, of metals 1.4."""


def molecules(path: str, split: str = "all", property: str = "", unit: str = "angstrom", atoms: int = 0) -> Source:
    """The molecules of a .npz, .sdf, .xyz or .pdb, centered, with the mask of their atoms as condition.

    Args:
      path: of a .npz with `atomic_numbers` (n, atoms), 0 for padding, and `positions` (n, atoms, 3); of an .sdf, read
        by RDKit; of an .xyz of one molecule after the other; or of a .pdb, each of whose models is a molecule.
      split: "all"; "test", 15.5 % of the molecules, drawn once and for all; or "train", the others.
      property: an array of the .npz, (n,), that a network can be told as "property", in deviations from its mean
        over the molecules of training.
      unit: of the coordinates in the file.
      atoms: the most that a molecule may have; 0 for as many as the largest has.

    Raises:
      InputError: the file cannot be read; a molecule has no place, fewer than 2 atoms, or coordinates that are not
        finite, or do not look like Angstrom.
    """
    for kind, name, known in (("split of molecules", split, SPLITS), ("data.unit", unit, UNITS)):
        if name not in known:
            raise unknown(kind, name, known)
    numbers, place, extra = read(path)
    counts = _checked(path, numbers, place * UNITS[unit], unit)
    most = atoms or int(counts.max())
    if (large := np.flatnonzero(counts > most)).size:
        raise InputError(
            f"{path!r}: molecule {large[0] + 1} has {counts[large[0]]} atoms, and data.atoms={atoms}: raise that, or "
            "leave it out"
        )
    width = max(numbers.shape[1], most)
    x = np.zeros((len(numbers), width, 4))
    x[:, : numbers.shape[1], 0], x[:, : numbers.shape[1], 1:] = numbers, place * UNITS[unit]
    x = x[:, :most]
    train, chosen = split_of(len(x), split)
    if not (len(train) and len(chosen)):
        raise InputError(
            f"data.split={split!r}: {path!r} has {len(x)} molecules, of which none are for that: give more, or take "
            "split all"
        )
    elements = np.unique(numbers[numbers > 0])
    spec = molecule_spec(elements.tolist(), np.bincount(counts[train], minlength=most + 1))
    x_0, masks = make_codec(spec).encode(x[chosen]), mask_of(spec, counts[chosen])
    told = {"mask": masks}
    specs = {"mask": ConditionSpec((most,), missing=None)}
    if property:
        values = _property(path, property, extra, train, len(x))
        kept = {"name": property, "mean": float(values[train].mean()), "std": float(values[train].std())}
        spec = spec._replace(details={**spec.details, "property": kept})
        told["property"] = told_property(spec, values[chosen], len(chosen))
        specs["property"] = ConditionSpec((2,))

    def take(indices):
        return Batch(x_0[indices], {name: value[indices] for name, value in told.items()})

    return Source(len(x_0), spec, take, specs)


def split_of(n: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the molecules of training, of n, and those of a split, rising."""
    order = np.random.default_rng(0).permutation(n)
    held = round(HELD_OUT * n)
    test, train = np.sort(order[:held]), np.sort(order[held:])
    return (np.arange(n), np.arange(n)) if split == "all" else (train, train if split == "train" else test)


def read(path: str) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
    """Atomic numbers (n, atoms), coordinates (n, atoms, 3) in the file's unit, and what else it holds by name."""
    readers = {".npz": _npz, ".sdf": _sdf, ".xyz": _xyz, ".pdb": _pdb}
    place = Path(path).expanduser()
    if not place.is_file() or place.suffix not in readers:
        raise InputError(f"{path!r} is no file of molecules: data.path is that of a {', '.join(readers)}")
    try:
        numbers, coordinates, extra = readers[place.suffix](place)
    except InputError:
        raise
    except Exception as error:  # of a damaged file, NumPy, zipfile and RDKit raise all kinds
        raise InputError(f"{path!r} cannot be read as molecules: {' '.join(str(error).split())}") from error
    if not len(numbers):
        raise InputError(f"{path!r} holds no molecule")
    return numbers, coordinates, extra


def _checked(path: str, numbers: np.ndarray, place: np.ndarray, unit: str) -> np.ndarray:
    """How many atoms each molecule has, (n,), where all have at least 2, at places that can be in Angstrom."""
    there = numbers > 0
    counts = there.sum(1)
    if (numbers < 0).any() or numbers.max() >= len(SYMBOLS):
        raise InputError(f"{path!r}: atomic numbers from {numbers.min()} to {numbers.max()}: known are 1 to 54")
    if (there != (np.arange(there.shape[1]) < counts[:, None])).any():
        raise InputError(f"{path!r}: padding (atomic number 0) stands before atoms: put it after them")
    if (few := np.flatnonzero(counts < 2)).size:
        raise InputError(f"{path!r}: molecule {few[0] + 1} has {counts[few[0]]} atoms, 2 are needed: leave it out")
    if (bad := np.flatnonzero(~np.isfinite(np.where(there[..., None], place, 0)).all((1, 2)))).size:
        raise InputError(
            f"{path!r}: molecule {bad[0] + 1} has coordinates that are not finite: mend it or leave it out"
        )
    some = slice(0, 1000)
    apart = np.linalg.norm(place[some, :, None] - place[some, None], axis=-1)
    apart = np.where(there[some, :, None] & there[some, None] & ~np.eye(there.shape[1], dtype=bool), apart, np.inf)
    near = float(np.median(apart.min(-1)[there[some]]))
    if not NEAREST[0] < near < NEAREST[1]:
        fits = [u for u, factor in UNITS.items() if NEAREST[0] < near / UNITS[unit] * factor < NEAREST[1]]
        hint = f"are they in {fits[0]}? set data.unit={fits[0]}" if fits else "scale them"
        raise InputError(
            f"{path!r}: atoms are {near:.3g} Angstrom from their nearest neighbors (data.unit={unit}), where 1.1 is "
            f"usual: {hint}"
        )
    return counts


def _property(path: str, name: str, extra: Mapping[str, Any], train: np.ndarray, n: int) -> np.ndarray:
    fits = {k: v for k, v in extra.items() if v.shape == (n,) and v.dtype.kind in "fiu"}
    if name not in fits:
        raise unknown(f"data.property, an array (n,) in {path!r}", name, fits)
    values = np.asarray(fits[name], np.float64)
    if not np.isfinite(values).all() or not values[train].std() > 0:
        raise InputError(f"data.property={name!r} in {path!r}: must be finite, and vary among those of training")
    return values


def _npz(path: Path) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    lost = sorted({"atomic_numbers", "positions"} - arrays.keys())
    if lost:
        raise InputError(f"{str(path)!r}: has no array {lost[0]!r}, only {', '.join(sorted(arrays))}")
    numbers, place = arrays.pop("atomic_numbers"), arrays.pop("positions")
    if numbers.ndim != 2 or place.shape != (*numbers.shape, 3) or numbers.dtype.kind not in "iu":
        raise InputError(
            f"{str(path)!r}: atomic_numbers {numbers.dtype}{numbers.shape} and positions {place.shape}: must be whole "
            "numbers (n, atoms), and (n, atoms, 3)"
        )
    return numbers.astype(int), place.astype(np.float64), arrays


def _sdf(path: Path) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
    chem = rdkit()
    found = []
    for i, one in enumerate(chem.SDMolSupplier(str(path), sanitize=False, removeHs=False)):
        if one is None or not one.GetNumConformers():
            raise InputError(f"{str(path)!r}: molecule {i + 1} cannot be read with coordinates: leave it out")
        check_solid(one, f"{str(path)!r}: molecule {i + 1}")
        atomic = [atom.GetAtomicNum() for atom in one.GetAtoms()]
        if 0 in atomic:
            raise InputError(f"{str(path)!r}: molecule {i + 1} has an atom that is no element: leave it out")
        found.append((atomic, one.GetConformer().GetPositions()))
    return (*_padded(found), {})


def _xyz(path: Path) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found, at = [], 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        rows = [line.split() for line in lines[at + 2 : at + 2 + int(lines[at])]]
        if len(rows) < int(lines[at]):
            raise InputError(f"{str(path)!r}: ends within molecule {len(found) + 1}")
        symbols = [row[0].capitalize() for row in rows]
        if strange := [symbol for symbol in symbols if symbol not in SYMBOLS[1:]]:
            raise InputError(f"{str(path)!r}: molecule {len(found) + 1} has {strange[0]!r}: elements are H to Xe")
        atomic = [SYMBOLS.index(symbol) for symbol in symbols]
        found.append((atomic, np.array([[float(v) for v in row[1:4]] for row in rows]).reshape(-1, 3)))
        at += 2 + len(rows)
    return (*_padded(found), {})


def _pdb(path: Path) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
    """Of the format's columns those of the place (31 to 54), the element (77 and 78) and other places (17)."""
    found, atomic, places = [], [], []
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), "END"], 1):
        kind = line[:6].strip()
        if kind in ("ATOM", "HETATM"):
            symbol = line[76:78].strip().capitalize()
            if symbol not in SYMBOLS[1:]:
                raise InputError(
                    f"{str(path)!r}: line {number} has the element {symbol!r} in columns 77 and 78: known are H to Xe"
                )
            if line[16:17].strip():
                raise InputError(f"{str(path)!r}: line {number} is one of several places of an atom: leave one of them")
            atomic.append(SYMBOLS.index(symbol))
            places.append([float(line[i : i + 8]) for i in (30, 38, 46)])
        elif kind in ("ENDMDL", "END") and atomic:
            found.append((atomic, np.array(places)))
            atomic, places = [], []
    return (*_padded(found), {})


def _padded(found: list[tuple[list[int], np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    most = max([len(numbers) for numbers, _ in found] + [0])
    numbers, place = np.zeros((len(found), most), int), np.zeros((len(found), most, 3))
    for i, (atomic, xyz) in enumerate(found):
        numbers[i, : len(atomic)], place[i, : len(atomic)] = atomic, xyz
    return numbers, place
