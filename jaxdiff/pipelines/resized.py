"""Resized: a model that draws longer or shorter, larger or smaller examples than those of its training.

Nothing but their divisors ties networks of convolutions and attention to a length or a size: U-Nets take what their
strides divide, transformers what their patches divide. What a network draws so, it was never shown; how good it is can
only be measured.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.modalities import find, has_space
from jaxdiff.pipelines.model import Model
from jaxdiff.types import missing

__all__ = ["resized"]

TIME, SIDES = ("frames", "steps", "samples"), ("height", "width")
"""Names of the axes that may have another length."""


def resized(model: Model, length: int | None = None, size: tuple[int, int] | None = None) -> Model:
    """The model, drawing examples of another length or size; its parameters are the same.

    Args:
      length: of videos in frames, of trajectories in steps, of sounds in samples; by default that of training.
      size: height and width of images and videos, in pixels; by default those of training.

    Raises:
      InputError: examples without such axes, of latents, or of lengths of their own; or a length or size that the
        network cannot have.
    """
    asked = {} if length is None else {next((a for a in TIME if a in _axes(model)), TIME[0]): length}
    asked |= {} if size is None else dict(zip(SIDES, size, strict=True))
    if not asked:
        return model
    what = ", ".join(f"{name}={value}" for name, value in asked.items())
    if model.ends.pictures is not None or has_space(model.spec) or not asked.keys() <= set(_axes(model)):
        raise InputError(f"{what}: examples of {model.spec.modality} that this model draws have no such axis to change")
    if min(asked.values()) < 1:
        raise InputError(f"{what}: must be at least 1")
    shape = tuple(asked.get(name, side) for name, side in zip(_axes(model), model.shape, strict=True))
    beside = {
        name: one._replace(shape=(*shape[:-1], one.shape[-1]))
        for name, one in model.conditions.items()
        if one.shape[:-1] == model.shape[:-1]
    }
    changed = dataclasses.replace(
        model, spec=model.spec._replace(shape=shape), conditions={**model.conditions, **beside}
    )
    _check(changed, what)
    return changed


def _axes(model: Model) -> tuple[str, ...]:
    return find(model.spec.modality).AXES


def _check(model: Model, what: str) -> None:
    """Refuse a shape that the network cannot take, or for which it has other parameters."""
    known = dict(missing(model.conditions, 1)) or None

    def denoise(params):
        return model.bind(params, known).denoiser(jnp.zeros((1, *model.shape)), jnp.ones(1))

    try:
        jax.eval_shape(denoise, model.params)
    except InputError:
        raise
    except Exception as error:  # of a network whose parameters are for one shape, Flax and JAX raise all kinds
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{what}: this model's network is made for one length and size alone: {reason}") from error
