"""Coder: a trained autoencoder, images to latents and back (configs/autoencoder.py)."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import coded
from jaxdiff.types import Array, Params, Spec

__all__ = ["Coder", "psnr", "write_latents"]

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Coder:
    """A trained autoencoder; `dataclasses.replace(coder, params=...)` gives it other parameters.

    Attributes:
      params, net: the parameters, of two players those of both, and the Flax module (`jaxdiff.nets.Autoencoder`).
      spec: what one image is.
      weights: which parameters these are.
    """

    params: Params
    net: Any
    spec: Spec
    weights: str = "parameters of unknown origin"

    @property
    def own(self) -> Params:
        """The parameters of the autoencoder, without those of the critic that it may have been trained against."""
        return self.params["generator"] if set(self.params) == {"generator", "critic"} else self.params

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.spec.shape

    def encode(self, x: Any) -> Array:
        """The means of the latents of images (n, height, width, channels), before scale and shift."""
        return _encode(self.own, jnp.asarray(x), self.net)

    def decode(self, z: Any) -> Array:
        """The images of latents, in [-1, 1]."""
        return _decode(self.own, jnp.asarray(z), self.net)


@functools.partial(jax.jit, static_argnames="net")
def _encode(params, x, net):
    return net.apply({"params": params}, x, method="moments")[0]


@functools.partial(jax.jit, static_argnames="net")
def _decode(params, z, net):
    return jnp.clip(net.apply({"params": params}, z, method=lambda net, z: net.decode(net.scaled(z))), -1, 1)


def psnr(coder: Coder, x: np.ndarray) -> float:
    """The mean over images of their peak signal-to-noise ratio, after being coded, in dB; their values span 2."""
    found = []
    for i in range(0, len(x), BATCH):
        seen = np.asarray(coder.decode(coder.encode(x[i : i + BATCH])))
        found.append(10 * np.log10(4 / np.mean((seen - x[i : i + BATCH]) ** 2, axis=(1, 2, 3))))
    return float(np.concatenate(found).mean())


def write_latents(coder: Coder, folder: Path, sources: Mapping[str, Source]) -> None:
    """Code all examples of some sources, and write them with the coder's autoencoder (`jaxdiff.modalities.images`).

    Where training may mirror the images, all of "train" are there once more, mirrored.

    Args:
      sources: by split, "train" and, where there is one, "held_out".

    Raises:
      InputError: images of another shape than the autoencoder's; or a folder with something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(folder)!r} has something in it: choose another folder")
    splits = {}
    for name, source in sources.items():
        if source.spec.shape != coder.shape:
            raise InputError(f"images of shape {source.spec.shape}: those of this autoencoder are {coder.shape}")
        parts, sides = [], (1, -1) if source.flip and name == "train" else (1,)
        for side in sides:
            for i in range(0, source.size, BATCH):
                batch = source.take(np.arange(i, min(i + BATCH, source.size)))
                label = (batch.condition or {}).get("label")
                x = np.asarray(coder.encode(batch.x_0[:, :, ::side]))
                parts.append({"x": x, **({} if label is None else {"label": label})})
        splits[name] = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
        if source.captions:
            splits[name]["caption"] = np.tile(source.captions, len(sides))
    told = sources["train"].conditions
    count = (told["label"].values or 0) if "label" in told else 0
    coded.write(folder, coder.net, coder.own, sources["train"].spec, splits, count)
