"""Imports go one way, types <- process <- parameterization <- denoiser <- ..., and the core imports JAX alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "jaxdiff"
BASE = {"types", "errors"}
MATHS = BASE | {"process", "parameterization", "denoiser"}
LOSSES = {"augment", "classifier", "enlarge", "loss", "importance", "score_matching", "learned_variance", "vdm"}
ALLOWED = {
    "types": set(),
    "errors": set(),
    "fields": {"errors"},
    "names": {"errors", "fields"},
    "betas": {"errors"},
    "process": BASE,
    "grids": BASE | {"process"},
    "parameterization": BASE | {"process"},
    "denoiser": BASE | {"process", "parameterization"},
    "loss": MATHS,
    "augment": BASE | {"loss"},
    "classifier": MATHS | {"guidance", "loss"},
    "simplex": BASE,
    "enlarge": BASE | {"loss", "process", "tasks"},
    "samplers": MATHS | {"samplers"},
    "guidance": MATHS | {"samplers"},
    "likelihood": MATHS | {"samplers"},
    "importance": MATHS | {"loss"},
    "score_matching": MATHS | {"loss"},
    "learned_variance": MATHS | {"likelihood", "samplers"},
    "vdm": MATHS | {"likelihood"},
    "tasks": MATHS | {"samplers", "guidance", "tasks"},
    "nets": BASE | {"nets"},
    "data": BASE | {"data", "pictures"},
    "evaluation": BASE | {"evaluation"},
    "pictures": BASE,
    "training": BASE | {"training", "data"},
    "model": MATHS | {"names", "fields", "samplers", "guidance", "tasks", "training"},
    "experiment": MATHS
    | LOSSES
    | {"names", "fields", "betas", "grids", "simplex", "samplers", "nets", "data", "training", "model"},
    "edit": MATHS | {"fields", "samplers", "guidance", "tasks", "model", "pictures", "classifier", "enlarge"},
    "compose": MATHS | {"guidance", "classifier", "edit", "model", "tasks"},
    "edit_input": BASE | {"experiment", "model", "data", "tasks"},
    "edit_files": BASE | {"edit", "edit_input", "compose", "model", "pictures", "run", "tasks"},
    "run": BASE | {"fields", "experiment", "model", "training", "classifier"},
    "held_out": MATHS | {"likelihood", "model", "data", "enlarge", "tasks"},
    "watch": BASE | {"data", "experiment", "held_out", "model", "classifier", "pictures", "training"},
    "parts": BASE
    | LOSSES
    | {"names", "fields", "betas", "grids", "parameterization", "simplex", "nets", "data", "model", "experiment"},
    "command": {"errors", "parts"},
    "__init__": {"run"},
}
CORE = LOSSES | MATHS | {"betas", "simplex", "grids", "samplers", "guidance", "likelihood", "tasks"}
STANDARD = {"jax", "numpy", "scipy", "math", "typing", "collections", "functools", "difflib", "dataclasses"}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (
                f"{node.module}.{alias.name}" if node.module == "jaxdiff" else node.module for alias in node.names
            )


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_direction(file):
    room = file.relative_to(ROOT).parts[0].removesuffix(".py")
    assert room in ALLOWED, f"{room} has no place in the house yet: add it here and to the design"
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "jaxdiff":
            assert parts[1] in ALLOWED[room], f"{file} imports {name}"
        elif room in CORE:
            assert parts[0] in STANDARD, f"{file} imports {name}"
        elif room not in ("nets",):
            assert parts[0] != "flax", f"{file} imports {name}"


def test_train_reads_in_one_sitting():
    assert len((ROOT.parent / "train.py").read_text().splitlines()) < 250
