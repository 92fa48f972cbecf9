"""Samplers, one family a file."""

from jaxdiff.samplers.adams import deis, lms
from jaxdiff.samplers.ancestral import (
    Variance,
    analytic,
    ancestral,
    fixed_large,
    fixed_small,
    learned_range,
    mean_square_eps,
)
from jaxdiff.samplers.base import Sampler, State, first, invert, onward, sample, stepped, then, trajectory
from jaxdiff.samplers.churned import churned
from jaxdiff.samplers.ddim import ddim
from jaxdiff.samplers.dpm import dpmpp_1s, dpmpp_2m, dpmpp_2s, dpmpp_3m
from jaxdiff.samplers.jumps import jump, posterior_jumps, renoise
from jaxdiff.samplers.langevin import annealed_langevin, langevin
from jaxdiff.samplers.ode import dopri5, euler, heun, midpoint, rk4
from jaxdiff.samplers.pndm import plms, pndm
from jaxdiff.samplers.restart import restart
from jaxdiff.samplers.sde import euler_maruyama, reverse_diffusion, srk
from jaxdiff.samplers.staggered import frame_times, staggered
from jaxdiff.samplers.unipc import unipc

__all__ = [
    "Sampler",
    "State",
    "Variance",
    "analytic",
    "ancestral",
    "annealed_langevin",
    "churned",
    "ddim",
    "deis",
    "dopri5",
    "dpmpp_1s",
    "dpmpp_2m",
    "dpmpp_2s",
    "dpmpp_3m",
    "euler",
    "euler_maruyama",
    "first",
    "fixed_large",
    "fixed_small",
    "frame_times",
    "heun",
    "invert",
    "jump",
    "langevin",
    "learned_range",
    "lms",
    "mean_square_eps",
    "midpoint",
    "onward",
    "plms",
    "pndm",
    "posterior_jumps",
    "renoise",
    "restart",
    "reverse_diffusion",
    "rk4",
    "sample",
    "srk",
    "staggered",
    "stepped",
    "then",
    "trajectory",
    "unipc",
]
