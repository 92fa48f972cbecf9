"""Edit files: what `sample.py --task` does. Pictures or arrays in, pictures and arrays out.

The input is a picture, a folder of pictures, a .npy or .npz, or "held_out": the first images of the run's held-out
data. Into the run's folder, under samples/TASK, go images.npz (float32, in [-1, 1]), a PNG of each of the first 64, and
before_after.png, where each column is an image: what was given above what came of it.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxdiff import data, edit, experiment, pictures
from jaxdiff.errors import InputError, unknown
from jaxdiff.model import Model

SHOWN = 64
FLOW_STEPS = 100
TASKS: dict[str, tuple[str, ...]] = {
    "inpaint": ("mask", "method"),
    "outpaint": ("method",),
    "translate": ("strength", "to"),
    "vary": ("strength",),
    "denoise": ("noise", "degrade"),
    "restore": ("operator", "blur", "method", "noise", "degrade"),
    "super_resolve": ("factor", "method", "noise", "degrade"),
    "interpolate": (),
    "swap": ("to",),
    "detect": ("method",),
    "synthesize": ("per_class",),
}
"""What there is to do, and the arguments of each."""
DEFAULTS = {"mask": "left", "operator": "blur", "blur": 1.0, "factor": 2, "per_class": 10, "input": "held_out"}
MASKS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "left": lambda y, x: x < 0.5,
    "top": lambda y, x: y < 0.5,
    "border": lambda y, x: np.maximum(abs(y - 0.5), abs(x - 0.5)) > 0.25,
    "centre": lambda y, x: np.maximum(abs(y - 0.5), abs(x - 0.5)) < 0.25,
}
"""What is known, by name; a picture may say so, too: white where it is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `perform` reads from the command line."""
    parser.add_argument("--task", help=f"what to do with --input: {', '.join(TASKS)}")
    parser.add_argument("--input", help="a picture, a folder, a .npy or .npz, or, by default, held_out (data)")
    parser.add_argument("--mask", help=f"what is known: a picture, or {', '.join(MASKS)}")
    parser.add_argument(
        "--method", help="inpaint: repaint or replace; both and restore: moment_matching, pigdm, ddnm, dps"
    )
    parser.add_argument("--strength", type=float, help="translate and vary: how far to the noise, 0 to 1")
    parser.add_argument("--noise", type=float, help="standard deviation of the input's noise, of pixels in [-1, 1]")
    parser.add_argument("--operator", help="restore: blur (by default) or grey")
    parser.add_argument("--blur", type=float, help="restore: standard deviation of the blur, in pixels; 1")
    parser.add_argument("--factor", type=int, help="super_resolve: how many times smaller the input is; 2")
    parser.add_argument(
        "--degrade", action="store_true", default=None, help="first do to the input what is to be undone; tells PSNR"
    )
    parser.add_argument("--guidance", type=float, help="scale of classifier-free guidance")
    parser.add_argument("--to", type=int, help="swap and translate: the class wanted; --label is that of the input")
    parser.add_argument("--per-class", type=int, help="synthesize: images of each class; 10")


def check(asked: argparse.Namespace, options: Iterable[str] = ()) -> None:
    """Refuse what would be ignored: an argument of another task, or, without a task, of any.

    Args:
      options: those of the sampler that were given.
    """
    if asked.task not in (None, *TASKS):
        raise unknown("task", asked.task, TASKS)
    mine = ("input", *TASKS[asked.task]) if asked.task else ()
    for name in {"input": 0, **{name: 0 for names in TASKS.values() for name in names}}:
        if getattr(asked, name) is not None and name not in mine:
            having = [task for task, names in TASKS.items() if name in ("input", *names)]
            where = f"not with {asked.task}" if asked.task else "which --task names"
            raise InputError(f"--{name.replace('_', '-')}: goes with {', '.join(having)}, {where}")
    flow = asked.task in ("swap", "interpolate")
    if flow or (asked.task == "detect" and asked.method != "reconstruction"):
        for name in (*options, *(["steps"] if asked.steps is not None and not flow else [])):
            raise InputError(f"{name}: {asked.task} draws with no sampler, and has no use for it")


def perform(asked: argparse.Namespace, folder: Path, config: dict, model: Model, options: dict) -> None:
    """Do a task, and write what came of it.

    Raises:
      InputError: an unknown task, input that does not fit, or a folder that cannot be written.
    """
    check(asked, set(options) - {"steps"})
    given = {name: value for name, value in vars(asked).items() if value is not None}
    asked = argparse.Namespace(**{**vars(asked), **DEFAULTS, **given})
    key = jax.random.key(asked.seed)
    if asked.task == "synthesize":
        images, labels = edit.synthesize(model, key, [asked.per_class] * model.num_classes, asked.batch, **options)
        _write(folder / "samples" / asked.task, images / 127.5 - 1, {"images": images, "labels": labels})
        return
    given, truth = read_input(asked, config, model), None
    if asked.degrade:
        given, truth = degrade(asked, given), given
    result, extra = _run(asked, key, model, given, options)
    before = np.stack([_fill(image, model.shape) for image in given]) if len(given) == len(result) else None
    out = folder / "samples" / asked.task
    rows = [part for part in (truth, before, result) if part is not None]
    _write(out, result, {"images": result, **extra}, rows)
    if truth is not None and before is not None and truth.shape == result.shape:
        print(f"PSNR {psnr(result, truth):.2f} dB, of the input {psnr(before, truth):.2f} dB")
    if "scores" in extra:
        print(f"scores from {extra['scores'].min():.4f} to {extra['scores'].max():.4f}, in images.npz")


def _run(asked, key, model: Model, images: np.ndarray, options: dict) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    n = len(images)
    labels = lambda label: None if label is None else np.full(n, label)  # noqa: E731
    if asked.label is not None and asked.task not in ("swap", "interpolate"):
        options = options | {"condition": labels(asked.label)}
    method = {"method": asked.method} if asked.method else {}
    extra = {}
    match asked.task:
        case "inpaint":
            result = edit.inpaint(model, key, images, read_mask(asked.mask, model.shape), **method, **options)
        case "outpaint":
            result = edit.outpaint(model, key, images, **method, **options)
        case "translate" | "vary":
            usual = 0.5 if asked.task == "translate" else 0.2
            strength = usual if asked.strength is None else asked.strength
            options = options if asked.to is None else options | {"condition": labels(asked.to)}
            result = edit.translate(model, key, images, strength, **options)
        case "denoise":
            result = edit.denoise(model, key, images, asked.noise, **options)
        case "restore" | "super_resolve":
            operator = asked.operator if asked.task == "restore" else "shrink"
            kernel = gaussian(asked.blur) if operator == "blur" else None
            noise = 0.05 if asked.noise is None else asked.noise
            result = edit.restore(model, key, images, operator, noise, kernel=kernel, **method, **options)
        case "swap":
            if asked.label is None or asked.to is None:
                raise InputError("swap: give --label, the class of the input, and --to, the one wanted")
            result = edit.swap(model, images, labels(asked.label), labels(asked.to), asked.steps or FLOW_STEPS)
        case "interpolate":
            if n < 2:
                raise InputError(f"interpolate: between two images, and {str(asked.input)!r} holds {n}")
            steps = asked.steps or FLOW_STEPS
            result = edit.interpolate(model, images[0], images[1], steps=steps, condition=asked.label)
        case _:
            scores, result = edit.detect(model, key, images, asked.method or "denoising_error", **options)
            extra = {"scores": scores}
            result = np.repeat(2 * result[..., None] / result.max() - 1, model.shape[-1], axis=-1)
    return np.asarray(result), extra


def read_input(asked: argparse.Namespace, config: dict, model: Model) -> np.ndarray:
    """The first --num images of the input, of the model's size, or of the size that the task takes."""
    path, (height, _, channels) = Path(asked.input), model.shape
    small = not asked.degrade
    if asked.task == "super_resolve" and (asked.factor < 1 or any(side % asked.factor for side in model.shape[:2])):
        raise InputError(f"--factor {asked.factor}: must divide the model's {model.shape[0]}x{model.shape[1]}")
    size = height // asked.factor if asked.task == "super_resolve" and small else height
    size = height // 2 if asked.task == "outpaint" and small else size
    channels = 1 if asked.task == "restore" and asked.operator == "grey" and small else channels
    if asked.input == "held_out":
        source = experiment.held_out(config)
    elif path.is_dir():
        source = data.folder(asked.input, size, channels, flip=False)
    elif path.suffix in (".npy", ".npz"):
        source = data.arrays(asked.input)
    elif path.is_file():
        return data.read_picture(path, size, channels)[None]
    else:
        raise InputError(f"--input {asked.input}: is no picture, folder, .npy or .npz, nor held_out")
    images = source.take(np.arange(min(asked.num, source.size))).x_0
    if asked.task == "outpaint" and images.shape[1:] == model.shape:
        y, x = ((side - side // 2) // 2 for side in model.shape[:2])
        images = images[:, y : y + model.shape[0] // 2, x : x + model.shape[1] // 2]
    return images


def degrade(asked: argparse.Namespace, images: np.ndarray) -> np.ndarray:
    """What the task undoes, done: noise, blur, fewer pixels or no colour."""
    task, noise = asked.task, 0.05 if asked.noise is None else asked.noise
    if task == "denoise":
        noise = 0.3 if asked.noise is None else asked.noise
    elif task == "super_resolve":
        images = np.asarray(edit.restoring.shrunk(asked.factor)(jnp.asarray(images)))
    elif asked.operator == "blur":
        images = np.asarray(edit.restoring.blurred(jnp.asarray(gaussian(asked.blur)))(jnp.asarray(images)))
    elif asked.operator == "grey":
        images = images.mean(-1, keepdims=True)
    return images + noise * np.random.default_rng(asked.seed).normal(size=images.shape).astype(np.float32)


def read_mask(mask: str, shape: tuple[int, ...]) -> np.ndarray:
    """(1, height, width, 1): 1 where a pixel is known."""
    height, width, _ = shape
    if mask in MASKS:
        y, x = (np.arange(height)[:, None] + 0.5) / height, (np.arange(width) + 0.5) / width
        return MASKS[mask](y, x).astype(np.float32)[None, ..., None] * np.ones((1, height, width, 1), np.float32)
    if not Path(mask).is_file():
        raise InputError(f"--mask {mask}: is no picture, and none of {', '.join(MASKS)}")
    try:
        with Image.open(mask) as picture:
            values = np.asarray(picture.convert("L"))
    except Exception as error:  # of a damaged file, Pillow's decoders raise all kinds
        raise InputError(f"--mask {mask}: cannot be read as a picture ({error})") from error
    if values.shape != (height, width):
        raise InputError(
            f"--mask {mask}: is {values.shape[0]}x{values.shape[1]}, and the model's images {height}x{width}"
        )
    if not np.isin(values, (0, 255)).all():
        raise InputError(f"--mask {mask}: holds greys: make it white (255) where a pixel is known, and black elsewhere")
    return (values == 255).astype(np.float32)[None, ..., None]


def gaussian(std: float) -> np.ndarray:
    """A blur's kernel, three standard deviations wide to each side."""
    if not 0 < std <= 10:
        raise InputError(f"--blur {std}: must be above 0 and at most 10 pixels")
    reach = int(np.ceil(3 * std))
    row = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std) ** 2)
    return np.outer(row, row) / row.sum() ** 2


def psnr(images: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, the mean over images (n, ...) in [-1, 1]."""
    squares = np.mean((np.clip(images, -1, 1) - truth) ** 2, axis=tuple(range(1, truth.ndim)))
    return float(np.mean(10 * np.log10(4 / np.maximum(squares, 1e-12))))


def _fill(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A smaller image, enlarged, or grey, made of as many channels, to be shown beside others."""
    zoom = max(1, shape[0] // image.shape[0])
    image = image.repeat(zoom, 0).repeat(zoom, 1)[: shape[0], : shape[1]]
    return np.broadcast_to(image, shape) if image.shape[:2] == shape[:2] else np.resize(image, shape)


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
