"""Log: scalars and pictures of a run, as `metrics.jsonl` and for TensorBoard."""

import json
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter


class Log:
    """Opens a run's log at a step: what was written for later steps, by a process that then died, is dropped."""

    def __init__(self, folder: Path, step: int):
        self._file = folder / "metrics.jsonl"
        kept = [row for row in read(folder) if row["step"] <= step]
        self._file.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers."""
        with self._file.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Show a uint8 image (height, width, channels) in TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what TensorBoard has not been given yet."""
        self._board.close()


class Silent:
    """The log of a process that leaves writing to another."""

    def __bool__(self) -> bool:
        return False

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Nothing."""

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read(folder: Path) -> list[dict[str, float]]:
    """The rows of `metrics.jsonl`, less one that was cut short by a kill."""
    file = folder / "metrics.jsonl"
    rows = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
