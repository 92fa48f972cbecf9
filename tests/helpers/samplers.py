"""Every sampler in one table, which all families of tests read: a new sampler is one line here."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian.flow_map import ddim_map, one_time
from tests.helpers import oracle
from tests.helpers.cases import tiers


class Entry(NamedTuple):
    """A sampler, and what is known of it.

    Attributes:
      function: `(process, denoiser, **options) -> Sampler`.
      options: with which it is tested.
      order: of convergence along the probability flow; None where it adds noise, or has no grid.
      weak: order of the error of its variance on Gaussian data; None where it adds no noise.
      memory: whether it keeps earlier results from one step to the next.
      unit: whether it stands for its kind in the unit tests; all others are left to the statistical ones.
      variant: whether it differs from another entry in an option alone.
      alpha_one: whether it needs a process with alpha = 1.
      corrector: whether it stays at its noise level.
      adaptive: whether it chooses its own steps.
      refused: the processes of `oracle.PROCESSES` on which it cannot begin at t = 1, or not end at 0.
    """

    function: Callable[..., samplers.Sampler]
    options: Mapping[str, Any] = {}
    order: int | None = None
    weak: int | None = None
    memory: bool = False
    unit: bool = False
    variant: bool = False
    alpha_one: bool = False
    corrector: bool = False
    adaptive: bool = False
    refused: frozenset[str] = frozenset()

    @property
    def make(self) -> Callable[..., samplers.Sampler]:
        """`(process, denoiser) -> Sampler`."""
        return functools.partial(self.function, **self.options) if self.options else self.function


def learned_range(process, denoiser):
    return samplers.ancestral(process, denoiser, samplers.learned_range(lambda x, t: jnp.tanh(x) ** 2))


def then(process, denoiser):
    return samplers.then(samplers.reverse_diffusion(process, denoiser), samplers.langevin(process, denoiser))


def restart(process, denoiser):
    return samplers.restart(process, samplers.ddim(process, denoiser), np.linspace(0.02, 0.001, 4))


def jump(process, denoiser):
    return samplers.jump(ddim_map(process, one_time(denoiser)))


def renoise(process, denoiser):
    return samplers.renoise(process, ddim_map(process, one_time(denoiser)))


def posterior_jumps(process, denoiser):
    return samplers.posterior_jumps(process, lambda key, x_t, t: denoiser(x_t, t))


ALPHA_0 = frozenset({"cosine", "ddpm_zero_snr", "flow", "interpolant", "shifted_flow", "sigmoid"})
STEEP = frozenset({"sigmoid"})
EVERYWHERE = frozenset(oracle.PROCESSES)
NOISY = {"eta": 1.0}

# The orders are those that are measured, whatever is called theirs: UniPC's corrector adds one to the predictor's.
# PNDM's transfer is exact only where alpha = 1, and even steps of t are even steps of sigma: there it is of order 4.
SAMPLERS = {
    "ancestral": Entry(samplers.ancestral, weak=1, unit=True),
    "ancestral_large": Entry(samplers.ancestral, {"variance": samplers.fixed_large}, weak=1, variant=True),
    "learned_range": Entry(learned_range),
    "ddim": Entry(samplers.ddim, order=1, unit=True),
    "ddim_noisy": Entry(samplers.ddim, NOISY, weak=1, variant=True),
    "churned": Entry(samplers.churned, {"churn": 0.0, "step_scale": 1.0}, order=1, refused=ALPHA_0),
    "churned_noisy": Entry(
        samplers.churned,
        {"churn": 0.001, "churn_noise": 1.0, "churn_min": 0.0, "step_scale": 1.0},  # one that stays leaves an error
        weak=1,
        variant=True,
        refused=ALPHA_0,
    ),
    "euler": Entry(samplers.euler, order=1, refused=STEEP),
    "midpoint": Entry(samplers.midpoint, order=2, refused=STEEP),
    "heun": Entry(samplers.heun, order=2, unit=True, refused=STEEP),
    "heun_churned": Entry(samplers.heun, {"churn": 0.01}, weak=1, variant=True),
    "rk4": Entry(samplers.rk4, order=4, refused=STEEP),
    "dopri5": Entry(samplers.dopri5, {"rtol": 1e-3, "atol": 1e-3}, adaptive=True, refused=EVERYWHERE),
    "dpmpp_1s": Entry(samplers.dpmpp_1s, order=1),
    "dpmpp_1s_noisy": Entry(samplers.dpmpp_1s, NOISY, weak=1, variant=True),
    "dpmpp_2s": Entry(samplers.dpmpp_2s, order=2),
    "dpmpp_2s_noisy": Entry(samplers.dpmpp_2s, NOISY, weak=2, variant=True),
    "dpmpp_2m": Entry(samplers.dpmpp_2m, order=2, memory=True, unit=True),
    "dpmpp_2m_noisy": Entry(samplers.dpmpp_2m, NOISY, weak=2, variant=True),
    "dpmpp_3m": Entry(samplers.dpmpp_3m, order=3, memory=True),
    "dpmpp_3m_as_published": Entry(samplers.dpmpp_3m, {"curvature": 0.5}, order=2, memory=True, variant=True),
    "dpmpp_3m_noisy": Entry(samplers.dpmpp_3m, NOISY, weak=2, memory=True),
    "unipc": Entry(samplers.unipc, order=3, memory=True, unit=True),
    "unipc_3": Entry(samplers.unipc, {"order": 3}, order=4, memory=True, variant=True),
    "lms": Entry(samplers.lms, order=4, memory=True),
    "lms_2": Entry(samplers.lms, {"order": 2}, order=2, memory=True, variant=True),
    "deis": Entry(samplers.deis, order=3, memory=True),
    "deis_2": Entry(samplers.deis, {"order": 2}, order=2, memory=True, variant=True),
    "pndm": Entry(samplers.pndm, order=2, memory=True, refused=ALPHA_0),
    "plms": Entry(samplers.plms, order=2, memory=True, refused=ALPHA_0),
    "plms_of_v": Entry(samplers.plms, {"of_v": True}, order=2, memory=True, variant=True, refused=ALPHA_0),
    "euler_maruyama": Entry(samplers.euler_maruyama, weak=1, refused=ALPHA_0),
    "reverse_diffusion": Entry(samplers.reverse_diffusion, weak=1),
    "srk": Entry(samplers.srk, weak=2, unit=True, refused=ALPHA_0),
    "langevin": Entry(samplers.langevin, corrector=True),
    "annealed_langevin": Entry(samplers.annealed_langevin, {"repeats": 3}, alpha_one=True),
    "then": Entry(then, unit=True),
    "restart": Entry(restart),
    "jump": Entry(jump, order=1),
    "renoise": Entry(renoise),
    "posterior_jumps": Entry(posterior_jumps, weak=1),
}

CONSTRUCTORS = [name for name, entry in SAMPLERS.items() if entry.function is getattr(samplers, name, None)]
"""Those that are made of a process and a denoiser, under their public names."""
DISTINCT = [name for name, entry in SAMPLERS.items() if not entry.variant]
"""Of each code path one."""


def each(names, unit=None):
    """Parametrize `name`: those that stand for their kind, or those given, as unit tests, all others as statistical."""
    unit = [name for name, entry in SAMPLERS.items() if entry.unit] if unit is None else unit
    return pytest.mark.parametrize("name", tiers(names, unit))
