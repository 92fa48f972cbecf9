import jax
import numpy as np
import pytest

from jaxdiff import betas, process

PROCESSES = {
    "ddpm": lambda: process.ddpm(betas.linear(1000)),
    "ddpm_cosine": lambda: process.ddpm(betas.cosine(1000)),
    "vp": process.vp,
    "cosine": process.cosine,
}


def pytest_collection_modifyitems(items):
    """The scripts first: theirs is the longest file, and two processes share the files."""
    items.sort(key=lambda item: item.path.name != "test_scripts.py")


@pytest.fixture(params=PROCESSES)
def any_process(request):
    return PROCESSES[request.param]()


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)
