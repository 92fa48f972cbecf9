"""A program: kill a training ten times at random moments, its output a closed pipe, its disk full now and then.

    python -m tests.helpers.torment DISK SECONDS ARGUMENT ...

ARGUMENTs are those of train.py, and SECONDS about what they take. Prints what happened, as JSON.
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


def start(arguments):
    """Start train.py with a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    running = subprocess.Popen(command("train.py", *arguments), stdout=writer, stderr=writer)
    os.close(writer)
    return running


def main(disk, seconds, *arguments):
    disk, dice, seen, over, codes = Path(disk), random.Random(0), [], threading.Event(), []
    filling = threading.Thread(target=fill, args=(disk, random.Random(1), over, seen))
    filling.start()
    while codes.count(-signal.SIGKILL) < KILLS and len(codes) < 5 * KILLS:
        running = start(arguments)
        try:
            running.wait(dice.uniform(0.3, 1) * float(seconds))
        except subprocess.TimeoutExpired:
            running.kill()
        codes.append(running.wait())
    over.set()
    filling.join()
    print(json.dumps({"codes": codes, "filled": seen, "last": start(arguments).wait()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
