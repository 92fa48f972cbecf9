"""Control: controllers of the point mass, a scripted planner, and the loop that executes plans.

Every planner here ends in the same controller, `pd`, which pushes towards a position: what is planned are positions,
and not actions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.modalities.trajectories.mazes import Maze, reached, step

__all__ = ["Ride", "execute", "follow", "pd", "pushed", "scripted", "setpoints", "straight"]

CLOSE, JITTER = 0.1, 0.2
"""A waypoint counts as passed within the first, and lies within the second of the middle of its cell."""
Policy = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""`(i, position (n, 2), velocity (n, 2)) -> action (n, 2)` at step i."""


class Ride(NamedTuple):
    """What came of executing a policy.

    Attributes:
      positions, velocities, actions: (steps, n, 2).
      arrival: (n,), the step at which the goal was first reached; the number of steps where it never was.
      success: (n,), whether it was.
    """

    positions: np.ndarray
    velocities: np.ndarray
    actions: np.ndarray
    arrival: np.ndarray
    success: np.ndarray


def execute(
    maze: Maze, policy: Policy, start: np.ndarray, goal: np.ndarray, steps: int, move: Callable[..., Any] = step
) -> Ride:
    """Let a policy drive masses that begin at rest at starts (n, 2), for so many steps.

    Args:
      move: the dynamics, as those of `jaxdiff.modalities.trajectories.mazes.step`.
    """
    position, velocity = np.array(start, np.float64), np.zeros_like(start, np.float64)
    positions, velocities, actions = [], [], []
    for i in range(steps):
        action = np.clip(policy(i, position, velocity), -1, 1)
        positions.append(position)
        velocities.append(velocity)
        actions.append(action)
        position, velocity = move(maze, position, velocity, action)
    there = reached(np.array(positions), goal)
    success = np.asarray(there.any(0))
    arrival = np.where(success, there.argmax(0), steps)
    return Ride(np.array(positions), np.array(velocities), np.array(actions), arrival, success)


def pd(target: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Push towards a position: 10 (target - x) - v, as D4RL's controller does."""
    return 10 * (target - position) - velocity


def straight(goal: np.ndarray) -> Policy:
    """Push towards the goal, whatever lies between."""
    return lambda i, position, velocity: pd(goal, position, velocity)


def follow(plan: np.ndarray, stride: int, ahead: int = 10) -> Policy:
    """Push towards the state of a plan (n, frames, 2) that is due, and stay at its last one.

    Args:
      stride: steps from one state of the plan to the next; between them it is interpolated.
      ahead: steps by which the controller, which lags behind what moves, is shown the plan too early.
    """
    frames = np.asarray(plan, np.float64)
    return lambda i, position, velocity: pd(_due(frames, (i + ahead) / stride), position, velocity)


def setpoints(stride: int, ahead: int = 10) -> Callable[[np.ndarray, int], np.ndarray]:
    """`(plans (n, frames, 2), i) -> (n, stride, 2)`: where to be from state i of a plan on, step by step (`follow`)."""

    def act(plans, i):
        frames = np.asarray(plans, np.float64)
        return np.stack([_due(frames, i + (j + ahead) / stride) for j in range(stride)], axis=1)

    return act


def pushed(maze: Maze) -> Callable[[Any, np.ndarray], Any]:
    """`((position, velocity), setpoints (n, stride, 2)) -> (position, velocity)`: masses pushed to these, in turn."""

    def world(state, targets):
        position, velocity = state
        for target in np.moveaxis(targets, 1, 0):
            position, velocity = step(maze, position, velocity, np.clip(pd(target, position, velocity), -1, 1))
        return position, velocity

    return world


def _due(frames: np.ndarray, place: float) -> np.ndarray:
    """Plans (n, frames, 2) at a place between two of their frames, or at the last one."""
    place = min(place, frames.shape[1] - 1)
    low = min(int(place), frames.shape[1] - 2)
    return frames[:, low] + (place - low) * (frames[:, low + 1] - frames[:, low])


def scripted(maze: Maze, start: np.ndarray, goal: np.ndarray, seed: int) -> Policy:
    """From cell to cell along a shortest way, as D4RL's planner does: the next waypoint once one is passed."""
    rng, n = np.random.default_rng(seed), len(start)
    spread = rng.uniform(-JITTER, JITTER, (n, len(maze.cells), 2))
    last, cell, row = maze.number(goal), maze.number(start), np.arange(n)

    def policy(i, position, velocity):
        nonlocal cell
        target = np.where((cell == last)[:, None], goal, maze.center(cell) + spread[row, cell])
        passed = np.linalg.norm(position - target, axis=1) < CLOSE
        cell = np.where((passed | (i == 0)) & (cell != last), maze.toward[cell, last], cell)
        target = np.where((cell == last)[:, None], goal, maze.center(cell) + spread[row, cell])
        return pd(target, position, velocity)

    return policy
