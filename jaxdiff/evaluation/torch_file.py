"""Torch file: the tensors of a PyTorch state dict, read without PyTorch and without executing its pickle.

A pickle is a program that may call anything. Here its opcodes are read one by one (`pickletools.genops`), and only
those are carried out that build a state dict: strings, numbers, tuples, dictionaries, and two calls, which are
recognized by name and never imported. Any other name or opcode is refused.

    a .pth of today     a .zip with data.pkl, and one file data/KEY of numbers for each storage
    an older one        three pickles (a magic number, the protocol, the system), the state dict, the keys of its
                        storages, and of each storage its length in eight bytes and its numbers
"""

import io
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["read_torch"]

DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
ORDERED = ("collections OrderedDict",)
REBUILT = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor")
PLAIN = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
SCALARS = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINFLOAT"}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MARK = object()


class _Name(NamedTuple):
    """What a pickle asks to import, as text."""

    text: str


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name.

    Raises:
      ValueError: the file holds something else than a state dict of plain tensors, or is damaged.
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            (main,) = [name for name in parts.namelist() if name.endswith("data.pkl")]
            state = _built(io.BytesIO(parts.read(main)))
            raw = lambda storage: parts.read(f"{main.removesuffix('data.pkl')}data/{storage.key}")
            return _arrays(state, raw)
    stream = io.BytesIO(content)
    *_, state, keys = [_built(stream) for _ in range(5)]
    kinds = {tensor.storage.key: tensor.storage for tensor in _tensors(state).values()}
    stored = {}
    for key in keys:
        length = int.from_bytes(stream.read(8), "little")
        width = kinds[key].dtype.itemsize if key in kinds else 0
        if not width:
            raise ValueError(f"storage {key!r} belongs to no tensor")
        stored[key] = stream.read(length * width)
    return _arrays(state, lambda storage: stored[storage.key])


def _tensors(state: Any) -> dict[str, _Tensor]:
    if not isinstance(state, Mapping):
        raise ValueError(f"it holds a {type(state).__name__}, and no state dict")
    return {name: value for name, value in state.items() if isinstance(value, _Tensor)}


def _arrays(state: Any, raw: Callable[[_Storage], bytes]) -> dict[str, np.ndarray]:
    """The arrays of a state dict, of the bytes of its storages."""
    made = {}
    for name, tensor in _tensors(state).items():
        numbers = np.frombuffer(raw(tensor.storage), tensor.storage.dtype)
        last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        if min(tensor.shape, default=1) < 1 or min(tensor.strides, default=0) < 0 or not 0 <= last < len(numbers):
            raise ValueError(f"{name!r} of shape {tensor.shape} does not lie within its storage")
        strides = [s * numbers.itemsize for s in tensor.strides]
        view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
        made[name] = np.array(view)
    return made


def _built(stream: io.BytesIO) -> Any:
    """What the next pickle of a stream builds."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name == "STOP":
            return stack.pop()
        if name in ("PROTO", "FRAME"):
            continue
        if name in PLAIN:
            stack.append(PLAIN[name])
        elif name in SCALARS:
            stack.append(argument)
        elif name in TUPLES:
            stack[-TUPLES[name] :] = [tuple(stack[-TUPLES[name] :])]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])  # pyright: ignore[reportArgumentType]
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]  # pyright: ignore[reportArgumentType]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name == "GLOBAL":
            stack.append(_Name(argument))  # pyright: ignore[reportArgumentType]
        else:
            _act(name, stack)
    raise ValueError("it ends in the middle")


def _act(name: str, stack: list[Any]) -> None:
    """An opcode that takes something from the stack."""
    if name == "MARK":
        stack.append(MARK)
    elif name == "EMPTY_DICT":
        stack.append({})
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "TUPLE":
        stack.append(tuple(_to_mark(stack)))
    elif name in ("APPEND", "APPENDS"):
        items = _to_mark(stack) if name == "APPENDS" else [stack.pop()]
        stack[-1].extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _to_mark(stack) if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
        stack[-1].update(zip(items[::2], items[1::2], strict=True))
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name == "REDUCE":
        arguments = stack.pop()
        stack.append(_called(stack.pop(), arguments))
    elif name == "BUILD":  # attributes of the state dict, such as versions of its modules
        stack.pop()
    else:
        raise ValueError(f"its pickle has the opcode {name}, which no state dict needs")


def _to_mark(stack: list[Any]) -> list[Any]:
    at = max(i for i, item in enumerate(stack) if item is MARK)
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _storage(told: Any) -> _Storage:
    kind, key = (told[1], told[2]) if isinstance(told, tuple) and told[0] == "storage" else (None, "")
    name = kind.text.split()[-1] if isinstance(kind, _Name) and kind.text.startswith("torch ") else str(kind)
    if name not in DTYPES:
        raise ValueError(f"a storage of {name}: known are {', '.join(DTYPES)}")
    return _Storage(str(key), DTYPES[name])


def _called(name: Any, arguments: tuple) -> Any:
    """A state dict, or a tensor."""
    text = name.text if isinstance(name, _Name) else str(name)
    if text in ORDERED:
        return {}
    if text in REBUILT and isinstance(arguments[0], _Storage):
        return _Tensor(arguments[0], arguments[1], tuple(arguments[2]), tuple(arguments[3]))
    raise ValueError(f"its pickle calls {text!r}, which no state dict needs: nothing was called")
