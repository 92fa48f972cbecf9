"""Other people's measures, for comparison only: torch-fidelity, prdc and clean-fid, where they are installed."""

import importlib
import importlib.util
import sys
import warnings
from unittest import mock

import pytest

__all__ = ["peer"]


DOUBLES = ("torchvision", "requests")
PARTS = ("", ".transforms", ".transforms.functional", ".datasets", ".datasets.folder", ".models", ".adapters")


def peer(name):
    """A module of a peer; the test is skipped where it is not installed.

    What it imports for its own command line alone, and is not installed, is a double.
    """
    pytest.importorskip("torch")
    if importlib.util.find_spec(package := name.partition(".")[0]) is None:
        pytest.skip(f"{package} is not installed")
    absent = [package for package in DOUBLES if importlib.util.find_spec(package) is None]
    doubles = {package + part: mock.MagicMock() for package in absent for part in PARTS}
    sys.modules.update(doubles)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    finally:
        for double in doubles:
            sys.modules.pop(double, None)
