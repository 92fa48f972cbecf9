"""Trajectories: sequences of states at even times, such as plans and tracks: sources, mazes, and how they are shown."""

from jaxdiff.modalities.trajectories.file import tracks
from jaxdiff.modalities.trajectories.maze import maze, maze_policy
from jaxdiff.modalities.trajectories.spec import AXES, COMPLETED, RANGE, complete, make_codec, make_space

__all__ = [
    "AXES",
    "COMPLETED",
    "RANGE",
    "complete",
    "make_codec",
    "make_space",
    "maze",
    "maze_policy",
    "tracks",
]
