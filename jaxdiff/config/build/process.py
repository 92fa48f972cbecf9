"""Process: how data turns to noise, by name, of training and of sampling."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.config.build.network import Start
from jaxdiff.config.names import Spec
from jaxdiff.config.parts import NOISE, PROCESS
from jaxdiff.config.sampling import Bind, Bound
from jaxdiff.config.schema import check_value
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Product
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.noise import normal
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process
from jaxdiff.gaussian.schedules import from_log_snr
from jaxdiff.types import Network, Params

__all__ = ["learn_process", "make_path", "make_process"]


def make_process(spec: Spec, learned: bool = False, law: Any = None) -> Any:
    """A process by name; the table of a discrete chain may be named, or given number by number.

    Args:
      learned: whether it is to be a module that is learned with the network, or must not.
      law: the frequencies of the data's symbols, of symbols.
    """
    check_value("process", spec, Mapping)
    spec = dict(spec)
    if "process" in spec:
        spec["process"] = make_process(spec["process"])
    if spec.get("name") == "product":
        if not {"numbers", "symbols"} <= spec.keys():
            raise InputError("process 'product': needs process.numbers and process.symbols: give both")
        return PROCESS.make(
            {**spec, "numbers": make_process(spec["numbers"]), "symbols": make_process(spec["symbols"], law=law)}
        )
    noise = spec.pop("noise", None)
    if law is None and PROCESS.takes(spec, "law"):
        raise InputError(f"process {spec['name']!r}: is for symbols, and this data has none: take vp, or data of text")
    made = PROCESS.make(spec, law=law)
    if noise and not isinstance(made, Process):
        raise InputError(f"process.noise={noise}: goes with a process of numbers that is not learned: leave it out")
    if isinstance(made, Replacement):
        return made
    if law is not None:
        kind, ours = ("rows of numbers and symbols", "product") if np.ndim(law) == 2 else ("symbols", "masked")
        raise InputError(f"process {spec['name']!r}: is for numbers, and this data is {kind}: take process {ours}")
    if learned and isinstance(made, Process):
        raise InputError(f"process {spec['name']!r}: the loss learns the process: set process.name=learned")
    if not learned and not isinstance(made, Process):
        raise InputError(
            f"process {spec['name']!r} is learned in training: it needs a loss that learns it, such as bound, and "
            "cannot be chosen for sampling, or shifted"
        )
    return made._replace(noise=NOISE.make(noise)) if noise else made


def make_path(config: Mapping[str, Any], process: Any) -> Process | Replacement | None:
    """The process along which to sample, with the noise of training; None where it is that of training.

    Args:
      process: of training, if it is known before.
    """
    spec = config["sample"].get("process")
    if not spec:
        return None
    if isinstance(process, Replacement | Product):
        raise InputError("sample.process: symbols are drawn along the process of training: leave it out")
    path = make_process(spec)
    noise = _noise(spec)
    if noise and noise != _noise(config["process"]):
        raise InputError(f"sample.process.noise={noise}: must be that of process, or be left out")
    return path._replace(noise=process.noise if process else normal)


def _noise(spec: Spec) -> Spec | None:
    """The noise that a process is given, or the one within it."""
    within = spec.get("process")
    return spec.get("noise") or (_noise(within) if isinstance(within, Mapping) else None)


def learn_process(
    schedule: Any, start_net: Start, parameterization: Parameterization, network: Network
) -> tuple[Start, Bind, Callable[[Params], Process]]:
    """`(start, bind, params["schedule"] -> process)` of a network and the schedule that is learned with it."""

    def start(key):
        params, out = start_net(key)
        return {"net": params, "schedule": schedule.init(key, jnp.zeros(1))["params"]}, out

    def process_of(params):
        return from_log_snr(lambda t: schedule.apply({"params": params}, t))

    def bind(params, condition):
        process = process_of(params["schedule"])
        return Bound(process, make_denoiser(process, parameterization, network, params["net"], condition))

    return start, bind, process_of
