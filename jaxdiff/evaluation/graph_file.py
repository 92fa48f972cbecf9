"""Graph file: the constants of a TensorFlow graph, a GraphDef in a .pb, read without TensorFlow. It holds no code."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX.proto import graph_pb2

__all__ = ["read_graph"]

proto: Any = graph_pb2  # its classes are made when it is imported

FLOAT = 1
"""DT_FLOAT, the type of what is kept."""


def read_graph(path: str | Path) -> dict[str, np.ndarray]:
    """The float32 constants of a graph by the names of their nodes.

    Raises:
      ValueError: the file holds something else than a graph, or a constant of fewer numbers than its shape says.
      OSError: it cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        graph = proto.GraphDef.FromString(content)
    except Exception as error:  # protobuf's own, which tensorboardX brings
        raise ValueError(f"it holds no graph: {error}") from error
    constants = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    return {name: _array(name, tensor) for name, tensor in constants.items() if tensor.dtype == FLOAT}


def _array(name: str, tensor: Any) -> np.ndarray:
    shape = tuple(dimension.size for dimension in tensor.tensor_shape.dim)
    given = tensor.tensor_content
    numbers = np.frombuffer(given, "<f4") if given else np.array(tensor.float_val, np.float32)
    if len(numbers) == 1:  # stands for all
        numbers = np.broadcast_to(numbers, math.prod(shape))
    if len(numbers) != math.prod(shape):
        raise ValueError(f"{name!r} of shape {shape} has {len(numbers)} numbers")
    return np.array(numbers).reshape(shape)
