"""Edit: what a trained model does with your images. Arrays in, arrays out, one compiled call for each shape.

Images are (n, height, width, channels) in [-1, 1], of the model's size unless something else is said; `options` are
those of `Model.sample`: steps, sampler, condition (none by default), guidance, first ... What happens inside is in
`jaxdiff.tasks`.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.schema import check_value
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.noise import ByExample, normal
from jaxdiff.gaussian.process import Process, log_snr, require_white, time_at
from jaxdiff.gaussian.schedules import edm
from jaxdiff.guidance import sdedit as translating
from jaxdiff.modalities.images.low_resolution import as_condition
from jaxdiff.modalities.images.pictures import to_uint8
from jaxdiff.pipelines.anomaly import at_any_level, denoising_error, untypical
from jaxdiff.pipelines.edits import AS_NOISY, GUIDES, INPAINT, METHODS, OPERATORS, SDEDIT, restoration
from jaxdiff.pipelines.model import GUIDANCE, Bind, Given, Model, is_traced
from jaxdiff.pipelines.task import Inputs, Task
from jaxdiff.samplers import heun, invert, sample
from jaxdiff.types import Array, Condition, Key

CLASSES = "configs/guided.py, or another trained with net.num_classes"
LEAST, MOST = 0.02, 20.0
"""Noise levels sigma / alpha between which the way from an image to its noise lies, if the process has them."""
RESTORING = {"sampler": "dpmpp_2m", "steps": 12}
"""How the methods that guide a denoiser draw, unless told otherwise: without noise of their own, in a few steps."""
BEGIN = 5.0
"""The noise level at which restoring begins, if the process has it: several times the size of the data."""


def inpaint(
    model: Model,
    key: Key,
    images: np.ndarray,
    mask: np.ndarray,
    method: str = "repaint",
    repeats: int | None = None,
    noise: float | None = None,
    scale: float | None = None,
    draws: int = 1,
    **options,
) -> Array:
    """Draw what is unknown of images; the known pixels come back as they are.

    Args:
      mask: (n or 1, height, width, channels or 1): 1 where a pixel is known, 0 where it is to be drawn.
      method: "replace", "repaint" (`jaxdiff.guidance.inpainting`), or one of `restore`.
      repeats: of each step, for "repaint"; 10.
      noise: that the methods of `restore`, but for "dps", take the known pixels to have; 0.01.
      scale, draws: see `restore`.

    Raises:
      InputError: sizes that do not fit, a mask of other values, another method, or what the method has no use for.
    """
    images, mask = _images(model, images), np.asarray(mask)
    if mask.ndim != 4 or any(m not in (1, s) for m, s in zip(mask.shape, images.shape, strict=True)):
        raise InputError(f"mask of shape {mask.shape}: must fit images of shape {images.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise InputError("mask: holds values other than 0 (to be drawn) and 1 (known)")
    mask = np.broadcast_to(mask.astype(np.float32), images.shape)
    known = np.where(mask > 0, images, 0).astype(np.float32)
    if method not in ("replace", "repaint", *METHODS):
        raise unknown("method of inpainting", method, ("replace", "repaint", *METHODS))
    if repeats is not None and method != "repaint":
        raise InputError(f"repeats: goes with method 'repaint', not with {method!r}")
    shared, each = _measurement(method, noise, 0.01, scale, options), {"y": known, "mask": mask}
    if method in METHODS:
        task = restoration(method, "mask", model.shape, keep=True)
        return _mean(model, key, task, each, shared, draws, _restoring(model, method, options))
    repeats = (10 if repeats is None else repeats) if method == "repaint" else 1
    if not is_traced(repeats) and repeats < 1:
        raise InputError(f"repeats={repeats}: must be at least 1")
    return _mean(model, key, INPAINT, each, {"repeats": jnp.int32(repeats)}, draws, options)


def outpaint(model: Model, key: Key, images: np.ndarray, top: int = -1, left: int = -1, **options) -> Array:
    """Draw what surrounds images that are smaller than the model's; `options` also those of `inpaint`.

    Args:
      top, left: where their corner goes; in the middle by default.
    """
    images = np.asarray(images, np.float32)
    height, width, channels = model.shape
    if images.ndim != 4 or images.shape[1] > height or images.shape[2] > width or images.shape[3] != channels:
        raise InputError(f"images of shape {images.shape[1:]}: must fit into this model's {model.shape}")
    top = (height - images.shape[1]) // 2 if top < 0 else top
    left = (width - images.shape[2]) // 2 if left < 0 else left
    if top + images.shape[1] > height or left + images.shape[2] > width:
        raise InputError(f"top={top}, left={left}: the images of {images.shape[1:3]} reach beyond {model.shape[:2]}")
    place = np.s_[:, top : top + images.shape[1], left : left + images.shape[2]]
    canvas = np.zeros((len(images), *model.shape), np.float32)
    canvas[place], mask = images, np.zeros((1, height, width, 1))
    mask[place] = 1
    return inpaint(model, key, canvas, mask, **options)


def translate(model: Model, key: Key, images: np.ndarray, strength: float = 0.5, **options) -> Array:
    """Noise images to where the last `strength` of the grid's steps begins, and draw from there.

    Args:
      strength: in (0, 1]; a small one gives variations of an image.
      **options: among them `condition`, which may be another class.
    """
    images = _images(model, images)
    if not is_traced(strength) and not 0 < strength <= 1:
        raise InputError(f"strength={strength}: must be above 0 and at most 1")
    times = model.grid(options.get("steps") or model.steps)
    interp = jnp.interp if is_traced(strength) else np.interp
    start = interp((1 - strength) * (len(times) - 1), np.arange(len(times)), times).astype(np.float32)
    return _draw(model, key, len(images), SDEDIT, Inputs(images), start=start, **options)


def denoise(model: Model, key: Key, images: np.ndarray, noise: float | None = None, **options) -> Array:
    """Take white noise out of images: they are x_t where the model's noise is theirs, and are drawn on from there.

    Args:
      noise: its standard deviation; by default the median of what the images seem to have.

    Raises:
      InputError: noise beyond all that the grid visits.
    """
    images = _images(model, images, anything=True)
    require_white(_path(model), "denoise: white noise, as of x_t,")
    level = float(np.median(translating.noise_level(images))) if noise is None else noise
    if not is_traced(level) and not level > 0:
        raise InputError(f"noise={level}: must be above 0")
    return _draw(model, key, len(images), AS_NOISY, Inputs(images), start=_time_of(model, level), **options)


def restore(
    model: Model,
    key: Key,
    measured: np.ndarray,
    operator: str,
    noise: float | None = None,
    method: str = "moment_matching",
    kernel: np.ndarray | None = None,
    scale: float | None = None,
    draws: int = 1,
    **options,
) -> Array:
    """Restore blurred, downsampled or grey images (`jaxdiff.guidance.linear`), with a model that was not trained to.

    Args:
      measured: what the operator gave, with white noise.
      operator: "blur", with a `kernel` (size, size); "shrink", by the factor that the sizes say; "grey".
      noise: the standard deviation of the noise, above 0; 0.05. "dps" does not ask.
      method: "moment_matching", "pigdm", "ddnm", "dps", or "ddrm", which is a sampler of its own.
      scale: of "dps", the length of its steps, 1; the others have none.
      draws: return the mean of so many draws of the posterior, an estimate of E[x_0 | y], which has the least squared
        error of all images. It is no draw itself: what is uncertain comes out blurred. Draws 2i and 2i + 1 start from
        opposite noise (antithetic variates), so that take an even number of them.
      **options: by default, "moment_matching", "pigdm" and "ddnm" draw by dpmpp_2m in 12 steps, and all methods start
        where the noise level is 5 (see `jaxdiff.guidance.linear`), or the highest that the process has.

    Raises:
      InputError: another operator or method, sizes that do not fit, or what the method has no use for.
    """
    measured, height, width = np.asarray(measured, np.float32), *model.shape[:2]
    if operator not in OPERATORS or operator == "mask":
        raise unknown("operator", operator, set(OPERATORS) - {"mask"})
    if method not in METHODS:
        raise unknown("method of restoring", method, METHODS)
    if (kernel is None) == (operator == "blur"):
        raise InputError("kernel: goes with operator 'blur', and only with it")
    sides = np.shape(kernel) if kernel is not None else (1, 1)
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] % 2 == 0 or sides[0] > 2 * min(height, width) - 1:
        raise InputError(f"kernel of shape {sides}: must be square, of an odd size, and not larger than the image")
    fits = {
        "blur": measured.shape[1:] == model.shape,
        "grey": measured.shape[1:] == (height, width, 1) and model.shape[2] > 1,
        "shrink": measured.ndim == 4
        and 0 < measured.shape[1] <= height
        and height % measured.shape[1] == 0
        and width == measured.shape[2] * (height // measured.shape[1])
        and measured.shape[3] == model.shape[2],
    }
    if measured.ndim != 4 or not fits[operator]:
        raise InputError(f"images of shape {measured.shape[1:]}: are not what {operator!r} makes of {model.shape}")
    shared = _measurement(method, noise, 0.05, scale, options)
    shared |= {} if kernel is None else {"kernel": jnp.float32(kernel)}
    task = restoration(method, operator, model.shape)
    return _mean(model, key, task, {"y": measured}, shared, draws, _restoring(model, method, options))


def enlarge(
    model: Model,
    key: Key,
    small: np.ndarray,
    noise: float = 0.0,
    added: float = 0.0,
    condition: Given = None,
    first: int = 0,
    **options,
) -> Array:
    """Large images of small ones, by a model that was trained to enlarge (`jaxdiff.modalities.images.low_resolution`).

    Args:
      small: (n, height, width, channels), smaller than the model's images by its factor, `model.enlarges`.
      noise: standard deviation of the noise in them, which the model is told.
      added: the same of noise that is added first: a little hides what is wrong with images that a model drew.
      condition: their class labels, which a model that has classes needs: it never missed them but with the image.

    Raises:
      InputError: another model, or sizes that do not fit.
    """
    small, factor = np.asarray(small, np.float32), model.enlarges
    height, width, channels = model.shape
    if factor == 1:
        raise InputError("this model was not trained to enlarge: take one with train.enlarge, or `restore`")
    if small.shape[1:] != (height // factor, width // factor, channels) or not len(small):
        raise InputError(
            f"images of shape {small.shape}: this model takes (n, {height // factor}, {width // factor}, {channels})"
        )
    check_noise(model, noise, added)
    known = condition if isinstance(condition, Mapping) else {} if condition is None else {"label": condition}
    if "label" not in known and model.num_classes:
        raise InputError("condition: this model enlarges images of known classes: give those of the images")
    key, key_noise = jax.random.split(key)
    more = jnp.full(len(small), added, jnp.float32)
    drawn = ByExample(normal, first + jnp.arange(len(small)))
    told = as_condition(key_noise, jnp.asarray(small), factor, more, drawn)
    whole = {"low_res_noise": jnp.hypot(told["low_res_noise"], noise)}
    return model.sample(key, len(small), condition={**known, **told, **whole}, first=first, **options)


def check_noise(model: Model, noise: float, added: float) -> None:
    """Refuse noise in small images that a model which enlarges them was never trained with."""
    if not all(is_traced(value) or 0 <= value < np.inf for value in (noise, added)):
        raise InputError(f"noise={noise}, added={added}: must be 0 or above")
    if not (is_traced(noise) or is_traced(added)) and np.hypot(noise, added) > model.enlarge_noise * (1 + 1e-6):
        raise InputError(
            f"noise={noise}, added={added}: this model was trained to enlarge images with noise up to "
            f"{model.enlarge_noise:g}: take less, or a run with a higher train.enlarge_noise"
        )


def swap(model: Model, images: np.ndarray, condition: Given, to: Given, steps: int = 100) -> Array:
    """The same image under another condition: the flow's way to the noise under one, and back under the other.

    DDIM's inversion (Song et al. 2021, section 4.3; Su et al. 2023), by Heun's method, not Euler's. With `to` the
    same condition the images come back, but for the error of `steps` steps.
    """
    images, levels = _images(model, images), _levels(model, steps)
    if not model.conditions:
        raise InputError(f"swap: this model knows no classes, and nothing else of its images: take a run of {CLASSES}")
    before, after = (model.check_condition(given, len(images)) for given in (condition, to))
    noise = _inverse(model.params, images, levels, before, model.bind)
    return _forward(model.params, noise, levels, after, model.bind)


def interpolate(model: Model, a: np.ndarray, b: np.ndarray, frames: int = 9, steps: int = 100, condition=None) -> Array:
    """Images between two, (frames, height, width, channels): along the arc between their noises, see `swap`.

    Args:
      condition: of both: a class, or a `Condition` of one row; none by default.
    """
    pair, levels = _images(model, np.stack([a, b])), _levels(model, steps)
    if frames < 2:
        raise InputError(f"frames={frames}: must be at least 2")
    two, many = (_known(_repeated(condition, n)) for n in (2, frames))
    two, many = model.check_condition(two, 2), model.check_condition(many, frames)
    noise = _inverse(model.params, pair, levels, two, model.bind)
    first, last = (jnp.broadcast_to(z, (frames, *model.shape)) for z in noise)
    between = translating.slerp(first, last, jnp.linspace(0, 1, frames))
    return _forward(model.params, between, levels, many, model.bind)


def detect(
    model: Model,
    key: Key,
    images: np.ndarray,
    method: str = "denoising_error",
    levels: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0),
    condition: Given = None,
    normal: np.ndarray | None = None,
    normal_condition: Given = None,
    first: int = 0,
    **options,
) -> tuple[np.ndarray, np.ndarray]:
    """Anomaly scores (`jaxdiff.pipelines.anomaly`): `(scores (n,), maps (n, height, width))`, higher for stranger.

    Args:
      method: "denoising_error", averaged over all `levels`; "untypical", how unlike its values at the levels are to
        those of `normal` images; "reconstruction", averaged, each from that level; or "likelihood", the variational
        bound on -log p, in nats, but for what is the same for all images, from as many noise levels as there are
        `levels`, evenly spread in log-SNR.
      levels: of noise, sigma / alpha, above 0.
      normal: for "untypical", images that are not strange, many more than levels, such as some of those trained on.
      normal_condition: what is known of these.
      first: the number of the first image, from which, with the key, the noise of each follows.

    The noise is that of the process: simplex noise for a model that was trained with it.
    """
    images = _images(model, images)
    if not len(levels) or not all(0 < level < np.inf for level in levels):
        raise InputError(f"levels={levels}: must be noise levels above 0")
    if options and method != "reconstruction":
        raise InputError(f"{next(iter(options))}: is for method 'reconstruction', which draws; {method!r} does not")
    if (normal is None) == (method == "untypical"):
        raise InputError("normal: goes with method 'untypical', and only with it")
    if normal is not None and len(normal) < 2 * len(levels):
        raise InputError(
            f"normal: {len(normal)} images are too few for {len(levels)} levels: give twice as many at least"
        )
    if method in ("denoising_error", "likelihood", "untypical"):
        given = model.check_condition(_known(condition), len(images))
        process = model.bind(model.params, given).process
        for level in levels if method != "likelihood" else ():
            _check_level(process, level)
        factor = 1.0
        if method == "likelihood":
            _path(model)
            model.check_likelihood()
            require_white(process, "likelihood")
            levels = np.geomspace(LEAST, MOST, len(levels)).tolist()
            factor = np.log(MOST / LEAST) * images[0].size
        at = jnp.asarray(levels, jnp.float32)
        beyond = method == "likelihood"
        index = first + jnp.arange(len(images))
        error, each = _error(model.params, key, images, at, given, index, model.bind, beyond)
        error = factor * error
        if normal is not None:
            nothing = model.check_condition(_known(normal_condition), len(normal))
            index = jnp.arange(len(normal))
            known = _error(model.params, key, _images(model, normal), at, nothing, index, model.bind)[1]
            return untypical(np.asarray(known), np.asarray(each)), np.asarray(error).mean(-1)
    elif method == "reconstruction":
        draw = functools.partial(_draw, model, n=len(images), task=SDEDIT, inputs=Inputs(images), condition=condition)
        starts = enumerate(_time_of(model, level) for level in levels)
        again = [draw(key=jax.random.fold_in(key, i), start=start, first=first, **options) for i, start in starts]
        error = sum((np.asarray(a) - images) ** 2 for a in again) / len(levels)
    else:
        raise unknown("method of detection", method, ("denoising_error", "untypical", "reconstruction", "likelihood"))
    maps = np.asarray(error).mean(-1)
    return maps.mean((1, 2)), maps


def synthesize(
    model: Model, key: Key, counts: Sequence[int], batch: int = 256, **options
) -> tuple[np.ndarray, np.ndarray]:
    """A labelled data set: `counts[c]` images of each class c, as uint8 (n, height, width, channels), and labels (n,).

    `jaxdiff.modalities.images.arrays` reads it back from a `.npz`.
    """
    if not model.num_classes:
        raise InputError(f"synthesize: this model knows no classes: take a run of {CLASSES}")
    if len(counts) != model.num_classes or any(c < 0 for c in counts) or not sum(counts):
        raise InputError(f"counts={list(counts)}: this model has {model.num_classes} classes: give a number for each")
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    drawn = model.stream(key, len(labels), batch, condition=labels, **options)
    return np.concatenate([to_uint8(images) for images in drawn]), labels


def _images(model: Model, images: Any, anything: bool = False) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != model.shape or not len(images):
        raise InputError(f"images of shape {images.shape}: this model takes (n, {', '.join(map(str, model.shape))})")
    if images.dtype.kind != "f" or not np.isfinite(images).all() or (not anything and np.abs(images).max() > 1.001):
        raise InputError(f"images of {images.dtype} from {images.min()} to {images.max()}: must be real, from -1 to 1")
    return images.astype(np.float32)


def _known(given: Given) -> Given:
    """What is given; else that nothing is known of the images, rather than classes in turn."""
    return {} if given is None else given


def _repeated(condition: int | Condition | None, n: int) -> Given:
    """A condition of one image as that of n."""
    if isinstance(condition, Mapping):
        return jax.tree.map(lambda row: np.repeat(row, n, axis=0), condition)
    return None if condition is None else [condition] * n


def _measurement(
    method: str, noise: float | None, usual: float, scale: float | None, options: Mapping[str, Any]
) -> dict[str, Array]:
    """What is shared by all examples of one; refuses what the method has no use for."""
    if noise is not None and method in ("dps", "replace", "repaint"):
        raise InputError(f"noise: method {method!r} has no use for it; moment_matching, pigdm, ddnm and ddrm have")
    if scale is not None and method != "dps":
        raise InputError(f"scale: goes with method 'dps', not with {method!r}")
    if method == "ddrm" and (
        foreign := sorted(
            options.keys() - {"steps", "start", "condition", "negative", "first", "clip", "threshold", *GUIDANCE}
        )
    ):
        raise InputError(f"{foreign[0]}: method 'ddrm' is a sampler of its own: leave the options of others out")
    noise, scale = usual if noise is None else noise, 1.0 if scale is None else scale
    if not all(is_traced(value) or 0 < value < np.inf for value in (noise, scale)):
        raise InputError(f"noise={noise}, scale={scale}: must be above 0")
    return {"noise": jnp.float32(noise), "scale": jnp.float32(scale)}


def _path(model: Model):
    if model.path is None:
        raise InputError("this model has learned its own noise levels, and none can be chosen: take another process")
    return model.path


def _time_of(model: Model, level: float | Array) -> np.floating | Array:
    """When the noise sigma / alpha on the sampling path is so high."""
    path = _path(model)
    if is_traced(level):
        return time_at(path, -2 * jnp.log(level))
    with jax.ensure_compile_time_eval():
        _check_level(path, level)
        return np.float32(time_at(path, -2 * jnp.log(jnp.float32(level))))


def _check_level(process: Process, level: float | Array) -> None:
    least, most = (float(jnp.exp(-0.5 * log_snr(process, jnp.float32(t)))) for t in (0, 1))
    if not (0 < level < most * (1 + 1e-5) and level > least * (1 - 1e-5)):
        have = f"up to {most:.4g}" if least == 0 else f"from {least:.4g} to {most:.4g}"
        raise InputError(f"noise level {level}: this model's process has levels (sigma / alpha) {have}")


def _draw(model: Model, key: Key, n: int, task: Task, inputs: Inputs, **options) -> Array:
    options["condition"] = _known(options.get("condition"))
    return model.trajectory(key, n, 0, task=task, inputs=inputs, **options)[0]


def _mean(model: Model, key: Key, task: Task, each: dict, shared: dict, draws: int, options: dict) -> Array:
    """The mean of draws, in pairs of opposite noise; what all of them share comes back as it is."""
    check_value("draws", draws, int, 1, 10**6)

    def draw(i):
        half = {"pair": jax.random.fold_in(key, i // 2), "sign": jnp.float32(1 - 2 * (i % 2))}
        inputs = Inputs(each, shared | half)
        return _draw(model, jax.random.fold_in(key, draws + i), len(each["y"]), task, inputs, **options)

    first = draw(0)
    return first + sum(draw(i) - first for i in range(1, draws)) / draws


def _restoring(model: Model, method: str, options: dict) -> dict:
    """The options with what restoring takes where they say nothing."""
    if method in GUIDES and "sampler" not in options:
        options = RESTORING | options
    steps = options.get("steps")
    check_value("steps", steps := model.steps if steps is None else steps, int, 1)
    if model.path is None or options.get("start") is not None:
        return options
    with jax.ensure_compile_time_eval():
        time = float(time_at(model.path, -2 * jnp.log(jnp.float32(BEGIN))))
    return options | {"start": min(time, float(model.grid(steps)[0]))}


def _levels(model: Model, steps: int) -> np.ndarray:
    """Log-SNRs for both ways, from the noise to the image."""
    _path(model)
    if steps < 1:
        raise InputError(f"steps={steps}: must be at least 1")
    return np.linspace(-2 * np.log(MOST), -2 * np.log(LEAST), steps + 1).astype(np.float32)


def _times(process: Process, levels: Array) -> Array:
    """When a process passes these log-SNRs, spread over those that it has."""
    low, high = (log_snr(process, jnp.float32(t)) for t in (1.0, 0.0))
    low, high = jnp.maximum(levels[0], low), jnp.minimum(levels[-1], high)
    return time_at(process, low + (high - low) * (levels - levels[0]) / (levels[-1] - levels[0]))


@functools.partial(jax.jit, static_argnames=("bind", "beyond"))
def _error(params, key, images, levels, condition, index, bind: Bind, beyond: bool = False):
    process, denoiser, *_ = bind(params, condition)
    process = process._replace(noise=ByExample(process.noise, index))
    if beyond:
        process, denoiser = edm(MOST)._replace(noise=process.noise), at_any_level(process, denoiser, edm(MOST))
    return denoising_error(process, denoiser, key, images, time_at(process, -2 * jnp.log(levels)))


@functools.partial(jax.jit, static_argnames="bind")
def _inverse(params, images, levels, condition, bind: Bind):
    process, denoiser, *_ = bind(params, condition)
    times = _times(process, levels)
    return invert(heun(process, denoiser), process.alpha(times[-1]) * images, times)


@functools.partial(jax.jit, static_argnames="bind")
def _forward(params, noise, levels, condition, bind: Bind):
    process, denoiser, *_ = bind(params, condition)
    times = _times(process, levels)
    return sample(heun(process, denoiser), jax.random.key(0), noise, times) / process.alpha(times[-1])
