"""Autoguide: a model is led away from what a worse one would draw (Karras et al. 2024)."""

import functools

import jax.numpy as jnp

from jaxdiff import guidance
from jaxdiff.config.sampling import Bind
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import transfer
from jaxdiff.modalities import check_alike
from jaxdiff.pipelines.common import check_scale, check_way, nothing_known
from jaxdiff.pipelines.conditions import prompted
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.load import load
from jaxdiff.pipelines.model import Given, Model
from jaxdiff.pipelines.options import check_mean
from jaxdiff.pipelines.pipeline import LABEL, Argument, Pipeline
from jaxdiff.types import Array, Key

__all__ = ["PIPELINES", "autoguide", "read_run"]


def autoguide(
    model: Model,
    key: Key,
    n: int,
    worse: Model,
    scale: float = 2.0,
    condition: Given = None,
    first: int = 0,
    **options,
) -> Array:
    """Examples of `w x̂ + (1 - w) x̂ of the worse model`, both under the same condition, in the data's own units.

    Args:
      worse: such as the same network earlier in its training, or a smaller one.
      scale: w; 1 for the model alone.
      first: the number of the first image, see `Model.sample`.
    """
    if worse.shape != model.shape or not worse.conditions.items() <= model.conditions.items():
        raise InputError(
            f"autoguide: the worse model draws images of {worse.shape} and is told {sorted(worse.conditions)}, and the "
            f"other of {model.shape} and is told {sorted(model.conditions)}: the worse one can be told no more"
        )
    check_alike("autoguide: the worse model", worse.spec, model.spec, worse.conditions)
    check_mean(worse.samplers, "autoguide")
    check_scale(scale)
    given = model.check_condition(prompted(model.conditions, condition, options), n, first=first)
    told = worse.own(given)
    inputs = Inputs(told, {"params": worse.params, "scale": jnp.float32(scale)})
    check_way("the worse model", worse.bind(worse.params, told).process, model, options)
    hooks = _by_worse(worse.bind)
    given = nothing_known(given)
    drawn, _ = model.trajectory(key, n, 0, condition=given, hooks=hooks, inputs=inputs, first=first, **options)
    return model.codec.decode(drawn)


@functools.cache
def _by_worse(bind: Bind) -> Hooks:
    def guide(process, denoiser, inputs):
        its_process, worse, *_ = bind(inputs.shared["params"], inputs.each)
        return guidance.classifier_free(denoiser, transfer(its_process, process, worse), inputs.shared["scale"])

    return Hooks(guide=guide)


def read_run(text: str, model: Model) -> Model:
    """A model from RUN or RUN@WEIGHTS."""
    path, _, weights = text.partition("@")
    return load(path, weights)


PIPELINES = {
    "autoguide": Pipeline(
        autoguide,
        "draw, led away from what a worse model would draw (autoguidance)",
        (
            Argument(
                "worse",
                "the run to lead away from, or RUN@WEIGHTS, such as this one's own",
                read=read_run,
                required=True,
            ),
            Argument("scale", "w of w x̂ + (1 - w) x̂ of the worse model", float, default="2"),
            LABEL._replace(help="class to draw", default="all in turn"),
        ),
        takes=None,
    )
}
