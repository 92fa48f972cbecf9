"""Do the tests notice? Random single faults in the core, each met by the tests of its own file alone.

    python benchmarks/mutation.py --faults 200 --json benchmarks/results/mutation.json
    python benchmarks/mutation.py --again benchmarks/results/mutation.json       # those that lived

A fault is one change of one expression: + for -, * for /, < for >=, 0 for 1, another number, alpha for sigma, s for t,
a dropped minus, square, root or stop_gradient, swapped branches ... It is put into a copy of the tree, and is caught if
a test fails there, or takes five times as long. What no run could notice is left out: texts, annotations, what is
raised, and the number of keys that are split. Each caught fault names the test that failed first.
"""

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROCESSES = "test_process.py test_processes.py"
SOLVERS = "samplers/test_written_out.py"
TESTS = {
    "process": PROCESSES,
    "betas": "test_process.py",
    "denoiser": f"test_denoiser.py {PROCESSES}",
    "parameterization": "test_parameterization.py test_endpoints.py",
    "grids": "test_grids.py",
    "likelihood": "test_likelihood.py",
    "learned_variance": "test_learned_variance.py",
    "loss": "test_closed_forms.py test_loss.py",
    "importance": "test_importance.py",
    "score_matching": "test_closed_forms.py test_score_matching.py",
    "vdm": "test_vdm.py",
    "guidance": "test_guidance.py",
    "augment": "test_augment.py",
    "training/ema": "training/test_ema.py",
    "training/step": "training/test_step.py training/test_guard.py",
    "training/feed": "training/test_feed.py",
    "data/source": "data/test_source.py training/test_feed.py",
    "samplers/adams": SOLVERS,
    "samplers/ancestral": f"samplers/test_ancestral.py {SOLVERS}",
    "samplers/base": f"samplers/test_base.py {SOLVERS}",
    "samplers/cached": "samplers/test_cached.py",
    "samplers/ddim": f"samplers/test_ddim.py {SOLVERS}",
    "samplers/dpm": SOLVERS,
    "samplers/langevin": SOLVERS,
    "samplers/ode": SOLVERS,
    "samplers/pndm": SOLVERS,
    "samplers/restart": SOLVERS,
    "samplers/sde": SOLVERS,
    "samplers/unipc": SOLVERS,
}
OPERATORS = {ast.Add: ast.Sub, ast.Mult: ast.Div, ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.Eq: ast.NotEq, ast.And: ast.Or}
OPERATORS |= {new: old for old, new in OPERATORS.items()} | {ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv}
OPERATORS |= {ast.BitAnd: ast.BitOr}
NAMES = {"alpha": "sigma", "minimum": "maximum", "min": "max", "zeros_like": "ones_like", "zeros": "ones", "any": "all"}
NAMES |= {"exp": "expm1", "log": "log1p", "sin": "cos", "sum": "mean", "floor": "ceil"}
NAMES |= {new: old for old, new in NAMES.items()}
DROPPED = {"sqrt", "square", "abs", "clip", "stop_gradient", "roll", "cumsum", "round"}


def changes(node: ast.AST, steps: bool) -> Iterator[ast.AST]:
    """What might stand in the place of this node; `steps`: both times of a step, s and t, are known here."""
    match node:
        case ast.BinOp(left, ast.Pow()):
            yield left
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(OPERATORS[type(op)](), values)
        case ast.Compare(left, [op, *rest], right) if type(op) in OPERATORS:
            yield ast.Compare(left, [OPERATORS[type(op)](), *rest], right)
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield ast.Constant(1 - value if value in (0, 1) else value + 1 if isinstance(value, int) else 2 * value)
        case ast.Attribute(of, name, context) if name in NAMES:
            yield ast.Attribute(of, NAMES[name], context)
        case ast.Call(ast.Attribute(_, name), [first, *_]) if name in DROPPED:
            yield first
        case ast.Call(function, [test, one, other]) if ast.unparse(function) in ("jnp.where", "np.where"):
            yield ast.Call(function, [test, other, one], [])
        case ast.Name("s" | "t" as name, ast.Load()) if steps:
            yield ast.Name("t" if name == "s" else "s", ast.Load())


def faults(node: ast.AST, steps: bool = False) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """All single faults below a node: `(parent, field, index, replacement)`."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        steps = steps or {"s", "t"} <= {argument.arg for argument in node.args.args}
    for field, value in ast.iter_fields(node):
        for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            ignored = isinstance(child, ast.Raise | ast.JoinedStr) or field in ("annotation", "returns")
            if isinstance(child, ast.AST) and not ignored and not ast.unparse(child).startswith("jax.random.split("):
                yield from ((node, field, i, new) for new in changes(child, steps))
                yield from faults(child, steps)


def faulty(file: str) -> Iterator[tuple[dict, str]]:
    """Each fault of a file, `{"file", "line", "fault"}`, and the source that has it."""
    tree = ast.parse((ROOT / "jaxdiff" / f"{file}.py").read_text())
    for parent, field, i, new in faults(tree):
        siblings = getattr(parent, field)
        old = siblings if i is None else siblings[i]
        about = {"file": file, "line": old.lineno, "fault": f"{ast.unparse(old)} -> {ast.unparse(new)}"}
        setattr(parent, field, new if i is None else [*siblings[:i], new, *siblings[i + 1 :]])
        yield about, ast.unparse(ast.fix_missing_locations(tree))
        setattr(parent, field, siblings)


def failed(tree: Path, file: str, limit: float) -> str | None:
    """The first test of a file that fails in this tree, "timeout", or None."""
    tests = [f"tests/{name}" for name in TESTS[file].split()]
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(tree), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(tree / "compiled"))
    try:
        ended = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return "timeout"
    named = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", ended.stdout, re.MULTILINE)
    return named[1] if named else ended.stdout[-200:] + ended.stderr[-200:] if ended.returncode else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=TESTS, metavar="FILE", help="such as loss or samplers/dpm")
    parser.add_argument(
        "--again", type=Path, help="a record whose survivors are tried again, in place of random faults"
    )
    parser.add_argument("--json", type=Path, help="write the record here")
    arguments = parser.parse_args()
    everything = [fault for file in arguments.only or TESTS for fault in faulty(file)]
    chosen = random.Random(arguments.seed).sample(everything, min(arguments.faults, len(everything)))
    if arguments.again:
        lived = [
            {k: row[k] for k in ("file", "line", "fault")} for row in json.loads(arguments.again.read_text())["lived"]
        ]
        chosen = [fault for fault in everything if fault[0] in lived]
    rows, sound = [], {}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "__pycache__", "runs", "images", "results"))
        for about, source in sorted(chosen, key=lambda fault: (fault[0]["file"], fault[0]["line"])):
            file, began = about["file"], time.monotonic()
            if file not in sound:
                if test := failed(tree, file, 1800):
                    raise SystemExit(f"{file} as it is: {test} fails")
                sound[file], began = time.monotonic() - began, time.monotonic()
            place = tree / "jaxdiff" / f"{file}.py"
            place.write_text(source)
            by = failed(tree, file, 60 + 5 * sound[file])
            shutil.copy(ROOT / "jaxdiff" / f"{file}.py", place)
            rows.append(about | {"by": by, "seconds": round(time.monotonic() - began, 1)})
            print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
            if arguments.json:
                arguments.json.write_text(record(arguments, rows, sound))
    print(f"{sum(bool(row['by']) for row in rows)} of {len(rows)} caught")


def record(arguments: argparse.Namespace, rows: list[dict], sound: dict[str, float]) -> str:
    """JSON of one line a fault."""
    lived = [row for row in rows if not row["by"]]
    head = {"seed": arguments.seed, "faults": len(rows), "caught": len(rows) - len(lived)}
    head |= {"seconds_of_the_tests": {file: round(took, 1) for file, took in sound.items()}}
    lines = lambda rows: "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]"  # noqa: E731
    caught = [row for row in rows if row["by"]]
    return json.dumps(head)[:-1] + f',\n"lived": {lines(lived)},\n"caught_by": {lines(caught)}}}\n'


if __name__ == "__main__":
    main()
