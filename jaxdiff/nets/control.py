"""ControlNet (Zhang, Rao and Agrawala 2023): a picture, such as edges or depth, that a U-Net has to follow.

A copy of the U-Net's way down and middle sees the latents and, added to its first layer, the picture, which a few
convolutions bring to the latents' size. What it makes at each level goes through a layer that starts at zero, is
multiplied by a strength, and is added to what the U-Net hands to its way up, so that a strength of 0 leaves the U-Net
as it is. Of several control networks the sums are added. `Controlled` takes the lighter adapters, too
(`jaxdiff.nets.adapter`).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.adapter import Adapter
from jaxdiff.nets.conditional_unet import Branch, ConditionalUNet
from jaxdiff.nets.layers import ZERO, conv
from jaxdiff.types import Condition, ConditionSpec, Spec, expand

__all__ = ["Control", "Controlled"]


class Hint(nn.Module):
    """A picture, as many times larger as there are pairs of its layers, to the channels of a network's first layer."""

    widths: Sequence[int]
    outputs: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, picture: jax.Array) -> jax.Array:
        h = nn.silu(conv(self.widths[0], dtype=self.dtype, name="conv_in")(picture))
        for i in range(len(self.widths) - 1):
            h = nn.silu(conv(self.widths[i], dtype=self.dtype, name=f"conv{2 * i}")(h))
            h = jnp.pad(h, ((0, 0), (1, 0), (1, 0), (0, 0)))
            h = conv(self.widths[i + 1], stride=2, dtype=self.dtype, name=f"conv{2 * i + 1}", pad="VALID")(h)
            h = nn.silu(h)
        return conv(self.outputs, init=ZERO, dtype=self.dtype, name="conv_out")(h)


class Control(Branch):
    """`(x, t, condition, picture) -> added`, one array for each skip of the U-Net and one for its middle.

    Attributes:
      hint_widths: channels of the layers that bring the picture, with values in [0, 1], to the latents' size.
      picture: channels of it.
    """

    hint_widths: Sequence[int] = (16, 32, 96, 256)
    picture: int = 3

    @property
    def factor(self) -> int:
        """How many times larger the picture's sides are than those of the latents."""
        return 2 ** (len(self.hint_widths) - 1)

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition, picture: jax.Array, train: bool = False
    ) -> list[jax.Array]:
        """Run the network, with the U-Net's own condition."""
        self.check(x.shape, condition)
        context, embedding = condition["context"], self.embed(t, condition)
        h = conv(self.widths[0], dtype=self.dtype, name="conv_in")(x)
        h = h + Hint(self.hint_widths, self.widths[0], self.dtype, name="hint")(picture)
        h, skips = self.descend(h, embedding, context, train)
        h = self.turn(h, embedding, context, train)

        def zero(name, h):
            return nn.Dense(h.shape[-1], kernel_init=ZERO, dtype=self.dtype, name=name)(h)

        return [*(zero(f"zero{i}", skip) for i, skip in enumerate(skips)), zero("zero_middle", h)]


class Controlled(nn.Module):
    """A U-Net and what controls it, control networks and adapters, as one network.

    The conditions are the U-Net's, and for control i the picture "control<i>" (batch, height, width, channels) with
    values in [0, 1], and its strength "strength<i>" (batch,).
    """

    unet: ConditionalUNet
    controls: Sequence[Control | Adapter]

    def look(self, condition: Condition) -> dict[str, jax.Array]:
        """The condition with the features of all adapters, "features<level>", in place of their pictures.

        They are the same at all times, so that they can be made once for all of them; called without, `__call__` does.
        """
        given, features = dict(condition), []
        for i, control in enumerate(self.controls):
            if isinstance(control, Adapter) and "features0" not in given:
                strength = _taken(given, f"strength{i}")
                found = _scaled(strength, control(_taken(given, f"control{i}")))
                if features and [a.shape for a in features] != [b.shape for b in found]:
                    raise InputError("control: adapters with other levels: several of them must be of one kind")
                features = [a + b for a, b in zip(features, found, strict=True)] if features else found
        return given | {f"features{level}": one for level, one in enumerate(features)}

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run all networks on latents at times t."""
        given, added = self.look(condition or {}), []
        features = [given.pop(name) for name in sorted(given) if name.startswith("features")]
        for i, control in enumerate(self.controls):
            if isinstance(control, Control):
                strength, picture = _taken(given, f"strength{i}"), _taken(given, f"control{i}")
                found = _scaled(strength, control(x, t, given, picture, train))
                added = [a + b for a, b in zip(added, found, strict=True)] if added else found
        return self.unet(x, t, given, train, added, features)

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The U-Net's conditions, the pictures and their strengths."""
        height, width, _ = spec.shape
        told = dict(self.unet.condition_spec(spec))
        for i, control in enumerate(self.controls):
            # Without transformers on the first level, an adapter's first features meet what is already halved.
            factor = control.factor if isinstance(control, Control) else control.patch / (2 - (self.unet.depths[0] > 0))
            sides = int(factor * height), int(factor * width)
            told[f"control{i}"] = ConditionSpec((*sides, control.picture), missing=None)
            told[f"strength{i}"] = ConditionSpec((), missing=None)
        return told


def _taken(given: dict[str, jax.Array], name: str) -> jax.Array:
    """What is told by a name, and from then on no more."""
    if name not in given:
        raise InputError(f"condition: this network is always told {name!r}: give it")
    return given.pop(name)


def _scaled(strength: jax.Array, arrays: Sequence[jax.Array]) -> list[jax.Array]:
    return [(expand(strength, one) * one).astype(one.dtype) for one in arrays]
