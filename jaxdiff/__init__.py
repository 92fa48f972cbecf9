"""jaxdiff: diffusion models in pure JAX functions.

The algebra has five nouns, one file each: `process` (how data turns to noise), `parameterization` (what a network's
output means), `denoiser` (`(x_t, t) -> x̂_0`), `grids` (the times a sampler visits) and `samplers` (`(init, step)`); and
for training one more, `loss`. `jaxdiff.load(path)` gives a trained run, ready to sample.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdiff.pipelines.load import load

__all__ = ["load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load` is imported when it is used, so that one part of the library comes without the others."""
    if name == "load":
        from jaxdiff.pipelines.load import load

        return load
    raise AttributeError(f"module 'jaxdiff' has no attribute {name!r}")
