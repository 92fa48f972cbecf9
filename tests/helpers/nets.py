"""Parameters with which every layer of a network shows in its output."""

import jax
import jax.numpy as jnp
import numpy as np


def randomized(net, *inputs):
    """Variables with nothing left at zero; scales and variances are near one."""
    rng = np.random.default_rng(0)

    def draw(path, p):
        noise = rng.normal(size=p.shape)
        if path[-1].key in ("kernel", "embedding"):
            return jnp.asarray(noise / np.sqrt(p.size / p.shape[-1]), jnp.float32)
        return jnp.asarray((path[-1].key in ("scale", "var")) + 0.05 * noise, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(net.init, jax.random.key(0), *inputs))
