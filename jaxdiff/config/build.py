"""Experiment: from a configuration, which is plain data, to the parts it names. Nothing else reads names."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxdiff import nets
from jaxdiff.config.names import call, named
from jaxdiff.config.schema import check_fields, check_value
from jaxdiff.data.source import Source, balanced, shrunk
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian import betas, grids, parameterization, process, schedules, simplex
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.noise import normal
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process
from jaxdiff.guidance import classifier
from jaxdiff.losses import classification, diffusion, importance
from jaxdiff.losses import hybrid as learned_variance
from jaxdiff.losses import sliced as score_matching
from jaxdiff.losses import times as loss_times
from jaxdiff.losses import vlb as vdm
from jaxdiff.losses import weights as loss_weights
from jaxdiff.losses.times import Times
from jaxdiff.losses.weights import Weight
from jaxdiff.modalities import images
from jaxdiff.modalities.images import augment, low_resolution
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.model import Bind, Bound, Model, check_levels, make_draw
from jaxdiff.training.ema import Decay, averages
from jaxdiff.training.sharding import TensorAxis, make_mesh, replicated
from jaxdiff.transforms import dropout
from jaxdiff.types import (
    Batch,
    ConditionSpec,
    Key,
    LossFn,
    Network,
    Noise,
    Params,
    Spec,
    StatefulLoss,
    Transform,
    missing,
)

Config = Mapping[str, Any]

NETS = {"unet": nets.UNet, "classifier": nets.Classifier}
OPTIMIZERS = {f.__name__: f for f in (optax.adam, optax.adamw, optax.lamb, optax.lion, optax.radam, optax.sgd)}
SCHEDULES = {
    f.__name__: f
    for f in (
        optax.constant_schedule,
        optax.cosine_decay_schedule,
        optax.exponential_decay,
        optax.linear_schedule,
        optax.polynomial_schedule,
        optax.warmup_constant_schedule,
        optax.warmup_cosine_decay_schedule,
        optax.warmup_exponential_decay_schedule,
    )
}
"""Of the learning rate, under optax's names; optimizer.learning_rate is the highest value."""
PROCESSES = {k: f for k, f in named(schedules, Process).items() if k not in ("interpolant", "from_log_snr")}
LOSSES = {
    "diffusion": diffusion.diffusion_loss,
    "importance": importance.importance_loss,
    "hybrid": learned_variance.hybrid_loss,
    "sliced": score_matching.sliced_loss,
    "bound": vdm.bound_loss,
    "classification": classification.classification_loss,
}
TRAINED = tuple(f"train.{k}" for k in ("batch_size", "drop_condition", "augment", "shrink", "enlarge", "enlarge_noise"))
"""What of the training decides what is built."""


class Experiment(NamedTuple):
    """All parts of a run but its data."""

    init: Callable[[Key], Params]
    loss_fn: LossFn | StatefulLoss
    transforms: list[Transform]
    """Of each batch, before its loss."""
    optimiser: optax.GradientTransformation
    ema: dict[str, Decay]
    """The averages, by name; the first is the one to sample with."""
    model: Model | Classifier
    """Its `params` are shapes alone, until real ones take their place."""
    tensor_axis: TensorAxis
    """Of the network, see `jaxdiff.training.sharding`."""


def build(config: Config, shape: tuple[int, ...], mesh: Mesh | None = None) -> Experiment:
    """The experiment that a configuration describes, for images of this shape: (height, width, channels).

    Args:
      mesh: of the devices that draw; all devices, each with all parameters, by default.

    Raises:
      InputError: an unknown name or argument, a value that does not fit, or parts that do not fit together.
    """
    check_fields(config, "process", "parameterization", "net", "loss", "optimizer", "ema", "sample", *TRAINED)
    meaning = call("parameterization", named(parameterization, Parameterization), config["parameterization"])
    spec, loss_spec = Spec(tuple(shape)), {"name": "diffusion", **config["loss"]}
    learned = config["process"].get("name") == "learned"
    if learned != (loss_spec["name"] == "bound"):
        raise InputError("process 'learned' and loss 'bound' need each other: choose both or neither")
    classifies = loss_spec["name"] == "classification"
    if classifies != (config["net"].get("name") == "classifier"):
        raise InputError("net 'classifier' and loss 'classification' need each other: choose both or neither")
    if "outputs" in config["net"]:
        raise InputError("config.net.outputs follows from the loss: leave it out")
    net = {**config["net"], **_inputs(config, spec), **({"outputs": 2} if loss_spec["name"] == "hybrid" else {})}
    if net.get("dtype", "float32") not in ("float32", "bfloat16"):
        raise unknown("net.dtype", net["dtype"], ("float32", "bfloat16"))
    module = call("net", NETS, net)
    network, known = linen_network(module), module.condition_spec(spec)

    def init_net(key):
        return module.init(key, jnp.zeros((1, *shape)), jnp.zeros(1), missing(known, 1))["params"]

    if learned:
        chain = None
        init, bind, given, meaning = _learned(config["process"], init_net, meaning, network)
    else:
        given = chain = _process(config["process"])
        parameterization.check_target(chain, meaning)
        init, bind = init_net, _binder(chain, meaning, module, loss_spec["name"] == "hybrid")

    loss_fn, transforms = _loss(loss_spec, given, meaning, network), _transforms(config, spec, known)
    optimiser, ema = _optimiser(config["optimizer"]), averages(config["ema"], config["train"]["batch_size"])

    mesh = mesh or make_mesh()
    device = replicated(mesh)
    try:
        shapes = jax.eval_shape(init, jax.random.key(0))
    except InputError:
        raise
    except (TypeError, ValueError, ArithmeticError, MemoryError) as error:  # JAX may find what UNet does not look for
        raise InputError(f"net for images of shape {shape}: {' '.join(str(error).split())[:400]}") from error
    params = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=device), shapes)
    if classifies and chain:
        log_p = classifier.make_bind(chain, meaning, network)
        model = Classifier(params, log_p, chain, shape, module.num_classes)
        return Experiment(init, loss_fn, transforms, optimiser, ema, model, nets.tensor_axis)
    model = _model(config, params, bind, chain, meaning, shape, mesh)
    train = config["train"]
    model = dataclasses.replace(
        model,
        # What is drawn is not augmented.
        conditions={name: one for name, one in known.items() if name != "augment"},
        guidable=train["drop_condition"] > 0,
        enlarges=train["enlarge"],
        enlarge_noise=train["enlarge_noise"] if train["enlarge"] > 1 else np.inf,
    )
    model.check()
    return Experiment(init, loss_fn, transforms, optimiser, ema, model, nets.tensor_axis)


def _learned(spec: Config, init_net: Callable[[Key], Params], meaning: Parameterization, network: Network):
    """`(init, bind, params["schedule"] -> process, meaning)` where the process is learned with the network."""
    schedule = call("process", {"learned": nets.MonotoneLogSNR}, spec)
    meaning = vdm.by_log_snr(meaning)

    def init(key):
        return {"net": init_net(key), "schedule": schedule.init(key, jnp.zeros(1))["params"]}

    def given(params):
        return schedules.from_log_snr(lambda t: schedule.apply({"params": params}, t))

    def bind(params, condition):
        path = given(params["schedule"])
        return Bound(path, make_denoiser(path, meaning, network, params["net"], condition))

    return init, bind, given, meaning


def _binder(chain: Process, meaning: Parameterization, module: Any, learns_variance: bool) -> Bind:
    network = linen_network(module)
    mean = learned_variance.mean_network if learns_variance else lambda network: network

    def bind(params, condition):
        def fraction(x_t, t, memory=None):
            known = network if memory is None else remembering_network(module, memory)[0]
            return learned_variance.make_fraction(chain, meaning, known, params, condition)(x_t, t)

        def remembering(x_t, t, memory):
            known, left = remembering_network(module, memory)
            x_0 = make_denoiser(chain, meaning, mean(known), params, condition)(x_t, t)
            return x_0, left()

        denoiser = make_denoiser(chain, meaning, mean(network), params, condition)
        return Bound(chain, denoiser, fraction if learns_variance else None, remembering)

    return bind


def _model(config: Config, params: Any, bind: Bind, chain: Process | None, meaning, shape, mesh: Mesh) -> Model:
    """The model, with the process along which to sample where it is not that of training, `config.sample.process`."""
    sampling = config["sample"]
    other = _path(config, chain) if sampling.get("process") else None
    path = other or chain
    known = named(grids, np.ndarray)

    @functools.cache
    def grid(steps):
        spec = sampling["grid"]
        wants = inspect.signature(known[spec["name"]]).parameters if spec.get("name") in known else ()
        if "process" in wants and path is None:
            raise InputError(f"grid {spec['name']!r} needs noise levels, and this process learns its own: take uniform")
        times = call("grid", known, spec, *([path] if "process" in wants else []), steps)
        if chain and path:
            with jax.ensure_compile_time_eval():
                there = times[:-1] if path is chain else process.time_at(chain, process.log_snr(path, times[:-1]))
                last = float(path.sigma(jnp.float32(times[-1])))
            if path is not chain:
                check_levels("this model", chain, path, times if last > 0 else times[:-1])
            parameterization.check_defined(chain, meaning, np.append(there, 0))
        times.setflags(write=False)
        return times

    return Model(
        params=params,
        draw=make_draw(bind, other, mesh),
        shape=tuple(shape),
        grid=grid,
        steps=sampling["steps"],
        sampler=sampling["sampler"],
        options={"clip": sampling["clip"]},
        bind=bind,
        path=path,
    )


def _path(config: Config, chain: Process | None) -> Process:
    """The process along which to sample, with the noise of training.

    Args:
      chain: the process of training, if it is known before.
    """
    spec = config["sample"]["process"]
    path = _process(spec)
    noise = _noise(spec)
    if noise and noise != _noise(config["process"]):
        raise InputError(f"sample.process.noise={noise}: must be that of process, or be left out")
    return path._replace(noise=chain.noise if chain else normal, white=chain.white if chain else True)


def _noise(spec: Config) -> Config | None:
    """The noise that a process is given, or the one within it."""
    within = spec.get("process")
    return spec.get("noise") or (_noise(within) if isinstance(within, Mapping) else None)


def _process(spec: Config) -> Process:
    """A process by name; the table of a discrete chain may be named, or given number by number."""
    check_value("process", spec, Mapping)
    spec = dict(spec)
    if isinstance(spec.get("betas"), Mapping):
        spec["betas"] = call("table of betas", named(betas, np.ndarray), spec["betas"])
    if "process" in spec:
        spec["process"] = _process(spec["process"])
    noise = spec.pop("noise", None)
    made = call("process", {**PROCESSES, "learned": _misplaced}, spec)
    return made._replace(noise=call("noise", named(simplex, Noise), noise), white=False) if noise else made


def _misplaced() -> Process:
    raise InputError("process 'learned' is learned in training: it cannot be chosen for sampling, or shifted")


def _loss(spec: Config, given: Any, meaning: Parameterization, network: Network) -> LossFn | StatefulLoss:
    """A loss by name, with the weight and the time sampler that it names."""
    spec = dict(spec)
    for part, kind, known in [
        ("weight", "loss weight", named(loss_weights, Weight)),
        ("times", "time sampler", named(loss_times, Times)),
    ]:
        if part in spec:
            spec[part] = call(kind, known, spec[part])
    return call("loss", LOSSES, spec, given, meaning, network)


def _inputs(config: Config, spec: Spec) -> dict[str, dict[str, int]]:
    """The arguments of a network that its conditions of transforms are, by how they enter."""
    net, told = config["net"], _conditions(config, spec)
    vectors = {name: one.shape[-1] for name, one in told.items() if len(one.shape) == 1}
    images = {name: one.shape[-1] for name, one in told.items() if len(one.shape) == len(spec.shape)}
    given = {"vectors": {**net.get("vectors", {}), **vectors}, "images": {**net.get("images", {}), **images}}
    return {name: value for name, value in given.items() if value}


def _conditions(config: Config, spec: Spec) -> dict[str, ConditionSpec]:
    """What the transforms of a configuration tell the network of each example."""
    train = config["train"]
    told = {"augment": augment.SPEC} if train["augment"] else {}
    return told | (low_resolution.specs(spec.shape) if train["enlarge"] > 1 else {})


def _transforms(config: Config, spec: Spec, known: Mapping[str, ConditionSpec]) -> list[Transform]:
    """What happens to a batch before its loss.

    Args:
      known: what the network can be told.

    A small image is that of the augmented one, and how it was augmented is told also where its condition is dropped.
    """
    train = config["train"]
    rate, factor = train["augment"], train["enlarge"]
    if factor == 1 and train["enlarge_noise"]:
        raise InputError(f"train.enlarge_noise={train['enlarge_noise']}: goes with train.enlarge above 1: set it, or 0")
    if spec.shape[0] % factor or spec.shape[1] % factor:
        raise InputError(f"train.enlarge={factor}: must divide the sides of {spec.shape[0]}x{spec.shape[1]} images")
    if untold := " and ".join(sorted(_conditions(config, spec).keys() - known.keys())):
        raise InputError(f"net {config['net']['name']!r} cannot be told {untold}: set train.augment=0, train.enlarge=1")
    if train["drop_condition"] and not known.keys() - {"augment"}:
        raise InputError(
            f"train.drop_condition={train['drop_condition']}: net {config['net']['name']!r} is told no condition: "
            "set it to 0, or net.num_classes"
        )
    dropped = {name: spec for name, spec in known.items() if name != "augment"}
    steps = [augment.augmented(rate)] if rate else []
    steps += [low_resolution.low_resolution(factor, train["enlarge_noise"])] if factor > 1 else []
    return steps + ([dropout.drop_condition(train["drop_condition"], dropped)] if train["drop_condition"] else [])


def source(config: Config) -> Source:
    """The data of a configuration, checked against its network; without labels if the network takes none."""
    check_fields(config, "data", "net", "train.balanced", "train.shrink")
    data = shrunk(call("dataset", named(images, Source), config["data"]), config["train"]["shrink"])
    if config["train"]["balanced"]:
        data = balanced(data)
    classes = config["net"]["num_classes"]
    if not classes:
        return data._replace(num_classes=0, take=lambda i: unlabelled(data.take(i)))
    if classes != data.num_classes:
        raise InputError(
            f"net.num_classes={classes}, but dataset {config['data']['name']!r} has {data.num_classes} classes: "
            "make them equal, or 0 for no classes"
        )
    return data


def unlabelled(batch: Batch) -> Batch:
    """The batch without labels; what else is known of it stays."""
    rest = {name: value for name, value in (batch.condition or {}).items() if name != "label"}
    return batch._replace(condition=rest or None)


def held_out(config: Config) -> Source:
    """The held-out data of a configuration.

    Raises:
      InputError: it names none.
    """
    if not config.get("held_out"):
        raise InputError("this configuration names no held-out data: set config.held_out, a data set like config.data")
    return source({**config, "data": config["held_out"]})


def linen_network(module: Any) -> Network:
    """A Flax module as a network of the core: with a key it trains, with dropout."""

    def network(params, x, t, condition=None, key=None):
        if key is None:
            return module.apply({"params": params}, x, t, condition)
        return module.apply({"params": params}, x, t, condition, train=True, rngs={"dropout": key})

    return network


def remembering_network(module: Any, memory: Any) -> tuple[Network, Callable[[], Any]]:
    """A U-Net as a network whose deeper levels are remembered, and a function that tells what its last call left."""
    left = []

    def network(params, x, t, condition=None, key=None):
        out, sown = module.apply({"params": params}, x, t, condition, deep=memory, mutable=["intermediates"])
        left.append(sown["intermediates"]["deep"][0] if memory is None else memory)
        return out

    return network, lambda: left[-1]


def _optimiser(spec: Config) -> optax.GradientTransformation:
    """An optimizer of optax, its learning rate a schedule after a linear warm-up, clipping by the global norm.

    A rate that never changes is a number, for which optax keeps no count of steps.
    """
    spec = dict(spec)
    clip, warmup, rate, schedule = (spec.pop(name) for name in ("clip", "warmup", "learning_rate", "schedule"))
    if warmup and "warmup_steps" in schedule:
        raise InputError(f"optimizer.warmup={warmup}: the schedule has warmup_steps of its own: set optimizer.warmup=0")
    after = call("learning rate schedule", SCHEDULES, schedule, *_start_of(schedule, rate))

    def learning_rate(step):
        return after(jnp.maximum(step - warmup, 0)) * (jnp.minimum(1, (step + 1) / warmup) if warmup else 1)

    constant = schedule["name"] == "constant_schedule" and not warmup
    optimiser = call("optimizer", OPTIMIZERS, spec, rate if constant else learning_rate)
    try:
        jax.eval_shape(optimiser.init, jnp.zeros(1))
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer {spec['name']!r}: {' '.join(str(error).split())}") from error
    return optax.chain(optax.clip_by_global_norm(clip), optimiser) if clip else optimiser


def _start_of(schedule: Config, rate: float) -> tuple[float, ...]:
    """The leading arguments of a schedule that follow from the learning rate, its highest value."""
    return (0.0, rate) if str(schedule.get("name", "")).startswith("warmup_") else (rate,)
