"""Samplers, one family a file."""

from jaxdiff.samplers.ancestral import ancestral, fixed_large, fixed_small
from jaxdiff.samplers.base import Sampler, State, sample, trajectory
from jaxdiff.samplers.ddim import ddim

__all__ = ["Sampler", "State", "ancestral", "ddim", "fixed_large", "fixed_small", "sample", "trajectory"]
