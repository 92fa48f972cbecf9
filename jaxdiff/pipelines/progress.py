"""Progress: bars, where somebody watches, for training and for the chain of a sampler, which may be minutes long.

A chain with a bar is computed some steps at a time, as many as take about `AT_ONCE_S`, by one compiled program for any
number of them (`jaxdiff.pipelines.draw.make_stages`). What it draws is, bit for bit, what one `lax.scan` draws.
"""

import os
import sys
import time
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import Mesh
from tqdm.auto import tqdm

from jaxdiff.config.sampling import Bind
from jaxdiff.gaussian.process import Process
from jaxdiff.pipelines.draw import Fed, How, Stages, make_draw, make_stages
from jaxdiff.types import Array

__all__ = ["AT_ONCE_S", "advanced", "drawn", "in_notebook", "is_shown", "make_bar"]

AT_ONCE_S = 0.2
"""Steps of a chain are computed for about so long between two updates of its bar."""


def in_notebook() -> bool:
    """Tell whether the program runs in a notebook: of Jupyter, Colab, or an editor."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return bool(shell) and "IPKernelApp" in getattr(shell, "config", {})


def is_shown(progress: bool | None = None) -> bool:
    """Tell whether to show a bar.

    Args:
      progress: what the user asked for; None for a bar in a terminal and in a notebook, and none elsewhere, where
        TQDM_DISABLE is set, or with several hosts, which have to compute the same.
    """
    if progress is not None or "TQDM_DISABLE" in os.environ or jax.process_count() > 1:
        return bool(progress)
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def make_bar(total: int, unit: str, said: str = "compiling", **options: Any) -> tqdm:
    """A bar that is there at once, and says so that the first step is being compiled."""
    return tqdm(total=total, unit=unit, desc=said, dynamic_ncols=True, **options)


def drawn(
    of: tuple[Bind, Process | None, Mesh | None], fed: Fed, how: How, progress: bool | None
) -> tuple[Array, Array]:
    """Draw, with a bar where it `is_shown`; within a program that is being traced there is none."""
    if is_shown(progress) and not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(fed)):
        return advanced(make_stages(*of), fed, how)
    return make_draw(*of)(*fed[:-1], *how[:-1], fed.inputs, how.hooks)


def advanced(stages: Stages, fed: Fed, how: How) -> tuple[Array, Array]:
    """Draw with a bar, which is gone at the end: `(examples, frames)`, as `make_draw` does."""
    total, at_once, done = len(fed.times) - 1, 1, 0
    with make_bar(total, "step", leave=False) as bar:
        carry = stages.begin(fed, how=how)
        while done < total:
            begun, stop = time.perf_counter(), min(done + at_once, total)
            carry = jax.block_until_ready(stages.advance(carry, done, stop, fed, how=how))
            passed = time.perf_counter() - begun
            if not done:
                bar.set_description(f"drawing {how.shape[0]}", refresh=False)
            bar.update(stop - done)
            at_once = at_once if done == 0 else max(1, round(at_once * min(8, AT_ONCE_S / passed)))
            done = stop
        return stages.end(carry, fed, how=how)
