"""Noise that is not white: what is right with it, and what is refused, since its formula takes white noise."""

import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance, likelihood, samplers
from jaxdiff.errors import InputError
from jaxdiff.gaussian import parameterization, process, schedules
from jaxdiff.gaussian.denoiser import transfer
from jaxdiff.gaussian.process import prior_log_density
from jaxdiff.gaussian.simplex import simplex
from jaxdiff.guidance import ddnm, dps, moment_matching, pigdm
from jaxdiff.guidance.ddrm import ddrm, of_mask
from jaxdiff.guidance.twisted import twisted
from jaxdiff.losses import hybrid as learned_variance
from jaxdiff.losses import sliced as score_matching
from jaxdiff.losses import times as loss_times
from jaxdiff.samplers import sample
from tests.helpers.cases import tiers

SIGMA = np.array([[1.0, 0.8], [0.8, 1.0]])
COVARIANCE = np.array([[1.0, -0.3], [-0.3, 0.5]])
ROOT = jnp.asarray(np.linalg.cholesky(SIGMA), jnp.float32)


def colored(key, x):
    return jax.random.normal(key, x.shape, x.dtype) @ ROOT.T


CHAIN = schedules.interpolant(schedules.vp().alpha, schedules.vp().sigma, colored)
X = jax.random.normal(jax.random.key(1), (20_000, 2))
KEY, T = jax.random.key(0), jnp.float32(0.5)


def denoiser(x, t):
    """Exact for Gaussian data under this noise."""
    alpha, sigma = CHAIN.alpha(t), CHAIN.sigma(t)
    gain = alpha * jnp.asarray(COVARIANCE) @ jnp.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * SIGMA)
    return x @ gain.T.astype(x.dtype)


def network(params, x, t, condition=None, key=None):
    return params * x


def first(x):
    return x[:, :1]


Y = jnp.ones((len(X), 1))
DECODER = likelihood.normal_decoder()
ASSUME_WHITE = {
    "by_density": lambda p: guidance.by_density(p, denoiser, lambda x, t: -x.sum(1)),
    "by_energy": lambda p: guidance.by_energy(p, denoiser, lambda x: x.sum(1)),
    "moment_matching": lambda p: moment_matching(p, denoiser, first, Y, 0.1),
    "pigdm": lambda p: pigdm(p, denoiser, first, Y, 0.1),
    "ddnm": lambda p: ddnm(p, denoiser, first, Y, 0.1),
    "dps": lambda p: dps(p, denoiser, samplers.ddim(p, denoiser), first, Y),
    "ddrm": lambda p: ddrm(p, denoiser, of_mask(jnp.ones_like(X)), X, 0.1),
    "twisted": lambda p: twisted(p, denoiser, first, Y[:1], 0.1),
    "sliced_loss": lambda p: score_matching.sliced_loss(p, parameterization.eps(), network, loss_times.uniform()),
    "hybrid_loss": lambda p: learned_variance.hybrid_loss(p, parameterization.eps(), network),
    "prior_log_density": lambda p: prior_log_density(p, X),
    "prior_kl": lambda p: likelihood.prior_kl(p, X),
    "discrete_bound": lambda p: likelihood.discrete_bound(p, denoiser, KEY, X, jnp.array([1.0, 0.5, 0.0]), DECODER),
    "continuous_bound": lambda p: likelihood.continuous_bound(p, denoiser, KEY, X, DECODER, 0.1),
    "log_likelihood": lambda p: likelihood.log_likelihood(p, denoiser, KEY, X[:2], 0.1),
}


@pytest.mark.parametrize("noise", [colored, simplex()], ids=["colored", "simplex"])
@pytest.mark.parametrize("name", ASSUME_WHITE)
def test_formulas_of_white_noise_refuse_another(name, noise):
    with pytest.raises(InputError, match="normal noise"):
        ASSUME_WHITE[name](schedules.vp()._replace(noise=noise))


@pytest.mark.parametrize("name", sorted(set(ASSUME_WHITE) - {"log_likelihood", "discrete_bound", "continuous_bound"}))
def test_they_take_white_noise(name):
    ASSUME_WHITE[name](schedules.vp())


METHODS = [importlib.import_module(m.name) for m in pkgutil.iter_modules(guidance.__path__, "jaxdiff.guidance.")]


def test_every_formula_with_a_score_is_in_the_table():
    """Functions of these modules that take a process and make a denoiser, sampler, loss or figure of it."""
    known = {
        *ASSUME_WHITE,
        "replace",
        "repaint",
        "sdedit",
        "as_noisy",
        "handed",  # moves x̂_0, whatever the noise
        "held",  # shows states without noise
        "context",  # with the noise that it is given
        "make_bind",
        "within",
        "cfg_pp",
        "discretized_decoder",
        "softmax_decoder",
        "normal_decoder",
    }
    known |= {
        "make_fraction",
        "posterior_variance",
        "begin",
        "continuous_term",
        "continuous_weight",
        "step_bound",
        "check_defined",
    }
    for module in (*METHODS, score_matching, learned_variance, likelihood):
        for name, function in vars(module).items():
            own = getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")
            if own and "process" in getattr(function, "__annotations__", {}):
                assert name in known, f"{module.__name__}.{name}: right with colored noise, or refused?"


SAMPLERS = {
    "ancestral": samplers.ancestral,
    "ddim": lambda p, d: samplers.ddim(p, d, eta=1.0),
    "heun": samplers.heun,
    "reverse_diffusion": samplers.reverse_diffusion,
    "unipc": samplers.unipc,
    "langevin": lambda p, d: samplers.then(samplers.ddim(p, d), samplers.langevin(p, d, repeats=2)),
    "restart": lambda p, d: samplers.restart(p, samplers.heun(p, d), np.linspace(0.4, 0.2, 6), 2),
}


@pytest.mark.system
@pytest.mark.parametrize("name", tiers(SAMPLERS, ["ddim"]))
def test_samplers_are_right_with_any_noise(name):
    """The covariance of Gaussian data, drawn along a process of colored noise, but for the error of 100 steps."""
    x_1 = process.prior(CHAIN, KEY, X)
    draw = jax.jit(lambda x: sample(SAMPLERS[name](CHAIN, denoiser), KEY, x, np.linspace(1, 0, 101)))
    np.testing.assert_allclose(np.cov(draw(x_1).T), COVARIANCE, atol=0.07)


def test_a_model_is_not_taken_to_another_noise():
    with pytest.raises(InputError, match="noise of two kinds"):
        transfer(CHAIN, schedules.flow(), denoiser)
    transfer(CHAIN, schedules.flow()._replace(noise=colored), denoiser)
