"""The U-Net of "Denoising Diffusion Probabilistic Models" (Ho, Jain and Abbeel 2020, appendix B).

Going down, each level runs `blocks` residual blocks (with attention at the chosen resolutions) and halves the image;
two blocks with attention between them sit at the bottom; going up, each level runs `blocks + 1` residual blocks, each
on the concatenation of its input with the matching output of the way down, and doubles the image. Time enters every
residual block through a two-layer embedding; a class, where there is one, is added to that embedding.

From one time to the next the deeper levels change little: what they hand up to the first level can be remembered and
given again, `deep`, so that only the first level is computed (Ma et al. 2024, "DeepCache").
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError, unknown
from jaxdiff.nets.layers import (
    CHEAP,
    INIT,
    ZERO,
    Attention,
    Downsample,
    GroupNorm,
    ResidualBlock,
    Upsample,
    conv,
    sinusoidal,
)

REMAT = ("none", "cheap", "full")
KERNELS = ("xla", "cudnn")
COLUMNS, ROWS = ("conv1", "embed", "norm2", "query", "key", "value"), ("conv2", "out")


def tensor_axis(names: tuple[str, ...], shape: tuple[int, ...]) -> int | None:
    """Where to cut a parameter, so that the channels inside a block lie on several devices (Shoeybi et al. 2019).

    What widens into the block is cut by its outputs, what leaves it by its inputs: one sum over devices a block.
    """
    if len(names) < 2:
        return None
    if names[-2] in COLUMNS:
        return len(shape) - 1
    return len(shape) - 2 if names[-2] in ROWS and names[-1] == "kernel" else None


class UNet(nn.Module):
    """`(x, t, label) -> out` with `out` shaped like `x`: (batch, height, width, channels), or `outputs` times as deep.

    Attributes:
      channels: width of the first level; a multiple of `groups`.
      multipliers: width of each level as a multiple of `channels`; one level more halves the image once more.
      blocks: residual blocks a level on the way down (one more on the way up).
      attention: the heights (in pixels) of the levels that attend.
      dropout: rate inside each residual block, active while training.
      num_classes: of the optional class embedding; 0 for none.
      fourier: exponents n of the features sin(2^n 2 pi x) and cos(2^n 2 pi x), channels added to the input, which
        let a network see the last bits of its input (Kingma et al. 2021, appendix C: 6 and 7 for 8-bit images).
      groups: of every GroupNorm.
      outputs: how many times the channels of x come out: 2 for a learned variance.
      dtype: of the computation; parameters, normalisation statistics and the output stay float32.
      heads: of every attention; a divisor of the channels.
      attention_kernel: "xla" or "cudnn", see `jaxdiff.nets.layers.Attention`.
      remat: what each block computes again on the way back, to use less memory: "none"; "cheap", all but convolutions
        and matrix products; or "full", everything, for about a third more time.

    The defaults are the CIFAR-10 network of the paper: 35,746,307 parameters.
    """

    channels: int = 128
    multipliers: Sequence[int] = (1, 2, 2, 2)
    blocks: int = 2
    attention: Sequence[int] = (16,)
    dropout: float = 0.1
    num_classes: int = 0
    fourier: Sequence[int] = ()
    groups: int = 32
    outputs: int = 1
    dtype: jnp.dtype = jnp.float32
    heads: int = 1
    attention_kernel: str = "xla"
    remat: str = "none"

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        t: jax.Array,
        label: jax.Array | None = None,
        train: bool = False,
        deep: jax.Array | None = None,
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, height, width, channels); height and width divisible by `2 ** (levels - 1)`.
          t: (batch,), in steps of a 1000-step chain.
          label: (batch,) int, or None for no class; initialise with one to have the classes' parameters.
          train: apply dropout; needs an rng named "dropout".
          deep: what the levels below the first gave at another time, which is sown into the collection "intermediates"
            under this name; computed if None.

        Raises:
          InputError: the image, the attention resolutions or the label do not fit the network.
        """
        self._check(x.shape, label)
        residual, attend = ResidualBlock, Attention
        if self.remat != "none":
            policy = CHEAP if self.remat == "cheap" else None
            residual = nn.remat(ResidualBlock, static_argnums=(3,), policy=policy)
            attend = nn.remat(Attention, policy=policy)

        def attention(h, name):
            return attend(self.groups, self.dtype, self.heads, self.attention_kernel, name=name)(h)

        def block(h, channels, name):
            h = residual(channels, self.dropout, self.groups, self.dtype, name=name)(h, embedding, train)
            return attention(h, f"{name}_attention") if h.shape[1] in self.attention else h

        def down(h, level):
            outputs = []
            for i in range(self.blocks):
                h = block(h, widths[level], f"down{level}_{i}")
                outputs.append(h)
            return outputs

        def up(h, level):
            for i in range(self.blocks + 1):
                h = block(jnp.concatenate([h, skips.pop()], axis=-1), widths[level], f"up{level}_{i}")
            return h

        embedding = self._embed(t, label)
        widths = [self.channels * m for m in self.multipliers]
        last = len(widths) - 1

        waves = [f(2.0**n * 2 * jnp.pi * x) for n in self.fourier for f in (jnp.sin, jnp.cos)]
        h = conv(self.channels, dtype=self.dtype, name="conv_in")(jnp.concatenate([x, *waves], axis=-1))
        skips = [h, *down(h, 0)]

        if deep is None:
            for level in range(1, last + 1):
                skips.append(Downsample(self.dtype, name=f"downsample{level - 1}")(skips[-1]))
                skips.extend(down(skips[-1], level))
            middle = [residual(widths[-1], self.dropout, self.groups, self.dtype, name=f"middle_{i}") for i in (0, 1)]
            h = attention(middle[0](skips[-1], embedding, train), "middle_attention")
            h = middle[1](h, embedding, train)
            for level in range(last, 0, -1):
                h = Upsample(self.dtype, name=f"upsample{level}")(up(h, level))
            self.sow("intermediates", "deep", h)
            deep = h

        h = GroupNorm(self.groups, self.dtype, silu=True, name="norm_out")(up(deep, 0))
        return conv(self.outputs * x.shape[-1], init=ZERO, name="conv_out")(h.astype(jnp.float32))

    def _embed(self, t: jax.Array, label: jax.Array | None) -> jax.Array:
        width = 4 * self.channels
        h = nn.Dense(width, kernel_init=INIT, dtype=self.dtype, name="time1")(sinusoidal(t, self.channels))
        h = nn.Dense(width, kernel_init=INIT, dtype=self.dtype, name="time2")(nn.silu(h))
        if label is not None:
            h = h + nn.Embed(self.num_classes, width, dtype=self.dtype, name="classes")(label)
        return h

    def _check(self, shape: tuple[int, ...], label: jax.Array | None) -> None:
        _, height, width, _ = shape
        if not self.multipliers:
            raise InputError("net.multipliers is empty: give at least one, the width of the first level")
        halvings = len(self.multipliers) - 1
        if height % 2**halvings or width % 2**halvings:
            raise InputError(
                f"an image of {height}x{width} cannot be halved {halvings} times, as a U-Net with "
                f"{halvings + 1} multipliers does: use a size divisible by {2**halvings}, or fewer multipliers"
            )
        if bad := [m for m in self.multipliers if (m * self.channels) % self.groups]:
            raise InputError(
                f"channels={self.channels} times multipliers {bad} is not a multiple of groups={self.groups}: "
                "choose channels divisible by groups, or fewer groups"
            )
        heights = [height // 2**level for level in range(halvings + 1)]
        if absent := sorted(set(self.attention) - set(heights)):
            raise InputError(f"attention at {absent} never happens: the levels of this image are {heights} pixels high")
        if bad := [m for m in self.multipliers if (m * self.channels) % self.heads]:
            raise InputError(
                f"channels={self.channels} times multipliers {bad} is not a multiple of heads={self.heads}: "
                "choose channels divisible by heads, or fewer heads"
            )
        for option, allowed in (("remat", REMAT), ("attention_kernel", KERNELS)):
            if getattr(self, option) not in allowed:
                raise unknown(f"net.{option}", getattr(self, option), allowed)
        half = jnp.dtype(self.dtype) == jnp.bfloat16
        if self.attention_kernel == "cudnn" and not (half and jax.default_backend() == "gpu"):
            raise InputError("net.attention_kernel='cudnn' needs an NVIDIA GPU and net.dtype='bfloat16': choose 'xla'")
        if label is not None and not self.num_classes:
            raise InputError("a class label was given to a U-Net with num_classes=0: set num_classes, or give no label")
