"""Train features: a small network learns the classes of labeled images, and is kept in a file named after its content.

It is trained on all examples, moved a little at random, so that no part of them is nearer to it than another: real
images that a diffusion model was trained on and real images that it was not are treated alike. How well the recipe
recognizes images that it has not seen is measured by a second network, trained without every fifth example. No noise is
added in training: features that learn to overlook noise do not see it in samples either.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import load_file, save_file

from jaxdiff.data.source import Source, fingerprint
from jaxdiff.errors import InputError
from jaxdiff.nets.features import FeatureNet
from jaxdiff.training.files import replacing
from jaxdiff.types import Params, by_path, path_name

__all__ = ["Trained", "apply", "trained"]

RECIPE = {"version": 1, "batch": 64, "epochs": 15, "learning_rate": 3e-3, "weight_decay": 1e-2, "seed": 0}
FOLD = 5


class Trained(NamedTuple):
    """A feature network.

    Attributes:
      params: of `FeatureNet`.
      accuracy: of the same recipe on every fifth example, not seen in training.
      file: where they are.
    """

    params: Params
    accuracy: float
    file: Path


def trained(name: str, source: Source, folder: Path, recipe: dict[str, Any] = RECIPE) -> Trained:
    """The feature network of labeled images, from its file if there is one, trained and saved if not.

    The file is NAME-DIGEST.safetensors in `folder`; the digest is that of the recipe and of the images.

    Raises:
      InputError: the images have no labels.
    """
    if "label" not in source.conditions:
        raise InputError(f"features {name!r}: are learned from labels, and these images have none")
    what = repr((sorted(recipe.items()), source.spec.shape)) + fingerprint(source)
    file = folder / f"{name}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.safetensors"
    like = init(source, recipe)
    if not file.is_file():
        batch = source.take(np.arange(source.size))
        x, labels = np.asarray(batch.x_0, np.float32), np.asarray((batch.condition or {})["label"])
        seen = np.arange(len(x)) % FOLD > 0
        part = _fit(like, x[seen], labels[seen], recipe)
        found = np.concatenate([apply(part, x[~seen][i : i + 256])[1].argmax(1) for i in range(0, (~seen).sum(), 256)])
        stored = {name: np.asarray(leaf) for name, leaf in by_path(_fit(like, x, labels, recipe)).items()}
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            save_file({**stored, "accuracy": np.asarray([(found == labels[~seen]).mean()])}, partial)
    there = load_file(file)
    params = jax.tree_util.tree_map_with_path(lambda path, leaf: there[path_name(path)], like)
    return Trained(params, float(there["accuracy"][0]), file)


def init(source: Source, recipe: dict[str, Any]) -> Params:
    """Fresh parameters."""
    net = FeatureNet(source.conditions["label"].values or 0)
    return jax.jit(net.init)(jax.random.key(recipe["seed"]), jnp.zeros((1, *source.spec.shape)))


@jax.jit
def apply(params: Params, x: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """Features and logits of images in [-1, 1]."""
    return FeatureNet(params["params"]["logits"]["bias"].shape[0]).apply(params, x)  # type: ignore[return-value]


def _fit(params: Params, x: np.ndarray, labels: np.ndarray, recipe: dict[str, Any]) -> Params:
    """Parameters after training on these images."""
    batch, steps = recipe["batch"], recipe["epochs"] * (len(x) // recipe["batch"])
    schedule = optax.cosine_decay_schedule(recipe["learning_rate"], steps)
    optimizer = optax.adamw(schedule, weight_decay=recipe["weight_decay"])
    step, state, rng = _step(optimizer), optimizer.init(params), np.random.default_rng(recipe["seed"])
    images, classes = jnp.asarray(x), jnp.asarray(labels)
    for i, key in enumerate(jax.random.split(jax.random.key(recipe["seed"]), steps)):
        if i % (len(x) // batch) == 0:
            order = rng.permutation(len(x))
        at = (i % (len(x) // batch)) * batch
        params, state = step(params, state, key, images, classes, order[at : at + batch])
    return params


def _step(optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    @jax.jit
    def step(params, state, key, x, labels, indices):
        seen = _shifted(key, x[indices])

        def loss(params):
            logits = apply(params, seen)[1]
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[indices]).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    return step


def _shifted(key: jax.Array, x: jax.Array) -> jax.Array:
    """Each image moved by up to an eighth of its size, what comes in being its border."""
    most = max(x.shape[1] // 8, 1)
    by = jax.random.randint(key, (len(x), 2), 0, 2 * most + 1)
    padded = jnp.pad(x, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    cut = lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), x.shape[1:])
    return jax.vmap(cut)(padded, by)
