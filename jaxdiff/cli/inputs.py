"""Edit input: what the tasks of `sample.py` are given, read from files, and made worse if that is asked for."""

import argparse
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxdiff.config import build
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import arrays, folder, operators, read_picture
from jaxdiff.pipelines.model import Model

MASKS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "left": lambda y, x: x < 0.5,
    "top": lambda y, x: y < 0.5,
    "border": lambda y, x: np.maximum(abs(y - 0.5), abs(x - 0.5)) > 0.25,
    "center": lambda y, x: np.maximum(abs(y - 0.5), abs(x - 0.5)) < 0.25,
}
"""What is known, by name; a picture may say so, too: white where it is."""
NOISY = 64
"""Noise takes the pixels of arrays beyond [-1, 1], but not so far."""


def read_input(asked: argparse.Namespace, config: dict, model: Model) -> np.ndarray:
    """The first --num images of the input, of the model's size, or of the size that the task takes."""
    path, (height, _, channels) = Path(asked.input), model.shape
    small = not asked.degrade
    told, scale = asked.factor is not None, 1
    if not told:
        asked.factor = model.enlarges if model.enlarges > 1 else 2
    if asked.task == "super_resolve" and (asked.factor < 1 or any(side % asked.factor for side in model.shape[:2])):
        raise InputError(f"--factor {asked.factor}: must divide the model's {model.shape[0]}x{model.shape[1]}")
    size = height // asked.factor if asked.task == "super_resolve" and small else height
    size = height // 2 if asked.task == "outpaint" and small else size
    channels = 1 if asked.task == "restore" and asked.operator == "grey" and small else channels
    if asked.input == "held_out":
        source = build.held_out(config)
    elif path.is_dir():
        source = folder(asked.input, size, channels, flip=False)
    elif path.suffix in (".npy", ".npz"):
        scale = NOISY if asked.task in ("denoise", "restore", "super_resolve") and small else 1
        source = arrays(asked.input, "images" if "images" in names_in(path) else "", low=-scale, high=scale)
    elif path.is_file():
        return read_picture(path, size, channels)[None]
    else:
        raise InputError(f"--input {asked.input}: is no picture, folder, .npy or .npz, nor held_out")
    images = source.take(np.arange(min(asked.num, source.size))).x_0
    images = images * (1 if source.spec.levels else scale)
    if told and asked.task == "super_resolve" and small and images.shape[1] != size:
        raise InputError(f"--factor {asked.factor}: images {images.shape[1]} high are not {height} / {asked.factor}")
    if asked.task == "outpaint" and images.shape[1:] == model.shape:
        y, x = ((side - side // 2) // 2 for side in model.shape[:2])
        images = images[:, y : y + model.shape[0] // 2, x : x + model.shape[1] // 2]
    return images


def names_in(path: Path) -> list[str]:
    """Of the arrays in a .npz; none of a .npy, or of what is no such file, as `data.arrays` will say."""
    try:
        with np.load(path) as content:
            return content.files if isinstance(content, np.lib.npyio.NpzFile) else []
    except Exception:
        return []


def read_labels(path: str, n: int) -> np.ndarray | None:
    """The first n labels of a .npz that holds "images" and "labels"."""
    if not {"images", "labels"} <= set(names_in(Path(path))):
        return None
    condition = arrays(path, "images", "labels").take(np.arange(n)).condition
    return condition["label"] if condition else None


def is_conditional(asked: argparse.Namespace, model: Model) -> bool:
    """Whether images are to be enlarged by what the model has learned, rather than as a measurement."""
    if asked.task != "super_resolve" or (asked.method or "conditional") != "conditional":
        return False
    if asked.method and model.enlarges == 1:
        raise InputError("--method conditional: this run does not enlarge: take one of configs/super_resolution.py")
    return model.enlarges > 1


def degrade(asked: argparse.Namespace, images: np.ndarray, conditional: bool) -> np.ndarray:
    """What the task undoes, done: noise, blur, fewer pixels or no color."""
    task, noise = asked.task, 0.05 if asked.noise is None else asked.noise
    if task == "denoise":
        noise = 0.3 if asked.noise is None else asked.noise
    elif task == "super_resolve":
        noise = 0.0 if asked.noise is None and conditional else noise
        images = np.asarray(operators.shrunk(asked.factor)(jnp.asarray(images)))
    elif asked.operator == "blur":
        images = np.asarray(operators.blurred(jnp.asarray(gaussian(asked.blur)))(jnp.asarray(images)))
    elif asked.operator == "grey":
        images = images.mean(-1, keepdims=True)
    return images + noise * np.random.default_rng(asked.seed).normal(size=images.shape).astype(np.float32)


def read_mask(mask: str, shape: tuple[int, ...]) -> np.ndarray:
    """(1, height, width, 1): 1 where a pixel is known."""
    height, width, _ = shape
    if mask in MASKS:
        y, x = (np.arange(height)[:, None] + 0.5) / height, (np.arange(width) + 0.5) / width
        return MASKS[mask](y, x).astype(np.float32)[None, ..., None] * np.ones((1, height, width, 1), np.float32)
    if not Path(mask).is_file():
        raise InputError(f"--mask {mask}: is no picture, and none of {', '.join(MASKS)}")
    try:
        with Image.open(mask) as picture:
            values = np.asarray(picture.convert("L"))
    except Exception as error:  # of a damaged file, Pillow's decoders raise all kinds
        raise InputError(f"--mask {mask}: cannot be read as a picture ({error})") from error
    if values.shape != (height, width):
        raise InputError(
            f"--mask {mask}: is {values.shape[0]}x{values.shape[1]}, and the model's images {height}x{width}"
        )
    if not np.isin(values, (0, 255)).all():
        raise InputError(f"--mask {mask}: holds greys: make it white (255) where a pixel is known, and black elsewhere")
    return (values == 255).astype(np.float32)[None, ..., None]


def gaussian(std: float) -> np.ndarray:
    """A blur's kernel, three standard deviations wide to each side."""
    if not 0 < std <= 10:
        raise InputError(f"--blur {std}: must be above 0 and at most 10 pixels")
    reach = int(np.ceil(3 * std))
    row = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std) ** 2)
    return np.outer(row, row) / row.sum() ** 2


def read_counts(text: str, classes: int) -> list[int]:
    """How many images of each class: one number for all, or one for each, with commas."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--per-class {text}: must be a number, or one for each class: 5,0,20") from error
    return counts * classes if len(counts) == 1 else counts
