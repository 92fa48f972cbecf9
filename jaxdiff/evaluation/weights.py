"""Weights of a feature network in a file: found, read, checked, converted.

The files are .safetensors or .npz of the tensors by the names of the network's PyTorch version, and hold no code. The
one that FID is defined by is published as a TensorFlow graph, classify_image_graph_def.pb of inception-2015-12-05.tgz,
and as a PyTorch file, weights-inception-2015-12-05-6726825d.pth of torch-fidelity; `jaxdiff evaluate --convert FILE`
brings either, and others of these names, to .safetensors.
"""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from jaxdiff.errors import InputError
from jaxdiff.evaluation.graph_file import read_graph
from jaxdiff.evaluation.torch_file import read_torch
from jaxdiff.nets import inception
from jaxdiff.training.files import replacing
from jaxdiff.types import Params, by_path

__all__ = ["PUBLISHED", "cache", "checksum", "convert", "inception_file", "of_params", "read"]

PUBLISHED = "weights-inception-2015-12-05-6726825d.pth"


def cache() -> Path:
    """The folder for what is computed or converted once: $JAXDIFF_CACHE, or jaxdiff/evaluation in the user's cache."""
    if given := os.environ.get("JAXDIFF_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxdiff" / "evaluation"


def checksum(file: str | Path) -> str:
    """The SHA-256 of a file, in hex."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def of_params(params: Params) -> str:
    """The SHA-256 of parameters, in hex."""
    told = hashlib.sha256()
    for name, leaf in by_path(params).items():
        told.update(name.encode() + np.ascontiguousarray(leaf).tobytes())
    return told.hexdigest()


def read(file: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors or .npz by name.

    Raises:
      InputError: the file is missing, damaged or of another kind.
    """
    path = Path(file)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as content:
                return dict(content)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"weights {str(path)!r} cannot be read: {' '.join(str(error).split())}") from error
    raise InputError(
        f"weights {str(path)!r}: must be a .safetensors or a .npz; `jaxdiff evaluate --convert {path}` makes one of a "
        "PyTorch file or a TensorFlow graph"
    )


def inception_file(given: str = "") -> Path:
    """The file of InceptionV3's weights: the one that is named, or the one that was converted into the cache.

    Raises:
      InputError: there is none.
    """
    path = Path(given) if given else cache() / "inception.safetensors"
    if not path.is_file():
        raise InputError(
            f"no weights of InceptionV3 at {str(path)!r}: the file {PUBLISHED} is among the releases of torch-fidelity "
            "(v0.2.0); `jaxdiff evaluate --convert FILE.pth` puts it there, or name one with --weights-file"
        )
    return path


def convert(source: str | Path, target: Path | None = None) -> Path:
    """Write InceptionV3's weights of a PyTorch file or a TensorFlow graph as .safetensors.

    By default where features "inception" look. The name of a .pth that ends in eight hex digits tells how its SHA-256
    begins, which is checked.

    Raises:
      InputError: the file cannot be read, is not as its name says, or holds other tensors than the network has.
    """
    path, target = Path(source), target or cache() / "inception.safetensors"
    try:
        digits = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
        if digits and not checksum(path).startswith(digits[1]):
            raise ValueError(f"its SHA-256 does not begin with {digits[1]}: it is damaged, load it again")
        if path.suffix == ".pb":
            tensors = inception.of_graph(read_graph(path))
        else:
            tensors = read_torch(path) if path.suffix in (".pth", ".pt") else read(path)
        inception.variables(tensors)
    except KeyError as error:
        raise InputError(f"{str(path)!r}: no weights of InceptionV3: it lacks {error}") from error
    except (OSError, ValueError, IndexError, EOFError) as error:
        raise InputError(f"{str(path)!r} cannot be converted: {' '.join(str(error).split())}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = {k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items() if not k.endswith("_tracked")}
    with replacing(target) as partial:
        save_file(kept, partial)
    return target
