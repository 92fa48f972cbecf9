"""Controls: pictures made of images that a network follows (Zhang, Rao and Agrawala 2023), without a model of depth.

    edges      1 where the brightness, in [-1, 1], changes by more than 0.25 a pixel (Sobel's operator), else -1
    distance   how far each pixel of the figure is from what is around it, in units of a quarter of the image, cut off
               at 1, and -1 around it: the figure is what differs from the mean of the corners by more than 0.1

In training each image is its own example: the control is made of it, and told with a strength of 1.
"""

from collections.abc import Callable, Mapping

import jax.numpy as jnp

from jaxdiff.errors import unknown
from jaxdiff.types import Array, Condition, ConditionSpec, Transform

__all__ = ["CONTROLS", "as_condition", "controlled", "distance", "edges", "find_control", "specs"]

SLOPE, STEP = 0.25, 0.1


def edges(x: Array) -> Array:
    """Where the brightness of images (n, height, width, channels) changes: (n, height, width, 1), 1 or -1."""
    grey = jnp.pad(x.mean(-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]
    columns = grey[:, :, :-2] + 2 * grey[:, :, 1:-1] + grey[:, :, 2:]
    slope = jnp.hypot((rows[:, :, 2:] - rows[:, :, :-2]) / 8, (columns[:, 2:] - columns[:, :-2]) / 8)
    return jnp.where(slope > SLOPE, 1.0, -1.0)[..., None].astype(x.dtype)


def distance(x: Array) -> Array:
    """The distance of each pixel of a figure to what is around it: (n, height, width, 1), from -1 to 1.

    It is Euclid's, exactly: the least over columns of the least over rows (Felzenszwalb and Huttenlocher 2012). What
    lies beyond the border counts as the figure.
    """
    height, width = x.shape[1:3]
    corners = x[:, :: height - 1, :: width - 1].mean((1, 2), keepdims=True)
    figure = jnp.abs(x - corners).max(-1) > STEP
    far = jnp.where(figure, float(height**2 + width**2), 0.0)
    steps = lambda n: jnp.square(jnp.arange(n)[:, None] - jnp.arange(n)[None]).astype(jnp.float32)
    along_rows = (far[:, None] + steps(height)[None, :, :, None]).min(2)
    squared = (along_rows[:, :, None] + steps(width)[None, None]).min(3)
    scaled = jnp.minimum(jnp.sqrt(squared) / (max(height, width) / 4), 1.0)
    return jnp.where(figure, scaled, -1.0)[..., None].astype(x.dtype)


CONTROLS: Mapping[str, Callable[[Array], Array]] = {"edges": edges, "distance": distance}


def find_control(name: str) -> Callable[[Array], Array]:
    """The control of a name.

    Raises:
      InputError: there is none.
    """
    if name not in CONTROLS:
        raise unknown("train.control", name, CONTROLS)
    return CONTROLS[name]


def specs(shape: tuple[int, ...]) -> dict[str, ConditionSpec]:
    """The conditions of a model of images of this shape that follows a control."""
    return {"control": ConditionSpec((*shape[:-1], 1), missing=None), "strength": ConditionSpec((), missing=None)}


def as_condition(control: Array, strength: float | Array = 1.0) -> Condition:
    """The condition of controls (n, height, width, 1)."""
    return {"control": control, "strength": jnp.broadcast_to(jnp.asarray(strength, jnp.float32), control.shape[:1])}


def controlled(name: str) -> Transform:
    """Tell each image its own control."""
    make = find_control(name)
    return lambda key, batch: batch._replace(
        condition={**(batch.condition or {}), **as_condition(make(jnp.asarray(batch.x_0)))}
    )
