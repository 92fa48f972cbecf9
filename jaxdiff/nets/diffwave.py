"""DiffWave: a network of sound without strides (Kong et al. 2021, "DiffWave: A Versatile Diffusion Model for Audio").

`layers` residual layers of one width, whose convolutions see samples 1, 2, 4 ... 2^(cycle - 1) apart, and again:

    h = conv(x + of the time, dilation 2^(i mod cycle)) + of the condition
    h = tanh(first half) sigmoid(second half)
    x <- (x + first half of W h) / sqrt(2)          skip <- skip + second half of W h

and two maps of the sum of all skips, divided by sqrt(layers), lead to the output; the last one starts at zero. Thirty
layers of a cycle of ten see 6,139 samples. With `patch`, so many samples become the channels of one before all this and
after it, and the layers see as many times as far for as many times less work; the paper has 1.

A dilated convolution is one product of matrices, as in `jaxdiff.nets.unet1d`.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import INIT, ZERO, Convolution, SecondTime, sinusoidal
from jaxdiff.nets.resize import to_steps
from jaxdiff.nets.told import check_given, embed_label, embed_vector, specs
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["DiffWave"]

FEATURES = 128
"""Sines and cosines of the time."""


class DiffWave(nn.Module):
    """`(x, t, condition) -> out`, shaped like x, (batch, samples, channels), or `outputs` times as deep.

    Attributes:
      channels: width of every layer.
      layers: one after the other.
      cycle: so many dilations, before they begin again at 1.
      patch: samples that become the channels of one.
      num_classes: of labels; 0 for none.
      vectors: conditions (batch, width), such as who speaks, their widths by name.
      outputs: how many times the channels of x come out: 2 for a learned variance.
      second_time: whether it is told the time at which a step ends, as the condition "until": a flow map's network.
      dtype: of the computation; parameters and the output stay float32.

    The defaults are the paper's network of 30 layers.
    """

    channels: int = 64
    layers: int = 30
    cycle: int = 10
    patch: int = 1
    num_classes: int = 0
    vectors: Mapping[str, int] = FrozenDict()
    outputs: int = 1
    second_time: bool = False
    dtype: jnp.dtype = jnp.float32

    def __post_init__(self):
        object.__setattr__(self, "vectors", FrozenDict(self.vectors))  # so that a module can be hashed
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, samples, channels); the samples divisible by `patch`.
          t: (batch,), in steps of a 1000-step chain.
          condition: what is known; initialize with all that the network is made for, see `condition_spec`.
          train: changes nothing: there is no dropout.

        Raises:
          InputError: x or the condition does not fit the network.
        """
        given = condition or {}
        self._check(x.shape, given)
        batch, samples, channels = x.shape
        time, told = self._embed(t, given)
        h = self._dense(x.reshape(batch, samples // self.patch, -1), self.channels, "first")
        h, skip = nn.relu(h), jnp.zeros((batch, samples // self.patch, self.channels), self.dtype)
        for i in range(self.layers):
            y = h + self._dense(time, self.channels, f"layer{i}_time")[:, None]
            apart = 2 ** (i % self.cycle)
            y = Convolution(2 * self.channels, 3, dilation=apart, dtype=self.dtype, name=f"layer{i}")(y)
            if told is not None:
                y = y + self._dense(told, 2 * self.channels, f"layer{i}_told")[:, None]
            first, second = jnp.split(y, 2, axis=-1)
            y = self._dense(jnp.tanh(first) * nn.sigmoid(second), 2 * self.channels, f"layer{i}_out")
            first, second = jnp.split(y, 2, axis=-1)
            h, skip = (h + first) / np.float32(np.sqrt(2)), skip + second
        h = nn.relu(self._dense(skip / np.float32(np.sqrt(self.layers)), self.channels, "skips"))
        out = nn.Dense(self.outputs * channels * self.patch, kernel_init=ZERO, name="out")(h.astype(jnp.float32))
        return to_steps(out, self.patch, self.outputs)

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes for such sounds."""
        return specs(spec, self.num_classes, self.vectors, second_time=self.second_time)

    def _dense(self, h: jax.Array, width: int, name: str) -> jax.Array:
        return nn.Dense(width, kernel_init=INIT, dtype=self.dtype, name=name)(h)

    def _embed(self, t: jax.Array, given: Condition) -> tuple[jax.Array, jax.Array | None]:
        """What is said of the time, and of the condition, each (batch, width); None of no condition."""
        width = 4 * FEATURES
        h = nn.silu(self._dense(sinusoidal(t, FEATURES), width, "time1"))
        h = nn.silu(self._dense(h, width, "time2"))
        if "until" in given:
            h = h + SecondTime(width, FEATURES, self.dtype, name="until")(given["until"])
        parts = []
        if "label" in given:
            parts.append(embed_label(given["label"], self.num_classes, self.channels, self.dtype))
        for name in sorted(self.vectors.keys() & given.keys()):
            parts.append(embed_vector(name, given[name], self.channels, FEATURES, self.dtype))
        return h, sum(parts[1:], parts[0]) if parts else None

    def _check(self, shape: tuple[int, ...], given: Condition) -> None:
        if len(shape) != 3:
            raise InputError(f"net 'diffwave' takes (batch, samples, channels), not an array of shape {shape}")
        if shape[1] % self.patch:
            raise InputError(f"{shape[1]} samples cannot be cut into patches of {self.patch}: choose another net.patch")
        check_given("diffwave", given, self.condition_spec(Spec(shape[1:], "audio")))
