"""Features: what two sets of examples are compared by.

    pixels, columns     the values themselves: of images, of tables (the columns of mean 0 and deviation 1, and of each
                        category a column for each of its values)
    log_mel             of sounds: the power of 16 bands in each eighth of the time
    digits              a small network that the library trains on its own digits; others by the names of prepared sets,
                        such as fashion_mnist, and by a .npz of "images" and "labels"
    inception           the last pool of InceptionV3, of FID; inception_spatial, seven channels at 17x17
    FOLDER, FILE.npz    of sounds: a small network that learns to tell the classes of these recordings by their log-mel
                        spectrograms; of a .npz by the arrays "audio", "offsets" and "label"
    package.module:name a function of yours, `images (n, ...) -> features (n, d)`, in the data's own units

A distance is named after its features (fd_pixels, fd_digits): distances of different features have nothing in common.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdiff.config.names import import_name
from jaxdiff.data import numpy_file
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.evaluation import train_features, weights
from jaxdiff.modalities import audio, images, make_codec, require
from jaxdiff.modalities import find as find_modality
from jaxdiff.modalities.audio.measured import spectrograms
from jaxdiff.modalities.audio.spec import rate_of
from jaxdiff.modalities.images.resize import RESIZES, quantized
from jaxdiff.nets import inception
from jaxdiff.training.sharding import make_mesh, replicated, split
from jaxdiff.types import Spec

__all__ = ["Features", "digest", "find_features", "labeled", "of_sounds"]

AT_ONCE = 32
"""Images of 299x299 in a call on one device."""


class Features(NamedTuple):
    """A way to make features of examples.

    Attributes:
      name: a word for it, which names the figures.
      told: all that features depend on: the checksum of weights, the resize.
      apply: `(examples in the data's own units) -> {"features": (n, d), "logits": (n, classes)}`; logits where a
        classifier made them.
    """

    name: str
    told: Mapping[str, Any]
    apply: Callable[[np.ndarray], dict[str, np.ndarray]]


def digest(told: Mapping[str, Any]) -> str:
    """A short name for all that is told."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def find_features(name: str, spec: Spec, resize: str = "tensorflow1", weights_file: str = "") -> Features:
    """The features of this name, for examples of a specification.

    Args:
      resize: for "inception": a name in `jaxdiff.modalities.images.resize`.
      weights_file: for "inception": of its weights; by default the file in the cache.

    Raises:
      InputError: there are none of this name, or they take other examples.
    """
    kind = find_modality(spec.modality, "measured")
    if name == kind.FEATURES[0]:
        scale = {} if spec.modality == "images" else {"scale": digest(spec.details)}  # that of the spec, but of pixels
        return Features(name, scale, lambda x: {"features": kind.values(spec, x)})
    if ":" in name:
        return _own(name)
    if spec.modality == "audio" and (Path(name).is_dir() or Path(name).suffix == ".npz"):
        return of_sounds(Path(name).stem, _recorded(name, spec), spec)
    if name not in kind.FEATURES and not Path(name).suffix:
        raise unknown("features", name, [*kind.FEATURES, "package.module:name"])
    require("images", spec, f"features {name!r}")
    if name in ("inception", "inception_spatial"):
        return _inception(name, spec, resize, weights_file)
    return _learned(Path(name).stem, labeled(name), spec)


def _own(name: str) -> Features:
    contract = "a function from examples (n, ...) to features (n, d)"
    function = import_name("features", name, contract, callable)
    try:
        code = Path(inspect.getsourcefile(function) or "").read_bytes()
    except (TypeError, OSError):
        code = b""

    def apply(x):
        made = np.asarray(function(x))
        if made.ndim != 2 or len(made) != len(x):
            raise InputError(f"features {name!r}: gave {made.shape} of {len(x)} examples: must be (n, d)")
        return {"features": made}

    told = {"function": name, "sha256_of_its_file": hashlib.sha256(code).hexdigest()}
    return Features(name.replace(":", ".").rpartition(".")[2], told, apply)


def labeled(name: str) -> Source:
    """Labeled images to learn features from."""
    if name == "digits":
        return images.digits("all")
    return images.arrays(name, "images", "labels") if Path(name).suffix else images.tfds(name)


def _learned(name: str, source: Source, spec: Spec) -> Features:
    if source.spec.shape != spec.shape:
        size = "x".join(map(str, source.spec.shape))
        here = "x".join(map(str, spec.shape))
        raise InputError(f"features {name!r}: are of images of {size}, and these are {here}: take pixels, or your own")
    return _network(name, source, lambda x: x)


def _network(name: str, source: Source, look: Callable[[np.ndarray], np.ndarray]) -> Features:
    """The features of a network trained on a source of images, of examples that `look` makes such of."""
    net = train_features.trained(name, source, weights.cache())
    told = {"sha256": weights.checksum(net.file), "accuracy_on_unseen": round(net.accuracy, 4), "file": net.file.name}
    run = _on_devices(train_features.apply, net.params)

    def apply(x):
        features, logits = run(np.asarray(look(x), np.float32))
        return {"features": features, "logits": logits}

    return Features(name, told, apply)


def _recorded(name: str, spec: Spec) -> Source:
    """Labeled sounds to learn features from, as long as those of a specification."""
    (length, channels), rate = spec.shape, rate_of(spec)
    if Path(name).is_dir():
        return audio.recordings(name, length, rate, channels)
    there = numpy_file.names_in(name) or []
    return audio.waves(name, offset_key="offsets" if "offsets" in there else "", label_key="label", length=length)


def of_sounds(name: str, source: Source, spec: Spec) -> Features:
    """The features of a small network that learned the classes of labeled sounds by their log-mel spectrograms.

    Raises:
      InputError: the sounds have no labels, or another length or rate than those of the specification.
    """
    if (source.spec.shape, rate_of(source.spec)) != (spec.shape, rate_of(spec)):
        raise InputError(
            f"features {name!r}: are of other sounds: of shape {source.spec.shape} at {rate_of(source.spec)} Hz"
        )
    look = lambda x: (spectrograms(spec, x) + 1) / 2
    decode, shape = make_codec(source.spec).decode, look(np.zeros((1, *spec.shape))).shape[1:]

    def take(indices):
        batch = source.take(indices)
        return batch._replace(x_0=look(decode(batch.x_0)))

    return _network(name, source._replace(spec=images.image_spec(shape), take=take), look)


def _inception(name: str, spec: Spec, resize: str, weights_file: str) -> Features:
    if resize not in RESIZES:
        raise unknown("--resize", resize, RESIZES)
    if spec.shape[2] not in (1, 3):
        raise InputError(f"features {name!r}: take images of 1 or 3 channels, and these have {spec.shape[2]}")
    file = weights.inception_file(weights_file)
    try:
        variables = inception.variables(weights.read(file))
    except (KeyError, ValueError) as error:
        raise InputError(f"weights {str(file)!r} are none of InceptionV3: {error}") from error
    layer = "pool3" if name == "inception" else "spatial"

    def layers(variables, x):
        found = inception.Inception().apply(variables, x)
        return getattr(found, layer), found.logits  # type: ignore[union-attr]

    run = _on_devices(jax.jit(layers), variables)

    def apply(x):
        parts = []
        for i in range(0, len(x), AT_ONCE):
            pixels = np.repeat(quantized(x[i : i + AT_ONCE], "nearest"), 3 // spec.shape[2], -1)
            parts.append(run((RESIZES[resize](pixels, inception.SIDE) - 128) / np.float32(128)))
        features, logits = (np.concatenate(each) for each in zip(*parts, strict=True))
        return {"features": features, "logits": logits}

    return Features(name, {"sha256": weights.checksum(file), "resize": resize}, apply)


def _on_devices(function: Callable[[Any, Any], Any], params: Any) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
    """The function with its parameters on all devices, and each batch cut over them."""
    mesh = make_mesh()
    params, count = jax.device_put(params, replicated(mesh)), jax.device_count()

    def run(x):
        more = -len(x) % count
        padded = np.concatenate([x, np.repeat(x[:1], more, 0)]) if more else x
        return tuple(np.asarray(out)[: len(x)] for out in function(params, jax.device_put(padded, split(mesh))))

    return run
