"""Latents: what `jaxdiff sample` draws of Stable Diffusion, from folders of diffusers and single files.

--prompt "a red seven" --negative "" --guidance 7.5                    of a caption
... --image in.png --strength 0.6                                      from another picture
... --image in.png --mask known.png                                    what is unknown: dark or transparent in it
... --control edges.png --control-net FOLDER --control-strength 0.8    that follows a picture; again for several
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from jaxdiff.cli import prompts, shape
from jaxdiff.cli.written import claimed
from jaxdiff.config.names import in_words
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import pictures, read_picture
from jaxdiff.modalities.images.masks import fitted_mask
from jaxdiff.pipelines import latents
from jaxdiff.pipelines.foreign import is_foreign
from jaxdiff.pipelines.load import load
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.pipelines.words import no_words, read_words
from jaxdiff.types import ConditionSpec

__all__ = ["FLAGS", "SHARED", "add_arguments", "check", "drawn"]

FLAGS = (
    *("image", "image_guidance", "depth", "control", "control_net", "control_strength"),
    *("scheduler", "tokenizer", "clip_skip", "chunks"),
)
"""Those that only such models have."""
SHARED = ("strength", "mask")
"""Those that are of tasks, too."""
OTHERS = ("task", "likelihood", "fill", "smiles", "ccd", "atoms", "property", "label", "length", "speaker")
SHOWN = 256


def add_arguments(add: Callable[..., Any]) -> None:
    """Add the flags."""
    add("--image", metavar="FILE", help="picture to begin with, by --strength; with --mask to fill in; or to instruct")
    add("--image-guidance", type=float, help="of InstructPix2Pix: how much it is led by the picture (1.5)")
    add("--depth", metavar="FILE", help="of a model that is told depth: a picture of it, the nearer the brighter")
    add("--control", action="append", metavar="FILE", help="picture to follow, for each --control-net in turn")
    add("--control-net", action="append", metavar="FOLDER", help="a ControlNet or T2I-Adapter; several are added")
    add("--control-strength", action="append", type=float, metavar="S", help="of each of them in turn (1)")
    add("--scheduler", action="append", metavar="NAME=VALUE", help="a field in place of that of its scheduler")
    add("--tokenizer", metavar="FOLDER", help="of a single file: CLIP's vocab.json and merges.txt")
    add("--chunks", type=int, help="of 75 pieces, in which a longer caption is read (1)")
    add("--clip-skip", type=int, help="blocks at the end of the text encoder that are left out (0)")


def check(given: argparse.Namespace) -> None:
    """Refuse what would be ignored.

    Raises:
      InputError: flags of other models, or some that go with others that are not there.
    """
    if not is_foreign(given.workdir):
        if asked := [name for name in FLAGS if getattr(given, name) is not None]:
            raise InputError(
                f"--{asked[0].replace('_', '-')}: is for folders of diffusers and single files: leave it out"
            )
        return
    for name in OTHERS:
        if (value := getattr(given, name)) is not None and value is not False:  # but 0 is
            raise InputError(f"--{name}: is not for folders of diffusers and single files: leave it out")
    nets, controls, strengths = (getattr(given, f) or [] for f in ("control_net", "control", "control_strength"))
    if (nets and len(nets) != len(controls)) or len(strengths) not in (0, len(controls)):
        raise InputError(
            f"--control-net: {len(nets)} given with {len(controls)} --control and {len(strengths)} --control-strength: "
            "give a picture for each, and a strength for each or none"
        )
    for name in (*SHARED, "image_guidance"):
        if getattr(given, name) is not None and given.image is None:
            raise InputError(f"--{name.replace('_', '-')}: goes with --image, the picture: give it, too")


def drawn(given: argparse.Namespace, options: Mapping[str, Any]) -> None:
    """Do what the command line says: samples.npy, grid.png and a picture each, below the current folder or --out."""
    model = load(given.workdir, given.weights, **_parts(given))
    if not prompts.read_prompts(given):
        raise InputError("--prompt: such a model is told a caption: give one, or --prompts FILE")
    draw, known = _drawing(given, model), _known(given, model)
    sampler = given.sampler or in_words(model.sampler["name"])
    steps = model.steps if given.steps is None else given.steps
    if not given.json:
        led_little = not given.guidance and "image" not in model.conditions
        without = "; without --guidance, such as 7.5, the caption is followed little" if led_little else ""
        print(f"{given.workdir}: {sampler}, {steps} steps{without}; compiling, and then drawing", flush=True)
    begin, found = time.perf_counter(), []
    options = {**options, "sampler": given.sampler, "steps": steps}
    words = read_words(
        given.workdir, given.tokenizer or "", given.clip_skip or 0, 1 if given.chunks is None else given.chunks
    )
    captions = prompts.read_prompts(given)
    for i in range(0, given.num, given.batch):
        n, first = min(given.batch, given.num - i), given.first + i
        told = {name: np.repeat(value, n, 0) for name, value in known.items()}
        told |= words([captions[(first + j) % len(captions)] for j in range(n)])
        away = words([no_words(given.workdir) if given.negative is None else given.negative] * n)
        led = {"negative": away} if given.guidance is not None or "image" in model.conditions else {}
        found.append(finite(np.asarray(draw(n, told, **led, first=first, **options))))
    with claimed(Path(given.out or "samples").expanduser()) as out:
        record = {**vars(given), "steps": steps, "seconds": time.perf_counter() - begin}
        names = _write(out, np.concatenate(found), record)
    if given.json:
        print(json.dumps({**record, "out": str(out), "files": names}))
    else:
        print(f"{given.num} drawn in {record['seconds']:.1f} s; look at {out / 'grid.png'}")


def _parts(given: argparse.Namespace) -> dict[str, Any]:
    """The options of loading."""
    parts: dict[str, Any] = {} if given.control_net is None else {"control": given.control_net}
    if given.size is not None:
        parts["size"] = shape.read_size(given.size)
    if given.scheduler:
        parts["scheduler"] = dict(map(_field, given.scheduler))
    return parts


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"--scheduler {text}: must be NAME=VALUE, such as prediction_type=v_prediction")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _known(given: argparse.Namespace, model: Model) -> dict[str, np.ndarray]:
    """What each picture is told beside the words: (1, ...)."""
    known, files = {}, given.control or []
    if len(files) != (wanted := sum(name.startswith("control") for name in model.conditions)):
        raise InputError(f"--control: {len(files)} given, and {wanted} networks of this model each follow a picture")
    strengths = given.control_strength or [1.0] * len(files)
    for i, (file, strength) in enumerate(zip(files, strengths, strict=True)):
        known[f"control{i}"] = (1 + _picture(file, model.conditions[f"control{i}"])) / 2
        known[f"strength{i}"] = np.array([strength], np.float32)
    if (given.depth is None) == ("depth" in model.conditions):
        raise InputError("--depth: goes with a model that is told depth, as Stable Diffusion 2's, and with no other")
    if given.depth is not None:
        depth = _picture(given.depth, model.conditions["depth"])
        if not np.ptp(depth):
            raise InputError(f"--depth {given.depth}: is the same everywhere, which tells nothing")
        known["depth"] = 2 * (depth - depth.min()) / np.ptp(depth) - 1
    return known


def _picture(file: str, spec: ConditionSpec) -> np.ndarray:
    """A picture as a condition: (1, height, width, channels) in [-1, 1]."""
    return read_picture(Path(file), tuple(side or 0 for side in spec.shape))[None]


def _drawing(given: argparse.Namespace, model: Model) -> Callable[..., Any]:
    """`(n, condition, ...) -> pictures`: drawn from nothing, from a picture, within its mask, or as instructed."""
    key, spec = jax.random.key(given.seed), model.ends.pictures
    if spec is None:
        raise InputError(f"{given.workdir!r} draws pictures without captions: load it from Python (jaxdiff.load)")
    instructed = "image" in model.conditions
    unused = ("strength", "mask") if instructed else ("image_guidance",)
    if asked := [name for name in unused if getattr(given, name) is not None]:
        kind = "an" if instructed else "no"
        raise InputError(f"--{asked[0].replace('_', '-')}: this model is {kind} InstructPix2Pix: leave it out")
    if given.image is None:
        if {"image", "masked"} & model.conditions.keys():
            raise InputError("--image: this model is told a picture: give one (with --mask, of one that fills in)")
        return lambda n, told, **options: latents.generate(model, key, n, told, **options)
    image = read_picture(Path(given.image), spec.shape)[None]
    repeated = lambda n: np.repeat(image, n, 0)
    strength = {} if given.strength is None else {"strength": given.strength}
    if given.mask is not None:
        mask = fitted_mask(given.mask, spec.shape)
        return lambda n, told, **options: latents.fill(model, key, repeated(n), mask, told, **strength, **options)
    if instructed:
        by = {"image_guidance": 1.5 if given.image_guidance is None else given.image_guidance}
        return lambda n, told, **options: latents.instruct(model, key, repeated(n), told, **by, **options)
    return lambda n, told, **options: latents.edit(model, key, repeated(n), told, **strength, **options)


def _write(out: Path, found: np.ndarray, record: Mapping[str, Any]) -> list[str]:
    """Write the pictures, and how they were drawn."""
    np.save(out / "samples.npy", found)
    pictures.save_grid(out / "grid.png", found[:SHOWN])
    for i, picture in enumerate(found):
        Image.fromarray(pictures.to_uint8(pictures.visible(picture))).save(out / f"{i:04d}.png")
    (out / "samples.json").write_text(json.dumps(record, indent=2) + "\n")
    return ["samples.npy", "samples.json", "grid.png", *(f"{i:04d}.png" for i in range(len(found)))]
