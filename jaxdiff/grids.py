"""Grid: the falling sequence of times that a sampler visits, from noise to data.

A grid of `steps` steps has `steps + 1` times and is a plain float32 array. It is traced: other values of the same
number never compile again. On a discrete chain of `total` steps, step i sits at `t = (i + 1) / total`, and the grids
on a chain end at t = 0, the data. The three spacings carry the names they have in diffusers (Lin et al. 2024, table 2).
"""

import numpy as np

from jaxdiff.errors import InputError


def uniform(steps: int, t_max: float = 1.0, t_min: float = 0.0) -> np.ndarray:
    """Evenly spaced from t_max to t_min."""
    _check(steps)
    if not 0 <= t_min < t_max <= 1:
        raise InputError(f"t_max={t_max}, t_min={t_min}: a grid falls from t_max to t_min within [0, 1]")
    return np.linspace(t_max, t_min, steps + 1, dtype=np.float32)


def leading(steps: int, total: int = 1000, offset: int = 0) -> np.ndarray:
    """Chain steps 0, r, 2r ... with r = total // steps, and `offset` added to each (Song et al. 2021, DDIM)."""
    _check(steps, total)
    index = np.arange(steps) * (total // steps) + offset
    if not 0 <= offset <= total - 1 - (steps - 1) * (total // steps):
        raise InputError(f"offset={offset} takes step {index[-1]} out of a chain of {total} steps, 0 to {total - 1}")
    return _chain(index[::-1], total)


def trailing(steps: int, total: int = 1000) -> np.ndarray:
    """Chain steps total - 1, total - 1 - r ... with r = total / steps: always starts at the noise."""
    _check(steps, total)
    return _chain(np.round(np.arange(total, 0, -total / steps))[:steps] - 1, total)


def linspace(steps: int, total: int = 1000) -> np.ndarray:
    """Chain steps 0 to total - 1, both ends included."""
    _check(steps, total)
    return _chain(np.round(np.linspace(0, total - 1, steps))[::-1], total)


def _chain(index: np.ndarray, total: int) -> np.ndarray:
    return np.append((index + 1) / total, 0).astype(np.float32)


def _check(steps: int, total: int | None = None) -> None:
    if steps < 1 or (total is not None and steps > total):
        limit = f"from 1 to {total}, the length of the chain" if total is not None else "1 or more"
        raise InputError(f"a grid of {steps} steps: the number of steps must be {limit}")
