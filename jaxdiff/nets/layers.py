"""The layers of which the image networks are made.

Images are `(batch, height, width, channels)`. Every layer computes in `dtype` and keeps its parameters in float32.
Kernels start as in Ho et al. 2020: uniform with variance `scale / fan_avg`, and exactly zero for the last layer of
each residual branch, so that a fresh network is the identity on its residual stream and predicts zero.

Three layers are written for speed and are otherwise the usual ones: a GroupNorm of two passes over its input, an
upsampling that convolves before it enlarges, and an attention that keeps its heads among the batch.
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.custom_derivatives import SymbolicZero

from jaxdiff.nets.resize import enlarge, halve, to_depth, to_space

__all__ = [
    "CHEAP",
    "INIT",
    "TAPS",
    "ZERO",
    "Convolution",
    "Downsample",
    "GroupNorm",
    "ResidualBlock",
    "SecondTime",
    "Upsample",
    "conv",
    "convolve",
    "enlarge",
    "expand",
    "halve",
    "save_for_backward",
    "sinusoidal",
    "to_depth",
    "to_space",
]

INIT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
ZERO = nn.initializers.zeros_init()


def sinusoidal(t: jax.Array, channels: int, shift: float = 1, cosine_first: bool = False) -> jax.Array:
    """Sines, then cosines, of `t` (batch,) at frequencies from 1 down to 1e-4: (batch, channels).

    The time embedding of Ho et al. 2020 (after Vaswani et al. 2017), whose `t` counts steps, 0 to 999.

    Args:
      shift: frequency i of half the channels is `1e-4^(i / (half - shift))`: with 1 the last one is 1e-4, with 0 it is
        not reached, as in Vaswani et al. and in latent diffusion.
      cosine_first: cosines, then sines.
    """
    half = channels // 2
    frequencies = jnp.exp(-math.log(10_000) / max(half - shift, 1) * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[:, None] * frequencies
    waves = [jnp.cos(angles), jnp.sin(angles)] if cosine_first else [jnp.sin(angles), jnp.cos(angles)]
    embedding = jnp.concatenate(waves, axis=-1)
    return jnp.pad(embedding, ((0, 0), (0, channels % 2)))


class SecondTime(nn.Module):
    """The embedding of a second time s (batch,), by which a network becomes a flow map: (batch, width).

    Its last layer starts at zero, so that the network of a flow map starts as the one without, exactly.
    """

    width: int
    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, s: jax.Array) -> jax.Array:
        h = nn.Dense(self.width, kernel_init=INIT, dtype=self.dtype, name="first")(sinusoidal(s, self.channels))
        return nn.Dense(self.width, kernel_init=ZERO, dtype=self.dtype, name="last")(nn.silu(h))


class Convolution(nn.Module):
    """(batch, steps, in) -> (batch, steps / stride, channels), padded with zeros.

    Each window lies around its step; what it sees are `size` steps, `dilation` apart.
    """

    channels: int
    size: int
    stride: int = 1
    dilation: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", INIT, (self.size, x.shape[-1], self.channels))
        bias = self.param("bias", ZERO, (self.channels,))
        side, steps = self.dilation * (self.size // 2), x.shape[1]
        padded = jnp.pad(x.astype(self.dtype), ((0, 0), (side, side), (0, 0)))
        starts = range(0, self.dilation * self.size, self.dilation)
        windows = [padded[:, i : i + steps : self.stride] for i in starts]
        flat = kernel.reshape(-1, self.channels).astype(self.dtype)
        return jnp.concatenate(windows, axis=-1) @ flat + bias.astype(self.dtype)


def conv(channels: int, *, size=3, stride=1, init=INIT, dtype=jnp.float32, name: str | None = None, pad: str = "SAME"):
    """A square convolution that pads so that height and width are divided by `stride`, unless `pad` says "VALID"."""
    return nn.Conv(
        channels,
        (size, size),
        stride,
        padding=pad,
        kernel_init=init,
        dtype=dtype,
        name=name,
        conv_general_dilated=lambda x, kernel, strides, padding, **_: convolve(x, kernel, tuple(strides), padding),
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def convolve(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], padding: str) -> jax.Array:
    """`lax.conv_general_dilated` of (batch, height, width, in) by (height, width, in, out), with a fast way back.

    On CPU, XLA is fast inside a loop only where a kernel's last axes are (in, out). The gradient by x is a convolution
    whose kernel has them the other way, unless the derivative is that of a kernel which is stored the other way.
    """
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@functools.partial(convolve.defjvp, symbolic_zeros=True)
def _convolve_jvp(strides, padding, primals, tangents):
    (x, kernel), (dx, dkernel) = primals, tangents
    y, dy = convolve(x, kernel, strides, padding), 0
    if not isinstance(dx, SymbolicZero):
        turned, axes = kernel.swapaxes(2, 3), ("NHWC", "HWOI", "NHWC")
        dy += jax.lax.conv_general_dilated(dx, turned, strides, padding, dimension_numbers=axes)
    if not isinstance(dkernel, SymbolicZero):
        dy += convolve(x, dkernel, strides, padding)
    return y, jnp.broadcast_to(dy, y.shape).astype(y.dtype)


CHEAP = jax.checkpoint_policies.save_only_these_names("save_for_backward")
"""For remat: remember what convolutions and matrix products made, and compute the rest again."""


def save_for_backward(x: jax.Array) -> jax.Array:
    """Mark what is worth remembering."""
    return checkpoint_name(x, "save_for_backward")


class GroupNorm(nn.Module):
    """Group normalization (Wu and He 2018), `y = a x + b` with a and b of each image and channel, and SiLU if asked.

    The statistics are sums over pixels first and over the channels of a group last, in float32, so that one pass over
    the input makes them and a second one applies them. The way back is given x alone and computes the rest again.
    """

    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    silu: bool = False
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array, share: jax.Array | None = None) -> jax.Array:
        """Normalize.

        Args:
          share: of the pixels that are there, (batch,), where the others are zeros, which count for nothing.
        """
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones_init(), (channels,))
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,))

        @jax.checkpoint
        def moments(x):
            h, pixels = x.astype(jnp.float32), tuple(range(1, x.ndim - 1))
            return jnp.mean(h, pixels), jnp.mean(h * h, pixels)

        mean, square = map(self._of_groups, moments(x))
        if share is not None:
            mean, square = mean / share[:, None], square / share[:, None]
        a = scale * jax.lax.rsqrt(jnp.maximum(square - mean * mean, 0) + self.epsilon)

        @jax.checkpoint
        def apply(x, a, b):
            y = expand(a, x) * x.astype(jnp.float32) + expand(b, x)
            return (nn.silu(y) if self.silu else y).astype(self.dtype)

        return apply(x, a, bias - mean * a)

    def _of_groups(self, moment: jax.Array) -> jax.Array:
        """The mean over each group of channels, (batch, channels), given to each of them."""
        groups = moment.reshape(moment.shape[0], self.groups, -1)
        return jnp.broadcast_to(groups.mean(-1, keepdims=True), groups.shape).reshape(moment.shape)


def expand(a: jax.Array, x: jax.Array) -> jax.Array:
    """(batch, channels), with the axes of pixels that broadcast it against x."""
    return a.reshape(a.shape[0], *(1,) * (x.ndim - 2), a.shape[-1])


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, + embedding, norm, SiLU, dropout, conv, + input (Ho et al. 2020, appendix B).

    Attributes:
      scale_shift: the embedding scales and shifts what the second norm gives, instead of being added before it.
      resample: "up" or "down" to change the size of the image, of h before the first convolution and of the input
        (both Dhariwal and Nichol 2021, section 3).
      epsilon: of the norms.

    Without an embedding, None, as in an autoencoder, there is nothing to add.
    """

    channels: int
    dropout: float = 0.0
    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    scale_shift: bool = False
    resample: str = ""
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array | None, train: bool) -> jax.Array:
        def norm(name, silu=True):
            return GroupNorm(self.groups, self.dtype, silu, self.epsilon, name=name)

        h = norm("norm1")(x)
        if self.resample:
            h, x = (enlarge(a) if self.resample == "up" else halve(a) for a in (h, x))
        h = save_for_backward(conv(self.channels, dtype=self.dtype, name="conv1")(h))
        if embedding is None:
            h = norm("norm2")(h)
        else:
            widths = (1 + self.scale_shift) * self.channels
            e = nn.Dense(widths, kernel_init=INIT, dtype=self.dtype, name="embed")(nn.silu(embedding))
            if self.scale_shift:
                scale, shift = jnp.split(e, 2, axis=-1)
                h = norm("norm2", silu=False)(h)
                h = nn.silu(expand(1 + scale, h) * h + expand(shift, h))
            else:
                h = norm("norm2")(h + expand(e, h))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = save_for_backward(conv(self.channels, init=ZERO, dtype=self.dtype, name="conv2")(h))
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, kernel_init=INIT, dtype=self.dtype, name="shortcut")(x)
        return x + h


class Downsample(nn.Module):
    """A learned 3x3 convolution of stride 2: half the height, half the width.

    Attributes:
      centered: windows lie around pixels 0, 2, 4 ..., as in Stable Diffusion's U-Net, and not around 1, 3, 5 ..., as in
        that of Ho et al. 2020 and in autoencoders.
    """

    dtype: jnp.dtype = jnp.float32
    centered: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not self.centered:
            return conv(x.shape[-1], stride=2, dtype=self.dtype, name="conv")(x)
        x = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
        return conv(x.shape[-1], stride=2, dtype=self.dtype, name="conv", pad="VALID")(x)


class Upsample(nn.Module):
    """Each pixel four times, then a learned 3x3 convolution: twice the height, twice the width.

    Enlarged, a pixel's neighbors are often the pixel itself, so that each of the four pixels that it becomes depends
    on 2x2 pixels of the small image alone: four convolutions of 2x2, here as one, for 4/9 of the multiplications.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        enlarging = nn.Conv(
            x.shape[-1], (3, 3), kernel_init=INIT, dtype=self.dtype, name="conv", conv_general_dilated=_enlarged
        )
        return enlarging(x)


TAPS = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)
"""[phase, tap, row of the 3x3 kernel]: the rows that fall on each of two neighbors, for upper and lower new pixels."""


def _enlarged(x: jax.Array, kernel: jax.Array, *_, **__) -> jax.Array:
    """The 3x3 convolution, padded by one, of x with each pixel repeated in both directions."""
    batch, height, width, channels = x.shape
    kernels = jnp.einsum("api,bqj,ijco->pqcabo", TAPS, TAPS, kernel).astype(x.dtype)
    kernels = kernels.reshape(2, 2, channels, -1)
    # Padded apart: XLA on CPU is slow at the gradient of a convolution that pads to a larger image.
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = convolve(padded, kernels, (1, 1), "VALID")
    y = y.reshape(batch, height + 1, width + 1, 2, 2, -1)
    phases = [[y[:, a : a + height, b : b + width, a, b] for b in (0, 1)] for a in (0, 1)]
    rows = [jnp.stack(columns, axis=3) for columns in phases]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)
