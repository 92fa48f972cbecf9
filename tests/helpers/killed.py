"""A program: train.py, killed without a word (SIGKILL) as soon as the step KILLED_AT is on record."""

import os
import signal
import sys

from jaxdiff.cli import train
from jaxdiff.training import log

scalars = log.Log.scalars


def then_killed(self, step, values):
    scalars(self, step, values)
    if step >= int(os.environ["KILLED_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)


log.Log.scalars = then_killed
sys.exit(train.main())
