"""Latents: pictures of a caption, of another picture, and of a part of one, by a model of latents.

Where noise is given, it takes the place of what the key would draw, as "latents" do elsewhere. What is told to the
network besides the caption, such as depth or a picture that controls it, is the same with and without the caption: a
negative condition says only what differs.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.config.sampling import Bind, Bound, option_range
from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process
from jaxdiff.pipelines.common import measured_images
from jaxdiff.pipelines.ends import Ends
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import check_number
from jaxdiff.types import Array, Condition, ConditionSpec, Key, expand

__all__ = ["edit", "fill", "generate", "instruct"]


def generate(
    model: Model,
    key: Key,
    n: int,
    condition: Condition,
    negative: Condition | None = None,
    noise: Any = None,
    **options: Any,
) -> Array:
    """Draw n pictures (n, height, width, channels) in [-1, 1] of a condition.

    Args:
      condition: all that the network is told: "context", the words, and what else `model.conditions` names.
      negative: what is to be avoided, the words of an empty caption for nothing; goes with `guidance`.
      noise: standard normal (n, *model.shape) to begin with.
      **options: of `Model.sample`.
    """
    hooks, inputs = Hooks(), Inputs()
    if noise is not None:
        hooks, inputs = _given_noise(model.ends.begin), Inputs({"noise": _noise(model, key, n, options, noise)})
    return _drawn(model, key, n, hooks, inputs, condition, negative, options)


def edit(
    model: Model,
    key: Key,
    pictures: Any,
    condition: Condition,
    strength: float = 0.8,
    negative: Condition | None = None,
    noise: Any = None,
    **options: Any,
) -> Array:
    """Noise pictures, and draw from there under a condition (SDEdit, Meng et al. 2022): the last steps of the grid.

    Args:
      pictures: (n, height, width, channels) in [-1, 1], or latents (n, *model.shape).
      strength: in (0, 1], the share of the steps that is run.
      noise: that is added, standard normal (n, *model.shape).

    Raises:
      InputError: another size, or a strength that leaves no step.
    """
    z, n = _encoded(model, pictures), len(pictures)
    noise = _noise(model, key, n, options, noise)
    later = _from_step(model, _skipped(model, strength, options))
    return _drawn(later, key, n, EDIT, Inputs({"z": z, "noise": noise}), condition, negative, options)


def fill(
    model: Model,
    key: Key,
    pictures: Any,
    mask: Any,
    condition: Condition,
    strength: float = 1.0,
    negative: Condition | None = None,
    noise: Any = None,
    **options: Any,
) -> Array:
    """Draw what is unknown of pictures under a condition.

    A network that is told a mask sees what is known at every step; of its mask, every latent is told the pixel at its
    corner, as in its training. For any other, the latents all of whose pixels are known are put in their place after
    each step, noised as they have to be there, and come back clean.

    Args:
      pictures: (n, height, width, channels) in [-1, 1].
      mask: (n or 1, height, width, 1), 1 where a pixel is known and 0 where it is to be drawn.
      strength: in (0, 1], the share of the steps that is run; with 1 nothing of the picture is under the unknown.
      noise: to begin with, standard normal (n, *model.shape).

    Raises:
      InputError: sizes that do not fit, a mask of other values, or one of which a network is told nothing.
    """
    pictures, mask = measured_images(pictures), np.asarray(mask, np.float32)
    z, n = _encoded(model, pictures), len(pictures)
    shape = (*pictures.shape[1:3], 1)
    if mask.ndim != 4 or mask.shape[1:] != shape or mask.shape[0] not in (1, n) or not np.isin(mask, (0, 1)).all():
        raise InputError(f"mask of shape {mask.shape}: must be 0 or 1 and of shape {(n, *shape)}")
    mask = np.broadcast_to(mask, (n, *shape))
    factor = shape[0] // model.shape[0]
    told, (height, width) = "masked" in model.conditions, model.shape[:2]
    cells = mask.reshape(n, height, factor, width, factor, 1)
    small = cells[:, :, 0, :, 0] if told else cells.min((2, 4))
    if ((mask == 0).any((1, 2, 3)) & (small == 1).all((1, 2, 3))).any():
        raise InputError(
            f"mask: what is unknown lies between the latents, each of {factor}x{factor} pixels: enlarge it"
        )
    noise = _noise(model, key, n, options, noise)
    skipped = _skipped(model, strength, options)
    each = {"z": z, "noise": noise}
    if told:
        hooks = EDIT if skipped else _given_noise(model.ends.begin)
        condition = {**condition, "mask": 1 - small, "masked": model.codec.encode(pictures * mask)}
    else:
        hooks, each["mask"] = _keeping(model.ends.begin, skipped > 0), small
    return _drawn(_from_step(model, skipped), key, n, hooks, Inputs(each), condition, negative, options)


def instruct(
    model: Model,
    key: Key,
    pictures: Any,
    condition: Condition,
    negative: Condition,
    guidance: float = 7.5,
    image_guidance: float = 1.5,
    noise: Any = None,
    **options: Any,
) -> Array:
    """Change pictures as a caption says, by a network that sees them (InstructPix2Pix, Brooks et al. 2023).

    The predictions with nothing, with the picture, and with the picture and the caption are combined,
    `e = e_0 + image_guidance (e_picture - e_0) + guidance (e_both - e_picture)`, at three times the cost of one.

    Args:
      pictures: (n, height, width, channels) in [-1, 1], or latents (n, *model.shape).
      negative: the words of an empty caption, as many as those of the caption.
      noise: to begin with, standard normal (n, *model.shape).

    Raises:
      InputError: a network that sees no picture, or sizes that do not fit.
    """
    if "image" not in model.conditions:
        raise InputError("this model sees no picture: take one of InstructPix2Pix, or `edit`")
    z, n = _encoded(model, pictures), len(pictures)
    told = {**condition, "image": z, "empty": negative["context"]}
    told |= {"to_words": jnp.full(n, guidance, jnp.float32), "to_image": jnp.full(n, image_guidance, jnp.float32)}
    known = {**model.conditions, "empty": model.conditions["context"], "to_words": SCALE, "to_image": SCALE}
    model = dataclasses.replace(model, bind=_instructed(model.bind), conditions=known)
    return generate(model, key, n, told, noise=noise, **options)


SCALE = ConditionSpec((), missing=None)


@functools.lru_cache
def _instructed(bind: Bind) -> Bind:
    """A network led by a picture and by words."""

    def led(params, condition):
        told = {name: value for name, value in condition.items() if name not in ("empty", "to_words", "to_image")}
        empty, none = told | {"context": condition["empty"]}, jnp.zeros_like(told["image"])
        both, image, nothing = (bind(params, c) for c in (told, empty, empty | {"image": none}))

        def denoiser(x, t):
            x_image, x_nothing = image.denoiser(x, t), nothing.denoiser(x, t)
            to_words, to_image = (expand(condition[name], x) for name in ("to_words", "to_image"))
            return x_nothing + to_image * (x_image - x_nothing) + to_words * (both.denoiser(x, t) - x_image)

        return Bound(both.process, denoiser)

    return led


def _drawn(
    model: Model,
    key: Key,
    n: int,
    hooks: Hooks,
    inputs: Inputs,
    condition: Condition,
    negative: Condition | None,
    options: Mapping[str, Any],
) -> Array:
    """The decoded examples of a run; XL is told the size of its pictures, uncropped, where no sizes are given.

    Raises:
      InputError: what controls a picture is to do so at some steps alone.
    """
    for name, usual in ALWAYS.items():
        if options.get(name, usual) != usual:
            raise InputError(
                f"{name}={options[name]}: only {usual} is supported: what controls a picture does so at every step and "
                "with every caption: leave it out, and set the strength"
            )
    options = {name: value for name, value in options.items() if name not in ALWAYS}
    if "sizes" in model.conditions and "sizes" not in condition and model.ends.pictures:
        height, width, _ = model.ends.pictures.shape
        condition = {**condition, "sizes": np.tile(np.array([height, width, 0, 0, height, width], np.float32), (n, 1))}
    further: dict[str, Any] = {} if negative is None else {"negative": {**condition, **negative}}
    z, _ = model.trajectory(key, n, 0, condition=condition, hooks=hooks, inputs=inputs, **options, **further)
    return model.codec.decode(z)


ALWAYS = {
    "adapter_conditioning_factor": 1.0,
    "control_guidance_start": 0.0,
    "control_guidance_end": 1.0,
    "guess_mode": False,
}
"""Options of diffusers by which control ends early or knows no caption, and their values for control that does not."""


def _noised(process, key, x, times, inputs):
    t = times[0]
    return process.alpha(t) * inputs.each["z"] + process.sigma(t) * inputs.each["noise"]


EDIT = Hooks(begin=_noised)


@functools.lru_cache
def _given_noise(begin: Callable) -> Hooks:
    """Begin as the model does, with noise that is given."""
    known = lambda process, key, x, times, inputs: begin(
        process._replace(noise=lambda key, x: inputs.each["noise"]), key, x, times, inputs
    )
    return Hooks(begin=known)


@functools.lru_cache
def _keeping(begin: Callable, later: bool) -> Hooks:
    """After each step, what is known takes its place, with noise; and in what was drawn, where x̂_0 may be another."""

    def put(x, known, inputs):
        return inputs.each["mask"] * known + (1 - inputs.each["mask"]) * x

    def steer(process, denoiser, sampler, inputs):
        def step(key, state, t, s):
            state = sampler.step(key, state, t, s)
            noised = process.alpha(s) * inputs.each["z"] + process.sigma(s) * inputs.each["noise"]
            return state._replace(x=put(state.x, noised, inputs))

        return sampler._replace(step=step)

    begin = _noised if later else _given_noise(begin).begin
    return Hooks(begin=begin, steer=steer, finish=lambda x, inputs: put(x, inputs.each["z"], inputs))


def _skipped(model: Model, strength: float, options: Mapping[str, Any]) -> int:
    """How many steps of the grid come before those of a strength."""
    steps = options.get("steps") or model.steps
    if not 0 < strength <= 1 or int(steps * strength) < 1:
        raise InputError(f"strength={strength}: must be above 0 and at most 1, and leave one of {steps} steps or more")
    return steps - int(steps * strength)


def _from_step(model: Model, skipped: int) -> Model:
    """The model with a grid that begins some steps later."""
    grid = model.grid
    return dataclasses.replace(model, grid=lambda steps: grid(steps)[skipped:]) if skipped else model


def _encoded(model: Model, pictures: Any) -> Array:
    """The latents of pictures."""
    pictures = jnp.asarray(pictures if isinstance(pictures, Tracer) else measured_images(pictures), jnp.float32)
    spec = _ends(model).pictures
    wanted = spec.shape if spec else ()
    if pictures.shape[1:] == model.shape != wanted:
        return pictures
    if pictures.ndim != 4 or pictures.shape[1:] != wanted:
        raise InputError(f"pictures of shape {pictures.shape}: this model takes (n, {', '.join(map(str, wanted))})")
    return model.codec.encode(pictures)


def _ends(model: Model) -> Ends:
    if model.ends.pictures is None:
        raise InputError("this model draws pictures, not latents: take `jaxdiff.pipelines.img2img` and `inpaint`")
    return model.ends


def _noise(model: Model, key: Key, n: int, options: Mapping[str, Any], given: Any = None) -> Array:
    """What is given or, of the kind of training, drawn from the key and each number; as large as the options say."""
    scale = options.get("noise_scale", 1.0)
    check_number("noise_scale", scale, option_range("noise_scale", ""), whole=False, free=True)
    if given is not None:
        given = jnp.asarray(given, jnp.float32)
        if given.shape != (n, *model.shape):
            raise InputError(f"noise of shape {given.shape}: this model takes {(n, *model.shape)}")
        return scale * given
    kind = model.path.noise if isinstance(model.path, Process) else lambda key, x: jax.random.normal(key, x.shape)
    one = lambda key: kind(key, jnp.zeros((1, *model.shape)))[0]
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(options.get("first", 0) + jnp.arange(n))
    return scale * jax.vmap(one)(keys)
