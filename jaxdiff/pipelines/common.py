"""Checks of images and noise levels, and drawing with hooks, shared by the pipelines."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import check_levels
from jaxdiff.gaussian.process import Process, log_snr, time_at
from jaxdiff.modalities import require
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Given, Model
from jaxdiff.pipelines.options import from_time, is_traced
from jaxdiff.types import Array, Condition, Key

__all__ = [
    "CLASSES",
    "check_level",
    "check_pixels",
    "check_scale",
    "check_way",
    "checked_images",
    "draw_with",
    "measured_images",
    "nothing_known",
    "path_of",
    "repeated",
    "time_of_level",
]

CLASSES = "configs/guided.py, or another trained with net.num_classes"
LEAST, MOST = 0.02, 20.0
"""Noise levels sigma / alpha between which the way from an image to its noise lies, if the process has them."""


def checked_images(model: Model, images: Any, anything: bool = False) -> np.ndarray:
    """Images (n, ...) of the model's size, float32.

    Args:
      anything: whether their values may lie outside [-1, 1].

    Raises:
      InputError: another shape, or values that are no images.
    """
    check_pixels(model, "this task")
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != model.shape or not len(images):
        raise InputError(f"images of shape {images.shape}: this model takes (n, {', '.join(map(str, model.shape))})")
    if images.dtype.kind != "f" or not np.isfinite(images).all() or (not anything and np.abs(images).max() > 1.001):
        raise InputError(f"images of {images.dtype} from {images.min()} to {images.max()}: must be real, from -1 to 1")
    return images.astype(np.float32)


def check_pixels(model: Model, what: str) -> None:
    """Refuse a model of another modality, or of latents, which are no pixels, though they may have the same shape."""
    require("images", model.spec, what)
    if model.ends.pictures is not None:
        raise InputError(
            f"{what}: is for models of pixels, and this one draws latents: take `jaxdiff.pipelines.latents`"
        )


def measured_images(images: Any) -> np.ndarray:
    """Measured images, float32: of any shape, and of values beyond [-1, 1], too, for they hold noise.

    Raises:
      InputError: whole numbers, such as those of 8-bit pixels, or some that are not finite.
    """
    images = np.asarray(images)
    if images.dtype.kind != "f" or not np.isfinite(images).all():
        raise InputError(
            f"images of {images.dtype}: must be finite real numbers, on the scale of images in [-1, 1]: of 8-bit "
            "pixels x, x / 127.5 - 1"
        )
    return images.astype(np.float32)


def nothing_known(given: Given) -> Given:
    """The condition, or an empty one, which stands for unknown, where classes in turn would be the default."""
    return {} if given is None else given


def repeated(condition: int | Condition | None, n: int) -> Given:
    """A condition of one image as that of n."""
    if isinstance(condition, Mapping):
        return jax.tree.map(lambda row: np.repeat(row, n, axis=0), condition)
    return condition


def path_of(model: Model) -> Process:
    """The process along which a model samples.

    Raises:
      InputError: it is learned, and known with the parameters alone.
    """
    if model.path is None:
        raise InputError("this model has learned its own noise levels, and none can be chosen: take another process")
    return model.path


def time_of_level(model: Model, level: float | Array) -> np.floating | Array:
    """The time at which the sampling path has this noise level sigma / alpha."""
    path = path_of(model)
    if is_traced(level):
        return time_at(path, -2 * jnp.log(level))
    with jax.ensure_compile_time_eval():
        check_level(path, level)
        return np.float32(time_at(path, -2 * jnp.log(jnp.float32(level))))


def check_level(process: Process, level: float | Array) -> None:
    """Refuse a noise level sigma / alpha that a process does not have."""
    least, most = (float(jnp.exp(-0.5 * log_snr(process, jnp.float32(t)))) for t in (0, 1))
    if not (0 < level < most * (1 + 1e-5) and level > least * (1 - 1e-5)):
        have = f"up to {most:.4g}" if least == 0 else f"from {least:.4g} to {most:.4g}"
        raise InputError(f"noise level {level}: this model's process has levels (sigma / alpha) {have}")


def draw_with(model: Model, key: Key, n: int, hooks: Hooks, inputs: Inputs, **options) -> Array:
    """Draw n examples with hooks, of which nothing is known but what `condition` says."""
    options["condition"] = nothing_known(options.get("condition"))
    return model.trajectory(key, n, 0, hooks=hooks, inputs=inputs, **options)[0]


def check_scale(scale: float | Array) -> None:
    """Refuse a scale of guidance that is not finite."""
    if not is_traced(scale) and not np.isfinite(scale):
        raise InputError(f"scale={scale}: must be a finite number")


def check_way(what: str, process: Process, model: Model, options: Mapping[str, Any]) -> None:
    """Refuse to be led by what does not know the noise levels on the way; at the highest ones it is of no account."""
    if model.path is None:
        return
    times = model.grid(options.get("steps") or model.steps)
    start = options.get("start")
    times = times if start is None or is_traced(start) else np.asarray(from_time(times, start))
    with jax.ensure_compile_time_eval():
        last = float(model.path.sigma(jnp.float32(times[-1])))
    check_levels(what, process, model.path, times if last > 0 else times[:-1], MOST)
