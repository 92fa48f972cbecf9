"""Moment matching (MMPS): the posterior with the mean and covariance of the denoiser (Rozet et al. 2024)."""

from jaxdiff.gaussian.process import Process, require_white
from jaxdiff.guidance.linear import _pair, _solve, _with_covariance
from jaxdiff.types import Array, Denoiser, Operator

__all__ = ["moment_matching"]


def moment_matching(
    process: Process, denoiser: Denoiser, operator: Operator, y: Array, noise: float | Array, iterations: int = 5
) -> Denoiser:
    """The denoiser of the posterior, x_0 given x_t and y, as the covariance of the denoiser has it.

    Args:
      y: the measurement, (batch, ...).
      noise: sigma_y, its standard deviation.
      iterations: of conjugate gradients, each one derivative of the network.

    Raises:
      InputError: the process has noise other than `normal`.
    """
    require_white(process, "moment matching")

    def denoise(x_t, t):
        x_0, covariance = _with_covariance(process, denoiser, x_t, t)
        forth, back = _pair(process, operator, x_0)

        def apply(u):
            moved = covariance(back(u))
            return moved, noise**2 * u + forth(moved)

        return x_0 + _solve(apply, y - forth(x_0), x_0, iterations)

    return denoise
