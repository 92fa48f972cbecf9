"""Resize: images twice as large or half as large, and squares and cubes of pixels as channels, without parameters."""

import jax
import jax.numpy as jnp

__all__ = ["enlarge", "from_cubes", "halve", "to_cubes", "to_depth", "to_space", "to_steps"]


def enlarge(x: jax.Array) -> jax.Array:
    """Each pixel four times: twice the height, twice the width."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def halve(x: jax.Array) -> jax.Array:
    """The mean of each four pixels: half the height, half the width."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def to_depth(x: jax.Array, patch: int) -> jax.Array:
    """Squares of pixels as channels: (batch, height, width, c) -> (batch, height / patch, width / patch, c patch²)."""
    n, height, width, channels = x.shape
    squares = x.reshape(n, height // patch, patch, width // patch, patch, channels)
    return squares.swapaxes(2, 3).reshape(n, height // patch, width // patch, patch**2 * channels)


def to_space(x: jax.Array, patch: int) -> jax.Array:
    """Back again."""
    n, height, width, channels = x.shape
    squares = x.reshape(n, height, width, patch, patch, channels // patch**2)
    return squares.swapaxes(2, 3).reshape(n, height * patch, width * patch, channels // patch**2)


def to_cubes(x: jax.Array, frames: int, patch: int) -> jax.Array:
    """Patches in space and time as channels, frame after frame: (batch, tokens, channels frames patch²).

    Args:
      x: (batch, any frames, height, width, channels), or an image (batch, height, width, channels), which is one frame.
      frames: of a patch.
    """
    x = x[:, None] if x.ndim == 4 else x
    squares = to_depth(x.reshape(-1, *x.shape[2:]), patch)
    cubes = squares.reshape(x.shape[0], -1, frames, *squares.shape[1:])
    return jnp.moveaxis(cubes, 2, 4).reshape(x.shape[0], -1, frames * squares.shape[-1])


def from_cubes(h: jax.Array, grid: tuple[int, ...], frames: int, patch: int) -> jax.Array:
    """Back again, as a video (batch, frames, height, width, channels).

    Args:
      grid: how many patches there are in time, rows and columns.
    """
    cubes = jnp.moveaxis(h.reshape(h.shape[0], *grid, frames, -1), 4, 2)
    squares = to_space(cubes.reshape(-1, *grid[1:], cubes.shape[-1]), patch)
    return squares.reshape(h.shape[0], -1, *squares.shape[1:])


def to_steps(h: jax.Array, patch: int, outputs: int) -> jax.Array:
    """Channels (batch, steps / patch, outputs x patch x channels) as steps: (batch, steps, outputs x channels)."""
    batch, steps, _ = h.shape
    parts = h.reshape(batch, steps, outputs, patch, -1).swapaxes(2, 3)
    return parts.reshape(batch, steps * patch, -1)
