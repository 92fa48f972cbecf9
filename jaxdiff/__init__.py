"""jaxdiff: diffusion models in pure JAX functions.

`jaxdiff.train(config, workdir)` trains, and `jaxdiff.load(path)` gives a trained `Model`, ready to sample. Below it is
an algebra, one noun a file: `gaussian.process` (how data turns to noise), `gaussian.parameterization` (what a network's
output means), `gaussian.denoiser` (`(x_t, t) -> x̂_0`), `gaussian.grids` (the times a sampler visits) and `samplers`
(`(init, step)`). The rooms are described in docs/architecture.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdiff.cli.train import train_model as train
    from jaxdiff.pipelines.load import load
    from jaxdiff.pipelines.model import Model

__all__ = ["Model", "load", "train"]
__version__ = "0.1.0"

_WHERE = {
    "Model": ("jaxdiff.pipelines.model", "Model"),
    "load": ("jaxdiff.pipelines.load", "load"),
    "train": ("jaxdiff.cli.train", "train_model"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is used, so that one part of the library comes without the others."""
    if name not in _WHERE:
        raise AttributeError(f"module 'jaxdiff' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(importlib.import_module(module), attribute)
