"""Warm start: the parameters of a trained model, as far as they fit, in a network that is about to be trained."""

import jax
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.types import Params, path_name

__all__ = ["warm_start"]


def warm_start(params: Params, trained: Params) -> tuple[Params, str]:
    """`(parameters, what was kept)`: of each path, the trained array if it has the same shape.

    Args:
      params: of the new network, arrays; the result has their types and places.
      trained: the parameters of another, arrays.

    Raises:
      InputError: no array fits.
    """
    there = {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(trained)}
    kept, new = [], []

    def choose(path, leaf):
        name = path_name(path)
        if name in there and there[name].shape == leaf.shape:
            kept.append(name)
            return jax.device_put(np.asarray(there[name]).astype(leaf.dtype), leaf.sharding)
        had = f"{there[name].shape} there" if name in there else "not there"
        new.append(f"{name} {leaf.shape} ({had})")
        return leaf

    begun = jax.tree_util.tree_map_with_path(choose, params)
    left = sorted(there.keys() - {path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)})
    if not kept:
        raise InputError(f"none of its {len(there)} arrays fits this network: configure the same one")
    told = f"kept {len(kept)} of {len(there)} arrays, below {', '.join(sorted({k.partition('/')[0] for k in kept}))}"
    told += f"; new: {', '.join(new)}" if new else ""
    return begun, told + (f"; left out: {', '.join(left)}" if left else "")
