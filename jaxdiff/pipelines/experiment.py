"""Experiment: all parts of a run but its data, from a configuration."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxdiff.config.build import Config, Core, build_core, make_loss
from jaxdiff.config.build.grid import make_grid
from jaxdiff.config.build.losses import check_loss
from jaxdiff.config.build.network import make_tensor_axis
from jaxdiff.config.build.optimizer import frozen, make_optimizer, rated
from jaxdiff.config.build.process import make_path
from jaxdiff.config.build.transforms import make_transforms, scales_of
from jaxdiff.config.sampling import SAMPLER
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Product
from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process
from jaxdiff.guidance import classifier
from jaxdiff.modalities.images.coded import pictures_of
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.coder import Coder
from jaxdiff.pipelines.ends import Ends
from jaxdiff.pipelines.model import Model
from jaxdiff.training.ema import Decay, averages
from jaxdiff.training.sharding import TensorAxis, drawing_mesh, replicated
from jaxdiff.types import Key, LossFn, Params, Spec, StatefulLoss, Transform

__all__ = ["Experiment", "Trained", "build", "make_model"]

Trained = Model | Classifier | Coder
"""What a run trains."""
FAST = 100.0
"""Units of time, from t = 0 to 1, from which on the slopes of a network's sines drown others."""
logger = logging.getLogger(__name__)


class Experiment(NamedTuple):
    """All parts of a run but its data."""

    init: Callable[[Key], Params]
    loss_fn: LossFn | StatefulLoss
    transforms: list[Transform]
    """Of each batch, before its loss."""
    optimizer: optax.GradientTransformation
    ema: dict[str, Decay]
    """The averages, by name; the first is the one to sample with."""
    model: Trained
    """Its `params` are shapes alone, until real ones take their place."""
    tensor_axis: TensorAxis
    """Of the network, see `jaxdiff.training.sharding`."""
    teacher: bool = False
    """Whether it must begin as a trained model."""


def build(config: Config, spec: Spec, mesh: Mesh | None = None) -> Experiment:
    """The experiment that a configuration describes, for such examples.

    Args:
      mesh: of the devices that draw; all devices, each with all parameters, by default.

    Raises:
      InputError: an unknown name or argument, a value that does not fit, or parts that do not fit together.
    """
    core = build_core(config, spec)
    if core.needs.teacher and not config["train"]["init"]:
        raise InputError(f"loss {config['loss']['name']!r}: distills a teacher: set train.init to its run")
    check_loss(config, spec, core.conditions)
    if core.needs.forward and (pace := _pace(core)) > FAST:
        logger.warning(
            "loss %r differentiates the network by time, of which it sees %.0f units: its sines turn so fast that "
            "their slopes drown what is to be learned; set parameterization.time_scale=20 (of velocity), in a "
            "teacher's training, too",
            config["loss"]["name"],
            pace,
        )
    made, train = make_optimizer(config["optimizer"]), config["train"]
    return Experiment(
        core.init,
        make_loss(config["loss"], core, spec.shape),
        make_transforms(config, spec, core.conditions),
        frozen(rated(made, train.get("rates", ""), core.shapes), train["freeze"], core.shapes),
        averages(config["ema"], config["train"]["batch_size"]),
        make_model(config, core, spec, mesh),
        make_tensor_axis(core.module),
        core.needs.teacher,
    )


def _pace(core: Core) -> float:
    """How fast what a network sees of the time changes with it, half way."""
    seen = lambda t: core.parameterization.time_input(core.process, t)
    with jax.ensure_compile_time_eval():
        return float(jnp.abs(jax.grad(seen)(jnp.float32(0.5))))


def make_model(config: Config, core: Core, spec: Spec, mesh: Mesh | None = None) -> Trained:
    """The model of a configuration, whose `params` are shapes alone."""
    mesh = drawing_mesh(mesh)
    device = replicated(mesh)
    params = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=device), core.shapes)
    process, parameterization = core.process, core.parameterization
    if core.needs.autoencoder:
        return Coder(params, core.module, spec)
    if core.needs.classifier and isinstance(process, Process):
        log_p = classifier.make_bind(process, parameterization, core.network)
        return Classifier(params, log_p, process, spec, core.module.num_classes)
    sampling, other = config["sample"], make_path(config, process)
    SAMPLER.find(sampling["sampler"])
    path, symbols = other or process, isinstance(process, Replacement | Product)
    if symbols and sampling["clip"] != np.inf:
        raise InputError(f"sample.clip={sampling['clip']}: symbols have no bound: set it to inf")
    pictures = pictures_of(spec)
    if pictures and sampling["clip"] != np.inf:
        raise InputError(f"sample.clip={sampling['clip']}: latents have no bound: set it to inf")
    model = Model(
        params=params,
        spec=spec,
        grid=make_grid(sampling["grid"], process, path, parameterization),
        steps=sampling["steps"],
        sampler=sampling["sampler"],
        options={} if symbols else {"clip": sampling["clip"]},
        bind=core.bind,
        path=path,
        mesh=mesh,
        config=config,
        samplers=core.needs.samplers,
        ends=Ends(pictures=pictures),
        **_conditioning(config, core),
    )
    model.check()
    return model


def _conditioning(config: Config, core: Core) -> dict[str, Any]:
    """The conditions of a model: all but how an example was augmented, for what is drawn is not, and a sampler's."""
    train, own = config["train"], ("augment", "until", "guidance")
    return {
        "conditions": {name: one for name, one in core.conditions.items() if name not in own},
        "guidable": train["cond_dropout"] > 0,
        "scales": scales_of(config),
        "upscales": train["upscale"],
        "low_res_noise": train["low_res_noise"] if train["upscale"] > 1 else np.inf,
    }
