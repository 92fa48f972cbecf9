"""Molecules: atoms in space, with their elements, or with their graph as a condition (conformers)."""

from collections.abc import Callable

from jaxdiff.errors import InputError
from jaxdiff.gaussian.space import Space, centered
from jaxdiff.modalities.molecules import spec as atoms
from jaxdiff.modalities.molecules.conformers import conformers
from jaxdiff.modalities.molecules.source import molecules
from jaxdiff.modalities.molecules.spec import COMPLETED, complete, retold
from jaxdiff.types import Codec, Condition, Spec

__all__ = ["AXES", "COMPLETED", "RANGE", "complete", "conformers", "make_codec", "make_space", "molecules", "retold"]

AXES = ("atoms", "channels")
RANGE = (None, None)


def make_codec(spec: Spec) -> Codec:
    """Between elements and coordinates in Angstrom, and features; the identity for conformers, and without details."""
    return atoms.make_codec(spec) if spec.details and "conformers" not in spec.details else Codec()


def make_space(spec: Spec) -> Callable[[Condition], Space]:
    """Atoms that are there, with a mean of 0."""

    def space(condition):
        if "mask" not in condition:
            raise InputError("molecules: the condition lacks mask (n, atoms), 1 where there is an atom: give it")
        return centered(condition["mask"])

    return space
