"""DDNM: the range-space component of x̂_0 from the measurement, its null-space component kept (Wang et al. 2023)."""

from jaxdiff.gaussian.process import Process, require_white
from jaxdiff.guidance.linear import _pull, posterior_variance
from jaxdiff.types import Array, Denoiser, Operator, as_time, expand

__all__ = ["ddnm"]


def ddnm(
    process: Process,
    denoiser: Denoiser,
    operator: Operator,
    y: Array,
    noise: float | Array = 0.0,
    std: float | Array = 1.0,
    iterations: int = 5,
) -> Denoiser:
    """Replace the range-space component of x̂_0 by the measurement, and keep its null-space component."""
    require_white(process, "DDNM")

    def denoise(x_t, t):
        x_0, variance = denoiser(x_t, t), expand(posterior_variance(process, as_time(t, x_t), std), x_t)
        told = _pull(process, operator, y - operator(x_0), x_0, variance, noise, iterations)
        return x_0 + process.space.project(variance * told)

    return denoise
