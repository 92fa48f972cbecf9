"""The published TensorFlow graph of InceptionV3, by the format's own library and its scopes written out."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from tensorboardX.proto.graph_pb2 import GraphDef

from jaxdiff.evaluation import weights
from jaxdiff.evaluation.graph_file import read_graph
from jaxdiff.nets import inception
from tests.helpers.cases import refused

STEM = {
    "conv": "Conv2d_1a_3x3",
    "conv_1": "Conv2d_2a_3x3",
    "conv_2": "Conv2d_2b_3x3",
    "conv_3": "Conv2d_3b_1x1",
    "conv_4": "Conv2d_4a_3x3",
}
A = {
    "conv": "branch1x1",
    "tower/conv": "branch5x5_1",
    "tower/conv_1": "branch5x5_2",
    "tower_1/conv": "branch3x3dbl_1",
    "tower_1/conv_1": "branch3x3dbl_2",
    "tower_1/conv_2": "branch3x3dbl_3",
    "tower_2/conv": "branch_pool",
}
B = {
    "conv": "branch3x3",
    "tower/conv": "branch3x3dbl_1",
    "tower/conv_1": "branch3x3dbl_2",
    "tower/conv_2": "branch3x3dbl_3",
}
C = {
    "conv": "branch1x1",
    "tower/conv": "branch7x7_1",
    "tower/conv_1": "branch7x7_2",
    "tower/conv_2": "branch7x7_3",
    "tower_1/conv": "branch7x7dbl_1",
    "tower_1/conv_1": "branch7x7dbl_2",
    "tower_1/conv_2": "branch7x7dbl_3",
    "tower_1/conv_3": "branch7x7dbl_4",
    "tower_1/conv_4": "branch7x7dbl_5",
    "tower_2/conv": "branch_pool",
}
D = {
    "tower/conv": "branch3x3_1",
    "tower/conv_1": "branch3x3_2",
    "tower_1/conv": "branch7x7x3_1",
    "tower_1/conv_1": "branch7x7x3_2",
    "tower_1/conv_2": "branch7x7x3_3",
    "tower_1/conv_3": "branch7x7x3_4",
}
E = {
    "conv": "branch1x1",
    "tower/conv": "branch3x3_1",
    "tower/mixed/conv": "branch3x3_2a",
    "tower/mixed/conv_1": "branch3x3_2b",
    "tower_1/conv": "branch3x3dbl_1",
    "tower_1/conv_1": "branch3x3dbl_2",
    "tower_1/mixed/conv": "branch3x3dbl_3a",
    "tower_1/mixed/conv_1": "branch3x3dbl_3b",
    "tower_2/conv": "branch_pool",
}
BLOCKS = dict(
    zip(
        ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"],
        [A] * 3 + [B] + [C] * 4 + [D] + [E] * 2,
        strict=True,
    )
)
SCOPES = STEM | {
    f"mixed{f'_{i}' if i else ''}/{scope}": f"Mixed_{layer}.{name}"
    for i, (layer, block) in enumerate(BLOCKS.items())
    for scope, name in block.items()
}
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def constant(graph, name, value):
    node = graph.node.add(name=name, op="Const")
    tensor = node.attr["value"].tensor
    tensor.dtype = 1
    for side in value.shape:
        tensor.tensor_shape.dim.add().size = side
    tensor.tensor_content = np.ascontiguousarray(value, "<f4").tobytes()
    return tensor


@pytest.fixture
def tensors(rng):
    """Of one number for each layer and part, by the names of the PyTorch version."""
    made = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for layer in SCOPES.values():
        made |= {f"{layer}.bn.{part}": (3,) for part in NORM.values()} | {f"{layer}.conv.weight": (3, 2, 1, 7)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in made.items()}


@pytest.fixture
def graph(tensors):
    made = GraphDef()
    made.node.add(name="ExpandDims/dim", op="Const").attr["value"].tensor.dtype = 3
    made.node.add(name="Mul", op="Mul")
    for scope, layer in SCOPES.items():
        constant(made, f"{scope}/conv2d_params", tensors[f"{layer}.conv.weight"].transpose(2, 3, 1, 0))
        for theirs, ours in NORM.items():
            constant(made, f"{scope}/batchnorm/{theirs}", tensors[f"{layer}.bn.{ours}"])
    constant(made, "softmax/weights", tensors["fc.weight"].T)
    constant(made, "softmax/biases", tensors["fc.bias"])
    return made


def test_every_tensor_of_the_network_is_one_of_the_graph(graph, tensors, tmp_path):
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    found = inception.of_graph(read_graph(tmp_path / "graph.pb"))
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_whole_network_is_converted(graph, tensors, tmp_path, monkeypatch):
    monkeypatch.setattr(inception, "variables", lambda tensors: None)  # of other shapes here
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    target = weights.convert(tmp_path / "graph.pb", tmp_path / "inception.safetensors")
    assert load_file(target).keys() == tensors.keys()


def test_a_number_may_stand_for_all(tmp_path):
    graph = GraphDef()
    tensor = constant(graph, "bias", np.zeros(3, np.float32))
    tensor.tensor_content = b""
    tensor.float_val.append(0.5)
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    np.testing.assert_array_equal(read_graph(tmp_path / "graph.pb")["bias"], [0.5] * 3)


def test_what_is_no_such_graph_is_refused(graph, tmp_path):
    file = tmp_path / "graph.pb"
    file.write_bytes(graph.SerializeToString()[:-100])
    with refused("graph.pb.* cannot be converted: it holds no graph"):
        weights.convert(file, tmp_path / "out.safetensors")
    del graph.node[-1]
    file.write_bytes(graph.SerializeToString())
    with refused("graph.pb.*it lacks 'softmax/biases'"):
        weights.convert(file, tmp_path / "out.safetensors")
    constant(graph, "softmax/biases", np.zeros(1008)).tensor_shape.dim[0].size = 1007
    file.write_bytes(graph.SerializeToString())
    with refused("'softmax/biases' of shape .1007,. has 1008 numbers"):
        weights.convert(file, tmp_path / "out.safetensors")
