"""PiGDM: pseudoinverse-guided diffusion (Song et al. 2023). The mathematics is in `jaxdiff.guidance.linear`."""

from jaxdiff.gaussian.process import Process, require_white
from jaxdiff.guidance.linear import _pull, _with_covariance, posterior_variance
from jaxdiff.types import Array, Denoiser, Operator, as_time, expand

__all__ = ["pigdm"]


def pigdm(
    process: Process,
    denoiser: Denoiser,
    operator: Operator,
    y: Array,
    noise: float | Array,
    std: float | Array = 1.0,
    iterations: int = 5,
) -> Denoiser:
    """Guide as `moment_matching` does, by one derivative of the network; `std` is the spread of the data."""
    require_white(process, "PiGDM")

    def denoise(x_t, t):
        x_0, covariance = _with_covariance(process, denoiser, x_t, t)
        variance = expand(posterior_variance(process, as_time(t, x_t), std), x_t)
        return x_0 + covariance(_pull(process, operator, y - operator(x_0), x_0, variance, noise, iterations))

    return denoise
