import collections
import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from jaxdiff.evaluation.torch_file import read_torch


class Evil:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def torch_like(path, objects):
    """A .zip as PyTorch writes it, whose pickle holds these objects."""
    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr("archive/data.pkl", pickle.dumps(objects, 2))


@pytest.mark.parametrize("value", [Evil(), {"weight": Evil()}, collections.OrderedDict(weight=Evil()), print, b"bytes"])
def test_nothing_is_executed(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch_like("weights.pth", value)
    with pytest.raises(ValueError, match=r"."):
        read_torch("weights.pth")
    assert os.listdir() == ["weights.pth"]
    pickle.loads(pickle.dumps(Evil(), 2))
    assert "executed" in os.listdir()


def test_an_older_file_that_ends_early_is_refused(tmp_path):
    (tmp_path / "weights.pth").write_bytes(pickle.dumps(1, 2) * 3)
    with pytest.raises((ValueError, EOFError)):
        read_torch(tmp_path / "weights.pth")


@pytest.mark.parity
@pytest.mark.parametrize("zipped", [True, False])
def test_what_pytorch_writes_is_read(zipped, tmp_path, rng):
    torch = pytest.importorskip("torch")
    whole = torch.tensor(rng.normal(size=(4, 6)))
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5))
    state = module.state_dict()
    state["part"], state["turned"] = whole[1:3, 2:], whole.T
    state["half"], state["count"] = whole.half(), torch.tensor(7)
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    (tmp_path / "weights.pth").write_bytes(buffer.getvalue())
    given = read_torch(tmp_path / "weights.pth")
    assert given.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(given[name], value.numpy())
        assert given[name].dtype == value.numpy().dtype
