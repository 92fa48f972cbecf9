"""Leaks: what saving would leave in memory each time, so that a run that saves often would grow without end.

tensorstore (0.1.86, and those before it) never frees the keys and values of a dict that it hands to Python. At each
save Orbax asks it for counts of bytes, only to log them (38 kB stay), and once for each array for the description of a
folder (300 bytes stay). What threads free, besides, glibc keeps in pieces, in an arena for each few of them.
"""

import copy
import ctypes
import functools
import sys
from typing import Any

import tensorstore

__all__ = ["plug", "trim"]


@functools.cache
def plug() -> None:
    """For the whole process: there are no counts, and a folder is described once, not for each array in it."""
    describe, known = tensorstore.KvStore.Spec.to_json, {}

    def to_json(self: Any, include_defaults: bool = False) -> Any:
        asked = repr(self), include_defaults
        found = known.get(asked)
        if found is None:
            if len(known) == 64:  # each save has folders of its own
                known.clear()
            known[asked] = found = describe(self, include_defaults)
        return copy.deepcopy(found)

    tensorstore.KvStore.Spec.to_json = to_json
    tensorstore.experimental_collect_matching_metrics = lambda *_, **__: []


def trim() -> None:
    """Give what is free, in all arenas, back to the system; to fault it in again costs some 0.1 s."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
