"""Molecules: atoms in space, with graphs as conditions."""

from jaxdiff.gaussian.space import Space, centered
from jaxdiff.modalities.molecules.conformers import conformers
from jaxdiff.types import Codec, Condition, Spec

__all__ = ["AXES", "RANGE", "conformers", "make_codec", "make_space"]

AXES = ("atoms", "channels")
RANGE = (None, None)


def make_codec(spec: Spec) -> Codec:
    """None: coordinates are in Angstrom everywhere."""
    return Codec()


def make_space(spec: Spec):
    """Of zero center."""

    def space(condition: Condition) -> Space:
        return centered(condition["mask"])

    return space
