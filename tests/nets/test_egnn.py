"""What an EGNN must not see, and what it can learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.parameterization import v
from jaxdiff.gaussian.process import on, prior, within
from jaxdiff.gaussian.space import centered
from jaxdiff.geometry.rigid import rmsd, rotation_onto, rotations
from jaxdiff.losses.diffusion import squared_error
from jaxdiff.nets import EGNN
from jaxdiff.types import Batch, expand
from tests.helpers import orbit
from tests.helpers.cases import refused
from tests.helpers.samplers import DISTINCT, SAMPLERS, each

NODES, FEATURES = 5, 2
MASK = np.float32([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
PROCESS = within(schedules.polynomial(), lambda condition: centered(condition["mask"]))
TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype(np.float32)
MIRROR = TURN @ np.diag(np.float32([1, 1, -1]))
ORDER = np.array([2, 0, 1, 3, 4])


@functools.cache
def network():
    """A network none of whose parameters is what it began as, and an input of it."""
    module, rng = EGNN(width=16, blocks=2), np.random.default_rng(0)
    x = centered(jnp.asarray(MASK)).project(jnp.asarray(rng.normal(size=(3, NODES, 3 + FEATURES)), jnp.float32))
    params = jax.jit(module.init)(jax.random.key(1), x, jnp.zeros(3), {"mask": MASK})["params"]
    moved = jax.tree.map(lambda p: p + np.float32(0.2 * rng.normal(size=p.shape)), params)
    run = jax.jit(lambda params, x, t, condition: module.apply({"params": params}, x, t, condition))
    return lambda params, x, t, condition, key=None: run(params, x, t, condition), moved, x


def turned(turn, x):
    return jnp.concatenate([x[..., :3] @ turn.T, x[..., 3:]], -1)


def padded(x):
    return jnp.pad(x, ((0, 0), (0, 3)) + ((0, 0),) * (x.ndim - 2))


MOTIONS = {
    "turn": (lambda x: turned(TURN, x), lambda mask: mask),
    "mirror": (lambda x: turned(MIRROR, x), lambda mask: mask),
    "order": (lambda x: x[:, ORDER], lambda mask: mask[:, ORDER]),
    "padding": (padded, padded),
}


def near(actual, expected):
    np.testing.assert_allclose(actual, expected, atol=1e-5 * float(jnp.abs(expected).max()))


@pytest.mark.system
@pytest.mark.parametrize("name", MOTIONS)
def test_the_network_moves_with_its_input(name):
    apply, params, x = network()
    move, move_mask = MOTIONS[name]
    t = jnp.array([3.0, 300.0, 900.0])
    out = apply(params, x, t, {"mask": MASK})
    assert float(jnp.abs(out).max()) > 0.1
    near(apply(params, move(x), t, {"mask": move_mask(MASK)}), move(out))


@pytest.mark.system
def test_the_network_does_not_see_where_the_nodes_are():
    apply, params, x = network()
    t = jnp.full(3, 200.0)
    away = x + jnp.asarray([1.0, -2.0, 0.5, 0, 0]) * MASK[..., None]
    near(apply(params, away, t, {"mask": MASK}), apply(params, x, t, {"mask": MASK}))


@pytest.mark.system
def test_padding_has_no_influence_whatever_it_holds():
    apply, params, x = network()
    t, strange = jnp.full(3, 200.0), x + 7.0 * (1 - MASK[..., None])
    np.testing.assert_array_equal(
        apply(params, strange, t, {"mask": MASK})[..., 3:], apply(params, x, t, {"mask": MASK})[..., 3:]
    )
    near(apply(params, strange, t, {"mask": MASK}), apply(params, x, t, {"mask": MASK}))


@pytest.mark.parametrize("name", ["turn", "mirror", "order"])
def test_the_denoiser_and_the_loss_move_with_the_noise(name):
    apply, params, x = network()
    move, move_mask = MOTIONS[name]
    x_t, t = 0.7 * x, jnp.full(3, 0.4)
    told, moved = {"mask": jnp.asarray(MASK)}, {"mask": jnp.asarray(move_mask(MASK))}
    denoised = make_denoiser(PROCESS, v(), apply, params, told)(x_t, 0.4)
    near(make_denoiser(PROCESS, v(), apply, params, moved)(move(x_t), 0.4), move(denoised))
    ours = squared_error(PROCESS, v(), apply, params, jax.random.key(0), Batch(x, told), t)
    noise = on(PROCESS, told).noise
    # `noise` inverted by the same motion, so that eps is moved with x_0.
    other = on(PROCESS, moved)._replace(noise=lambda key, x: move(noise(key, x)))
    near(squared_error(other, v(), apply, params, jax.random.key(0), Batch(move(x), moved), t), ours)


@each([n for n in DISTINCT if n not in ("learned_range", "langevin", "dopri5")], ["ancestral"])
def test_one_step_of_every_sampler_moves_with_the_noise(name, quick_compilation):
    """Of all but dopri5, whose steps follow an error that rounding changes: see tests/gaussian/test_space.py."""
    entry = SAMPLERS[name]
    chain = schedules.edm(10.0) if entry.alpha_one else schedules.polynomial()
    apply, params, _ = network()
    process = on(within(chain, lambda condition: centered(condition["mask"])), {"mask": jnp.asarray(MASK)})
    denoiser = make_denoiser(process, v(unit_input=True), apply, params, {"mask": jnp.asarray(MASK)})
    x_1 = prior(process, jax.random.key(3), jnp.zeros((3, NODES, 3 + FEATURES)), 0.7)

    def step(process, x):
        times = np.float32([0.7, 0.6])
        return samplers.sample(entry.make(process, denoiser), jax.random.key(1), x, times)

    moved = process._replace(noise=lambda key, x: turned(MIRROR, process.noise(key, x)))
    near(
        jax.jit(lambda x: step(moved, x))(turned(MIRROR, x_1)), turned(MIRROR, jax.jit(lambda x: step(process, x))(x_1))
    )


def test_what_the_network_cannot_be_told_is_refused():
    apply, params, x = network()
    with refused("label"):
        apply(params, x, jnp.zeros(3), {"mask": MASK, "label": jnp.zeros(3, int)})
    with refused("points of space"):
        apply(params, x[..., 0], jnp.zeros(3), {"mask": MASK})


TRIANGLE = np.float32([[1, 0, 0], [-0.5, 3**0.5 / 2, 0], [-0.5, -(3**0.5) / 2, 0]])
"""Its corners may be exchanged by turning it, and it is its own mirror image: what EGNN cannot see does not matter."""


@pytest.mark.slow
def test_a_trained_network_comes_within_5_percent_of_the_optimal_loss():
    """Of one rigid body in all orientations, whose denoiser is known exactly."""
    process = within(schedules.polynomial(1e-3), lambda condition: centered(condition["mask"]))
    module, n = EGNN(width=32, blocks=3), 128
    apply = lambda params, x, t, condition, key=None: module.apply({"params": params}, x, t, condition)
    params = module.init(jax.random.key(0), jnp.zeros((1, 3, 3)), jnp.zeros(1), {"mask": jnp.ones((1, 3))})["params"]

    def error(network, params, key, n):
        key_x, key_t, key_eps = jax.random.split(key, 3)
        x_0 = jnp.asarray(TRIANGLE) @ rotations(key_x, n).mT
        t = 0.1 + 0.8 * (jnp.arange(n) + jax.random.uniform(key_t)) / n
        told = {"mask": jnp.ones((n, 3))}
        return squared_error(process, v(), network, params, key_eps, Batch(x_0, told), t).mean()

    exact = orbit.rigid_body(process, jnp.asarray(TRIANGLE))

    def oracle(params, x, index, condition, key=None):
        t = (index + 1) / 1000
        alpha, sigma = (expand(f(t), x) for f in (process.alpha, process.sigma))
        return (alpha * x - exact(x, t)) / sigma

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(3e-3, 6000)))

    @jax.jit
    def train(params):
        def step(carry, i):
            params, state = carry
            grads = jax.grad(lambda p: error(apply, p, jax.random.fold_in(jax.random.key(5), i), n))(params)
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(6000))[0][0]

    trained = train(params)
    keys = jax.random.split(jax.random.key(9), 20)
    least = float(jnp.mean(jax.jit(lambda: jax.lax.map(lambda k: error(oracle, None, k, 1000), keys))()))
    ours = float(jnp.mean(jax.jit(lambda: jax.lax.map(lambda k: error(apply, trained, k, 1000), keys))()))
    assert least * 0.999 < ours < 1.05 * least, (ours, least)


@each([n for n in DISTINCT if n not in ("learned_range", "langevin", "annealed_langevin")], [])
def test_the_exact_denoiser_draws_rigid_copies_in_all_directions(name, quick_compilation):
    """RMSD below 0.01, and orientations uniform: the mean of every direction of the body is 0 within its scatter."""
    entry, n = SAMPLERS[name], 400
    body = jnp.asarray([[1.0, 0.2, 0], [-0.6, 0.9, 0.3], [-0.4, -0.8, 0.7], [0, -0.3, -1.0]])
    body = body - body.mean(0)
    chain = schedules.edm(20.0) if entry.alpha_one or name == "dopri5" else schedules.vp()
    process = on(within(chain, lambda condition: centered(condition["mask"])), {"mask": jnp.ones((n, 4))})
    denoiser = orbit.rigid_body(process, body)
    times = np.float32(np.append(0.999 * np.linspace(1, 0.15, 65) ** 3, 1e-5))
    x_1 = prior(process, jax.random.key(0), jnp.zeros((n, 4, 3)), float(times[0]))
    x = jax.jit(lambda x: samplers.sample(entry.make(process, denoiser), jax.random.key(1), x, times))(x_1)
    x = denoiser(x, times[-1])
    apart = np.asarray(jax.vmap(rmsd)(x, jnp.broadcast_to(body, x.shape)))
    assert apart.max() < 0.01
    # Of a uniform rotation each entry has mean 0, mean square 1/3, and no correlation.
    turns = np.asarray(jax.vmap(lambda y: rotation_onto(body, y))(x)).reshape(n, 9)
    assert np.abs(turns.mean(0)).max() < 4.5 * np.sqrt(1 / 3 / n)
    assert np.abs((turns**2).mean(0) - 1 / 3).max() < 4.5 * np.sqrt(4 / 45 / n)
