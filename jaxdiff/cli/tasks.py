"""Edit files: what `sample.py --task` does. Pictures or arrays in, pictures and arrays out.

The input is a picture, a folder of pictures, a .npy or .npz, or "held_out": the first images of the run's held-out
data. Into the run's folder, under samples/TASK, go images.npz (float32, in [-1, 1]), a PNG of each of the first 64, and
before_after.png, where each column is an image: what was given above what came of it.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from jaxdiff import pipelines
from jaxdiff.cli.inputs import MASKS, degrade, gaussian, is_conditional, read_counts, read_input, read_labels, read_mask
from jaxdiff.errors import InputError, unknown
from jaxdiff.guidance.sdedit import noise_level
from jaxdiff.modalities.images import pictures
from jaxdiff.pipelines.anomaly import threshold
from jaxdiff.pipelines.load import load, load_classifier
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite

SHOWN = 64
FLOW_STEPS = 100
TASKS: dict[str, tuple[str, ...]] = {
    "inpaint": ("mask", "method", "repeats", "noise", "scale", "draws"),
    "outpaint": ("method", "repeats", "noise", "scale", "draws"),
    "translate": ("strength", "to"),
    "vary": ("strength",),
    "denoise": ("noise", "degrade"),
    "restore": ("operator", "blur", "method", "noise", "scale", "draws", "degrade"),
    "super_resolve": ("factor", "method", "noise", "scale", "draws", "degrade"),
    "cascade": ("then", "noise"),
    "guide": ("classifier", "scale"),
    "autoguide": ("worse", "scale"),
    "interpolate": (),
    "swap": ("to",),
    "detect": ("method", "levels", "normal", "false_positives"),
    "synthesize": ("per_class",),
}
"""What there is to do, and the arguments of each; all but those that DRAW take an input, too."""
DRAW = ("synthesize", "cascade", "guide", "autoguide")
DEFAULTS = {"mask": "left", "operator": "blur", "blur": 1.0, "per_class": "10", "input": "held_out"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `perform` reads from the command line."""
    parser.add_argument("--task", help=f"what to do with --input: {', '.join(TASKS)}")
    parser.add_argument("--input", help="a picture, a folder, a .npy or .npz, or, by default, held_out (data)")
    parser.add_argument("--mask", help=f"what is known: a picture, or {', '.join(MASKS)}")
    parser.add_argument(
        "--method",
        help="inpaint: repaint or replace; it and restore: moment_matching, pigdm, ddnm, ddrm, dps; super_resolve: "
        "these, or conditional; detect: denoising_error, msma, reconstruction, likelihood",
    )
    parser.add_argument("--scale", type=float, help="of dps, guide and autoguide: how strongly to lead")
    parser.add_argument(
        "--draws", type=int, help="inpaint, outpaint, restore, super_resolve: give the mean of so many draws; 1"
    )
    parser.add_argument("--repeats", type=int, help="of each step of repaint; 10")
    parser.add_argument("--strength", type=float, help="translate and vary: how far back to the noise to go, 0 to 1")
    parser.add_argument("--noise", type=float, help="standard deviation of the input's noise, of pixels in [-1, 1]")
    parser.add_argument("--operator", help="restore: blur (by default) or grey")
    parser.add_argument("--blur", type=float, help="restore: standard deviation of the blur, in pixels; 1")
    parser.add_argument("--factor", type=int, help="super_resolve: how much smaller the input is; 2, or as learned")
    parser.add_argument(
        "--degrade", action="store_true", default=None, help="first do to the input what is to be undone; tells PSNR"
    )
    parser.add_argument("--guidance", type=float, help="scale of classifier-free guidance")
    parser.add_argument(
        "--to", type=int, help="swap and translate: the class wanted; for swap, --label is that of the input"
    )
    parser.add_argument("--per-class", help="synthesize: images of each class, 10; or a number for each: 5,0,20")
    parser.add_argument("--then", nargs="+", metavar="RUN", help="cascade: the runs that enlarge, in turn")
    parser.add_argument("--classifier", metavar="RUN", help="guide: the classifier's run")
    parser.add_argument("--worse", metavar="RUN", help="autoguide: the run, or RUN@WEIGHTS, to lead away from")
    parser.add_argument("--levels", nargs="+", type=float, metavar="LEVEL", help="detect: noise levels sigma / alpha")
    parser.add_argument("--normal", help="detect: images that are not strange, like --input; they set the threshold")
    parser.add_argument(
        "--false-positives", type=float, help="detect: share of --normal that the threshold calls strange; 0.05"
    )


def check(asked: argparse.Namespace, options: Iterable[str] = ()) -> None:
    """Refuse what would be ignored: an argument of another task, or, without a task, of any.

    Args:
      options: those of the sampler that were given.
    """
    if asked.task not in (None, *TASKS):
        raise unknown("task", asked.task, TASKS)
    mine = TASKS[asked.task] if asked.task else ()
    mine = (*mine, "input") if asked.task and asked.task not in DRAW else mine
    for name in {"input": 0, **{name: 0 for names in TASKS.values() for name in names}}:
        if getattr(asked, name) is not None and name not in mine:
            having = [task for task, names in TASKS.items() if name in names or (name == "input" and task not in DRAW)]
            where = f"not with {asked.task}" if asked.task else "which --task names"
            raise InputError(f"--{name.replace('_', '-')}: goes with {', '.join(having)}, {where}")
    if asked.operator not in (None, "blur", "grey"):
        raise unknown("operator", asked.operator, ("blur", "grey"))
    if asked.blur is not None and asked.operator == "grey":
        raise InputError("--blur: goes with --operator blur")
    if asked.task == "translate" and None not in (asked.label, asked.to):
        raise InputError("--label: translate draws one class, which --to names: leave one of them out")
    if asked.task == "synthesize" and asked.label is not None:
        raise InputError("--label: synthesize draws all classes: tell how many of each with --per-class")
    if asked.levels is not None and asked.method == "likelihood":
        raise InputError("--levels: the likelihood is that of levels of its own")
    if asked.false_positives is not None and asked.normal is None:
        raise InputError("--false-positives: is the share of the images of --normal: give these, too")
    flow = asked.task in ("swap", "interpolate")
    if flow or (asked.task == "detect" and asked.method != "reconstruction"):
        for name in (*options, *(["steps"] if asked.steps is not None and not flow else [])):
            raise InputError(f"{name}: {asked.task} draws with no sampler, and has no use for it")


def perform(asked: argparse.Namespace, folder: Path, config: dict, model: Model, options: dict) -> None:
    """Do a task, and write what came of it.

    Raises:
      InputError: an unknown task, input that does not fit, or a folder that cannot be written.
    """
    check(asked, options.keys() - {"steps"})
    given = {name: value for name, value in vars(asked).items() if value is not None}
    asked = argparse.Namespace(**{**vars(asked), **DEFAULTS, **given})
    key = jax.random.key(asked.seed)
    if asked.task in DRAW:
        _draw(asked, key, folder / "samples" / asked.task, model, options)
        return
    given, truth = read_input(asked, config, model), None
    normal = None
    if asked.normal is not None:
        normal = read_input(argparse.Namespace(**{**vars(asked), "input": asked.normal}), config, model)
    if normal is not None and asked.method == "msma":
        options, normal = options | {"normal": normal[::2]}, normal[1::2]
    if asked.degrade:
        given, truth = degrade(asked, given, is_conditional(asked, model)), given
    if asked.task == "denoise" and asked.noise is None:
        asked.noise = float(np.median(noise_level(given)))
    step = len(given) if asked.task == "interpolate" else asked.batch
    parts = [_run(asked, key, model, given[i : i + step], i, options) for i in range(0, len(given), step)]
    result = finite(np.concatenate([images for images, _ in parts]))
    extra = {name: finite(np.concatenate([more[name] for _, more in parts]), name) for name in parts[0][1]}
    if asked.task == "detect":
        extra["maps"] = result
        result = np.repeat(2 * result / max(result.max(), 1e-30) - 1, model.shape[-1], axis=-1)
    before = None if asked.task == "interpolate" else np.stack([_fill(image, model.shape) for image in given])
    out = folder / "samples" / asked.task
    rows = [part for part in (truth, before, result) if part is not None]
    _write(out, result, {"images": result, **extra}, rows)
    if truth is not None and before is not None and truth.shape == result.shape:
        print(f"PSNR {psnr(result, truth):.2f} dB, of the input {psnr(before, truth):.2f} dB")
    if "scores" in extra:
        _report_scores(asked, key, model, extra["scores"], normal, options, out)


def _draw(asked, key, out: Path, model: Model, options: dict) -> None:
    """The tasks that need no input."""
    if asked.task == "synthesize":
        counts = read_counts(asked.per_class, model.num_classes)
        pixels, labels = pipelines.synthesize(model, key, counts, asked.batch, **options)
        _write(out, pixels / 127.5 - 1, {"images": pixels, "labels": labels})
        return
    further = {} if asked.scale is None else {"scale": asked.scale}
    classes = model.num_classes
    match asked.task:
        case "cascade":
            models = [model, *map(load, needed(asked, "then", "the runs that enlarge what this one draws"))]
            classes = max(m.num_classes for m in models)
            draw = lambda i, n, labels: pipelines.cascade(models, key, n, asked.noise, labels, i, **options)
        case "guide":
            classifier = load_classifier(needed(asked, "classifier", "a run of configs/classifier.py"))
            classes, options = classifier.num_classes, options | further
            draw = lambda i, n, labels: [pipelines.guide(model, key, classifier, labels, first=i, **options)]
        case _:
            path, _, weights = needed(asked, "worse", "a run, or RUN@WEIGHTS, such as this one's own").partition("@")
            worse, options = load(path, weights), options | further
            draw = lambda i, n, labels: [
                pipelines.autoguide(model, key, n, worse, condition=labels, first=i, **options)
            ]
    if asked.label is not None and not classes:
        raise InputError("--label: these models were trained without classes; leave it out")
    labels = np.arange(asked.num) % classes if classes else None
    labels = labels if asked.label is None else np.full(asked.num, asked.label)
    parts = []
    for i in range(0, asked.num, asked.batch):
        n = min(asked.batch, asked.num - i)
        parts.append(draw(i, n, None if labels is None else labels[i : i + n]))
    stages = [finite(np.concatenate(stage)) for stage in zip(*parts, strict=True)]
    shape = stages[-1].shape[1:]
    rows = [np.stack([_fill(image, shape) for image in stage[:SHOWN]]) for stage in stages] if len(stages) > 1 else None
    _write(out, stages[-1], {"images": stages[-1]}, rows)


def needed(asked: argparse.Namespace, name: str, what: str):
    """The value of an argument without which the task is nothing."""
    value = getattr(asked, name)
    if value is None:
        raise InputError(f"{asked.task}: give --{name}, {what}")
    return value


def _report_scores(asked, key, model: Model, scores, normal: np.ndarray | None, options: dict, out: Path) -> None:
    """How well what is labeled as strange is told from the rest, and how much lies above a threshold."""
    print(f"scores from {scores.min():.4f} to {scores.max():.4f}, in images.npz")
    labels = read_labels(asked.input, len(scores))
    if labels is not None:
        from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

        strange = labels != 0
        if strange.all() or not strange.any():
            raise InputError(f"--input {asked.input}: its labels are to tell strange images (1) from normal ones (0)")
        auc, precision = roc_auc_score(strange, scores), average_precision_score(strange, scores)
        print(f"{strange.sum()} of {len(scores)} are strange: ROC-AUC {auc:.3f}, average precision {precision:.3f}")
        curve = list(zip(*roc_curve(strange, scores)[:2], strict=True))
        pictures.save_curves(
            out / "roc.png", {"found of the strange": curve}, xlabel="share of normal", yscale="linear"
        )
    if normal is None:
        return
    share = 0.05 if asked.false_positives is None else asked.false_positives
    starts = range(0, len(normal), asked.batch)
    known = [_run(asked, key, model, normal[i : i + asked.batch], i, options) for i in starts]
    known = finite(np.concatenate([more["scores"] for _, more in known]), "scores of --normal")
    bound = threshold(known, share)
    found = scores > bound
    print(f"threshold {bound:.4f}: above are {share:.1%} of {len(known)} normal images, {found.sum()} of the input")
    if labels is not None:
        print(f"of the strange ones {found[labels != 0].mean():.1%}, of the others {found[labels == 0].mean():.1%}")


def _run(
    asked, key, model: Model, images: np.ndarray, first: int, options: dict
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What the task makes of a batch of images, of which this is the number of the first, and what it tells of them."""
    n, options = len(images), options | {"first": first}
    labels = lambda label: None if label is None else np.full(n, label)
    if asked.label is not None and asked.task not in ("swap", "interpolate"):
        options = options | {"condition": labels(asked.label)}
    names = ("method", "noise", "scale", "repeats", "levels", "draws")
    method, noise, scale, repeats, levels, draws = (
        {k: v} if (v := getattr(asked, k)) is not None else {} for k in names
    )
    extra = {}
    match asked.task:
        case "inpaint":
            mask = read_mask(asked.mask, model.shape)
            result = pipelines.inpaint(
                model, key, images, mask, **method, **repeats, **noise, **scale, **draws, **options
            )
        case "outpaint":
            result = pipelines.outpaint(model, key, images, **method, **repeats, **noise, **scale, **draws, **options)
        case "translate" | "vary":
            usual = 0.5 if asked.task == "translate" else 0.2
            strength = usual if asked.strength is None else asked.strength
            options = options if asked.to is None else options | {"condition": labels(asked.to)}
            result = pipelines.translate(model, key, images, strength, **options)
        case "denoise":
            result = pipelines.denoise(model, key, images, asked.noise, **options)
        case "restore" | "super_resolve":
            operator = asked.operator if asked.task == "restore" else "shrink"
            kernel = gaussian(asked.blur) if operator == "blur" else None
            if is_conditional(asked, model):
                if draws:
                    raise InputError("--draws: goes with a --method that restores, such as moment_matching")
                result = pipelines.enlarge(model, key, images, asked.noise or 0.0, **scale, **options)
            else:
                options |= method | scale | draws | ({} if asked.degrade and asked.method == "dps" else noise)
                result = pipelines.restore(model, key, images, operator, kernel=kernel, **options)
        case "swap":
            if asked.label is None or asked.to is None:
                raise InputError("swap: give --label, the class of the input, and --to, the one wanted")
            result = pipelines.swap(model, images, labels(asked.label), labels(asked.to), asked.steps or FLOW_STEPS)
        case "interpolate":
            if n < 2:
                raise InputError(f"interpolate: between two images, and {str(asked.input)!r} holds {n}")
            steps = asked.steps or FLOW_STEPS
            result = pipelines.interpolate(model, images[0], images[1], steps=steps, condition=asked.label)
        case _:
            if "normal" in options and asked.label is not None:
                options |= {"normal_condition": np.full(len(options["normal"]), asked.label)}
            if asked.method != "reconstruction":  # which draws
                options = {
                    k: v for k, v in options.items() if k in ("condition", "normal", "normal_condition", "first")
                }
            scores, result = pipelines.detect(model, key, images, **method, **levels, **options)
            result, extra = result[..., None], {"scores": scores}
    return np.asarray(result), extra


def psnr(images: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, the mean over images (n, ...) in [-1, 1]."""
    squares = np.mean((np.clip(images, -1, 1) - truth) ** 2, axis=tuple(range(1, truth.ndim)))
    return float(np.mean(10 * np.log10(4 / np.maximum(squares, 1e-12))))


def _fill(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A smaller image, enlarged, on black, and with as many channels, to be shown beside others."""
    zoom = max(1, min(shape[0] // image.shape[0], shape[1] // image.shape[1]))
    image = image.repeat(zoom, 0).repeat(zoom, 1)
    canvas = np.full(shape, -1, np.float32)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas


def _write(out: Path, images: np.ndarray, arrays: dict[str, np.ndarray], rows: list[np.ndarray] | None = None) -> None:
    rows = [np.asarray(row)[:16] for row in rows or [images]]
    try:
        out.mkdir(parents=True, exist_ok=True)
        np.savez(out / "images.npz", allow_pickle=False, **arrays)
        for i, image in enumerate(images[:SHOWN]):
            pixels = pictures.to_uint8(image)
            Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out / f"{i:04d}.png")
        columns = None if len(rows) == 1 else len(rows[0])
        pictures.save_grid(out / "before_after.png", np.concatenate(rows), columns=columns)
    except OSError as error:
        raise InputError(f"cannot write to {str(out)!r}: {error.strerror or error}") from error
    print(f"look at {out / 'before_after.png'}; all {len(images)} are in images.npz there")
