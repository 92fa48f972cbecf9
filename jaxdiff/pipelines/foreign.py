"""Foreign: models of folders that diffusers saved, ready to sample as any other (`jaxdiff.interop`)."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxdiff.config.build.network import conditions_of, make_bind
from jaxdiff.config.sampling import Bind
from jaxdiff.errors import InputError, unknown
from jaxdiff.interop import latent, unconditional
from jaxdiff.interop.latent import Latent
from jaxdiff.interop.schedulers import Schedule
from jaxdiff.interop.settings import read_json
from jaxdiff.interop.single_file import read_single
from jaxdiff.interop.unconditional import Unconditional
from jaxdiff.interop.weights import PROGRAMS
from jaxdiff.modalities.images import image_spec
from jaxdiff.pipelines.ends import Ends, from_level
from jaxdiff.pipelines.hooks import from_noise
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Codec, Spec

__all__ = ["FILES", "INDEX", "is_foreign", "load_foreign", "load_single", "make_latent", "make_unconditional"]

INDEX = "model_index.json"
FILES = (".safetensors", *PROGRAMS)
"""Kinds of single files, of which all but the first are refused."""
STEPS = 50


def is_foreign(path: str | Path) -> bool:
    """Tell whether a path is that of a folder that diffusers saved, or of a checkpoint in a single file."""
    return os.path.isfile(Path(path) / INDEX) or (Path(path).suffix in FILES and os.path.isfile(path))


def load_foreign(folder: Path, **options: Any) -> Model:
    """The model of a folder that diffusers saved.

    Args:
      **options: those of `jaxdiff.interop.unconditional.read_unconditional` or, of Stable Diffusion, of
        `jaxdiff.interop.latent.read_latent`.

    Raises:
      InputError: a pipeline that is not supported, or what they raise.
    """
    kind = str(read_json(folder / INDEX).get("_class_name"))
    read, known = {
        **dict.fromkeys(unconditional.KINDS, (unconditional.read_unconditional, ("scheduler", "variant"))),
        **dict.fromkeys(latent.KINDS, (latent.read_latent, ("scheduler", "variant", "size", "control", "dtype"))),
    }.get(kind, (None, ()))
    if read is None:
        raise unknown("pipeline", kind, [*unconditional.KINDS, *latent.KINDS])
    for option in options:
        if option not in known:
            raise unknown(f"option of a {kind}", option, known)
    parts = read(folder, **options)
    return make_unconditional(parts) if isinstance(parts, Unconditional) else make_latent(parts)


def load_single(file: Path, weights: str = "", **options: Any) -> Model:
    """The model of a checkpoint in one file.

    Args:
      weights: "ema" for the average that some files hold.
      **options: those of `jaxdiff.interop.single_file.read_single`.

    Raises:
      InputError: a file that would have to be run, or what that function raises.
    """
    if file.suffix in PROGRAMS:
        raise InputError(
            f"{str(file)!r}: files of this kind are programs, which are not run: get the model's .safetensors"
        )
    known = ("scheduler", "size", "control", "dtype")
    for option in options:
        if option not in known:
            raise unknown("option of a single file", option, known)
    return make_latent(read_single(file, weights, **options))


def make_unconditional(parts: Unconditional) -> Model:
    """A model of pictures."""
    spec = image_spec(parts.shape)
    return _model(parts.net, parts.params, spec, parts.schedule, parts.steps, Ends(), {"guidable": False})


def make_latent(parts: Latent) -> Model:
    """A model of latents, whose samples are decoded."""
    net, params = parts.autoencoder, parts.autoencoder_params
    height, width, _ = parts.shape
    pictures = image_spec((net.factor * height, net.factor * width, net.channels))
    to_latents = jax.jit(lambda params, x: net.apply({"params": params}, x, method="encode"))
    to_pictures = jax.jit(
        lambda params, z: jnp.clip(jnp.asarray(net.apply({"params": params}, z, method="decode")), -1, 1)
    )
    codec = Codec(lambda x: to_latents(params, jnp.asarray(x)), lambda z: to_pictures(params, jnp.asarray(z)))
    spec = Spec(parts.shape, "images")
    model = _model(parts.net, parts.params, spec, parts.schedule, STEPS, Ends(codec=codec, pictures=pictures), {})
    if "image" in model.conditions:
        model = dataclasses.replace(model, bind=_unscaled(model.bind, net.scale, net.shift))
    if hasattr(parts.net, "look"):
        model = dataclasses.replace(model, bind=_looked(model.bind, parts.net))
    return model


def _looked(bind: Bind, net: Any) -> Bind:
    """A network with adapters, which look at their pictures once and not at every step."""

    def bound(params, condition):
        return bind(params, net.apply({"params": params}, condition or {}, method="look"))

    return bound


def _unscaled(bind: Bind, scale: Any, shift: Any) -> Bind:
    """A network that is told the latents of a picture as its autoencoder makes them, before scale and shift."""

    def bound(params, condition):
        told = dict(condition or {})
        if "image" in told:  # of which the network says that it lacks it
            told["image"] = told["image"] / jnp.asarray(scale) + jnp.asarray(shift)
        return bind(params, told)

    return bound


def _model(
    net: Any, params: Any, spec: Spec, schedule: Schedule, steps: int, ends: Ends, more: Mapping[str, Any]
) -> Model:
    begin = from_level if schedule.by_level else from_noise
    bound = schedule.sampler.get("bound", schedule.clip)  # of other samplers, where the folder's own clips by itself
    return Model(
        params=params,
        spec=spec,
        grid=schedule.grid,
        steps=steps,
        sampler={**schedule.sampler, "clip": schedule.clip},
        options={"clip": bound},
        bind=make_bind(schedule.process, schedule.parameterization, net, False),
        path=schedule.path,
        weights="of diffusers",
        conditions=conditions_of(net, spec),
        ends=ends._replace(begin=begin, denoise=False),
        **more,
    )
