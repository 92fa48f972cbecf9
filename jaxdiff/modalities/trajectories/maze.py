"""Trips through a maze as data: of a scripted planner, from any cell to any other, made anew from a seed.

One trip in ten pairs of cells is left to the split "test": no window of the split "train" begins in the one cell and
ends in the other.
"""

from typing import NamedTuple

import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.trajectories.control import execute, scripted
from jaxdiff.modalities.trajectories.file import windows_source
from jaxdiff.modalities.trajectories.mazes import Maze, find_maze

__all__ = ["Trips", "maze", "maze_policy", "pairs_of", "trips_of"]

AT_ONCE, LONGEST = 2500, 400
WITHIN = 0.25
"""Starts and goals lie within so much of the middle of their cells, as in PointMaze."""


class Trips(NamedTuple):
    """Trips that end at their goals and stay there.

    Attributes:
      positions, velocities, actions: (n, steps, 2), float32.
      goals: (n, 2).
      arrival: (n,), the step at which the goal was reached.
    """

    positions: np.ndarray
    velocities: np.ndarray
    actions: np.ndarray
    goals: np.ndarray
    arrival: np.ndarray


def maze(
    layout: str = "medium", trips: int = 20_000, steps: int = 24, stride: int = 16, split: str = "train", seed: int = 0
) -> Source:
    """Positions (steps, 2) on trips from a start to a goal, where they stay: every `stride`-th of 0.01 seconds each.

    Half of the windows begin where the trip does, and half anywhere on its way.

    Args:
      layout: of the maze: umaze, medium or large.
      trips: how many there are, one window each.
      steps: states a window.
      stride: steps of the dynamics between two of them.
      split: "train", or "test" with the pairs of cells that are left out of it.
      seed: of all that is drawn.
    """
    place = find_maze(layout)
    made = trips_of(place, trips, steps * stride, split, seed)
    rng, apart = np.random.default_rng([seed, 1]), pairs_of(place, "test", seed)
    late = (rng.integers(0, 2, trips) * rng.uniform(0, 1, trips) * made.arrival).astype(int)
    late = np.minimum(late, steps * stride - 1)
    begin = place.number(made.positions[np.arange(trips), late])
    joins = np.isin(begin * len(place.cells) + place.number(made.goals), apart[:, 0] * len(place.cells) + apart[:, 1])
    late = np.where(joins & (split == "train"), 0, late)
    at = np.minimum(late[:, None] + stride * np.arange(steps), steps * stride - 1)
    half = np.array(place.walls.shape[::-1]) / 2
    windows = made.positions[np.arange(trips)[:, None], at]
    return windows_source(windows, np.zeros(2), half, channels=("x", "y"), maze=layout, stride=stride)


def maze_policy(
    layout: str = "medium", trips: int = 5000, steps: int = 16, split: str = "train", seed: int = 0
) -> Source:
    """Actions (steps, 2) that follow an observation on such trips, for a policy (`configs/diffusion_policy.py`).

    Eight windows a trip. What is told, "observation", are the position, the velocity and the goal, (6,), scaled to
    about one.
    """
    place = find_maze(layout)
    made = trips_of(place, trips, LONGEST, split, seed)
    rng = np.random.default_rng([seed, 2])
    row, late = np.repeat(np.arange(trips), 8), rng.uniform(0, 1.2, 8 * trips)
    first = np.minimum(late * made.arrival[row], LONGEST - steps).astype(int)
    actions = made.actions[row[:, None], first[:, None] + np.arange(steps)]
    half = np.array(place.walls.shape[::-1]) / 2
    seen = [made.positions[row, first] / half, made.velocities[row, first] / 5, made.goals[row] / half]
    told = {"observation": np.concatenate(seen, axis=1).astype(np.float32)}
    return windows_source(actions, np.zeros(2), np.ones(2), told, ("push x", "push y"))


def trips_of(place: Maze, trips: int, steps: int, split: str, seed: int) -> Trips:
    """So many trips of the scripted planner, each `steps` long, between the pairs of cells of a split."""
    pairs, rng = pairs_of(place, split, seed), np.random.default_rng([seed, 3, split == "test"])
    chosen = pairs[rng.integers(0, len(pairs), trips)]
    start, goal = (place.center(chosen[:, i]) + rng.uniform(-WITHIN, WITHIN, (trips, 2)) for i in (0, 1))
    parts = []
    for i in range(0, trips, AT_ONCE):
        some = slice(i, i + AT_ONCE)
        policy = scripted(place, start[some], goal[some], seed + i)
        ride = execute(place, policy, start[some], goal[some], steps)
        parts.append([np.float32(array.swapaxes(0, 1)) for array in ride[:3]] + [goal[some], ride.arrival])
    return Trips(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def pairs_of(place: Maze, split: str, seed: int) -> np.ndarray:
    """The pairs of cells, (n, 2) by number, between which the trips of a split lead: one in ten are those of "test"."""
    if split not in ("train", "test"):
        raise unknown("split of a maze", split, ("train", "test"))
    count = len(place.cells)
    order = np.random.default_rng([seed, 4]).permutation(count * count)
    order = order[order // count != order % count]
    test = len(order) // 10
    if not test:
        raise InputError(f"maze {place.name!r}: has too few cells to leave any pair of them out")
    return np.stack(np.divmod(order[:test] if split == "test" else order[test:], count), axis=1)
