"""Tables, of numbers or of mixed columns: sources, cleaning, schemas, and what is shown of them."""

from jaxdiff.modalities.tables.breast_cancer import breast_cancer
from jaxdiff.modalities.tables.file import table
from jaxdiff.modalities.tables.mixed import columns, people
from jaxdiff.modalities.tables.spec import AXES, RANGE, make_codec

__all__ = ["AXES", "RANGE", "breast_cancer", "columns", "make_codec", "people", "table"]
