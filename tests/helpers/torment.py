"""A program: kill a training ten times at random moments, its output a closed pipe, its disk full now and then.

    python -m tests.helpers.torment RUN STARTUP SECONDS ARGUMENT ...

RUN is the run's folder, at the top of a small disk; ARGUMENTs are those of train.py, STARTUP and SECONDS about what it
takes until its first step and from there. Prints what happened, as JSON: exit codes, and the newest checkpoint then.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.helpers.processes import command

KILLS = 10


def fill(disk, dice, over, seen):
    """Fill the disk at random moments, and empty it again, until it is over."""
    filler = disk / "filler"
    while not over.wait(dice.uniform(0.3, 3)):
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(2**16)):
                pass
        seen.append(os.statvfs(disk).f_bavail)
        over.wait(dice.uniform(0.3, 3))
        filler.unlink()


def start(run, arguments):
    """Start train.py with a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    running = subprocess.Popen(command("train.py", *arguments, f"--workdir={run}"), stdout=writer, stderr=writer)
    os.close(writer)
    return running


def newest(run):
    """The step of the newest checkpoint."""
    return max((int(f.name) for f in (run / "checkpoints").glob("[0-9]*") if f.name.isdigit()), default=0)


def main(run, startup, seconds, *arguments):
    run, dice, seen, over, ends = Path(run), random.Random(0), [], threading.Event(), []
    filling = threading.Thread(target=fill, args=(run.parent, random.Random(1), over, seen))
    filling.start()
    while sum(code == -signal.SIGKILL for code, _ in ends) < KILLS and len(ends) < 5 * KILLS:
        running = start(run, arguments)
        try:
            running.wait(dice.uniform(0.7, 1.3) * float(startup) + dice.uniform(0, 0.2) * float(seconds))
        except subprocess.TimeoutExpired:
            running.kill()
        ends.append((running.wait(), newest(run)))
    over.set()
    filling.join()
    print(json.dumps({"ends": ends, "filled": seen, "last": start(run, arguments).wait()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
