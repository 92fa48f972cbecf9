"""Latents: images as an autoencoder codes them, once for all of training (Rombach et al. 2022).

A folder, which `jaxdiff data latents` writes:

    latents.json               what the images were, and the autoencoder's network
    autoencoder.safetensors    its parameters by their paths
    train.npz, held_out.npz    x, (n, height, width, channels), the means of the latents; label; caption

Each channel has mean 0 and deviation 1 over the examples of training, as a network sees it; `Spec.details` keeps both,
with the SHA-256 of the parameters. An autoencoder is known by that from when its folder, or a model that draws its
latents, was opened: so a specification stays plain data, and any codec of it decodes.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from jaxdiff.data.captions import captioned_by
from jaxdiff.data.source import Source, content, labeled
from jaxdiff.errors import InputError
from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.types import Batch, Codec, Params, Spec, path_name

__all__ = [
    "ABOUT",
    "SPLITS",
    "WEIGHTS",
    "keep",
    "latent_codec",
    "latents",
    "learn",
    "pictures_of",
    "require_pixels",
    "tree_of",
    "write",
]

WEIGHTS, ABOUT = "autoencoder.safetensors", "latents.json"
SPLITS = ("train", "held_out")

_known: dict[str, dict[str, np.ndarray]] = {}
"""The parameters of autoencoders by their SHA-256."""


def latents(path: str, split: str = "train") -> Source:
    """Latents of images, with their labels and captions where they have some.

    Args:
      path: of a folder that `jaxdiff data latents` wrote.
      split: "train", or "held_out" where there is such data.

    Raises:
      InputError: no such folder or split, or what is in it is no such data.
    """
    folder = Path(path)
    if split not in SPLITS or not (folder / f"{split}.npz").is_file():
        there = ", ".join(name for name in SPLITS if (folder / f"{name}.npz").is_file())
        what = f"has the splits {there}" if there else "holds no latents: `jaxdiff data latents FOLDER` writes some"
        raise InputError(f"{path!r}, split {split!r}: the folder {what}")
    try:
        about = json.loads((folder / ABOUT).read_text())
        with np.load(folder / f"{split}.npz", allow_pickle=False) as stored:
            x, label, caption = stored["x"], stored.get("label"), stored.get("caption")
        of, classes, count = {**about["autoencoder"]}, about["classes"], about["num_classes"]
        shift, scale = (np.float32(of["net"][k]) for k in ("shift", "scale"))
        x = np.asarray((x - shift) * scale, np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path!r} holds no latents: {' '.join(str(error).split())}") from error
    spec = Spec(x.shape[1:], "images", details={"autoencoder": of} | ({"classes": classes} if classes else {}))
    learn(spec, folder)
    source = Source(len(x), spec, lambda indices: Batch(x[indices]), known=content(x))
    source = labeled(source, label, count)
    return source if caption is None else captioned_by(source, caption, f"{path!r}")


def write(
    folder: Path,
    net: Autoencoder,
    params: Params,
    spec: Spec,
    splits: Mapping[str, Mapping[str, np.ndarray]],
    num_classes: int = 0,
) -> None:
    """Write a folder of latents.

    Args:
      net, params: the autoencoder, whose own scale and shift do not count.
      spec: of its images.
      splits: of each, x and what else is known of the examples, by name; one is "train".
      num_classes: of their labels, where they have some.
    """
    stored = _leaves(params)
    x = splits["train"]["x"].astype(np.float64)
    mean, std = x.mean((0, 1, 2)), x.std((0, 1, 2))
    std = np.where(std > 0, std, 1)  # a channel that says nothing stays so
    options = {name: getattr(net, name) for name in ("widths", "blocks", "latents", "channels", "attention", "groups")}
    options |= {"quantized": net.quantized, "unquantized": net.unquantized}
    of = {
        "sha256": _digest(stored),
        "net": {**options, "widths": list(net.widths), "shift": mean.tolist(), "scale": (1 / std).tolist()},
        "shape": list(spec.shape),
        "levels": spec.levels,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in splits.items():
        np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
    (folder / WEIGHTS).write_bytes(save(stored))
    about = {"autoencoder": of, "num_classes": num_classes, "classes": list(spec.details.get("classes", []))}
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n")


def learn(spec: Spec, folder: Path) -> None:
    """Make the autoencoder in a folder known, if these are its latents.

    Raises:
      InputError: they are latents, and it is not there, cannot be read, or is that of others.
    """
    digest, file = spec.details.get("autoencoder", {}).get("sha256", ""), folder / WEIGHTS
    if not digest or digest in _known:
        return
    try:
        stored = load_file(file)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{str(file)!r} cannot be read: {' '.join(str(error).split())}") from error
    if _digest(stored) != digest:
        raise InputError(f"{str(file)!r} is not the autoencoder of these latents: put the one here that coded them")
    _known[digest] = stored


def keep(spec: Spec, folder: Path) -> None:
    """Write the autoencoder that decodes such examples into a folder, if they are latents and it is not there."""
    if "autoencoder" in spec.details and not (folder / WEIGHTS).is_file():
        part = folder / f".{WEIGHTS}.part"
        part.write_bytes(save(_stored(spec)))
        part.replace(folder / WEIGHTS)  # whole, or not at all


def require_pixels(spec: Spec, what: str) -> None:
    """Refuse what is done to pixels where the examples are latents.

    Raises:
      InputError: they are.
    """
    if "autoencoder" in spec.details:
        raise InputError(f"{what}: is for pixels, and this data is latents of images: leave it out, or code others")


def pictures_of(spec: Spec) -> Spec | None:
    """What the images of such latents are; None of what is no latent."""
    of = spec.details.get("autoencoder")
    return of and Spec(tuple(of["shape"]), "images", -1.0, 1.0, of["levels"])


def latent_codec(spec: Spec) -> Codec:
    """The codec of latents: images in [-1, 1] to their means, and back; also within a compiled function."""
    of = spec.details["autoencoder"]
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in of["net"].items()}
    encode, decode = _ends(tuple(given.items()))

    def through(function, x):
        return function(tree_of(_stored(spec)), jnp.asarray(x))

    return Codec(lambda x: np.asarray(through(encode, x)), lambda z: through(decode, z))


@functools.cache
def _ends(options: tuple[tuple[str, Any], ...]):
    """The compiled ends of an autoencoder, `(params, x) -> z` and `(params, z) -> x`."""
    net = Autoencoder(**dict(options))
    encode = jax.jit(lambda params, x: net.apply({"params": params}, x, method="encode"))
    decode = jax.jit(lambda params, z: jnp.clip(jnp.asarray(net.apply({"params": params}, z, method="decode")), -1, 1))
    return encode, decode


def _stored(spec: Spec) -> dict[str, np.ndarray]:
    return _known[spec.details["autoencoder"]["sha256"]]


def _leaves(params: Params) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths, float32 in the order of C."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {path_name(path): np.asarray(leaf, np.float32, order="C") for path, leaf in leaves}


def tree_of(stored: Mapping[str, np.ndarray]) -> Params:
    """The tree of which these are the leaves, by their paths."""
    tree: dict[str, Any] = {}
    for name, leaf in stored.items():
        *parents, last = name.split("/")
        functools.reduce(lambda part, parent: part.setdefault(parent, {}), parents, tree)[last] = leaf
    return tree


def _digest(stored: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(stored):
        digest.update(f"{name} {stored[name].shape} ".encode() + np.ascontiguousarray(stored[name]).tobytes())
    return digest.hexdigest()
