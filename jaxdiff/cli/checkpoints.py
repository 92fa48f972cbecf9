"""Lists and verifies the checkpoints of a run.

python -m jaxdiff.cli.checkpoints list RUN      the checkpoints of a run
python -m jaxdiff.cli.checkpoints verify RUN    whether they are intact, and can be read; exit code 1 if one is not
"""

import argparse
import os
import sys
import time
from pathlib import Path

from jaxdiff.cli import output
from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints.stored import check_readable, metrics_of, steps, wrong_with
from jaxdiff.training.files import place

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """The command line at the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m jaxdiff.cli.checkpoints", description="Look at checkpoints.")
    parser.add_argument("action", choices=["list", "verify"])
    parser.add_argument("run", type=Path, help="the run's folder")
    asked = parser.parse_args(arguments)
    try:
        folder = place(asked.run) / "checkpoints"
    except InputError as error:
        return _refuse(str(error))
    if not folder.is_dir():
        return _refuse(f"{str(asked.run)!r} is not a run: it has no folder checkpoints")
    bad = False
    for step in steps(folder):
        path = folder / str(step)
        wrong = wrong_with(path) or check_readable(path) if asked.action == "verify" else []
        bad |= bool(wrong)
        verdict = "" if asked.action == "list" else "  intact" if not wrong else f"  damaged: {'; '.join(wrong)}"
        known = "".join(f"  {name} {value:.4f}" for name, value in metrics_of(path).items())
        size = sum(os.lstat(os.path.join(at, f)).st_size for at, _, files in os.walk(path) for f in files) / 1e6
        saved = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
        print(f"step {step:>9,}  {saved}  {size:10.1f} MB{known}{verdict}")
    if not steps(folder):
        print("no checkpoint yet")
    return int(bad)


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    output.never_fail()
    sys.exit(main())
