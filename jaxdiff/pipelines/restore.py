"""Restore: the images behind blurred, downsampled, grey or masked ones, by a model that was not trained to.

The mathematics is in `jaxdiff.guidance`: moment matching, PiGDM, DDNM, DDRM and DPS.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.sampling import GUIDANCE
from jaxdiff.config.schema import check_value
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.process import prior, time_at
from jaxdiff.guidance import ddnm, dps, inpainting, linear, moment_matching, pigdm
from jaxdiff.guidance.ddrm import Spectrum, ddrm, of_mask, of_operator
from jaxdiff.guidance.ddrm import begin as by_the_spectrum
from jaxdiff.modalities.images import operators
from jaxdiff.pipelines.common import check_pixels, draw_with, measured_images
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import check_mean, is_traced
from jaxdiff.pipelines.pipeline import LABEL, Argument, Pipeline
from jaxdiff.types import Array, Key, Operator

__all__ = [
    "BEGIN",
    "DRAWS",
    "GUIDES",
    "METHODS",
    "MIXED",
    "NOISE",
    "OPERATORS",
    "PIPELINES",
    "RESTORING",
    "SCALE",
    "degrade",
    "input_shape",
    "keep_known",
    "mean_of_draws",
    "measured",
    "measurement",
    "paired_noise",
    "restoration",
    "restore",
    "restoring_options",
]

OPERATORS: dict[str, Callable[[Inputs, int], Operator]] = {
    "mask": lambda inputs, height: operators.masked(inputs.each["mask"]),
    "blur": lambda inputs, height: operators.blurred(inputs.shared["kernel"]),
    "downsample": lambda inputs, height: operators.downsampled(height // inputs.each["y"].shape[1]),
    "grey": lambda inputs, height: operators.grey(),
}


MIXED = {"blur": (0, 1), "downsample": (0, 1), "grey": (2,)}
"""The axes of an image that an operator mixes."""


GUIDES = {"moment_matching": moment_matching, "pigdm": pigdm, "ddnm": ddnm}


METHODS = (*GUIDES, "ddrm", "dps")


RESTORING = {"sampler": "dpmpp_2m", "steps": 12}
"""How the methods that guide a denoiser draw, unless told otherwise: without noise of their own, in a few steps."""


BEGIN = 5.0
"""The noise level at which restoring begins, if the process has it: several times the size of the data."""


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
      operator: "blur", with a `kernel` (size, size); "downsample", by the factor that the sizes say; "grey".
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
    check_pixels(model, "restore")
    measured, height, width = measured_images(measured), *model.shape[:2]
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
        "downsample": measured.ndim == 4
        and 0 < measured.shape[1] <= height
        and height % measured.shape[1] == 0
        and width == measured.shape[2] * (height // measured.shape[1])
        and measured.shape[3] == model.shape[2],
    }
    if measured.ndim != 4 or not fits[operator]:
        raise InputError(f"images of shape {measured.shape[1:]}: are not what {operator!r} makes of {model.shape}")
    shared = measurement(method, noise, 0.05, scale, options)
    shared |= {} if kernel is None else {"kernel": jnp.float32(kernel)}
    hooks = restoration(method, operator, model.shape)
    return mean_of_draws(model, key, hooks, {"y": measured}, shared, draws, restoring_options(model, method, options))


@functools.cache
def restoration(method: str, operator: str, shape: tuple[int, ...], keep: bool = False) -> Hooks:
    """Make the hooks by which a method inverts an operator of images of this shape.

    The inputs hold "y", and, for all examples, "noise", "scale", and the "pair" and "sign" of `paired_noise`.

    Args:
      keep: whether pixels that a mask shows come back as they were.
    """

    def guide(process, denoiser, inputs):
        A = OPERATORS[operator](inputs, shape[0])
        return GUIDES[method](process, denoiser, A, inputs.each["y"], inputs.shared["noise"])

    def by_dps(process, denoiser, sampler, inputs):
        A = OPERATORS[operator](inputs, shape[0])
        return dps(process, denoiser, sampler, A, inputs.each["y"], inputs.shared["scale"])

    def by_ddrm(process, denoiser, sampler, inputs):
        return ddrm(process, denoiser, spectrum(inputs), inputs.each["y"], inputs.shared["noise"])

    def spectrum(inputs) -> Spectrum:
        if operator == "mask":
            return of_mask(inputs.each["mask"])
        return of_operator(OPERATORS[operator](inputs, shape[0]), shape, MIXED[operator])

    def begin(process, key, x, times, inputs):
        x_1, y, noise = paired_noise(process, key, x, times, inputs), inputs.each["y"], inputs.shared["noise"]
        if method == "ddrm":
            return by_the_spectrum(process, x_1, spectrum(inputs), y, noise, times[0])
        return linear.begin(process, x_1, OPERATORS[operator](inputs, shape[0]), y, noise, times[0])

    steer = {"dps": by_dps, "ddrm": by_ddrm}
    hooks = Hooks(begin, steer=steer[method]) if method in steer else Hooks(begin, guide)
    return hooks._replace(finish=keep_known) if keep else hooks


def paired_noise(process, key, x, times, inputs):
    """Noise of the key that a pair of draws shares, and in the second of them its opposite (antithetic variates)."""
    return inputs.shared["sign"] * prior(process, inputs.shared["pair"], x, times[0])


def keep_known(images: Array, inputs: Inputs) -> Array:
    """The images with the pixels that the mask shows as they were given."""
    return inpainting.keep(images, inputs.each["y"][: len(images)], inputs.each["mask"][: len(images)])


def measurement(
    method: str, noise: float | None, usual: float, scale: float | None, options: Mapping[str, Any]
) -> dict[str, Array]:
    """Check noise and scale of a measurement, and return them as arrays that all examples share."""
    if noise is not None and method in ("dps", "replace", "repaint"):
        raise InputError(f"noise: method {method!r} has no use for it; moment_matching, pigdm, ddnm and ddrm have")
    if scale is not None and method != "dps":
        raise InputError(f"scale: goes with method 'dps', not with {method!r}")
    if method == "ddrm" and (
        foreign := sorted(
            options.keys()
            - {"steps", "start", "condition", "negative", "first", "clip", "threshold", "progress", *GUIDANCE}
        )
    ):
        raise InputError(f"{foreign[0]}: method 'ddrm' is a sampler of its own: leave the options of others out")
    noise, scale = usual if noise is None else noise, 1.0 if scale is None else scale
    if not all(is_traced(value) or 0 < value < np.inf for value in (noise, scale)):
        raise InputError(f"noise={noise}, scale={scale}: must be above 0")
    return {"noise": jnp.float32(noise), "scale": jnp.float32(scale)}


def mean_of_draws(model: Model, key: Key, hooks: Hooks, each: dict, shared: dict, draws: int, options: dict) -> Array:
    """The mean of draws, in pairs of opposite noise; what all of them share comes back as it is."""
    check_value("draws", draws, int, 1, 10**6)

    def draw(i):
        half = {"pair": jax.random.fold_in(key, i // 2), "sign": jnp.float32(1 - 2 * (i % 2))}
        inputs = Inputs(each, shared | half)
        return draw_with(model, jax.random.fold_in(key, draws + i), len(each["y"]), hooks, inputs, **options)

    first = draw(0)
    return first + sum(draw(i) - first for i in range(1, draws)) / draws


def restoring_options(model: Model, method: str, options: dict) -> dict:
    """The options with what restoring takes where they say nothing."""
    check_mean(model.samplers, f"method {method!r}")
    if method in GUIDES and "sampler" not in options:
        options = RESTORING | options
    steps = options.get("steps")
    check_value("steps", steps := model.steps if steps is None else steps, int, 1)
    if model.path is None or options.get("start") is not None:
        return options
    with jax.ensure_compile_time_eval():
        time = float(time_at(model.path, -2 * jnp.log(jnp.float32(BEGIN))))
    return options | {"start": min(time, float(model.grid(steps)[0]))}


NOISE = Argument("noise", "standard deviation of the measurement's noise, in units of the input", float)
SCALE = Argument("scale", "of dps: the length of its steps", float, default="1")
DRAWS = Argument("draws", "give the mean of so many draws", int, default="1")
"""Shared by the pipelines that restore."""


def _restore(model, key, images, operator="blur", blur=None, **options):
    if operator not in ("blur", "grey"):
        raise unknown("operator", operator, ("blur", "grey"))
    if blur is not None and operator == "grey":
        raise InputError("blur: goes with operator blur")
    kernel = operators.gaussian_kernel(1.0 if blur is None else blur) if operator == "blur" else None
    return restore(model, key, images, operator, kernel=kernel, **options)


def measured(A: Operator, rng: np.random.Generator, images: np.ndarray, arguments: dict) -> tuple[np.ndarray, dict]:
    """Measure images by an operator, with noise of 0.05 unless told otherwise; "dps" is not told of it."""
    y = np.asarray(A(jnp.asarray(images)))
    y = y + arguments.get("noise", 0.05) * rng.normal(size=y.shape).astype(np.float32)
    own = arguments.keys() - ({"noise"} if arguments.get("method") == "dps" else {})
    return y, {name: arguments[name] for name in own}


def degrade(rng, images, model, arguments):
    """Blur images, or take their color, and add noise."""
    kernel = jnp.asarray(operators.gaussian_kernel(arguments.get("blur", 1.0)))
    A = operators.grey() if arguments.get("operator") == "grey" else operators.blurred(kernel)
    return measured(A, rng, images, arguments)


def input_shape(model: Model, arguments: Mapping[str, Any]) -> tuple[int, ...]:
    """The model's shape, or that of a grey image."""
    return (*model.shape[:2], 1) if arguments.get("operator") == "grey" else model.shape


PIPELINES = {
    "restore": Pipeline(
        _restore,
        "undo blur or bring color, by a model that was not trained to",
        (
            Argument("operator", "blur or grey", default="blur"),
            Argument("blur", "standard deviation of the blur, in pixels", float, default="1"),
            Argument("method", ", ".join(METHODS), default="moment_matching"),
            NOISE._replace(default="0.05"),
            SCALE,
            DRAWS,
            LABEL,
        ),
        takes=input_shape,
        measured=True,
        degrade=degrade,
    )
}
