"""Mazes of walls and free cells, and a point mass that is pushed through them.

The maps are those of D4RL's Maze2D (Fu et al. 2020), on cells of one meter around the origin: x grows by columns, y
falls by rows. The dynamics are our own, in NumPy, of many masses at once. Away from walls a step is that of
gymnasium-robotics' PointMaze, MuJoCo's Euler step with implicit damping:

    v <- (m v + h gear a) / (m + h damping)        x <- x + h v,        |v| <= 5 before it, |a| <= 1

At a wall it is simpler: a coordinate along which the mass, a square of side 0.2, would enter a wall stays as it is, and
its speed becomes zero.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from jaxdiff.errors import unknown

__all__ = ["MAZES", "Maze", "find_maze", "reached", "step"]

MAPS = {
    "umaze": ["#####", "#...#", "###.#", "#...#", "#####"],
    "medium": ["########", "#..##..#", "#..#...#", "##...###", "#..#...#", "#.#..#.#", "#...#..#", "########"],
    "large": [
        "############",
        "#....#.....#",
        "#.##.#.#.#.#",
        "#......#...#",
        "#.####.###.#",
        "#..#.#.....#",
        "##.#.#.#.###",
        "#..#...#...#",
        "############",
    ],
}
MAZES = tuple(MAPS)
SECONDS, MASS, GEAR, DAMPING, FASTEST, RADIUS = 0.01, 4.0 / 3 * np.pi, 100.0, 1.0, 5.0, 0.1
NEAR = 0.45
"""A goal is reached within this distance, as in PointMaze."""


class Maze(NamedTuple):
    """A map.

    Attributes:
      name: of it.
      walls: (rows, columns), True where there is one.
      cells: (n, 2), row and column of each free cell.
      toward: (n, n), the number of the next free cell on a shortest way from the first cell to the second.
      length: (n, n), the number of cells on the way, 0 from a cell to itself.
    """

    name: str
    walls: np.ndarray
    cells: np.ndarray
    toward: np.ndarray
    length: np.ndarray

    def center(self, cells: np.ndarray) -> np.ndarray:
        """The positions (..., 2) of free cells, given by number."""
        rows, columns = self.walls.shape
        row, column = np.moveaxis(self.cells[cells], -1, 0)
        return np.stack([column + 0.5 - columns / 2, rows / 2 - row - 0.5], axis=-1)

    def is_free(self, position: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Whether positions (..., 2), and a square of half-side `margin` around them, lie outside all walls."""
        corners = [(a, b) for a in {-margin, margin} for b in {-margin, margin}]
        return ~np.any([self._is_wall(np.asarray(position) + corner) for corner in corners], axis=0)

    def number(self, position: np.ndarray) -> np.ndarray:
        """The number of the free cell at positions (..., 2); -1 within walls, and outside the map."""
        numbers = np.full(self.walls.shape, -1)
        numbers[tuple(self.cells.T)] = np.arange(len(self.cells))
        row, column, inside = self._place(position)
        return np.where(inside, numbers[row, column], -1)

    def _place(self, position):
        rows, columns = self.walls.shape
        row = np.floor(rows / 2 - np.asarray(position)[..., 1]).astype(int)
        column = np.floor(np.asarray(position)[..., 0] + columns / 2).astype(int)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        return np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1), inside

    def _is_wall(self, position):
        row, column, inside = self._place(position)
        return self.walls[row, column] | ~inside


def find_maze(name: str) -> Maze:
    """A maze by its name, with the shortest ways between its cells.

    Raises:
      InputError: there is none.
    """
    if name not in MAPS:
        raise unknown("maze", name, MAZES)
    walls = np.array([[symbol == "#" for symbol in row] for row in MAPS[name]])
    cells = np.argwhere(~walls)
    numbers = {tuple(cell): i for i, cell in enumerate(cells)}
    toward, length = (np.zeros((len(cells), len(cells)), int) for _ in range(2))
    for goal in range(len(cells)):
        toward[goal, goal], queue, seen = goal, deque([goal]), {goal}
        while queue:
            near = queue.popleft()
            for move in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                far = numbers.get(tuple(cells[near] + move))
                if far is not None and far not in seen:
                    seen.add(far)
                    queue.append(far)
                    toward[far, goal], length[far, goal] = near, length[near, goal] + 1
    return Maze(name, walls, cells, toward, length)


def step(maze: Maze, position: np.ndarray, velocity: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step of 0.01 seconds of masses at positions (n, 2), with speeds and actions likewise."""
    v = np.clip(velocity, -FASTEST, FASTEST)
    v = (MASS * v + SECONDS * GEAR * np.clip(action, -1, 1)) / (MASS + SECONDS * DAMPING)
    position = position.copy()
    for axis in (0, 1):
        there = position.copy()
        there[:, axis] += SECONDS * v[:, axis]
        free = maze.is_free(there, RADIUS)
        position[:, axis] = np.where(free, there[:, axis], position[:, axis])
        v[:, axis] = np.where(free, v[:, axis], 0)
    return position, v


def reached(position: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Whether goals (n, 2) are reached."""
    return np.linalg.norm(position - goal, axis=-1) <= NEAR
