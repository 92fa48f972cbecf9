"""Text, and other sequences of symbols: vocabularies, sources, and how they are shown."""

from jaxdiff.modalities.text.file import lines, manual, text
from jaxdiff.modalities.text.spec import AXES, RANGE, make_codec

__all__ = ["AXES", "RANGE", "lines", "make_codec", "manual", "text"]
