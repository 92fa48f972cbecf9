"""The tensors of a folder by name, and the maps between linear layers and Dense.

Files are found and opened by `jaxdiff.interop.weights`; what is stored in 16 bits is read as float32. `Reader` keeps
count of the tensors that were asked for, so that none is dropped silently.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.interop.weights import opened, weights_file

__all__ = ["Reader", "from_linear", "to_linear"]


class Reader:
    """The tensors of a folder or a file by name, each to be asked for.

    Args:
      folder: with STEM.safetensors, or its parts and their index; or a file.
      stem: of the files' names.
      prefix: of the names that are read, and go on without it.

    Raises:
      InputError: no such file, or it cannot be read.
    """

    def __init__(self, folder: Path, stem: str = "", prefix: str = ""):
        with opened(folder if folder.is_file() else weights_file(folder, stem)) as stored:
            names = [name for name in stored if name.startswith(prefix)]
            self.tensors = {name[len(prefix) :]: stored[name].get_tensor(name) for name in names}
        self.folder, self.asked = folder, set()

    def __call__(self, name: str) -> np.ndarray:
        """The tensor of this name, as float32.

        Raises:
          InputError: there is none.
        """
        if name not in self.tensors:
            raise InputError(f"{str(self.folder)!r} lacks the tensor {name!r}")
        self.asked.add(name)
        return self.tensors[name].astype(np.float32)

    def linear(self, name: str, bias: bool = True) -> dict[str, np.ndarray]:
        """A linear layer as the parameters of a Dense."""
        return from_linear(self(f"{name}.weight"), self(f"{name}.bias") if bias else None)

    def norm(self, name: str) -> dict[str, np.ndarray]:
        """A layer norm."""
        return {"scale": self(f"{name}.weight"), "bias": self(f"{name}.bias")}

    def finish(self, ignored: tuple[str, ...] = ()) -> None:
        """Refuse a folder with tensors that were not asked for.

        Args:
          ignored: ends of names that hold no weights.
        """
        rest = sorted(name for name in self.tensors.keys() - self.asked if not name.endswith(ignored or ("\0",)))
        if rest:
            raise InputError(
                f"{str(self.folder)!r} holds {len(rest)} tensor(s) that this network has no place for, {rest[0]!r} the "
                "first"
            )


def from_linear(weight: np.ndarray, bias: np.ndarray | None) -> dict[str, np.ndarray]:
    """(out, in) and (out,) as the kernel (in, out) and bias of a Dense."""
    return {"kernel": np.ascontiguousarray(weight.T)} | ({} if bias is None else {"bias": bias})


def to_linear(name: str, dense: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A Dense as the tensors of a linear layer of this name."""
    out = {f"{name}.weight": np.ascontiguousarray(np.asarray(dense["kernel"]).T)}
    return out | ({f"{name}.bias": np.asarray(dense["bias"])} if "bias" in dense else {})
