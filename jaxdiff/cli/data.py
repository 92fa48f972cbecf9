"""Examples:
  jaxdiff data prepare cifar10
  jaxdiff data prepare fashion_mnist --data-dir=DIR --archives=FOLDER
  jaxdiff data inspect digits
  jaxdiff data inspect PICTURES --size 64 --channels 3 --sheet sheet.png
  jaxdiff data inspect images.npz --key images --label-key labels
  jaxdiff data inspect cifar10
  jaxdiff data inspect TABLE.csv --label-key species
  jaxdiff data maze trips.npz --layout medium --trips 20000
  jaxdiff data latents FOLDER --workdir runs/autoencoder
  jaxdiff data features FOLDER --data fashion_mnist

`prepare` makes CIFAR-10, MNIST or Fashion-MNIST of their original archives, downloaded or lying in FOLDER, without
TensorFlow. The source to inspect is "digits", a folder of pictures, a .npy or .npz of images, a
.csv, or the name of a prepared TFDS set; the exit code is 1 if training would refuse some of it. `maze` writes
the trips that the dataset "maze" is made of, positions (n, steps, 2), and prints their SHA-256. `latents` writes what
an autoencoder (configs/autoencoder.py) makes of the data that it was trained on, for configs/latent.py:FOLDER.
`features` trains a small network to tell labeled images apart, whose features a loss can compare images by.
"""

import argparse
import hashlib
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.cli.parser import Parser
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.modalities import find, make_codec
from jaxdiff.modalities.images import arrays, digits, folder, pictures, tfds
from jaxdiff.modalities.images.tfds import ORIGINALS, import_tfds, open_prepared
from jaxdiff.modalities.tables import table
from jaxdiff.modalities.trajectories.mazes import MAZES
from jaxdiff.types import Batch

__all__ = ["findings", "inspect", "main", "make_parser", "open_source", "readable", "run_maze", "run_prepare"]

BATCH, CLASSES = 256, 20


TAKES = {
    "digits": (),
    "a folder": ("size", "width", "channels"),
    "a .csv": ("label_key", "missing"),
    "a .npy or .npz": ("key", "label_key", "low", "high"),
    "a prepared set": ("split", "data_dir", "size", "width", "channels"),
}
"""The options of `inspect` that are for each kind of source; the others are for all."""


def check_taken(args: argparse.Namespace, kind: str) -> None:
    """Refuse options that are not for a kind of source.

    Raises:
      InputError: there is one.
    """
    default = make_parser().parse_args(["inspect", args.source])
    for name in sorted({name for names in TAKES.values() for name in names} - {*TAKES[kind]}):
        if getattr(args, name) != getattr(default, name):
            raise InputError(f"--{name.replace('_', '-')}: is not for {kind}, as {args.source!r} is: leave it out")


def open_source(args: argparse.Namespace) -> Source:
    """Open the source that the command line names.

    Raises:
      InputError: there is none, or an option that is not for it.
    """
    path = Path(args.source)
    by_suffix = {".csv": "a .csv", ".npy": "a .npy or .npz", ".npz": "a .npy or .npz"}
    plain = "a folder" if path.is_dir() else by_suffix.get(path.suffix, "a prepared set")
    check_taken(args, "digits" if args.source == "digits" else plain)
    if args.source == "digits":
        return digits()
    if path.is_dir():
        return folder(args.source, args.size or 64, args.width, args.channels or 3)
    if path.suffix == ".csv":
        return table(args.source, args.label_key, missing=args.missing)
    if path.suffix in (".npy", ".npz"):
        return arrays(args.source, args.key, args.label_key, args.low, args.high)
    if path.exists() or path.is_absolute() or args.source.startswith((".", "~")):
        what = "is no" if path.exists() else "there is no such"
        raise InputError(f"{args.source!r}: {what} folder, .npy, .npz or .csv: name one, or a prepared set of TFDS")
    return tfds(args.source, args.split, args.data_dir, size=args.size, width=args.width, channels=args.channels)


def inspect(source: Source, sheet: Path | None = None, as_json: bool = False) -> int:
    """Print what is in a source, and write a contact sheet; 1 if some of it cannot be read, else 0."""
    show = find(source.spec.modality, "show")
    found, kept = findings(source, show.SHOWN)
    if sheet and len(kept):
        picture = show.preview(source.spec, Batch(make_codec(source.spec).decode(kept)), None)
        try:
            pictures.save_picture(sheet, picture)
        except ValueError as error:  # of another suffix
            raise InputError(f"--sheet {sheet}: {error}: name a picture, such as sheet.png") from error
        found["sheet"] = str(sheet)
    if as_json:
        print(json.dumps(found))
        return int(bool(found["refused"]))
    print(f"{source.size:,} {show.describe(source.spec)}")
    if values := found["values"]:
        low, high, mean, deviation = (f"{values[name]:.3f}" for name in ("low", "high", "mean", "deviation"))
        print(f"values from {low} to {high}, mean {mean}, standard deviation {deviation}")
    if classes := found["classes"]:
        counts = [f"{name}: {count:,}" for name, count in classes.items()]
        more = f", and {len(counts) - CLASSES} more" if len(counts) > CLASSES else ""
        print(f"{len(classes)} classes: {', '.join(counts[:CLASSES])}{more}")
        ratio = max(classes.values()) / max(min(classes.values()), 1)
        print(f"the largest has {ratio:.1f} times the examples of the smallest")
    print(f"{found['copies']:,} examples are copies of others")
    for reason in found["refused"]:
        print(f"refused: {reason}")
    if "sheet" in found:
        print(f"the first {len(kept)} are in {sheet}")
    return int(bool(found["refused"]))


def findings(source: Source, keep: int) -> tuple[dict[str, Any], np.ndarray]:
    """What is in a source, by name, and its first `keep` examples as they are stored."""
    kept, refused, seen, labels = [], [], Counter(), Counter()
    low, high, total, squares, values = np.inf, -np.inf, 0.0, 0.0, 0
    for start in range(0, source.size, BATCH):
        for batch in readable(source, np.arange(start, min(start + BATCH, source.size)), refused):
            x_0 = batch.x_0.astype(np.float64)
            low, high = min(low, x_0.min()), max(high, x_0.max())
            total, squares, values = total + x_0.sum(), squares + np.square(x_0).sum(), values + x_0.size
            seen.update(hashlib.sha256(example.tobytes()).digest() for example in batch.x_0)
            labels.update([] if batch.condition is None else batch.condition["label"].tolist())
            kept += list(batch.x_0[: keep - len(kept)])
    found = {"examples": source.size, "shape": source.spec.shape, "values": {}, "classes": {}}
    if values:
        mean = total / values
        deviation = math.sqrt(max(squares / values - mean**2, 0))
        found["values"] = {"low": float(low), "high": float(high), "mean": float(mean), "deviation": deviation}
    if labels:
        names = source.spec.details.get("classes") or range(source.conditions["label"].values or 0)
        found["classes"] = {str(name): labels[label] for label, name in enumerate(names)}
    return found | {"copies": sum(seen.values()) - len(seen), "refused": refused}, np.array(kept)


def readable(source: Source, indices: np.ndarray, refused: list[str]):
    """The examples of these numbers: at once, or, where one is refused, one by one."""
    try:
        yield source.take(indices)
    except InputError as error:
        if len(indices) == 1:
            refused.append(str(error))
            return
        for index in indices:
            yield from readable(source, np.array([index]), refused)


def run_prepare(args: argparse.Namespace) -> int:
    """Prepare what the command line names, and say what there is."""
    import_tfds()
    from jaxdiff.modalities.images.prepare import prepare  # imports it at once

    place = prepare(args.dataset, args.data_dir, args.archives)
    splits = open_prepared(place).info.splits
    counts = ", ".join(f"{name} {split.num_examples:,}" for name, split in splits.items())
    print(f"{args.dataset} is prepared in {place}: {counts}")
    return 0


def run_maze(args: argparse.Namespace) -> int:
    """Write trips through a maze, and print their hash."""
    from jaxdiff.config.parts import DATA  # a second to import

    if args.out.suffix != ".npz":
        raise InputError(f"{str(args.out)!r}: must be a .npz, such as trips.npz")
    given = {name: getattr(args, name) for name in ("layout", "trips", "steps", "stride", "split", "seed")}
    source = DATA.make({"name": "maze", **given})
    windows = make_codec(source.spec).decode(source.take(np.arange(source.size)).x_0)
    np.savez(args.out, allow_pickle=False, windows=windows)
    digest = hashlib.sha256(np.ascontiguousarray(windows).tobytes()).hexdigest()
    print(f"{len(windows):,} trips of {args.steps} steps are in {args.out}; sha256 of windows {digest}")
    return 0


def run_latents(args: argparse.Namespace) -> int:
    """Write what an autoencoder makes of its data, and say how well it codes what was held out."""
    from jaxdiff.config import build  # these take seconds to import
    from jaxdiff.config.record import find as find_run
    from jaxdiff.config.record import read_record
    from jaxdiff.pipelines import coder
    from jaxdiff.pipelines.load import load_coder

    made, config = load_coder(args.workdir, args.weights), read_record(find_run(args.workdir)).config
    sources = {"train": build.known(config, "data")}
    if config.get("held_out"):
        sources["held_out"] = build.known(config, "held_out")
    coder.write_latents(made, args.folder, sources)
    last, source = [*sources.items()][-1]
    x = source.take(np.linspace(0, source.size - 1, min(1000, source.size)).astype(int)).x_0
    twice = ", and mirrored," if sources["train"].flip else ""
    counts = ", ".join(f"{name} {source.size:,}" for name, source in sources.items()) + twice
    print(f"latents of {counts} are in {args.folder}; PSNR of {last}: {coder.psnr(made, x):.2f} dB")
    print(f"  jaxdiff train --config latent:{args.folder}")
    return 0


def run_features(args: argparse.Namespace) -> int:
    """Train a feature network, unless its file is there, and say where it is and what of it a loss needs."""
    from jaxdiff.evaluation.features import labeled  # these take seconds to import
    from jaxdiff.evaluation.train_features import trained

    found = trained(Path(args.data).stem, labeled(args.data), args.folder)
    print(f"{found.file}: tells {found.accuracy:.1%} of unseen images right")
    print(f"  --config.loss.perceptual=1 --config.loss.features.name=learned --config.loss.features.path={found.file}")
    return 0


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(prog="jaxdiff data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="inspect|prepare|maze|latents|features")
    command = commands.add_parser("inspect", help="count, shape, range, classes, copies, and what would be refused")
    command.add_argument(
        "source", help='"digits", a folder, a .npy or .npz of images, a .csv, or the name of a prepared TFDS set'
    )
    command.add_argument("--size", type=int, default=0, help="side in pixels, for folders (64) and TFDS (as stored)")
    command.add_argument("--width", type=int, default=0, help="in pixels, where --size is the height alone")
    command.add_argument("--channels", type=int, default=0, help="1 or 3, for folders (3) and TFDS (as stored)")
    command.add_argument("--key", default="", help="of the images in a .npz")
    command.add_argument("--label-key", default="", help="of the labels in a .npz, or their column in a .csv")
    command.add_argument("--missing", default="median", help="of values missing in a .csv: median, drop or refuse")
    command.add_argument("--low", type=float, default=-1.0, help="of floating-point pixels in an array")
    command.add_argument("--high", type=float, default=1.0)
    command.add_argument("--split", default="train", help="of a TFDS set")
    command.add_argument("--data-dir", default="", help="of a TFDS set; $TFDS_DATA_DIR or ~/tensorflow_datasets")
    command.add_argument("--sheet", type=Path, help="write a picture of the first examples to this file")
    command.add_argument("--json", action="store_true", help="print it as JSON")
    command.set_defaults(run=lambda args: inspect(open_source(args), args.sheet, args.json))
    command = commands.add_parser("prepare", help="make a TFDS set of its original archives, without TensorFlow")
    command.add_argument("dataset", help=", ".join(ORIGINALS))
    command.add_argument("--data-dir", default="", help="where to; $TFDS_DATA_DIR or ~/tensorflow_datasets")
    command.add_argument("--archives", default="", help="a folder with the archives, not to be downloaded")
    command.set_defaults(run=run_prepare)
    command = commands.add_parser("maze", help="write trips of a scripted planner through a maze")
    command.add_argument("out", type=Path, help="a .npz to write")
    command.add_argument("--layout", default="medium", help=", ".join(MAZES))
    command.add_argument("--trips", type=int, default=20_000, help="how many (20000)")
    command.add_argument("--steps", type=int, default=24, help="states a trip (24)")
    command.add_argument("--stride", type=int, default=16, help="steps of 0.01 seconds between two of them (16)")
    command.add_argument("--split", default="train", help="train, or test with the pairs of cells left out of it")
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=run_maze)
    command = commands.add_parser("latents", help="write what a trained autoencoder makes of its data")
    command.add_argument("folder", type=Path, help="a new folder to write")
    command.add_argument("--workdir", required=True, help="the run of the autoencoder")
    command.add_argument("--weights", default="", help="one of its averages, or params; the first average")
    command.set_defaults(run=run_latents)
    command = commands.add_parser("features", help="train a small network whose features a loss compares images by")
    command.add_argument("folder", type=Path, help="where to write its file, named by what it learned from")
    command.add_argument("--data", required=True, help='"digits", a .npz of "images" and "labels", or a prepared set')
    command.set_defaults(run=run_features)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line at the top of this file."""
    args = make_parser().parse_args(arguments)
    try:
        return args.run(args)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
