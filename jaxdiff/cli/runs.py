"""Runs: list them, compare them, export one as a model folder, verify and prune their checkpoints."""

import argparse
import contextlib
import json
import shutil
import stat
import sys
import time
from pathlib import Path
from typing import Any

from jaxdiff.cli.checkpoints import look
from jaxdiff.cli.parser import Parser
from jaxdiff.config.record import find, flat, locked, read_record
from jaxdiff.errors import InputError
from jaxdiff.training import log
from jaxdiff.training.checkpoints.stored import newest_intact, steps

__all__ = ["main", "make_parser", "measured", "summary"]

FIGURES = ("loss", "held_out_mse", "held_out_bits")
EXAMPLES = """Examples:
  jaxdiff runs list                                  those below runs/
  jaxdiff runs compare runs/ddpm runs/edm            what differs: settings, and figures
  jaxdiff runs export runs/ddpm my-model             a folder to mail: weights, configuration, a card
  jaxdiff runs checkpoints runs/ddpm                 what each step weighs, and its figures
  jaxdiff runs verify runs/ddpm                      whether its checkpoints are intact
  jaxdiff runs prune runs/ddpm --keep 1 --yes        remove all checkpoints but the newest"""


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser("jaxdiff runs", description=EXAMPLES)
    commands = parser.add_subparsers(required=True, metavar="list|compare|export|checkpoints|verify|prune")
    command = commands.add_parser("list", help="the runs below a folder")
    command.add_argument("folder", nargs="?", default="runs/")
    command.add_argument("--json", action="store_true", help="print them as JSON")
    command.set_defaults(run=_list)
    command = commands.add_parser("compare", help="what differs between runs")
    command.add_argument("runs", nargs="+", metavar="RUN")
    command.set_defaults(run=_compare)
    command = commands.add_parser("export", help="write a run's model as a folder that one can mail")
    command.add_argument("workdir", metavar="RUN")
    command.add_argument("folder", metavar="FOLDER")
    command.add_argument("--weights", default="", help="one of the run's averages; params; or a width")
    command.add_argument("--dtype", default="float32", help="float32, or float16 for half the size")
    command.add_argument("--license", default="", help="of the model, for its card")
    command.add_argument("--data", default="", help="what it was trained on, for its card")
    command.add_argument("--about", default="", help="what else there is to say, for its card")
    command.add_argument("--no-picture", action="store_true", help="draw no examples for the card")
    command.set_defaults(run=_export)
    command = commands.add_parser("checkpoints", help="the checkpoints of a run")
    command.add_argument("workdir", metavar="RUN")
    command.set_defaults(run=lambda given: look(given.workdir, False))
    command = commands.add_parser("verify", help="whether its checkpoints are intact, and can be read; 1 if one is not")
    command.add_argument("workdir", metavar="RUN")
    command.set_defaults(run=lambda given: look(given.workdir, True))
    command = commands.add_parser("prune", help="remove old checkpoints of a run; without --yes say which")
    command.add_argument("workdir", metavar="RUN")
    command.add_argument("--keep", type=int, default=1, help="newest checkpoints to keep (1)")
    command.add_argument("--yes", action="store_true", help="do it")
    command.set_defaults(run=_prune)
    return parser


def main(arguments: list[str]) -> int:
    """Run the command line: 0 if all went well, 1 if a checkpoint is damaged, 2 for bad input."""
    given = make_parser().parse_args(arguments)
    try:
        return given.run(given) or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def summary(folder: Path) -> dict[str, Any]:
    """What is known of a run: name, what it is of, steps, size in MB, age in hours, last figures, and its state."""
    there = steps(folder / "checkpoints")
    size, newest = measured(folder)
    row: dict[str, Any] = {
        "name": str(folder),
        "step": there[-1] if there else 0,
        "mb": size,
        "hours": (time.time() - newest) / 3600,
    }
    try:
        config = read_record(folder).config
    except InputError:
        return row | {"state": "its record cannot be read"}
    rows = log.read(folder)
    last = {name: next((r[name] for r in reversed(rows) if r.get(name) is not None), None) for name in FIGURES}
    total = config["train"]["steps"]
    state = "done" if row["step"] >= total else "unfinished" if there else "no checkpoint"
    names = {name: config.get(name, {}).get("name", "") for name in ("data", "process", "net")}
    return row | {"steps": total, **names, **last, "state": state}


def measured(folder: Path) -> tuple[float, float]:
    """The size of a folder in MB, and when a file in it was written last; files come and go while a run trains."""
    size, newest = 0, 0.0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = file.lstat()
            if not stat.S_ISDIR(status.st_mode):
                size, newest = size + status.st_size, max(newest, status.st_mtime)
    return size / 1e6, newest


def _list(given: argparse.Namespace) -> None:
    root = Path(given.folder).expanduser()
    folders = sorted(file.parent for file in root.rglob("config.json") if (file.parent / "checkpoints").is_dir())
    rows = [summary(folder) for folder in folders]
    if given.json:
        print(json.dumps(rows))
        return
    if not rows:
        raise InputError(f"no run below {given.folder!r}: train one with `jaxdiff train --config ddpm`")
    width = max(len(row["name"]) for row in rows)
    heads = f"{'step':>15}  {'loss':>8}  {'held out':>8}  {'bits':>8}  {'MB':>7}  {'age':>7}  data, process, net: state"
    print(f"{'run':<{width}}  {heads}")
    for row in rows:
        step = f"{row['step']:,}/{row.get('steps', 0):,}"
        figures = "  ".join(f"{row[name]:8.4f}" if row.get(name) is not None else f"{'':8}" for name in FIGURES)
        age = f"{row['hours']:.1f} h" if row["hours"] < 48 else f"{row['hours'] / 24:.0f} d"
        names = ", ".join(str(row[name]) for name in ("data", "process", "net") if row.get(name))
        about = f"{names}: {row['state']}" if names else row["state"]
        print(f"{row['name']:<{width}}  {step:>15}  {figures}  {row['mb']:7.1f}  {age:>7}  {about}")


def _compare(given: argparse.Namespace) -> None:
    folders = [find(run) for run in given.runs]
    settings = [flat(read_record(folder).config) for folder in folders]
    rows = [summary(folder) for folder in folders]
    named = [s | {name: row.get(name) for name in ("step", *FIGURES)} for s, row in zip(settings, rows, strict=True)]
    for name in sorted({name for one in named for name in one}):
        values = [one.get(name) for one in named]
        if any(value != values[0] for value in values):
            print(f"{name}: {' | '.join('-' if value is None else str(value) for value in values)}")


def _export(given: argparse.Namespace) -> None:
    from jaxdiff.pipelines.load import load

    said = {name: getattr(given, name) for name in ("license", "data", "about")}
    folder = load(given.workdir, given.weights).save(given.folder, given.dtype, not given.no_picture, **said)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(f"{folder}: {size:.1f} MB; jaxdiff.load({str(folder)!r}) or jaxdiff sample --workdir {folder} take it")


def _prune(given: argparse.Namespace) -> None:
    if given.keep < 1:
        raise InputError(f"--keep {given.keep}: keep at least one")
    run = find(given.workdir)
    checkpoints = run / "checkpoints"
    with locked(run):
        intact = newest_intact(checkpoints)
        old = [step for step in steps(checkpoints)[: -given.keep] if step != intact]
        for step in old:
            folder = checkpoints / str(step)
            print(f"{'removed' if given.yes else 'would remove'} {folder} ({measured(folder)[0]:.1f} MB)")
            if given.yes:
                shutil.rmtree(folder)
    if not old:
        print(f"nothing to remove: there are {len(steps(checkpoints))} checkpoints")
    elif not given.yes:
        print("nothing was changed: the same command with --yes does it")
