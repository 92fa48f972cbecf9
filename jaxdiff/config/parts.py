"""Parts: which parts of a configuration name a function, and which functions there are.

The arguments are the functions' own parameters, less those that the program gives. So what can be named in a
configuration can be set from the command line.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import optax

from jaxdiff import distill, nets
from jaxdiff.config.names import Part, named
from jaxdiff.config.sampling import SAMPLER
from jaxdiff.data.source import Source
from jaxdiff.discrete import losses as symbol_losses
from jaxdiff.discrete import parameterization as symbol_parameterization
from jaxdiff.discrete import process as symbol_process
from jaxdiff.discrete.parameterization import Symbols
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Mixed, Product, mixed, mixed_loss, product
from jaxdiff.gaussian import betas, grids, parameterization, schedules, simplex
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process
from jaxdiff.losses import (
    adversary,
    classification,
    diffusion,
    frames,
    hybrid,
    importance,
    reconstruction,
    sliced,
    structures,
    times,
    vlb,
    weights,
)
from jaxdiff.losses.times import Times
from jaxdiff.losses.weights import Weight
from jaxdiff.modalities import audio, images, molecules, tables, text, trajectories, video
from jaxdiff.types import Noise, StatefulLoss

__all__ = [
    "BETAS",
    "CRITIC",
    "DATA",
    "GRID",
    "LOSS",
    "NET",
    "NOISE",
    "OPTIMIZER",
    "PARAMETERIZATION",
    "PARTS",
    "PROCESS",
    "SCHEDULE",
    "Module",
]


@runtime_checkable
class Module(Protocol):
    """The interface of a Flax module."""

    def init(self, *given: Any, **further: Any) -> Any: ...

    def apply(self, *given: Any, **further: Any) -> Any: ...


DATA = Part(
    "dataset",
    {
        name: make
        for kind in (images, tables, text, molecules, trajectories, audio, video)
        for name, make in named(kind, Source).items()
    },
    Source,
    "a function that returns a jaxdiff.data.source.Source",
)
BETAS = Part(
    "table of betas", named(betas, np.ndarray), np.ndarray, "a function that returns the NumPy array of a chain's betas"
)
NOISE = Part("noise", named(simplex, Noise), Callable, "a function that returns (key, x) -> eps, shaped like x")
_within: dict[str, Part] = {"betas": BETAS, "noise": NOISE}
PROCESS = Part(
    "process",
    {
        **{k: f for k, f in named(schedules, Process).items() if k not in ("interpolant", "from_log_snr")},
        "learned": nets.MonotoneLogSNR,
        **named(symbol_process, Replacement),
        "product": product,
    },
    (Process, Module, Replacement, Product),
    "a function that returns a jaxdiff.gaussian.process.Process, a jaxdiff.discrete.process.Replacement of symbols, or "
    "a Flax module t -> log-SNR to be learned",
    ("law",),
    inner=_within,
    beside=lambda spec: {"noise": None},
)
_within |= {"process": PROCESS, "numbers": PROCESS, "symbols": PROCESS}
_meaning: dict[str, Part] = {}
PARAMETERIZATION = Part(
    "parameterization",
    {**named(parameterization, Parameterization), **named(symbol_parameterization, Symbols), "mixed": mixed},
    (Parameterization, Symbols, Mixed),
    "a function that returns a jaxdiff.gaussian.parameterization.Parameterization, or jaxdiff.discrete's Symbols",
    inner=_meaning,
)
_meaning |= {"numbers": PARAMETERIZATION, "symbols": PARAMETERIZATION}
NET = Part(
    "net",
    {
        "unet": nets.UNet,
        "unet1d": nets.UNet1D,
        "dit": nets.DiT,
        "mlp": nets.MLP,
        "classifier": nets.Classifier,
        "autoencoder": nets.Autoencoder,
        "sequence": nets.Sequence,
        "columns": nets.Columns,
        "egnn": nets.EGNN,
        "set_transformer": nets.SetTransformer,
        "diffwave": nets.DiffWave,
        "unet_video": nets.UNetVideo,
    },
    Module,
    "a Flax module called as (x, t, condition, train) -> out, where out is like x, or logits of symbols",
    ("outputs", "second_time", "symbols", "numbers", "control"),
)
CRITIC = Part(
    "critic", {"patches": nets.PatchCritic}, Module, "a Flax module called as x -> logits, (n, ...), of pictures x"
)
LOSS = Part(
    "loss",
    {
        "diffusion": diffusion.diffusion_loss,
        "importance": importance.importance_loss,
        "hybrid": hybrid.hybrid_loss,
        "frames": frames.frames_loss,
        "held": frames.held_loss,
        "sliced": sliced.sliced_loss,
        "structures": structures.structure_loss,
        "bound": vlb.bound_loss,
        "classification": classification.classification_loss,
        "reconstruction": reconstruction.reconstruction_loss,
        "adversarial_reconstruction": adversary.adversarial_reconstruction,
        "progressive": distill.progressive_loss,
        "consistency_distillation": distill.consistency_distillation,
        "consistency_training": distill.consistency_training,
        "easy_consistency": distill.easy_consistency,
        "continuous_distillation": distill.continuous_distillation,
        "continuous_training": distill.continuous_training,
        "mean_flow": distill.mean_flow_loss,
        "shortcut": distill.shortcut_loss,
        "moment_matching": distill.moment_matching_loss,
        "dmd": distill.distribution_matching,
        "judged_dmd": distill.judged_matching,
        "ddgan": distill.adversarial_loss,
        "symbols": symbol_losses.symbol_loss,
        "symbol_count": symbol_losses.count_loss,
        "symbol_chain": symbol_losses.chain_loss,
        "mixed": mixed_loss,
    },
    (Callable, StatefulLoss),
    "a function of any of process, schedule, parameterization, network and conditions, by these names, that returns "
    "(params, key, batch) -> (loss, metrics) or a jaxdiff.types.StatefulLoss",
    ("process", "schedule", "parameterization", "network", "conditions"),
    {
        "weight": Part(
            "loss weight",
            named(weights, Weight),
            Callable,
            "a function that returns (process, parameterization, t) -> w, (batch,)",
        ),
        "times": Part(
            "time sampler",
            named(times, Times),
            Callable,
            "a function that returns (process, key, n) -> t, (n,)",
        ),
        "features": Part(
            "features",
            {"learned": images.learned},
            Callable,
            "a function that returns images (n, height, width, channels) -> features, (n, ..., channels) of JAX, or "
            "several such",
        ),
        "critic": CRITIC,
    },
)
SCHEDULE = Part(
    "learning rate schedule",
    {
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
    },
    Callable,
    "a function of any of value, init_value and peak_value, by these names, that returns step -> learning rate",
    ("value", "init_value", "peak_value"),
)
"""Of optax, under its names; optimizer.learning_rate is the highest value."""
OPTIMIZER = Part(
    "optimizer",
    {f.__name__: f for f in (optax.adam, optax.adamw, optax.lamb, optax.lion, optax.radam, optax.sgd)},
    optax.GradientTransformation,
    "a function (learning_rate, ...) that returns an optax.GradientTransformation",
    ("learning_rate", "mask"),
    {"schedule": SCHEDULE},
)
GRID = Part(
    "grid",
    named(grids, np.ndarray),
    np.ndarray,
    "a function (steps, ...), which may take the process too, that returns a NumPy array of steps + 1 falling times",
    ("process", "steps"),
)

PARTS = {
    "data": DATA,
    "held_out": DATA,
    "process": PROCESS,
    "parameterization": PARAMETERIZATION,
    "net": NET,
    "loss": LOSS,
    "optimizer": OPTIMIZER,
    "sample.sampler": SAMPLER,
    "sample.grid": GRID,
    "sample.process": PROCESS,
}
"""The parts, by where they are."""
