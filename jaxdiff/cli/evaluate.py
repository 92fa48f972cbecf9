"""Examples:
  jaxdiff evaluate --workdir runs/ddpm --num 10000 --json OUT.json     draw in a stream, and measure
  jaxdiff evaluate --workdir runs/ddpm --features pixels,digits --sampler ddim --steps 50
  jaxdiff evaluate --workdir runs/conformers --num 100 --each 5        of molecules held out, beside ETKDG
  jaxdiff evaluate --samples A.npy --reference B.npy                   of whatever program
  jaxdiff evaluate --samples A.npy --reference FOLDER --features inception --resize clean
  jaxdiff evaluate --samples A.npy --reference STATS.npz               statistics that were saved before
  jaxdiff evaluate --reference FOLDER --save-reference STATS.npz       save them, to share
  jaxdiff evaluate --convert weights-inception-2015-12-05-6726825d.pth

Of a run the reference is its training data, and real examples in place of samples are its held-out data; with --label
those of that class. Figures are named after their features: fd_pixels, kid_digits, precision_inception. Beside each
stands what as many real examples have, disjoint from the reference. What is computed lies in the run's folder, below
evaluation/, or in the user's cache: the same command goes on where it was killed. Writes a page with pictures, beside
the JSON. Of a run of conformers: coverage, matching, bonds, angles and hands, beside embeddings that need no training;
with PoseBusters installed, of molecules, too, what passes its checks.
"""

import argparse
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from jaxdiff.cli import evaluate_conformers
from jaxdiff.cli.output import is_quiet
from jaxdiff.cli.parser import Parser
from jaxdiff.cli.sample import opened, parse_option
from jaxdiff.cli.written import put_result
from jaxdiff.config import build
from jaxdiff.config.sampling import OPTIONS
from jaxdiff.data import numpy_file
from jaxdiff.errors import InputError, unknown
from jaxdiff.evaluation import report, statistics, weights
from jaxdiff.evaluation.evaluate import How, evaluate, reference_of
from jaxdiff.evaluation.features import find_features
from jaxdiff.evaluation.held_out import measure as held_out_bits
from jaxdiff.evaluation.held_out import unit_of
from jaxdiff.evaluation.neighbors import nearest
from jaxdiff.evaluation.sets import Examples, first, held, labels_like, of_model, of_path, of_source
from jaxdiff.evaluation.statistics import Statistics
from jaxdiff.modalities import completed, find
from jaxdiff.pipelines.load import load
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.pipeline import class_number
from jaxdiff.training.errors import explained
from jaxdiff.training.sharding import use_compilation_cache
from jaxdiff.types import Batch, Spec

__all__ = ["main", "make_parser"]

NUM, BATCH = 10_000, 256
DRAWING = ("sampler", "steps", "guidance", "label", "weights", "option", "num", "each", "batch", "likelihood")
MEASURING = ("held_out", "extrapolate", "intervals", "floor", "json", "report")
LEAST = {"num": 2, "each": 1, "batch": 1, "intervals": 0, "floor": 0, "seed": 0, "likelihood": 0}
BESIDE, NEAREST = 8, 3
"""Samples in the report that stand beside training examples, and how many of these are shown of each."""


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser("jaxdiff evaluate", usage="jaxdiff evaluate [options]", description=__doc__)
    what = parser.add_argument_group("what to measure").add_argument
    what("--workdir", default="", help="a run, the newest of a folder of runs, or a model folder")
    what("--samples", default="", help="a .npy or .npz, or a folder of pictures, in place of a run")
    what("--key", default="", help="of the samples in a .npz with several arrays")
    what(
        "--reference", default="", help="real examples: .npy, .npz, folder, .csv, digits, a prepared set; or STATS.npz"
    )
    what("--held-out", default="", help="real examples that are not in the reference; of a run its own by default")
    how = parser.add_argument_group("how to measure").add_argument
    how("--features", default="", help="pixels, digits, inception, columns, package.module:name; several with commas")
    how("--rounding", default="", help="of images, before: nearest (default), floor, none")
    how("--resize", default="tensorflow1", help="for inception: tensorflow1 (default) or clean")
    how("--weights-file", default="", help="of InceptionV3: a .safetensors or .npz; by default the one converted here")
    how("--intervals", type=int, default=10, help="groups of the jackknife; 0 for no intervals (10)")
    how("--floor", type=int, default=5, help="seeds of the same figures of real examples; 0 for none (5)")
    how("--likelihood", type=int, default=0, metavar="N", help="bits per dimension of N held-out examples (0: none)")
    how("--extrapolate", action="store_true", help="the Fréchet distance also to infinitely many samples")
    draw = parser.add_argument_group("how to draw from a run").add_argument
    draw("--num", type=int, help="how many examples (10000); of conformers, how many held-out molecules (100)")
    draw("--each", type=int, help="of conformers: how many of each molecule (5)")
    draw("--weights", default="", help="a run's average by name; params; or a number, the width of one made afterwards")
    draw("--label", help="class to draw; by default as often as each is in the data of training")
    draw("--seed", type=int, default=0, help="of all noise, and of the measures (0)")
    draw("--batch", type=int, default=BATCH, help="how many of them at once (256)")
    draw("--sampler", help="the run's own by default")
    draw("--steps", type=int, help="of the sampler; the run's own by default")
    draw("--guidance", type=float, help="scale of classifier-free guidance")
    draw("--option", action="append", default=[], metavar="NAME=VALUE", help="any other of the sampler's")
    write = parser.add_argument_group("what to write").add_argument
    write("--json", default="", help="a file for all figures and what they depend on")
    write(
        "--report",
        default="",
        help="a page of HTML; by default beside the JSON, or report.html in the folder of what is computed",
    )
    write("--save-reference", default="", metavar="STATS.npz", help="the reference's statistics, to share")
    write("--convert", default="", metavar="FILE", help="make .safetensors of InceptionV3's weights, a .pth or a .pb")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line: 0 if all went well, 2 for bad input."""
    given = make_parser().parse_args(arguments)
    try:
        use_compilation_cache()
        with explained("lower --batch"):
            check(given)
            if given.convert:
                print(f"InceptionV3's weights are in {weights.convert(given.convert)}")
            elif given.samples or given.workdir:
                run(given)
            else:
                save_reference(given)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: the same command goes on from there", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def check(given: argparse.Namespace) -> None:
    """Refuse what does not go together, and numbers out of their range."""
    said = said_of(given)
    if given.convert:
        _refuse([name for name in said if name != "convert"], "goes without --convert")
        return
    if bool(given.workdir) + bool(given.samples) > 1:
        raise InputError("--workdir and --samples: give one of them")
    if not (given.workdir or given.samples) and not (given.reference and given.save_reference):
        raise InputError("give --workdir RUN, or --samples with --reference, or --reference with --save-reference")
    if given.samples and not given.reference:
        raise InputError("--samples: go with a --reference: what are they compared with?")
    if not given.workdir:
        _refuse([name for name in DRAWING if name in said], "is for drawing from a run, and none is drawn from")
    if not given.samples:
        _refuse([name for name in ("key",) if name in said], "is of --samples")
    if not (given.workdir or given.samples):
        _refuse([name for name in MEASURING if name in said], "is for measuring, and there are no samples")
    if given.held_out and given.likelihood:
        raise InputError("--likelihood: is of the run's own held-out data, not of --held-out: leave one of them out")
    if "inception" not in given.features:
        _refuse([name for name in ("resize", "weights_file") if name in said], "is for --features inception")
    if given.intervals == 1:
        raise InputError("--intervals 1: at least 2, or 0 for none")
    for name, least in LEAST.items():
        if (value := getattr(given, name)) is not None and value < least:
            raise InputError(f"--{name} {value}: at least {least}")


def _refuse(names: list[str], why: str) -> None:
    """Refuse the first of some flags."""
    if names:
        raise InputError(f"--{names[0].replace('_', '-')}: {why}: leave it out")


def run(given: argparse.Namespace) -> None:
    """Draw or read samples, measure, and write what was found."""
    if given.workdir:
        folder, config = opened(given.workdir)
        model = load(folder, given.weights)
        above = folder / "evaluation" if (folder / "checkpoints").is_dir() else weights.cache()
        if "conformers" in model.spec.details:
            _refuse([name for name in said_of(given) if name in evaluate_conformers.FOREIGN], "is not of conformers")
            evaluate_conformers.compared(given, folder, config, model, above, options_of(given))
            return
        _refuse(["each"] * (given.each is not None), "is of conformers, and this run draws others")
        samples, real, held_out = drawn(given, folder, config, model)
    else:
        model, config, above, real = None, {}, weights.cache(), None
        stats = Path(given.reference).suffix == ".npz" and is_statistics(given.reference)
        if not stats:
            real = of_path(given.reference)
        samples = of_path(given.samples, given.key, real and real.spec)
        if real and real.spec.shape != samples.spec.shape:  # a folder, which comes in any size
            real = of_path(given.reference, like=samples.spec)
        held_out = None
    if given.reference and given.workdir:
        real = None if is_statistics(given.reference) else of_path(given.reference, like=samples.spec)
        held_out = None
    if given.held_out:
        held_out = of_path(given.held_out, like=samples.spec)
    for name, other in (("reference", real), ("held-out data", held_out)):
        if other and (other.spec.shape, other.spec.modality) != (samples.spec.shape, samples.spec.modality):
            raise InputError(
                f"{name}: {other.spec.modality} of shape {other.spec.shape}, and the samples are "
                f"{samples.spec.modality} of shape {samples.spec.shape}: they must be the same"
            )
    kind, how = find(samples.spec.modality, "measured"), how_of(given, samples.spec)
    samples = held(samples, samples.size if hasattr(kind, "shares") else find(samples.spec.modality, "show").SHOWN)
    likelihood = bits(model, config, given) if model and given.likelihood else {}
    known = known_of(given, real, how)
    with tqdm(total=samples.size, unit="example", disable=is_quiet()) as bar:
        result = evaluate(samples, known, held_out, how, above, weights.cache(), lambda n: bar.update(n - bar.n))
    if hasattr(kind, "shares"):
        all_of = (one and first(one, one.size) for one in (samples, real, held_out))
        result["shares"] = kind.shares(samples.spec, *all_of)
    if given.save_reference:
        statistics.save(given.save_reference, known, how.features)
    if likelihood:
        result |= {"likelihood": likelihood, "unit": unit_of(samples.spec)}
    write(given, result, samples, real, above)


def said_of(given: argparse.Namespace) -> list[str]:
    """The names of the flags that are given."""
    return [name for name, value in vars(make_parser().parse_args([])).items() if getattr(given, name) != value]


def options_of(given: argparse.Namespace) -> dict[str, Any]:
    """The options of the sampler that `--option` gives."""
    options = dict(map(parse_option, given.option))
    if foreign := [name for name in options if name not in OPTIONS]:
        raise unknown("--option", foreign[0], OPTIONS)
    return options


def bits(model: Model, config: dict, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The likelihood of held-out examples of a run, evenly spread: {name: {"mean", "error"}}."""
    source = build.held_out(config, model.spec)
    figures = held_out_bits(model, source, jax.random.key(given.seed), given.likelihood)
    return {name.strip(): figure._asdict() for name, figure in figures.items()}


def drawn(
    given: argparse.Namespace, folder: Path, config: dict, model: Model
) -> tuple[Examples, Examples, Examples | None]:
    """What a run draws, its training data, and its held-out data, if it has some."""
    options, num = options_of(given), given.num or NUM
    options |= {name: value for name in ("guidance", "sampler", "steps") if (value := getattr(given, name)) is not None}
    if model.conditions.keys() - {"label", *completed(model.spec)}:
        raise InputError(f"evaluate: this model is told {', '.join(model.conditions)}: give what it drew as --samples")
    told = {"workdir": str(folder), "label": given.label, "params_sha256": weights.of_params(model.params)}
    label = None if given.label is None else class_number(given.label, model)
    source, labels = build.rescaled(build.source(config), model.spec, "data"), None
    if label is not None:
        options["condition"] = label
    elif "label" in model.conditions:
        labels = labels_like(source, num, given.seed)
        told["label"] = "as often as in the data of training"
    samples = of_model(model, num, given.batch, given.seed, told, labels, **options)
    others = build.held_out(config, model.spec) if config.get("held_out") else None
    alone = label if label is not None and label >= 0 else None  # -1 is that of none
    of = lambda source, name: of_source(source, name, alone)
    return samples, of(source, "data"), others and of(others, "held_out")


def how_of(given: argparse.Namespace, spec: Spec) -> How:
    """How to measure examples of a specification."""
    kind = find(spec.modality, "measured")
    names = given.features.split(",") if given.features else [kind.FEATURES[0]]
    features = [find_features(name.strip(), spec, given.resize, given.weights_file) for name in names]
    rounding = given.rounding or next(iter(kind.ROUNDINGS))
    return How(features, rounding, given.intervals, given.floor, given.extrapolate, given.seed)


def is_statistics(path: str) -> bool:
    """Tell whether a file holds statistics, and no examples."""
    if not Path(path).is_file() or Path(path).suffix != ".npz":
        return False
    with contextlib.suppress(Exception):  # the reader of examples says what is wrong with a file
        names = set(numpy_file.names_in(path) or [])
        return "told" in names or {"mu", "sigma"} <= names
    return False


def known_of(given: argparse.Namespace, real: Examples | None, how: How) -> dict[str, Statistics]:
    """The statistics of the reference."""
    if real is None:
        return statistics.load(given.reference, how.features, how.rounding)
    return reference_of(real, how, weights.cache())


def save_reference(given: argparse.Namespace) -> None:
    """Write the statistics of a reference alone."""
    real = of_path(given.reference)
    how = how_of(given, real.spec)
    statistics.save(given.save_reference, reference_of(real, how, weights.cache()), how.features)
    print(f"{given.save_reference}: {', '.join(f.name for f in how.features)} of {real.size:,} examples")


def write(
    given: argparse.Namespace, result: dict[str, Any], samples: Examples, real: Examples | None, above: Path
) -> None:
    """Print the figures, and write the JSON and the page."""
    print(report.in_columns(*report.table(result)))
    for who, shares in result.get("shares", {}).items():
        print(f"{who}: " + ", ".join(f"{name} {share:.4g}" for name, share in shares.items()))
    for line in result["warnings"]:
        print(f"warning: {line}")
    shown = illustrated(samples, real)
    if given.workdir:
        shown |= report.curves(Path(result["samples"]["workdir"]))
    page = report.page(f"{given.workdir or given.samples}: {samples.size:,} samples", result, shown)
    put_result(result, page, given.json, given.report, above)


def illustrated(samples: Examples, real: Examples | None) -> dict[str, np.ndarray | None]:
    """Pictures: samples, beside real examples where the modality shows some, and what is nearest to the first."""
    show, kind = find(samples.spec.modality, "show"), find(samples.spec.modality, "measured")
    some = first(samples, show.SHOWN)
    beside = Batch(first(real, show.SHOWN)) if real and show.BESIDE else None
    shown: dict[str, np.ndarray | None] = {"samples": show.preview(samples.spec, Batch(some), beside)}
    if real and hasattr(kind, "beside"):
        shown["samples, each beside its nearest training examples"] = near(kind, samples.spec, some[:BESIDE], real)
    return shown


def near(kind: Any, spec: Spec, some: np.ndarray, real: Examples) -> np.ndarray | None:
    """The nearest real examples of some samples by their values, found in a stream."""
    at, best, distances = kind.values(spec, some), None, np.full((len(some), 0), np.inf)
    for batch in real.batches(0):
        far, which = nearest(at, kind.values(spec, batch), min(NEAREST, len(batch)))
        found = np.asarray(batch)[which]
        best = found if best is None else np.concatenate([best, found], 1)
        distances = np.concatenate([distances, far], 1)
        keep = np.argsort(distances, 1, kind="stable")[:, :NEAREST]
        rows = np.arange(len(some))[:, None]
        best, distances = best[rows, keep], distances[rows, keep]
    return None if best is None else kind.beside(spec, some, best)
