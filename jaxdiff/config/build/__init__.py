"""Build: from a configuration to the parts that it names, one function a part."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.build.data import (
    Config,
    check_conditions,
    check_told,
    classes_of,
    held_out,
    known,
    rescaled,
    source,
)
from jaxdiff.config.build.network import (
    coding_network,
    conditions_of,
    linen_network,
    make_bind,
    make_net,
    make_start,
    make_symbol_bind,
    shapes_of,
    with_unknown,
)
from jaxdiff.config.build.players import make_players
from jaxdiff.config.build.process import learn_process, make_process
from jaxdiff.config.build.transforms import transform_conditions
from jaxdiff.config.names import Spec, in_words
from jaxdiff.config.parts import CRITIC, LOSS, PARAMETERIZATION
from jaxdiff.config.sampling import Bind
from jaxdiff.config.schema import check_fields
from jaxdiff.discrete.parameterization import Symbols
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Mixed, Product
from jaxdiff.errors import InputError
from jaxdiff.gaussian.parameterization import Parameterization, check_target
from jaxdiff.gaussian.process import Process
from jaxdiff.losses.needs import Needs, needs_of
from jaxdiff.losses.vlb import by_log_snr
from jaxdiff.modalities import check, has_space, in_space
from jaxdiff.types import Batch, ConditionSpec, Key, LossFn, Network, Params, StatefulLoss, missing
from jaxdiff.types import Spec as DataSpec

__all__ = [
    "Config",
    "Core",
    "build_core",
    "check_conditions",
    "check_told",
    "classes_of",
    "held_out",
    "known",
    "linen_network",
    "make_loss",
    "rescaled",
    "source",
    "transform_conditions",
]


class Core(NamedTuple):
    """The part that training and sampling share: a network, and the meaning of its output.

    Attributes:
      process: None where it is learned with the network.
      schedule: `params["schedule"] -> process`, where it is learned.
      parameterization: what the output means.
      module: the Flax module, and `network`, the same as a function.
      init: `key -> params`.
      shapes: of the parameters.
      bind: `(params, condition) -> Bound`.
      needs: what the loss needs of the network.
      conditions: what the network can be told of an example, by name.
    """

    process: Process | Replacement | Product | None
    schedule: Callable[[Params], Process] | None
    parameterization: Any
    module: Any
    network: Network
    init: Callable[[Key], Params]
    shapes: Any
    bind: Bind
    needs: Needs
    conditions: dict[str, ConditionSpec]


def build_core(config: Config, spec: DataSpec) -> Core:
    """The core of a configuration, for such examples.

    Raises:
      InputError: a field, name or argument that does not fit, or parts that do not fit together.
    """
    check_fields(config)
    check(spec)
    needs = needs_of(LOSS.find(config["loss"]))
    parameterization = PARAMETERIZATION.make(config["parameterization"])
    law = spec.details.get("law")
    symbols = 0 if law is None else np.shape(law)[-1]
    numbers = spec.details.get("numbers", -1)
    module = make_net(config["net"], needs, transform_conditions(config, spec), spec, symbols, max(numbers, 0))
    network, start = linen_network(module), make_start(module, spec)
    check_coding(module, needs, config)
    made = make_process(config["process"], needs.learned_process, law)
    check_kinds(made, parameterization, config["loss"])
    if needs.learned_process:
        if has_space(spec):
            raise InputError(
                f"loss {config['loss']['name']!r}: learns a process of all of R^n, and this data is sets: take "
                "diffusion"
            )
        process, parameterization = None, by_log_snr(parameterization)
        start, bind, schedule = learn_process(made, start, parameterization, network)
    elif isinstance(made, Replacement | Product):
        process, schedule, bind = made, None, make_symbol_bind(made, parameterization, module)
    else:
        process, schedule = in_space(made, spec), None
        check_target(process, parameterization)
        bind = make_bind(process, parameterization, module, needs.outputs == 2, conditions_of(module, spec))
    if needs.players and isinstance(process, Process):
        critic = lambda: make_critic(config["loss"])
        start, bind = make_players(needs.players, process, parameterization, module, spec, bind, critic)
    shapes = shapes_of(start, config["net"], config["loss"]["name"], needs, spec.shape, symbols, numbers)
    known = conditions_of(module, spec)
    if needs.times:
        check_times(network, shapes, config, spec.shape)
    return Core(
        process, schedule, parameterization, module, network, lambda key: start(key)[0], shapes, bind, needs, known
    )


def make_critic(spec: Spec) -> Any:
    """The network of an adversary that a loss names."""
    if "critic" not in spec:
        raise InputError(f"loss {spec['name']!r}: has an adversary: set loss.critic.name, such as patches")
    return CRITIC.make(spec["critic"])


def check_times(network: Network, shapes: Params, config: Config, shape: tuple[int, ...]) -> None:
    """Refuse a network that takes one time for all steps of an example, where the loss gives each its own."""
    try:
        jax.eval_shape(network, shapes, jnp.zeros((1, *shape)), jnp.zeros((1, shape[0])))
    except Exception as error:  # JAX finds what does not fit
        raise InputError(
            f"net {in_words(config['net']['name'])!r}: takes one time for all steps of an example, and loss "
            f"{config['loss']['name']!r} gives each its own: take net unet1d (of videos unet_video or dit), or loss "
            "diffusion"
        ) from error


def check_coding(module: Any, needs: Needs, config: Config) -> None:
    """Refuse an autoencoder where a network of noisy examples is needed, and the other way round."""
    if hasattr(module, "through") != needs.autoencoder:
        name, loss = in_words(config["net"]["name"]), config["loss"]["name"]
        other = "net autoencoder" if needs.autoencoder else "loss reconstruction"
        raise InputError(f"net {name!r}, loss {loss!r}: an autoencoder goes with its own loss: take {other}")


def check_kinds(process: Any, parameterization: Any, spec: Spec) -> None:
    """Refuse parts of symbols beside parts of numbers.

    Raises:
      InputError: the parameterization, the loss or its times are for data of the other kind.
    """
    of = Process if process is None or not isinstance(process, Replacement | Product) else type(process)
    kind, meaning, ours = MEANINGS[of]
    if not isinstance(parameterization, meaning):
        raise InputError(f"parameterization: is not for {kind}, of which the process is: take {ours[0]}")
    own, means = process, parameterization
    if isinstance(process, Product):
        own, means = process.symbols, parameterization.symbols
    if isinstance(own, Replacement) and means.knows_masks and not own.masks:
        raise InputError("parameterization 'subs': copies what is no mask, and this process has no masks: take logits")
    loss, name = LOSS.find(spec), in_words(spec["name"])
    takes = inspect.signature(loss).parameters.get("process")
    its = takes.annotation if takes and takes.annotation in MEANINGS else Process
    if loss in LOSS.known.values() and its is not of:
        raise InputError(f"loss {name!r}: is not for {kind}, of which the process is: take {ours[1]}")
    times = spec["times"].get("name") if isinstance(spec.get("times"), Mapping) else None
    if of is not Process and times == "log_normal":
        raise InputError("times 'log_normal': are by noise levels, which symbols have not: take stratified")
    if of is not Process and times == "logit_normal" and spec.get("objective", "elbo") == "elbo":
        raise InputError("times 'logit_normal': the bound of symbols is over even times: take stratified")


MEANINGS: dict[type, tuple[str, type, tuple[str, str]]] = {
    Process: ("numbers", Parameterization, ("eps, v or x0", "diffusion")),
    Replacement: ("symbols", Symbols, ("subs or logits", "symbols")),
    Product: ("numbers and symbols", Mixed, ("mixed", "mixed")),
}
"""By process: of what it is, the parameterizations that go with it, and which to take."""


def make_loss(spec: Spec, core: Core, shape: tuple[int, ...]) -> LossFn | StatefulLoss:
    """The loss that a configuration names, with the weight and the time sampler that it names.

    Args:
      shape: of one example, with which a loss, what it is made of from outside, and features are tried.

    Raises:
      InputError: what is named does not fit, or one from outside fails.
    """
    given: dict[str, Any] = {"schedule": core.schedule} if core.schedule else {"process": core.process}
    coding = core.needs.autoencoder
    network = coding_network(core.module) if coding else with_unknown(core.network, core.conditions)
    given |= {"parameterization": core.parameterization, "network": network, "conditions": core.conditions}
    loss = LOSS.make(spec, **given)
    named = [
        (LOSS, spec["name"]),
        *((part, spec[k]["name"]) for k, part in LOSS.inner.items() if isinstance(spec.get(k), Mapping)),
    ]
    outside = [(part, name) for part, name in named if not isinstance(name, str) or name not in part.known]
    if not (outside or {"features", "last"} & spec.keys()):
        return loss
    batch = Batch(jnp.zeros((2, *shape)), missing(core.conditions, 2) or None)
    memory = (jax.eval_shape(loss.first, core.shapes),) if isinstance(loss, StatefulLoss) else ()
    run = loss.loss if isinstance(loss, StatefulLoss) else loss
    try:
        value, _ = jax.eval_shape(run, core.shapes, *memory, jax.random.key(0), batch)
        if value.shape != ():
            raise ValueError(f"the loss has the shape {value.shape}, not ()")
    except InputError:
        raise
    except Exception as error:  # what is from outside may raise any
        told = "; ".join(f"{part.kind} {in_words(name)!r} must be {part.contract}" for part, name in outside)
        raise InputError(f"{told}: {type(error).__name__}: {' '.join(str(error).split())[:400]}") from error
    return loss
