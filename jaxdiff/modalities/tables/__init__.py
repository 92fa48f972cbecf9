"""Tables of numbers: sources, cleaning, and what is shown of them."""

from jaxdiff.modalities.tables.breast_cancer import breast_cancer
from jaxdiff.modalities.tables.file import table
from jaxdiff.modalities.tables.spec import AXES, RANGE, make_codec

__all__ = ["AXES", "RANGE", "breast_cancer", "make_codec", "table"]
