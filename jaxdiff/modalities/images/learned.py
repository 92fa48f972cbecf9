"""Learned: what a small network makes of images, which learned to tell labeled ones apart (`jaxdiff data features`)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from jaxdiff.errors import InputError
from jaxdiff.nets.features import FeatureNet
from jaxdiff.types import from_paths

__all__ = ["learned"]

FIRST = "params/Conv_0/kernel"


def learned(path: str) -> Callable[[jax.Array], tuple[jax.Array, ...]]:
    """`images -> features`, of images (n, height, width, channels) in [-1, 1] of any size: an array for each layer.

    Args:
      path: of a file that `jaxdiff data features` wrote.

    Raises:
      InputError: it cannot be read, or holds something else; and, of what is returned, images of other channels.
    """
    try:
        stored = load_file(path)
        channels, classes = stored[FIRST].shape[2], len(stored["params/logits/bias"])
    except (SafetensorError, OSError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"features {path!r}: is no file of such a network ({reason}): `jaxdiff data features FOLDER --data NAME` "
            "writes one"
        ) from error
    params = from_paths({name: leaf for name, leaf in stored.items() if name.startswith("params/")})
    net = FeatureNet(classes, features=len(params["params"]["features"]["bias"]), width=stored[FIRST].shape[3])

    def features(x: jax.Array) -> tuple[jax.Array, ...]:
        if x.shape[-1] != channels:
            raise InputError(
                f"features {path!r}: are of images of {channels} channels, and these have {x.shape[-1]}: learn them "
                "from others"
            )
        found = net.apply(jax.tree.map(jnp.asarray, params), x, maps=True)
        return tuple(map(jnp.asarray, found))  # type: ignore[arg-type]

    features(jnp.zeros((1, 4, 4, channels), np.float32))  # which finds what does not fit
    return features
