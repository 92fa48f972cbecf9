"""Image to image: noise an image, and draw from there (SDEdit, Meng et al. 2022)."""

import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.guidance import sdedit
from jaxdiff.pipelines.common import checked_images, draw_with
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import is_traced
from jaxdiff.pipelines.pipeline import LABEL, Argument, Pipeline
from jaxdiff.types import Array, Key

__all__ = ["PIPELINES", "SDEDIT", "img2img"]

SDEDIT = Hooks(begin=lambda process, key, x, times, inputs: sdedit.sdedit(process, key, inputs.each, times[0]))


def img2img(model: Model, key: Key, images: np.ndarray, strength: float = 0.5, **options) -> Array:
    """Noise images to where the last `strength` of the grid's steps begins, and draw from there.

    Args:
      strength: in (0, 1]; a small one gives variations of an image.
      **options: among them `condition`, which may be another class.
    """
    images = checked_images(model, images)
    if not is_traced(strength) and not 0 < strength <= 1:
        raise InputError(f"strength={strength}: must be above 0 and at most 1")
    times = model.grid(options.get("steps") or model.steps)
    interp = jnp.interp if is_traced(strength) else np.interp
    start = interp((1 - strength) * (len(times) - 1), np.arange(len(times)), times).astype(np.float32)
    return draw_with(model, key, len(images), SDEDIT, Inputs(images), start=start, **options)


PIPELINES = {
    "img2img": Pipeline(
        img2img,
        "noise an image, and draw from there (SDEdit): variations of it, or the like of another class",
        (
            Argument("strength", "how far back to the noise to go, 0 to 1", float, default="0.5"),
            LABEL._replace(help="class to draw"),
        ),
    )
}
