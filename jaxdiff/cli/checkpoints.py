"""Lists and verifies the checkpoints of a run.

python -m jaxdiff.cli.checkpoints list RUN      the checkpoints of a run
python -m jaxdiff.cli.checkpoints verify RUN    whether they are intact; exit code 1 if one is not
"""

import argparse
import sys
import time
from pathlib import Path

from jaxdiff.training.checkpoints.checkpoint import metrics_of, steps
from jaxdiff.training.checkpoints.seal import damage


def main(arguments: list[str] | None = None) -> int:
    """The command line at the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m jaxdiff.cli.checkpoints", description="Look at checkpoints.")
    parser.add_argument("action", choices=["list", "verify"])
    parser.add_argument("run", type=Path, help="the run's folder")
    asked = parser.parse_args(arguments)
    folder = asked.run / "checkpoints"
    if not folder.is_dir():
        print(f"error: {str(asked.run)!r} is not a run: it has no folder checkpoints", file=sys.stderr)
        return 2
    bad = False
    for step in steps(folder):
        files = [f.stat() for f in (folder / str(step)).rglob("*") if f.is_file()]
        size = sum(f.st_size for f in files) / 1e6
        saved = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime((folder / str(step)).stat().st_mtime))
        wrong = damage(folder / str(step)) if asked.action == "verify" else []
        bad |= bool(wrong)
        verdict = "" if asked.action == "list" else "  intact" if not wrong else f"  damaged: {'; '.join(wrong)}"
        known = "".join(f"  {name} {value:.4f}" for name, value in metrics_of(folder / str(step)).items())
        print(f"step {step:>9,}  {saved}  {size:10.1f} MB{known}{verdict}")
    if not steps(folder):
        print("no checkpoint yet")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
