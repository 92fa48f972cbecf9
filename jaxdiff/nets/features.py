"""Features: a small classifier of images whose last hidden layer compares sets of images."""

import flax.linen as nn
import jax
import jax.numpy as jnp

__all__ = ["FeatureNet"]


class FeatureNet(nn.Module):
    """`x -> (features, logits)`, (batch, features) and (batch, classes), of images (batch, height, width, channels).

    Convolutions at full size, at half and at a quarter of it; the means over the places of the last, and a hidden
    layer. Sides may be of any size from 4 on.

    Attributes:
      classes: of the data that it is trained on.
      features: that are compared.
      width: channels at full size; twice as many at half of it and below.
    """

    classes: int
    features: int = 32
    width: int = 16

    @nn.compact
    def __call__(self, x: jax.Array, maps: bool = False) -> tuple[jax.Array, ...]:
        """Run the network on images in [-1, 1]; with `maps`, to what each convolution makes of them, of any size."""
        seen = []
        for width, stride in ((self.width, 1), (2 * self.width, 2), (2 * self.width, 2)):
            x = nn.silu(nn.GroupNorm(8)(nn.Conv(width, (3, 3), (stride, stride))(x)))
            seen.append(x)
        if maps:
            return tuple(seen)
        features = nn.Dense(self.features, name="features")(x.reshape(len(x), -1))
        return features, nn.Dense(self.classes, name="logits")(jnp.tanh(features))
