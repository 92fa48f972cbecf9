"""Each method from scratch on a mixture on the line: what is drawn in one step, or few, has the law of the data.

The judge is the Wasserstein-1 distance of 20,000 draws to the mixture's own quantiles, beside that of as many draws of
the data. Where a method has a teacher, that is trained first, by flow matching with the same network.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from jaxdiff import distill
from jaxdiff.config.build.network import linen_network
from jaxdiff.distill.ddgan import make_posterior
from jaxdiff.gaussian import parameterization, schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.flow_map import ddim_map, make_endpoint, one_time
from jaxdiff.gaussian.grids import angles
from jaxdiff.losses.diffusion import diffusion_loss
from jaxdiff.losses.times import log_normal, stratified
from jaxdiff.losses.weights import simple
from jaxdiff.nets import MLP
from jaxdiff.samplers import jump, posterior_jumps, renoise, sample
from jaxdiff.types import Batch, StatefulLoss

WEIGHTS, MEANS, STDS = np.array([0.4, 0.6]), np.array([-1.0, 0.8]), np.array([0.25, 0.35])
FLOW, VP = schedules.flow(), schedules.vp()
VELOCITY, SMOOTH = parameterization.velocity(), parameterization.velocity(time_scale=20.0)
TIMES = log_normal(-0.4, 1.6)
NET = MLP(widths=(64, 128, 64), blocks=2, embedding=32, dropout=0.0, dropout_out=0.0, norm="none")
FAR = NET.clone(second_time=True)
STEPS, BATCH, LAST = 3000, 512, 20_000


def draw_data(key, n):
    key_component, key_noise = jax.random.split(key)
    k = jax.random.choice(key_component, 2, (n,), p=WEIGHTS)
    return (jnp.asarray(MEANS)[k] + jnp.asarray(STDS)[k] * jax.random.normal(key_noise, (n,)))[:, None]


@functools.cache
def quantiles():
    law = lambda x: float(np.sum(WEIGHTS * stats.norm.cdf(x, MEANS, STDS)))
    grid = np.linspace(-4, 4, 4001)
    return np.interp((np.arange(LAST) + 0.5) / LAST, [law(x) for x in grid], grid)


def wasserstein(x):
    return float(np.abs(np.sort(np.asarray(x)[:, 0]) - quantiles()).mean())


def trained(loss, params, steps=STEPS, rate=2e-3, rates=None, b1=0.9, b2=0.999):
    """Adam with a rate that falls to 0, and an average over the last steps."""
    falls = optax.cosine_decay_schedule(rate, steps)
    optimizer = optax.adam(falls, b1, b2)
    if rates:
        times = lambda factor, tree: jax.tree.map(lambda u: factor * u, tree)
        scaled = optax.stateless(lambda updates, _: {name: times(rates[name], tree) for name, tree in updates.items()})
        optimizer = optax.chain(optimizer, scaled)
    stateful = isinstance(loss, StatefulLoss)
    memory = loss.first(params) if stateful else ()

    def value(params, memory, key, batch):
        if stateful:
            out, (_, memory) = loss.loss(params, memory, key, batch)
            return out, memory
        return loss(params, key, batch)[0], memory

    def step(carry, i):
        params, average, state, memory = carry
        key_data, key = jax.random.split(jax.random.fold_in(jax.random.key(1), i))
        grads, memory = jax.grad(value, has_aux=True)(params, memory, key, Batch(draw_data(key_data, BATCH)))
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda a, p: 0.998 * a + 0.002 * p, average, params)
        return (params, average, state, memory), None

    run = jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.arange(steps))[0])
    return run((params, params, optimizer.init(params), memory))[1]


def begun(net=NET, width=1, seed=0):
    told = {"until": jnp.zeros(1)} if net.second_time else None
    return net.init(jax.random.key(seed), jnp.zeros((1, width)), jnp.zeros(1), told)["params"]


@functools.cache
def teacher():
    loss = diffusion_loss(FLOW, VELOCITY, linen_network(NET), simple(), stratified())
    return trained(loss, begun())


def drawn(sampler, steps, process=FLOW):
    x_1 = jax.random.normal(jax.random.key(7), (LAST, 1))
    return jax.jit(lambda x: sample(sampler, jax.random.key(8), x, angles(process, steps)))(x_1)


def by_denoiser(params):
    return ddim_map(FLOW, one_time(make_denoiser(FLOW, VELOCITY, linen_network(NET), params)))


CORE = (FLOW, VELOCITY, linen_network(NET))
SEEN = STEPS * BATCH
ONE_TIME = {
    "progressive": lambda: distill.progressive_loss(*CORE, total=32, stage=SEEN // 5),
    "consistency_distillation": lambda: distill.consistency_distillation(*CORE),
    "consistency_training": lambda: distill.consistency_training(*CORE, stage=SEEN // 8, last=640),
    "easy_consistency": lambda: distill.easy_consistency(*CORE, TIMES, stage=SEEN // 8),
    "continuous_distillation": lambda: distill.continuous_distillation(*CORE, TIMES, warmup=SEEN // 5),
}


@functools.cache
def few_times(name):
    make = {
        "mean_flow": distill.mean_flow_loss,
        "shortcut": distill.shortcut_loss,
        "moment_matching": distill.moment_matching_loss,
    }[name]
    further = {"moment_matching": {"particles": 32}, "mean_flow": {"power": 0.0}}.get(name, {})
    params = trained(make(FLOW, SMOOTH, linen_network(FAR), **further), begun(FAR))
    return ddim_map(FLOW, make_endpoint(FLOW, SMOOTH, linen_network(FAR), params))


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ONE_TIME)
def test_one_step_of_a_function_to_the_data(name):
    begins = begun() if name == "consistency_training" else teacher()
    x_0 = drawn(jump(by_denoiser(trained(ONE_TIME[name](), begins, rate=1e-3))), 1)
    assert wasserstein(x_0) < 0.03


@pytest.mark.parametrize("name", ["mean_flow", "shortcut", "moment_matching"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_few_jumps(name, steps):
    assert wasserstein(drawn(jump(few_times(name)), steps)) < 0.03


def test_two_steps_with_fresh_noise():
    params = trained(ONE_TIME["consistency_distillation"](), teacher(), rate=1e-3)
    assert wasserstein(drawn(renoise(FLOW, by_denoiser(params)), 2)) < 0.03


def test_distribution_matching():
    begins = {"generator": teacher(), "critic": teacher()}
    loss = distill.distribution_matching(*CORE)
    params = trained(loss, begins, rate=2e-4, rates={"generator": 1.0, "critic": 4.0}, b1=0.5)
    assert wasserstein(drawn(jump(by_denoiser(params["generator"])), 1)) < 0.03


def test_the_denoising_diffusion_gan():
    net, core = linen_network(NET), (VP, parameterization.x0(), linen_network(NET))
    loss = distill.adversarial_loss(*core, steps=4, gamma=0.1)
    begins = {"generator": begun(width=2), "critic": begun(width=2, seed=1)}
    params = trained(loss, begins, rate=5e-4, b1=0.5, b2=0.9)
    posterior = make_posterior(VP, core[1], net, params["generator"])
    assert wasserstein(drawn(posterior_jumps(VP, posterior), 4, VP)) < 0.03


def test_the_judge():
    """Draws of the data have the distance that chance alone makes."""
    assert wasserstein(draw_data(jax.random.key(3), LAST)) < 0.012
    assert wasserstein(1.1 * draw_data(jax.random.key(3), LAST)) > 0.03
