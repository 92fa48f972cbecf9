"""jaxdiff: diffusion models in pure JAX functions.

`jaxdiff.train(images)` trains and `jaxdiff.load(path)` loads a `Model`, ready to sample; `jaxdiff.show` makes a picture
of what it draws, and `jaxdiff.make_step` is a training step for a loop of one's own. Below it is an algebra, one noun a
file: `gaussian.process` (how data turns to noise), `gaussian.parameterization` (what a network's output means),
`gaussian.denoiser` (`(x_t, t) -> x̂_0`), `gaussian.grids` (the times a sampler visits) and `samplers` (`(init, step)`).
The rooms are described in docs/architecture.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdiff.api.show import show
    from jaxdiff.api.step import make_step
    from jaxdiff.api.train import train
    from jaxdiff.pipelines.load import load
    from jaxdiff.pipelines.model import Model

__all__ = ["Model", "load", "make_step", "show", "train"]
__version__ = "0.1.0"

_WHERE = {
    "Model": ("jaxdiff.pipelines.model", "Model"),
    "load": ("jaxdiff.pipelines.load", "load"),
    "make_step": ("jaxdiff.api.step", "make_step"),
    "show": ("jaxdiff.api.show", "show"),
    "train": ("jaxdiff.api.train", "train"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is used, so that one part of the library comes without the others."""
    if name not in _WHERE:
        raise AttributeError(f"module 'jaxdiff' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(importlib.import_module(module), attribute)
