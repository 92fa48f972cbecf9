import numpy as np
import pytest

from jaxdiff.evaluation.evaluate import How
from jaxdiff.evaluation.features import find_features
from tests.helpers.evaluated import SPEC, draw


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def files(rng, cache):
    for name, n, blur in (("samples", 300, 0.1), ("real", 400, 0), ("held", 320, 0)):
        np.save(f"{name}.npy", draw(rng, n, blur))


@pytest.fixture
def how():
    return How([find_features("pixels", SPEC)], "nearest", groups=5, seeds=2)
