"""The checkpoints of a run: what there is, and whether it is intact."""

import os
import time
from pathlib import Path

from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints.stored import check_readable, metrics_of, steps, wrong_with
from jaxdiff.training.files import place

__all__ = ["look"]


def look(run: str | Path, verify: bool) -> int:
    """Print the checkpoints of a run; with `verify`, 1 if one is damaged or cannot be read, else 0.

    Raises:
      InputError: there is no run.
    """
    folder = place(run) / "checkpoints"
    if not folder.is_dir():
        raise InputError(f"{str(run)!r} is not a run: it has no folder checkpoints")
    bad = False
    for step in steps(folder):
        path = folder / str(step)
        wrong = wrong_with(path) or check_readable(path) if verify else []
        bad |= bool(wrong)
        verdict = "" if not verify else "  intact" if not wrong else f"  damaged: {'; '.join(wrong)}"
        known = "".join(f"  {name} {value:.4f}" for name, value in metrics_of(path).items())
        size = sum(os.lstat(os.path.join(at, f)).st_size for at, _, files in os.walk(path) for f in files) / 1e6
        saved = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
        print(f"step {step:>9,}  {saved}  {size:10.1f} MB{known}{verdict}")
    if not steps(folder):
        print("no checkpoint yet")
    return int(bad)
