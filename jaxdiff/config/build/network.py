"""Network: a Flax module by name, and what it stands for with its parameters: `jaxdiff.config.sampling.Bound`."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxdiff import nets
from jaxdiff.config.build.text import reader, text_of
from jaxdiff.config.names import Spec, in_words
from jaxdiff.config.parts import NET
from jaxdiff.config.sampling import Bind, Bound
from jaxdiff.discrete import denoiser as denoisers
from jaxdiff.discrete import product as products
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Product
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.flow_map import make_endpoint
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, on
from jaxdiff.losses.hybrid import make_fraction, mean_network
from jaxdiff.losses.needs import Needs
from jaxdiff.types import ConditionSpec, Key, Network, Params, missing
from jaxdiff.types import Spec as DataSpec

__all__ = [
    "DTYPES",
    "FLEETING",
    "Start",
    "coding_network",
    "conditions_of",
    "linen_network",
    "make_bind",
    "make_net",
    "make_start",
    "make_symbol_bind",
    "make_tensor_axis",
    "remembering_network",
    "shapes_of",
    "with_unknown",
]

Start = Callable[[Key], tuple[Params, Any]]
"""`key -> (parameters, output)` of a network for one example of zeros."""
DTYPES = ("float32", "bfloat16")
FLEETING = ("intermediates",)
"""Collections of variables of one call, which nobody has to keep."""


def make_net(
    spec: Spec,
    needs: Needs,
    told: Mapping[str, ConditionSpec],
    like: DataSpec,
    symbols: int = 0,
    numbers: int = 0,
) -> Any:
    """The Flax module that a configuration names, with as many outputs as its loss needs.

    Args:
      told: the conditions that the transforms of the training tell it: vectors, and images of the rank of an example.
      like: what one example is, and by which tokenizer its caption becomes ids.
      symbols: of the data, whose logits the network returns; 0 for data of numbers.
      numbers: of an example of symbols and numbers.
    """
    own = NET.arguments(spec)
    for name, source in (("outputs", "loss"), ("symbols", "data"), ("numbers", "data"), ("control", "training")):
        if name in spec:
            raise InputError(f"config.net.{name} follows from the {source}: leave it out")
    if not symbols and "symbols" in inspect.signature(NET.find(spec)).parameters:
        raise InputError(f"net {in_words(spec['name'])!r}: is for symbols, and this data has none: take unet or mlp")
    if "dtype" in own and spec.get("dtype", "float32") not in DTYPES:
        raise unknown("net.dtype", spec["dtype"], DTYPES)
    followed = told.get("control")
    if followed and not NET.takes(spec, "control"):
        raise InputError(f"net {in_words(spec['name'])!r} follows no pictures: set train.control='', or take unet")
    told = {name: one for name, one in told.items() if not (followed and name in ("control", "strength"))}
    inputs = {
        "vectors": {name: one.shape[-1] for name, one in told.items() if len(one.shape) == 1},
        "images": {name: one.shape[-1] for name, one in told.items() if len(one.shape) == len(like.shape)},
    }
    given = {kind: {**spec.get(kind, {}), **widths} for kind, widths in inputs.items() if widths}
    if given.keys() - own.keys():
        name, names = in_words(spec["name"]), " and ".join(sorted(told))
        raise InputError(f"net {name!r} cannot be told {names}: leave out train.augment, upscale and guidance")
    if text_of(spec):
        given["text"] = reader(spec, like.details.get("text"))
    if needs.forward and spec.get("attention_kernel", "xla") == "cudnn":
        raise InputError("net.attention_kernel='cudnn': has no forward derivative, which this loss takes: choose 'xla'")
    if needs.second_time and not NET.takes(spec, "second_time"):
        raise InputError(f"net {in_words(spec['name'])!r} cannot be told a second time: this loss needs one that can")
    further: dict[str, Any] = {"second_time": True} if needs.second_time else {}
    if followed:
        further["control"] = followed.shape[-1]
    if needs.autoencoder and "channels" in own and "channels" not in spec:
        given = {"channels": like.shape[-1], **given}
    return NET.make({**spec, **given}, outputs=needs.outputs, symbols=symbols, numbers=numbers, **further)


def conditions_of(module: Any, spec: DataSpec) -> dict[str, ConditionSpec]:
    """The conditions that a network takes for such an example; none if it does not say."""
    return module.condition_spec(spec) if hasattr(module, "condition_spec") else {}


def make_start(module: Any, spec: DataSpec) -> Start:
    """Make the function that initializes a network for such examples."""
    known, shape = conditions_of(module, spec), spec.shape

    def start(key):
        condition = missing(known, 1) if known else None
        out, variables = module.init_with_output(key, jnp.zeros((1, *shape)), jnp.zeros(1), condition)
        if held := sorted(variables.keys() - {"params", *FLEETING}):
            raise InputError(
                f"net {type(module).__name__}: keeps {', '.join(held)} beside its parameters, which a run does not "
                "save: choose one that does not, such as net.norm=layer in place of batch"
            )
        return variables.get("params", {}), out

    return start


def shapes_of(
    start: Start, spec: Spec, loss: str, needs: Needs, shape: tuple[int, ...], symbols: int = 0, numbers: int = -1
) -> Any:
    """The shapes of the parameters of a network that returns what its loss needs.

    Raises:
      InputError: it returns something else, or does not fit examples of this shape.
    """
    name = in_words(spec["name"])
    try:
        params, out = jax.eval_shape(start, jax.random.key(0))
    except InputError:
        raise
    except Exception as error:  # JAX may find what a network does not look for, and a module from outside raises any
        contract = "" if name in NET.known else f"; it must be {NET.contract}"
        reason = " ".join(str(error).split())[:400]
        raise InputError(f"net {name!r} for examples of shape {shape}: {reason}{contract}") from error
    if needs.classifier:
        like = (1, spec.get("num_classes", out.shape[-1]))
        fits, wanted = out.shape == like, "logits, (batch, num_classes): take net 'classifier'"
    elif numbers >= 0:
        like = (1, numbers + (shape[-1] - numbers) * symbols)
        fits, wanted = out.shape == like, f"numbers and logits side by side, {like}: take net 'columns'"
    elif symbols:
        like = (1, *shape, symbols)
        fits, wanted = out.shape == like, f"logits of {symbols} symbols, {like}: take net 'sequence'"
    else:
        like = (1, *shape[:-1], needs.outputs * shape[-1])
        fits, wanted = out.shape == like, f"one like x, of shape {like}"
    if not fits:
        raise InputError(
            f"net {name!r} returns an array of shape {out.shape} for x of shape {(1, *shape)}: loss {loss!r} needs "
            f"{wanted}"
        )
    return params


def make_bind(
    trained: Process,
    parameterization: Parameterization,
    module: Any,
    learns_variance: bool,
    told: Collection[str] = (),
) -> Bind:
    """`(params, condition) -> Bound` of a network along the process of its training.

    Args:
      trained: the process, which is bound to the space of each condition.
      told: the names of its conditions; with "until", it is a flow map's, and denoises where both times are the same.
    """
    network = linen_network(module)
    mean = mean_network if learns_variance else lambda network: network
    has_levels = "deep" in inspect.signature(type(module).__call__).parameters

    def bind(params, condition):
        process = on(trained, condition)

        def fraction(x_t, t, memory=None):
            known = network if memory is None else remembering_network(module, memory)[0]
            return make_fraction(process, parameterization, known, params, condition)(x_t, t)

        def remembering(x_t, t, memory):
            known, left = remembering_network(module, memory)
            x_0 = make_denoiser(process, parameterization, mean(known), params, condition)(x_t, t)
            return x_0, left()

        if "until" in told:
            endpoint = make_endpoint(process, parameterization, network, params, condition)
            return Bound(process, lambda x_t, t: endpoint(x_t, t, t), endpoint=endpoint)
        denoiser = make_denoiser(process, parameterization, mean(network), params, condition)
        return Bound(process, denoiser, fraction if learns_variance else None, remembering if has_levels else None)

    return bind


def make_symbol_bind(process: Replacement | Product, parameterization: Any, module: Any) -> Bind:
    """`(params, condition) -> Bound` of a network of symbols, or of numbers and symbols."""
    network = linen_network(module)
    make: Any = products.make_denoiser if isinstance(process, Product) else denoisers.make_denoiser

    def bind(params, condition):
        return Bound(process, make(process, parameterization, network, params, condition))

    return bind


def make_tensor_axis(module: Any) -> Callable[[tuple[str, ...], tuple[int, ...]], int | None]:
    """The axis along which to cut each parameter: the network's own `tensor_axis`, or none if it has none."""
    if hasattr(module, "tensor_axis"):
        return module.tensor_axis
    return nets.tensor_axis if type(module) in NET.known.values() else lambda names, shape: None


def linen_network(module: Any) -> Network:
    """A Flax module as a network of the core: with a key it trains, with dropout."""

    def network(params, x, t, condition=None, key=None):
        if key is None:
            return module.apply({"params": params}, x, t, condition)
        return module.apply({"params": params}, x, t, condition, train=True, rngs={"dropout": key})

    return network


def coding_network(module: Any) -> Callable[[Params, Any, Key], Any]:
    """`(params, x, key) -> (x, mean, log_variance)` of an autoencoder."""
    return lambda params, x, key: module.apply({"params": params}, x, key, method="through")


def with_unknown(network: Network, known: Mapping[str, ConditionSpec]) -> Network:
    """The network, told by the values that stand for it what a loss leaves out, such as the class of a guided teacher.

    Args:
      known: its conditions; a second time, and what it is always told, have no such value.
    """
    specs = {name: one for name, one in known.items() if name != "until" and one.missing is not None}
    if not specs:
        return network

    def told(params, x, t, condition=None, key=None):
        given = condition or {}
        rest = {name: one for name, one in specs.items() if name not in given}
        return network(params, x, t, {**missing(rest, x.shape[0]), **given}, key)

    return told


def remembering_network(module: Any, memory: Any) -> tuple[Network, Callable[[], Any]]:
    """A U-Net as a network whose deeper levels are remembered, and a function that tells what its last call left."""
    left = []

    def network(params, x, t, condition=None, key=None):
        out, sown = module.apply({"params": params}, x, t, condition, deep=memory, mutable=["intermediates"])
        left.append(sown["intermediates"]["deep"][0] if memory is None else memory)
        return out

    return network, lambda: left[-1]
