"""Weights: safetensors files of other libraries, read into our parameters and written from them, leaf by leaf.

A network's parameters are found by name. Its table (`jaxdiff.interop.names`) turns one of our paths, such as
"down0_residual1/conv1/kernel", into the name in the file, "down_blocks.0.resnets.1.conv1.weight". Arrays are laid out
otherwise there:

    convolution      (out, in, height, width)     here (height, width, in, out)
    linear           (out, in)                    here (in, out); also where the file has a 1x1 convolution
    the rest         as it is

Files are mapped into memory, and each tensor is read, turned and given to the device alone, so that no second copy of
the weights is ever held. Only safetensors are read: other formats are programs, which are never run.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax  # registers bfloat16 with NumPy, which safetensors asks for
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxdiff.errors import InputError
from jaxdiff.training.files import replacing
from jaxdiff.types import Params, by_path, path_name

__all__ = ["PROGRAMS", "Name", "named", "opened", "read_params", "weights_file", "write_params", "write_tensors"]

Name = Callable[[str], str]
"""`path of ours -> name in the file`."""
PROGRAMS = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
INDEX = ".safetensors.index.json"


def weights_file(folder: Path, stem: str = "diffusion_pytorch_model", variant: str = "") -> Path:
    """The file of a folder that holds its weights, or that lists the files that do.

    Args:
      stem: of its name; "model" for those of transformers.
      variant: such as "fp16", of the files to take; by default the one without, or else the only one there is.

    Raises:
      InputError: there is none, or only files that would have to be run.
    """
    named = f"{stem}.{variant}" if variant else stem
    for file in (folder / f"{named}.safetensors", folder / f"{named}{INDEX}"):
        if file.is_file():
            return file
    others = sorted(folder.glob(f"{stem}.*.safetensors")) if folder.is_dir() and not variant else []
    others = [file for file in others if "-of-" not in file.name]
    if len(others) == 1:
        return others[0]
    programs = [file.name for file in folder.glob("*") if file.suffix in PROGRAMS] if folder.is_dir() else []
    if programs:
        raise InputError(
            f"{str(folder / programs[0])!r}: files of this kind are programs, which are not run: get the model's "
            f"{named}.safetensors, or save it with safe_serialization=True where it was made"
        )
    found = ", ".join(file.name for file in others) or "none"
    raise InputError(f"{str(folder)!r} has no {named}.safetensors (found: {found}): give the folder of a saved model")


@contextmanager
def opened(file: Path) -> Iterator[Mapping[str, Any]]:
    """Of each tensor of a file, or of all files of an index, the open file that holds it."""
    files = [file]
    if file.name.endswith(INDEX):
        listed = set(json.loads(file.read_text())["weight_map"].values())
        files = [file.parent / name for name in sorted(listed)]
        if lost := [one.name for one in files if not one.is_file()]:
            raise InputError(f"{str(file)!r} lists {lost[0]}, which is not there: get all {len(files)} files")
    with ExitStack() as stack:
        try:
            parts = [stack.enter_context(safe_open(one, framework="numpy")) for one in files]
            where = {name: part for part in parts for name in part.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"{str(file)!r} cannot be read: {' '.join(str(error).split())}") from error
        yield where


def read_params(
    file: Path,
    like: Params,
    name_of: Name,
    old: Name = lambda name: name,
    unused: tuple[str, ...] = (),
    dtype: Any = None,
    prefix: str = "",
) -> Params:
    """Read a network's parameters from a file of another library.

    Args:
      like: a tree of arrays, or of shapes, perhaps with shardings.
      name_of: the network's table.
      old: turns a name of older files into the one that the table knows.
      unused: ends of names that no network needs, such as tables of positions.
      dtype: of the parameters; by default that of `like`.
      prefix: of the names of this network's tensors, where the file holds others, too.

    Raises:
      InputError: a tensor that is missing, of another shape, or of no use to the network.
    """
    with opened(file) as stored:
        own = {name: part for name, part in stored.items() if name.startswith(prefix)}
        there = {
            old(name[len(prefix) :]): (name, part) for name, part in own.items() if not name.endswith(unused or "\0")
        }
        taken = set()

        def read(path, leaf):
            ours = path_name(path)
            name = name_of(ours)
            if name not in there:
                raise InputError(f"{str(file)!r} has no {prefix + name!r}, which this network needs for {ours!r}")
            taken.add(name)
            stored_as, part = there[name]
            shape, want = tuple(part.get_slice(stored_as).get_shape()), their_shapes(ours, leaf.shape)
            if shape not in want:
                raise InputError(f"{str(file)!r}: {name!r} has the shape {shape}, and this network {want[0]}")
            value = turned(part.get_tensor(stored_as), ours).reshape(leaf.shape).astype(dtype or leaf.dtype)
            return jax.device_put(value, getattr(leaf, "sharding", None))

        params = jax.tree_util.tree_map_with_path(read, like)
        if left := sorted(there.keys() - taken):
            raise InputError(
                f"{str(file)!r} has {len(left)} tensors that this network has no place for, such as "
                f"{prefix + left[0]!r}: is it a model of another kind, or a part of one, such as a LoRA?"
            )
    return params


def write_params(file: Path, params: Params, name_of: Name, squared: Callable[[str], bool]) -> None:
    """Write a network's parameters as another library names them and lays them out.

    Args:
      squared: whether a dense layer of ours is a 1x1 convolution there.
    """
    write_tensors(file, named(params, name_of, squared))


def named(params: Params, name_of: Name, squared: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """The tensors of `write_params`, by their names."""
    tensors = {}
    for ours, leaf in by_path(params).items():
        value = turned_back(np.asarray(leaf), ours)
        if value.ndim == 2 and ours.endswith("kernel") and squared(ours):
            value = value[:, :, None, None]
        tensors[name_of(ours)] = value
    return tensors


def write_tensors(file: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors by their names, and the folder that the file is in.

    Raises:
      InputError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # In the order of C: of any other, safetensors keeps the bytes and forgets the order.
        stored = {name: np.asarray(value, order="C") for name, value in tensors.items()}
        with replacing(file) as partial:  # with the user's own rights, which safetensors narrows
            save_file(stored, partial, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"cannot write {str(file)!r}: {reason}") from error


def turned(value: np.ndarray, path: str) -> np.ndarray:
    """An array of theirs as ours."""
    if not path.endswith("kernel"):
        return value
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def turned_back(value: np.ndarray, path: str) -> np.ndarray:
    """An array of ours as theirs."""
    if not path.endswith("kernel"):
        return value
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


def their_shapes(path: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes that a parameter of ours may have there."""
    if not path.endswith("kernel"):
        return [tuple(shape)]
    if len(shape) == 4:
        return [(shape[3], shape[2], *shape[:2])]
    return [(shape[1], shape[0]), (shape[1], shape[0], 1, 1)]
