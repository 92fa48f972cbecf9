"""Resize: images twice as large or half as large, and squares of pixels as channels, without parameters."""

import jax

__all__ = ["enlarge", "halve", "to_depth", "to_space"]


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


def to_steps(h: jax.Array, patch: int, outputs: int) -> jax.Array:
    """Channels (batch, steps / patch, outputs x patch x channels) as steps: (batch, steps, outputs x channels)."""
    batch, steps, _ = h.shape
    parts = h.reshape(batch, steps, outputs, patch, -1).swapaxes(2, 3)
    return parts.reshape(batch, steps * patch, -1)
