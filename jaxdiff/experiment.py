"""Experiment: from a configuration, which is plain data, to the parts it names. Nothing else reads names."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdiff import betas, data, grids, loss, nets, parameterization, process
from jaxdiff.data import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.loss import LossFn, Times, Weight
from jaxdiff.model import Model, make_draw
from jaxdiff.names import call, named
from jaxdiff.parameterization import Parameterization
from jaxdiff.process import Process
from jaxdiff.training.sharding import data_mesh, replicated
from jaxdiff.training.step import Decay, warmed_up
from jaxdiff.types import Key, Network, Params

Config = Mapping[str, Any]

NETS = {"unet": nets.UNet}
OPTIMIZERS = {f.__name__: f for f in (optax.adam, optax.adamw, optax.lamb, optax.lion, optax.radam, optax.sgd)}


class Experiment(NamedTuple):
    """All parts of a run but its data."""

    init: Callable[[Key], Params]
    loss_fn: LossFn
    optimiser: optax.GradientTransformation
    ema: Decay
    model: Model
    """Its `params` are shapes alone, until real ones take their place."""


def build(config: Config, shape: tuple[int, ...]) -> Experiment:
    """The experiment that a configuration describes, for images of this shape: (height, width, channels).

    Raises:
      InputError: an unknown name or argument, or parts that do not fit together.
    """
    chain = call("process", named(process, Process), _with_betas(config["process"]))
    meaning = call("parameterization", named(parameterization, Parameterization), config["parameterization"])
    net = dict(config["net"])
    if net.get("dtype", "float32") not in ("float32", "bfloat16"):
        raise unknown("net.dtype", net["dtype"], ("float32", "bfloat16"))
    module = call("net", NETS, net)
    network = linen_network(module)

    def init(key):
        label = jnp.zeros(1, jnp.int32) if module.num_classes else None
        return module.init(key, jnp.zeros((1, *shape)), jnp.zeros(1), label)["params"]

    device = replicated(data_mesh())
    params = jax.tree.map(
        lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=device), jax.eval_shape(init, jax.random.key(0))
    )
    sampling = config["sample"]
    model = Model(
        params=params,
        draw=make_draw(chain, meaning, network),
        shape=tuple(shape),
        num_classes=module.num_classes,
        grid=lambda steps: call("grid", named(grids, np.ndarray), sampling["grid"], steps),
        steps=sampling["steps"],
        sampler=sampling["sampler"],
        options={"clip": sampling["clip"]},
    )
    model.check()
    weight = call("loss weight", named(loss, Weight), config["loss"]["weight"])
    times = call("time sampler", named(loss, Times), config["loss"]["times"])
    return Experiment(
        init=init,
        loss_fn=loss.diffusion_loss(chain, meaning, network, weight, times),
        optimiser=_optimiser(config["optimizer"]),
        ema=warmed_up(config["ema"]["decay"]),
        model=model,
    )


def source(config: Config) -> Source:
    """The data of a configuration, checked against its network; without labels if the network takes none."""
    images = call("dataset", named(data, Source), config["data"])
    classes = config["net"]["num_classes"]
    if not classes:
        return images._replace(num_classes=0, take=lambda i: images.take(i)._replace(condition=None))
    if classes != images.num_classes:
        raise InputError(
            f"net.num_classes={classes}, but dataset {config['data']['name']!r} has {images.num_classes} classes: "
            "make them equal, or 0 for no classes"
        )
    return images


def linen_network(module: Any) -> Network:
    """A Flax module as a network of the core: with a key it trains, with dropout."""

    def network(params, x, t, condition=None, key=None):
        if key is None:
            return module.apply({"params": params}, x, t, condition)
        return module.apply({"params": params}, x, t, condition, train=True, rngs={"dropout": key})

    return network


def _with_betas(spec: Config) -> Config:
    """The table of a discrete chain may be named, or given number by number."""
    if not isinstance(spec.get("betas"), Mapping):
        return spec
    return {**spec, "betas": call("table of betas", named(betas, np.ndarray), spec["betas"])}


def _optimiser(spec: Config) -> optax.GradientTransformation:
    """An optimiser of optax after a linear warm-up of its learning rate and clipping by the global norm."""
    spec = dict(spec)
    clip, warmup, rate = spec.pop("clip"), spec.pop("warmup"), spec["learning_rate"]
    if warmup:
        spec["learning_rate"] = lambda step: rate * jnp.minimum(1, (step + 1) / warmup)
    optimiser = call("optimizer", OPTIMIZERS, spec)
    return optax.chain(optax.clip_by_global_norm(clip), optimiser) if clip else optimiser
