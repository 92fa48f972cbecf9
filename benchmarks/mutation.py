"""Do the tests notice? Random single faults in the core, each met by the tests of its own file alone.

    python benchmarks/mutation.py --json benchmarks/results/mutation.json
    python benchmarks/mutation.py --json benchmarks/results/mutation.json --again       # those that lived

A fault is one change of one expression: + for -, * for /, < for >=, 0 for 1, another number, alpha for sigma, s for t,
a dropped minus, square, root or stop_gradient, swapped branches ... It is put into a copy of the tree, and is caught if
a test fails there, or five times the usual time is over. What no run could notice is left out: texts, annotations, what
is raised, and the number of keys that are split. Each caught fault names the test that failed first.
"""

import argparse
import ast
import json
import os
import random
import resource
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORKS = get_context("forkserver")  # what the tests import is imported once
FORKS.set_forkserver_preload(
    ["jax.experimental.ode", "optax", "orbax.checkpoint", "grain", "flax", "scipy.stats", "pytest"]
)
FORMS, SOLVERS = "losses/test_closed_forms.py", "samplers/test_written_out.py"
PROCESS = "gaussian/test_process.py gaussian/test_processes.py"
TESTS = {
    "gaussian/process": PROCESS,
    "gaussian/schedules": PROCESS,
    "gaussian/betas": "gaussian/test_process.py -k published",
    "gaussian/denoiser": f"gaussian/test_denoiser.py {PROCESS} -k 'denoiser or mixture or any_path or carries'",
    "gaussian/parameterization": f"{FORMS} gaussian/test_parameterization.py gaussian/test_endpoints.py "
    "-k 'published or weight or test_p or defined'",
    "gaussian/grids": "gaussian/test_grids.py",
    "likelihood": f"{FORMS} test_likelihood.py -k 'published or hand or decod or discretized or bits or trace'",
    "losses/hybrid": f"{FORMS} losses/test_learned_variance.py -k 'published or hybrid or halves or settings'",
    "losses/weights": f"{FORMS} losses/test_loss.py -k 'published or weight or times or test_loss'",
    "losses/importance": f"{FORMS} losses/test_importance.py -k 'published or importance'",
    "losses/sliced": f"{FORMS} -k sliced",
    "losses/vlb": "losses/test_vdm.py",
    "guidance/classifier_free": "guidance/test_guidance.py",
    "modalities/images/augment": "transforms/test_augment.py",
    "training/ema": "training/test_ema.py",
    "training/step": "training/test_step.py training/test_guard.py",
    "training/feed": "training/test_feed.py",
    "data/source": "data/test_source.py",
    "samplers/adams": f"{SOLVERS} -k 'lms or deis'",
    "samplers/ancestral": f"{SOLVERS} -k 'ancestral or learned or analytic or square or constraint'",
    "samplers/base": f"samplers/test_base.py {SOLVERS} -k 'corrected or test_base'",
    "samplers/cached": "samplers/test_cached.py -k 'loop or path or corrector'",
    "samplers/ddim": f"{SOLVERS} samplers/test_ddim.py -k 'ddim and not eta_one or constraint'",
    "samplers/dpm": f"{SOLVERS} -k dpmpp",
    "samplers/langevin": f"{SOLVERS} -k 'langevin or corrected'",
    "samplers/ode": f"{SOLVERS} -k 'euler or midpoint or heun or rk4 or adaptive'",
    "samplers/pndm": f"{SOLVERS} -k pndm",
    "samplers/restart": f"{SOLVERS} -k restart",
    "samplers/sde": f"{SOLVERS} -k 'maruyama or reverse or srk'",
    "samplers/unipc": f"{SOLVERS} -k unipc",
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


class First:
    """A plugin of pytest that keeps the name of the first failure."""

    name = None

    def pytest_runtest_logreport(self, report):
        self.name = self.name or (report.nodeid.removeprefix("tests/") if report.failed else None)


def run(tree: Path, tests: list[str], limit: int, answer: Connection) -> None:
    """In a process of its own: sends the first test that fails in this tree, or None, and the CPU seconds it took."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = True
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1), os.dup2(silence, 2)
    first = First()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "-m", "not slow and not parity"]
    code = pytest.main([*options, *tests], plugins=[first])
    answer.send((first.name or (f"pytest ends with {int(code)}" if code else None), round(time.process_time(), 1)))


def failed(tree: Path, file: str, limit: float) -> tuple[str | None, float]:
    """The first test of a file that fails in this tree, or None, and the CPU seconds, of which there are so many."""
    ours, theirs = FORKS.Pipe(duplex=False)
    tests = [f"tests/{word}" if word.endswith(".py") else word for word in shlex.split(TESTS[file])]
    process = FORKS.Process(target=run, args=(tree, tests, int(limit), theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return "killed, or out of time", limit
    finally:
        process.kill()
        process.join()


def chosen(file: str, one_in: int, seed: int) -> list[tuple[dict, str]]:
    """A random share of the faults of a file, in the order of its lines."""
    all_of_it = list(faulty(file))
    picked = random.Random(f"{seed} {file}").sample(all_of_it, round(len(all_of_it) / one_in))
    return sorted(picked, key=lambda fault: fault[0]["line"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one-in", type=int, default=14, help="so many faults is one that is tried, at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=TESTS, metavar="FILE", help="such as loss or samplers/dpm")
    parser.add_argument("--again", action="store_true", help="try those alone that lived in the record")
    parser.add_argument("--json", type=Path, required=True, help="the record; it keeps what it has of other files")
    arguments = parser.parse_args()
    rows = json.loads(arguments.json.read_text())["rows"] if arguments.json.exists() else []
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/compiled")
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "__pycache__", "runs", "docs", "results"))
        for file in arguments.only or TESTS:
            lived = [row for row in rows if row["file"] == file and not row["by"]]
            if arguments.again:
                todo = [f for f in faulty(file) if any(f[0].items() <= row.items() for row in lived)]
            else:
                todo = chosen(file, arguments.one_in, arguments.seed)
                rows = [row for row in rows if row["file"] != file]
            place = tree / "jaxdiff" / f"{file}.py"
            sound, limit = failed(tree, file, 1800) if todo else (None, 0)
            if sound:
                raise SystemExit(f"{file} as it is: {sound} fails")
            for about, source in todo:
                place.write_text(source)
                by, took = failed(tree, file, 30 + 5 * limit)
                shutil.copy(ROOT / "jaxdiff" / f"{file}.py", place)
                if arguments.again:
                    rows = [row | {"after": by} if about.items() <= row.items() else row for row in rows]
                else:
                    rows.append(about | {"by": by, "seconds": took})
                print(json.dumps(about | {"by": by, "seconds": took}, ensure_ascii=False), flush=True)
                arguments.json.write_text(record(rows))


def record(rows: list[dict]) -> str:
    """JSON of one line a fault. "by" is the test that failed in the first run, "after" in one with more tests."""
    caught = [bool(row["by"]) for row in rows], [bool(row["by"] or row.get("after")) for row in rows]
    head = {"faults": len(rows), "caught": sum(caught[0]), "caught_with_the_tests_added_since": sum(caught[1])}
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return json.dumps(head)[:-1] + f', "rows": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    main()
