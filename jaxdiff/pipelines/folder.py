"""Model folder: a trained model to keep, to mail and to publish, without the history of its training.

config.json         the whole configuration and what one example is, as in a run (`jaxdiff.config.record`)
model.safetensors   the parameters by their paths, such as "down0/conv1/kernel"; which ones they are, in its header
autoencoder.safetensors   of a model of latents, what decodes them (`jaxdiff.modalities.images.coded`)
README.md           a card: what it draws, its license, its data, and the lines that load it
samples.png         what it draws

Nothing in it is executed; a part that came from outside the library (`package.module:name`) has to be installed.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxdiff.config.record import Record, write_record
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities import find
from jaxdiff.modalities.images import coded, pictures
from jaxdiff.training.files import place, replacing
from jaxdiff.types import Batch, Params, by_path, path_name

__all__ = ["DTYPES", "FILE", "SAID", "check_new", "read_weights", "save_folder", "stored_names"]

FILE, CARD, PICTURE = "model.safetensors", "README.md", "samples.png"
SAID = ("license", "data", "about")
DTYPES = ("float32", "float16")


def save_folder(
    path: str | Path,
    record: Record,
    params: Params,
    weights: str,
    dtype: str = "float32",
    drawn: Batch | None = None,
    said: Mapping[str, str] = {},
) -> Path:
    """Write a model folder, whole or not at all.

    Args:
      params, weights: the parameters, and which ones they are, such as "0.999 of step 10,000".
      dtype: of the parameters in the file.
      drawn: some examples, for its picture.
      said: "license", "data" and "about" of the model, for its card.

    Raises:
      InputError: another dtype, or one that is too small; or a path where something else is.
    """
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    for name in said.keys() - set(SAID):
        raise unknown("line of the card", name, SAID)
    # In the order of C: of any other, safetensors keeps the bytes and forgets the order.
    stored = {name: np.asarray(value, dtype, order="C") for name, value in by_path(params).items()}
    if large := [name for name, value in stored.items() if not np.isfinite(value).all()]:
        raise InputError(f"dtype={dtype}: {large[0]} has numbers beyond it, or none: take float32")
    folder = check_new(path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as above:
            part = Path(above) / folder.name
            write_record(part, record)
            coded.keep(record.spec, part)
            with replacing(part / FILE) as file:  # with the user's own rights, which safetensors narrows
                save_file(stored, file, metadata={"weights": weights})
            if drawn is not None:
                picture = find(record.spec.modality, "show").preview(record.spec, drawn, None)
                pictures.save_picture(part / PICTURE, picture, note=weights)
            (part / CARD).write_text(_card(folder.name, record, params, weights, drawn is not None, said))
            if folder.exists():
                folder.rename(Path(above) / "before")
            part.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write the model folder {str(folder)!r}: {error.strerror or error}") from error
    return folder


def check_new(path: str | Path) -> Path:
    """The path as a place for a model folder: nothing is there yet, or another model folder and nothing else.

    Raises:
      InputError: something else is there, which would be lost.
    """
    folder = place(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file: choose another name")
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if there and (FILE not in there or there - {FILE, CARD, PICTURE, coded.WEIGHTS, "config.json"}):
        raise InputError(f"{str(folder)!r} holds something else than a model: choose another name")
    return folder


def stored_names(folder: Path) -> list[str]:
    """The paths of the parameters of a model folder.

    Raises:
      InputError: the file cannot be read.
    """
    with _opened(folder / FILE) as stored:
        return list(stored.keys())


def read_weights(folder: Path, like: Params) -> tuple[Params, str]:
    """The parameters of a model folder, of the types and on the devices of `like`, and which ones they are.

    Args:
      like: a tree of arrays, or of shapes with shardings.

    Raises:
      InputError: the file cannot be read, or holds other arrays than the network has.
    """
    here = {name: tuple(leaf.shape) for name, leaf in by_path(like).items()}
    with _opened(folder / FILE) as stored:
        there = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                raise InputError(
                    f"{str(folder / FILE)!r} does not fit its config.json: {name!r} has the shape "
                    f"{there.get(name, 'none')} there, and {here.get(name, 'none')} in the network"
                )
        values = {name: stored.get_tensor(name) for name in here}
        weights = (stored.metadata() or {}).get("weights", "parameters of unknown origin")

    def placed(path, leaf):
        return jax.device_put(values[path_name(path)].astype(leaf.dtype), getattr(leaf, "sharding", None))

    return jax.tree_util.tree_map_with_path(placed, like), weights


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="numpy") as stored:
            yield stored
    except (SafetensorError, OSError) as error:
        raise InputError(f"{str(file)!r} cannot be read: {' '.join(str(error).split())}") from error


def _card(name: str, record: Record, params: Params, weights: str, pictured: bool, said: Mapping[str, str]) -> str:
    """The text of README.md."""
    config, spec = record.config, record.spec
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    classes = spec.details.get("classes") or []
    told = ', prompt="..."' if "text" in spec.details else ""
    rows = {
        "draws": find(spec.modality, "show").describe(spec) + (f"; classes: {', '.join(classes)}" if classes else ""),
        "parameters": f"{count:,}: {weights}",
        "trained on": f"{config['train']['batch_size']:,} examples a step; {config['train']['steps']:,} were planned",
        "data": said.get("data") or "not said",
        "license": said.get("license") or "not said",
    }
    parts = [
        f"# {name}",
        said.get("about"),
        f"![what it draws]({PICTURE})" if pictured else "",
        "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())]),
        "A diffusion model of jaxdiff (`pip install jaxdiff`):",
        f'```python\nimport jax, jaxdiff\n\nmodel = jaxdiff.load("{name}")\n'
        f"images = model.sample(jax.random.key(0), 16{told})\n```",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"
