"""Bonds from distances, and whether the valences of atoms are right (Hoogeboom et al. 2022, EDM, appendix E).

A pair of atoms nearer than the length of a single bond of its elements is bonded, and doubly or triply where it is
nearer than those lengths too, each with a margin (10, 5 and 3 pm). An atom is stable if the orders of its bonds add up
to a valence of its element, and a molecule if all its atoms are. The lengths are tuned to geometries of small molecules
as quantum chemistry optimizes them; aromatic rings of other sources are misread. Sulfur has the valences 2, 4 and 6:
EDM's code allows 4 alone, so that it calls thiols unstable.
"""

import numpy as np

from jaxdiff.modalities.molecules.spec import SYMBOLS

__all__ = ["VALENCES", "orders", "stable_atoms"]

LENGTHS = (
    "HH 74 HC 109 HN 101 HO 96 HF 92 HS 134 H-Cl 127 CC 154 CN 147 CO 143 CF 135 CS 182 C-Cl 177 C-Br 194 NN 145 "
    "NO 140 NF 136 NS 168 N-Cl 175 OO 148 OF 142 OS 151 FF 142 SS 204",
    "CC 134 CN 129 CO 120 CS 160 NN 125 NO 121 OO 121 OP 150 PS 186",
    "CC 120 CN 116 CO 113 NN 110",
)
"""In picometers, of single, double and triple bonds."""
MARGINS = (10, 5, 3)
VALENCES = {
    "H": (1,),
    "B": (3,),
    "C": (4,),
    "N": (3,),
    "O": (2,),
    "F": (1,),
    "P": (3, 5),
    "S": (2, 4, 6),
    "Cl": (1,),
    "Br": (1,),
    "I": (1,),
}


def _limits() -> np.ndarray:
    """The most that a bond of each order may be long, in Angstrom: (3, elements, elements); -1 for none."""
    limits = np.full((3, len(SYMBOLS), len(SYMBOLS)), -1.0)
    for limit, lengths, margin in zip(limits, LENGTHS, MARGINS, strict=True):
        words = lengths.split()
        for pair, length in zip(words[::2], words[1::2], strict=True):
            a, b = (SYMBOLS.index(name) for name in (pair.split("-") if "-" in pair else pair))
            limit[a, b] = limit[b, a] = (int(length) + margin) / 100
    return limits


LIMITS = _limits()


def orders(numbers: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The orders of the bonds, (..., atoms, atoms), 0 for none, of atomic numbers (..., atoms), 0 for padding.

    Args:
      place: (..., atoms, 3), in Angstrom.
    """
    numbers = np.asarray(numbers, int)
    apart = np.linalg.norm(place[..., :, None, :] - place[..., None, :, :], axis=-1)
    single, double, triple = (apart < limit[numbers[..., :, None], numbers[..., None, :]] for limit in LIMITS)
    found = single * (1 + double * (1 + triple.astype(int)))
    return found * ~np.eye(numbers.shape[-1], dtype=bool)


def stable_atoms(numbers: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Which atoms have a valence of their element, (..., atoms); padding has none."""
    numbers = np.asarray(numbers, int)
    total = orders(numbers, place).sum(-1)
    allowed = np.zeros((len(SYMBOLS), 64), bool)
    for name, valences in VALENCES.items():
        allowed[SYMBOLS.index(name), list(valences)] = True
    return allowed[numbers, np.minimum(total, 63)] & (numbers > 0)
