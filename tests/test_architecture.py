"""Rooms and arrows: who may import whom. A new file needs no entry here; docs/architecture.md has the plan."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "jaxdiff"
EVERYBODY = {"types", "errors", "__version__"}
ARROWS = {
    "types": set(),
    "errors": set(),
    "gaussian": set(),
    "geometry": set(),
    "discrete": {"samplers", "gaussian"},
    "samplers": {"gaussian", "geometry"},
    "guidance": {"samplers", "gaussian"},
    "likelihood": {"samplers", "gaussian"},
    "losses": {"likelihood", "samplers", "gaussian", "geometry"},
    "distill": {"losses", "guidance", "samplers", "gaussian"},
    "transforms": {"geometry"},
    "nets": set(),
    "data": set(),
    "training": {"data", "transforms"},
    "modalities": {"data", "nets", "gaussian", "geometry"},
    "config": {
        "discrete",
        "distill",
        "losses",
        "likelihood",
        "guidance",
        "samplers",
        "gaussian",
        "transforms",
        "nets",
        "data",
        "training",
        "modalities",
    },
    "interop": {"config", "nets", "samplers", "gaussian", "training"},
    "pipelines": {
        "interop",
        "discrete",
        "config",
        "losses",
        "likelihood",
        "guidance",
        "samplers",
        "gaussian",
        "transforms",
        "data",
        "training",
        "modalities",
    },
    "evaluation": {
        "discrete",
        "pipelines",
        "config",
        "likelihood",
        "samplers",
        "gaussian",
        "transforms",
        "nets",
        "data",
        "training",
        "modalities",
    },
    "cli": {
        "evaluation",
        "pipelines",
        "config",
        "guidance",
        "gaussian",
        "modalities",
        "training",
        "data",
        "transforms",
        "configs",
    },
    "api": {"cli", "pipelines", "config", "modalities", "training", "data"},
    "__init__": {"pipelines", "api"},
    "__main__": {"cli"},
    "configs": {"config"},
}
"""By room: the rooms that it may import, beside itself."""
PURE = {"gaussian", "geometry", "discrete", "samplers", "guidance", "likelihood", "losses", "distill", "transforms"}
STANDARD = {
    "jax",
    "numpy",
    "scipy",
    "math",
    "typing",
    "collections",
    "functools",
    "difflib",
    "dataclasses",
    "itertools",
}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (
                f"{node.module}.{alias.name}" if node.module == "jaxdiff" else node.module for alias in node.names
            )


@pytest.mark.system
@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_direction(file):
    room = file.relative_to(ROOT).parts[0].removesuffix(".py")
    assert room in ARROWS, f"{room}: no such room; the plan is in docs/architecture.md"
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "jaxdiff":
            assert parts[1] in {room} | EVERYBODY | ARROWS[room], f"{file} imports {name}"
        elif room in PURE:
            assert parts[0] in STANDARD, f"{file} imports {name}"
        elif room != "nets":
            assert parts[0] != "flax", f"{file} imports {name}"


def test_no_modality_imports_another():
    """But for the files beside their folders, which are for all."""
    shared = {file.stem for file in (ROOT / "modalities").glob("*.py")}
    for file in (ROOT / "modalities").rglob("*.py"):
        own = file.relative_to(ROOT / "modalities").parts[0]
        for name in imports(file):
            if name.startswith("jaxdiff.modalities."):
                assert name.split(".")[2] in {own, *shared}, f"{file} imports {name}"


LONG = {
    "train": 100,
    "ddpm": 80,
    "__call__": 100,
    "arrays": 65,
    "folder": 75,
    "detect": 70,
    "make_draw": 65,
    "make_train_step": 65,
}
"""Functions over 60 lines: the training loop, a chain's exact log-SNR, the U-Net's forward pass, long docstrings."""


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_files_and_functions_are_short(file):
    text = file.read_text()
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < LONG.get(node.name, 60), f"{node.name} in {file}"


def test_the_arrows_have_no_circle():
    below = dict(ARROWS)
    while below:
        free = [room for room, rooms in below.items() if not rooms & below.keys()]
        assert free, f"a circle in {sorted(below)}"
        for room in free:
            del below[room]
