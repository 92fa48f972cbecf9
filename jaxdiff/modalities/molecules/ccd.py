"""The Chemical Component Dictionary of the wwPDB, as an installed biotite has it: molecules by their codes.

Each has its atoms, hydrogens among them, at ideal coordinates, which are computed, with charges, and bonds of order 1,
2 or 3 (aromatic ones alternate). biotite keeps all in one file, so that nothing is loaded from the network.
"""

import functools
import importlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.molecules.spec import SYMBOLS

__all__ = ["PREFIX", "Component", "asked", "component", "components"]

PREFIX = "ccd:"
"""In place of a file: `ccd:ATP,ADP`, or `ccd:all`."""
ORDERS = {"SING": 1, "DOUB": 2, "TRIP": 3}


class Component(NamedTuple):
    """One entry: atomic numbers and charges (atoms,), places (atoms, 3) in Angstrom, bonds (bonds, 2) and their orders.

    Atomic number 0 is an element beyond xenon, and places that are not known are not finite.
    """

    code: str
    numbers: np.ndarray
    positions: np.ndarray
    charges: np.ndarray
    bonds: np.ndarray
    orders: np.ndarray

    @property
    def molecule(self) -> np.ndarray:
        """The array of a molecule, (atoms, 4), atomic numbers and places."""
        return np.concatenate([self.numbers[:, None], self.positions], 1)


def asked(path: str) -> list[str] | None:
    """The codes that a path such as `ccd:ATP,ADP` names, of `ccd:all` none; None of a path of another kind.

    Raises:
      InputError: one of them is empty.
    """
    if not path.startswith(PREFIX):
        return None
    if path == f"{PREFIX}all":  # ALL is a sugar
        return []
    codes = [code.strip().upper() for code in path.removeprefix(PREFIX).split(",")]
    if not all(codes):
        raise InputError(f"{path!r}: names codes of the Chemical Component Dictionary: ccd:ATP,ADP, or ccd:all")
    return codes


def component(code: str) -> Component:
    """The entry of a code, such as "ATP".

    Raises:
      InputError: biotite or its dictionary is not installed; there is no such code; or the entry has no ideal
        coordinates, an element beyond xenon, or no bond.
    """
    found = _taken(_dictionary(), code.strip().upper())
    if not np.isfinite(found.positions).all():
        raise InputError(f"CCD {found.code}: has no ideal coordinates: take another code, or --smiles")
    if not found.numbers.all():
        raise InputError(f"CCD {found.code}: has an element beyond xenon: take another code")
    return found


def components(codes: Sequence[str] = ()) -> Iterator[Component]:
    """The entries of some codes; or of all that are released, also those whose places are not known.

    Raises:
      InputError: biotite or its dictionary is not installed, or there is no such code.
    """
    tables = _dictionary()
    yield from (_taken(tables, code) for code in (codes or tables.released))


class _Tables(NamedTuple):
    """All entries, one after the other: their codes, and where each begins and ends among the atoms and the bonds."""

    codes: dict[str, tuple[slice, slice]]
    released: list[str]
    names: np.ndarray
    numbers: np.ndarray
    positions: np.ndarray
    charges: np.ndarray
    ends: np.ndarray
    orders: np.ndarray


@functools.cache
def _dictionary() -> _Tables:
    try:
        block = importlib.import_module("biotite.structure.info").get_ccd()
    except ImportError as error:
        raise InputError(
            f"the Chemical Component Dictionary comes with biotite: pip install 'jaxdiff[molecules]' ({error})"
        ) from error
    except RuntimeError as error:  # an installation from its repository has none
        raise InputError(f"biotite has no Chemical Component Dictionary: {' '.join(str(error).split())}") from error
    atoms, bonds = block["chem_comp_atom"], block["chem_comp_bond"]
    column = lambda table, name: table[name].as_array()
    ranges = _ranges(column(bonds, "comp_id"))
    where = {code: (part, ranges.get(code, slice(0, 0))) for code, part in _ranges(column(atoms, "comp_id")).items()}
    entries = block["chem_comp"]
    every = zip(column(entries, "id"), column(entries, "pdbx_release_status"), strict=True)
    kinds, inverse = np.unique(column(atoms, "type_symbol"), return_inverse=True)
    known = {symbol.upper(): number for number, symbol in enumerate(SYMBOLS) if number} | {"D": 1}
    numbers = np.array([known.get(str(kind).upper(), 0) for kind in kinds])[inverse]
    places = [_numbers(atoms[f"pdbx_model_Cartn_{axis}_ideal"]) for axis in "xyz"]
    orders, inverse = np.unique(column(bonds, "value_order"), return_inverse=True)
    return _Tables(
        where,
        [str(code) for code, status in every if status == "REL" and str(code) in where],
        column(atoms, "atom_id"),
        numbers,
        np.stack(places, -1),
        column(atoms, "charge").astype(int),
        np.stack([column(bonds, "atom_id_1"), column(bonds, "atom_id_2")], -1),
        np.array([ORDERS.get(str(order).upper(), 0) for order in orders])[inverse],
    )


def _ranges(codes: np.ndarray) -> dict[str, slice]:
    """Where each code begins and ends, of rows that stand together."""
    first = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    return {str(codes[a]): slice(int(a), int(b)) for a, b in zip(first, np.r_[first[1:], len(codes)], strict=True)}


def _numbers(column: Any) -> np.ndarray:
    """The numbers of a column, NaN where it says that they are not known."""
    values = column.as_array().astype(np.float64)
    return values if column.mask is None else np.where(column.mask.array == 0, values, np.nan)


def _taken(tables: _Tables, code: str) -> Component:
    if code not in tables.codes:
        near = sorted(known for known in tables.codes if len(code) > 1 and known.startswith(code[:-1]))[:5]
        hint = f"there are {', '.join(near)}" if near else "codes are those of the PDB, as ATP"
        raise InputError(f"CCD {code[:20]!r}: is no code of the Chemical Component Dictionary in biotite: {hint}")
    here, there = tables.codes[code]
    place = {str(name): i for i, name in enumerate(tables.names[here])}
    bonds = np.array([(place[str(a)], place[str(b)]) for a, b in tables.ends[there]], int).reshape(-1, 2)
    rows = (tables.numbers[here], tables.positions[here], tables.charges[here])
    return Component(code, *rows, bonds, tables.orders[there])
