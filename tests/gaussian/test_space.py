"""The part of R^n that data live in: likelihoods in an orthonormal basis of it, and samplers that stay within."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdiff import samplers
from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.parameterization import eps, v, x0
from jaxdiff.gaussian.process import on, perturb, prior, prior_log_density, within
from jaxdiff.gaussian.space import centered, masked
from jaxdiff.likelihood import (
    continuous_bound,
    discrete_bound,
    log_likelihood,
    normal_decoder,
    prior_kl,
)
from jaxdiff.losses.diffusion import diffusion_loss, squared_error
from jaxdiff.losses.sliced import sliced_loss
from jaxdiff.losses.structures import structure_loss
from jaxdiff.losses.times import uniform
from jaxdiff.losses.weights import simple
from jaxdiff.types import Batch, expand
from tests.helpers import oracle
from tests.helpers.cases import refused
from tests.helpers.samplers import DISTINCT, SAMPLERS, each

NODES, CHANNELS = 4, 4
MASK = np.float32([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]])
SPACES = {"masked": masked, "centered": centered}


def basis(mask, center=True):
    """An orthonormal basis of the space of one example, (n, d), found by a singular value decomposition."""
    rows = np.repeat(mask, CHANNELS).astype(bool)
    directions = np.eye(NODES * CHANNELS)[:, rows]
    if center:
        sums = np.zeros((NODES, CHANNELS, 3))
        for axis in range(3):
            sums[mask > 0, axis, axis] = 1
        sums = sums.reshape(-1, 3) / np.sqrt(np.float64(mask.sum()))
        directions = directions - sums @ (sums.T @ directions)
    u, s, _ = np.linalg.svd(directions)
    return u[:, : int((s > 1e-6).sum())]


def chain(process, space=centered, mask=MASK):
    return on(within(process, lambda condition: space(condition["mask"])), {"mask": jnp.asarray(mask)})


def example_mixture(space):
    """Two centers in the space, one width: `(weights, means, stds)` of the mask of all nodes."""
    means = space.project(jnp.asarray(np.random.default_rng(0).normal(size=(2, NODES, CHANNELS)) * 0.5))
    means = means - means.mean(0)  # so that the prior at t = 1 is close to the law there
    return np.array([0.5, 0.5]), means, np.full((2, 1, 1), 0.7)


@pytest.mark.system
@pytest.mark.parametrize("name", SPACES)
def test_the_projection_is_orthogonal_and_the_dimension_its_trace(name, float64):
    space = SPACES[name](jnp.asarray(MASK))
    for i, mask in enumerate(MASK):
        one = SPACES[name](jnp.asarray(mask[None]))
        flat = lambda x, one=one: one.project(x.reshape(1, NODES, CHANNELS)).reshape(-1)
        matrix = np.asarray(jax.jacobian(flat)(jnp.zeros(NODES * CHANNELS)))
        expected = basis(mask, name == "centered")
        np.testing.assert_allclose(matrix, expected @ expected.T, atol=1e-12)
        assert space.dimension(jnp.zeros((3, NODES, CHANNELS)))[i] == expected.shape[1]


@pytest.mark.system
def test_the_prior_counts_the_dimensions_that_there_are(float64):
    """3 nodes of 3 coordinates: 6 dimensions. All 9 would be 1.5 log(2 pi) = 2.7568 nats off."""
    whole, part = schedules.vp(), chain(schedules.vp(), lambda mask: centered(mask, 3), MASK[1:2, :3])
    x = prior(part, jax.random.key(0), jnp.zeros((1, 3, 3)))
    gap = prior_log_density(part, x) - prior_log_density(whole, x)
    np.testing.assert_allclose(gap, 2.7568, atol=1e-4)
    true = stats.norm.logpdf(np.asarray(x).reshape(-1)).sum() + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(prior_log_density(part, x), true, atol=1e-4)


@pytest.mark.system
@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_the_flow_knows_a_normal_law_in_the_space(trace, float64):
    """Within 1e-4 nats, in an orthonormal basis; of round data one random product is the trace."""
    process, std = chain(schedules.vp()), 0.8
    denoiser = lambda x, t: process.alpha(t) * std**2 / ((process.alpha(t) * std) ** 2 + process.sigma(t) ** 2) * x
    x = std * process.noise(jax.random.key(0), jnp.zeros((3, NODES, CHANNELS)))
    if trace == "hutchinson":  # signs in all of R^n have the dimension as their square in the mean alone
        law = lambda key: log_likelihood(process, denoiser, key, x, 1e-5, trace, 1e-8, 1e-8)
        ours = jax.jit(lambda: jax.lax.map(law, jax.random.split(jax.random.key(1), 200)))()
        scatter = np.asarray(ours).std(0) / np.sqrt(200)
        ours = np.asarray(ours).mean(0)
    else:
        ours = jax.jit(lambda: log_likelihood(process, denoiser, jax.random.key(1), x, 1e-5, trace, 1e-8, 1e-8))()
        scatter = 0
    for i, mask in enumerate(MASK):
        y = np.asarray(x[i]).reshape(-1) @ basis(mask)
        wide = np.sqrt(std**2 + float(process.sigma(jnp.float64(1e-5))) ** 2)
        assert abs(ours[i] - stats.norm.logpdf(y, scale=wide).sum()) < 1e-4 + 5 * np.max(scatter)


@pytest.mark.system
def test_the_flow_knows_a_mixture_in_the_space(float64):
    mask = np.ones((6, NODES), np.float32)
    process = chain(schedules.vp(), centered, mask)
    weights, means, stds = example_mixture(centered(jnp.ones((2, NODES))))
    denoiser, t_min = gaussian_mixture(process, weights, means, stds), 1e-4
    alpha, sigma = (float(f(jnp.float64(t_min))) for f in (process.alpha, process.sigma))
    x_0 = means[jnp.arange(6) % 2] + 0.7 * process.noise(jax.random.key(0), jnp.zeros((6, NODES, CHANNELS)))
    x = alpha * x_0 + sigma * process.noise(jax.random.key(1), x_0)
    columns = basis(mask[0])
    y, centers = np.asarray(x).reshape(6, -1) @ columns, np.asarray(means).reshape(2, -1) @ columns
    wide = np.sqrt((alpha * 0.7) ** 2 + sigma**2)
    true = np.log(np.mean([np.exp(stats.norm.logpdf(y - alpha * c, scale=wide).sum(1)) for c in centers], 0))
    ours = jax.jit(lambda: log_likelihood(process, denoiser, jax.random.key(2), x, t_min, "exact", 1e-7, 1e-7))()
    np.testing.assert_allclose(ours, true, atol=1e-3)


@pytest.mark.statistical
def test_the_bound_lies_above_and_close_to_the_entropy_of_a_mixture(float64):
    n = 4000
    process = chain(schedules.from_log_snr(lambda t: 6 - 11 * t), centered, np.ones((n, NODES), np.float32))
    weights, means, stds = example_mixture(centered(jnp.ones((2, NODES))))
    denoiser = gaussian_mixture(process, weights, means, stds)
    x_0 = means[jnp.arange(n) % 2] + 0.7 * process.noise(jax.random.key(0), jnp.zeros((n, NODES, CHANNELS)))
    y, centers = (np.asarray(x).reshape(len(x), -1) @ basis(np.ones(NODES)) for x in (x_0, means))
    true = -np.log(np.mean([np.exp(stats.norm.logpdf(y - c, scale=0.7).sum(1)) for c in centers], 0))
    gap = continuous_bound(process, denoiser, jax.random.key(1), x_0, normal_decoder(), draws=8).total() - true
    scatter = float(gap.std() / np.sqrt(n))
    assert -4 * scatter < float(gap.mean()) < 0.3 + 4 * scatter
    assert scatter < 0.25  # 1.5 log(2 pi) = 2.76 too many would be seen


@pytest.mark.system
def test_bounds_count_the_dimensions(float64):
    """Of round data, the bound in the space is that of one dimension, as often as there are dimensions."""
    std, times, count = 0.8, grids.uniform(50), 1000

    def bound(process, x):
        gain = lambda t: process.alpha(t) * std**2 / ((process.alpha(t) * std) ** 2 + process.sigma(t) ** 2)
        denoiser = lambda x, t: expand(gain(t), x) * x
        x_0 = std * process.noise(jax.random.key(0), x)
        by_chain = discrete_bound(process, denoiser, jax.random.key(1), x_0, times, normal_decoder()).total()
        by_time = continuous_bound(process, denoiser, jax.random.key(2), x_0, normal_decoder(), 0.01).total()
        return jnp.stack([by_chain, by_time, prior_kl(process, x_0)])

    process = chain(schedules.vp(), centered, np.tile(MASK, (count, 1)))
    single = np.asarray(jax.jit(bound, static_argnums=0)(schedules.vp(), jnp.zeros((10 * count, 1)))).mean(1)
    ours = np.asarray(jax.jit(lambda x: bound(process, x))(jnp.zeros((3 * count, NODES, CHANNELS))))
    dimensions = np.array([9, 13, 5])
    scatter = ours.reshape(3, count, 3).std(1) / np.sqrt(count) / dimensions
    np.testing.assert_array_less(abs(ours.reshape(3, count, 3).mean(1) / dimensions - single[:, None]), 5 * scatter)


@pytest.mark.system
@each([n for n in DISTINCT if n != "learned_range"], ["ancestral", "heun"])
def test_samplers_stay_in_the_space_and_turn_with_the_noise(name, quick_compilation):
    """The center is kept to 1e-6 of x, padding is 0, and turned noise gives the turned draw.

    A learned range of variances, one for each component, has no meaning in the space.
    """
    entry = SAMPLERS[name]
    alone = entry.alpha_one or name == "dopri5"
    process = chain(schedules.edm(10.0) if alone else schedules.vp())
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype(np.float32)
    turned = lambda x: jnp.concatenate([x[..., :3] @ turn.T, x[..., 3:]], -1)

    def denoiser(x, t):
        """Some equivariant function into the space."""
        near = jnp.sum(x**2, axis=(1, 2), keepdims=True)
        return process.space.project(x * jnp.tanh(1 / (0.1 + near)) + x * (jnp.arange(CHANNELS) >= 3))

    def draw(process, x_1):
        times = np.float32(np.linspace(0.9, 0.001, 7))
        return jax.jit(lambda x: samplers.sample(entry.make(process, denoiser), jax.random.key(1), x, times))(x_1)

    x_1 = prior(process, jax.random.key(0), jnp.zeros((3, NODES, CHANNELS)))
    x = draw(process, x_1)
    size = float(jnp.abs(x_1).max())
    assert float(jnp.abs(x[..., :3].sum(1)).max()) < 1e-6 * size * NODES
    assert not np.any(np.asarray(x)[MASK == 0])
    other = process._replace(noise=lambda key, x: turned(process.noise(key, x)))
    np.testing.assert_allclose(draw(other, turned(x_1)), turned(x), atol=2e-5 * max(size, float(jnp.abs(x).max())))


@pytest.mark.system
def test_the_error_is_a_mean_over_dimensions():
    """Of a network that says 0, of unit noise: 1, however many nodes there are; off the space there is no error."""
    process = within(schedules.vp(), lambda condition: centered(condition["mask"]))
    mask = jnp.tile(jnp.asarray(MASK), (2000, 1))
    x_0 = centered(mask).project(jnp.ones((6000, NODES, CHANNELS)))
    batch = Batch(x_0, {"mask": mask})
    zero = lambda params, x, t, condition, key: jnp.zeros_like(x) + jnp.asarray([7.0, 7.0, 7.0, 0.0])
    error = squared_error(process, eps(), zero, {}, jax.random.key(0), batch, jnp.full(6000, 0.5)).reshape(2000, 3)
    np.testing.assert_allclose(error.mean(0), 1, atol=0.06)


@pytest.mark.parametrize("loss", [diffusion_loss, sliced_loss, structure_loss])
def test_what_data_holds_off_the_space_has_no_part(loss):
    process = within(schedules.vp(), lambda condition: centered(condition["mask"]))
    network = lambda params, x, t, condition, key: jnp.tanh(x) * condition["mask"][..., None]
    weighted = [] if loss is sliced_loss else [simple()]
    made = jax.jit(loss(process, v(), network, *weighted, uniform(0.1)))
    x_0 = centered(MASK).project(jnp.asarray(np.random.default_rng(0).normal(size=(3, NODES, 3)), jnp.float32))
    wild = jnp.where(MASK[..., None] > 0, x_0 + 2.0, 1e3)
    ours, theirs = (made({}, jax.random.key(0), Batch(x, {"mask": jnp.asarray(MASK)}))[0] for x in (x_0, wild))
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)


def test_a_denoiser_leads_into_the_space():
    process = within(schedules.vp(), lambda condition: centered(condition["mask"]))
    network = lambda params, x, t, condition, key: jnp.ones_like(x)
    denoise = make_denoiser(process, x0(), network, {}, {"mask": jnp.asarray(MASK)})
    out = denoise(jnp.zeros((3, NODES, CHANNELS)), 0.5)
    np.testing.assert_allclose(out, MASK[:, :, None] * np.float32([0, 0, 0, 1]), atol=1e-6)


def test_a_process_that_was_not_told_the_space_draws_nothing():
    process = within(oracle.PROCESSES["vp"](), lambda condition: centered(condition["mask"]))
    with refused("mask"):
        perturb(process, jax.random.key(0), jnp.zeros((3, NODES, CHANNELS)), jnp.float32(0.5))
    with refused("mask"):
        prior_log_density(process, jnp.zeros((3, NODES, CHANNELS)))
