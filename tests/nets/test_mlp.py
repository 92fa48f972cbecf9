import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.parameterization import v
from jaxdiff.gaussian.process import perturb
from jaxdiff.gaussian.schedules import vp
from jaxdiff.losses.diffusion import diffusion_loss
from jaxdiff.losses.times import uniform
from jaxdiff.losses.weights import simple
from jaxdiff.nets import MLP
from jaxdiff.nets.layers import sinusoidal
from jaxdiff.types import Batch
from tests.helpers.nets import randomized

SMALL = {"widths": (32, 48, 32), "blocks": 2, "embedding": 16, "dropout": 0.0, "dropout_out": 0.0}
NORMS = ("layer", "batch", "none")


@pytest.fixture
def inputs():
    return jax.random.normal(jax.random.key(2), (4, 5)), jnp.array([3.0, 40.0, 300.0, 700.0])


def test_as_many_parameters_as_the_papers():
    """Counted from the paper's code, for a table of 6 columns: in, time, three blocks, out."""
    linear = lambda a, b: a * b + b
    time = 2 * linear(256, 256) + linear(256, 128)
    block = 2 * 128 + linear(128, 256) + linear(256, 128)
    shapes = jax.eval_shape(MLP(norm="batch").init, jax.random.key(0), jnp.zeros((1, 6)), jnp.zeros(1))
    count = sum(p.size for p in jax.tree.leaves(shapes["params"]))
    assert count == linear(6, 128) + time + 3 * block + 2 * 128 + linear(128, 6)


@pytest.mark.system
def test_the_network_is_the_papers_computed_by_hand(inputs):
    x, t = (np.asarray(a) for a in inputs)
    net = MLP(**SMALL, norm="batch")
    variables = jax.tree.map(np.asarray, randomized(net, x, t))
    weights, statistics = variables["params"], variables["batch_stats"]

    def dense(h, name):
        return h @ weights[name]["kernel"] + weights[name]["bias"]

    def norm(h, name):
        scaled = (h - statistics[name]["mean"]) / np.sqrt(statistics[name]["var"] + 1e-5)
        return scaled * weights[name]["scale"] + weights[name]["bias"]

    def silu(h):
        return h / (1 + np.exp(-h))

    embedding = dense(silu(dense(np.asarray(sinusoidal(jnp.asarray(t), 16)), "time1")), "time2")
    h = dense(x, "into") + dense(silu(embedding), "embed")
    for i in range(2):
        hidden = np.maximum(dense(norm(h, f"block{i}_norm"), f"block{i}_dense0"), 0)
        h = h + dense(hidden, f"block{i}_out")
    out = dense(np.maximum(norm(h, "norm_out"), 0), "out")
    np.testing.assert_allclose(net.apply(variables, *inputs), out, rtol=1e-4, atol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize("norm", NORMS)
def test_a_fresh_network_predicts_zero(inputs, norm):
    net = MLP(**SMALL, norm=norm)
    np.testing.assert_array_equal(net.apply(net.init(jax.random.key(0), *inputs), *inputs), 0)


@pytest.mark.slow
def test_it_learns_the_exact_denoiser_of_two_gaussians():
    """To a root mean square error of 0.04 in x̂_0 (measured: 0.01 to 0.025; of a network without time 0.09 to 0.19)."""
    chain, parts = (
        vp(),
        (np.array([0.3, 0.7]), np.array([[-1.2, 0.6], [0.5, -0.3]]), np.array([[0.3, 0.5], [0.6, 0.2]])),
    )
    net = MLP(widths=(64, 128, 64), blocks=2, embedding=64, dropout=0.0, dropout_out=0.0)
    network = lambda params, x, t, condition, key: net.apply(params, x, t)
    loss_fn = diffusion_loss(chain, v(), network, simple(), uniform(1e-3))
    steps = 1500
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def draw(key, n):
        key_part, key_noise = jax.random.split(key)
        part = jax.random.choice(key_part, 2, (n,), p=jnp.asarray(parts[0]))
        return jnp.asarray(parts[1])[part] + jnp.asarray(parts[2])[part] * jax.random.normal(key_noise, (n, 2))

    def step(carry, key):
        params, state = carry
        grads = jax.grad(lambda p: loss_fn(p, key, Batch(draw(jax.random.fold_in(key, 1), 256)))[0])(params)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    params = net.init(jax.random.key(0), jnp.zeros((1, 2)), jnp.zeros(1))
    run = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys)[0])
    params, _ = run((params, optimizer.init(params)), jax.random.split(jax.random.key(1), steps))
    learned, exact = make_denoiser(chain, v(), network, params), gaussian_mixture(chain, *parts)
    for t in (0.1, 0.3, 0.5, 0.9):
        x_t, _ = perturb(chain, jax.random.key(3), draw(jax.random.key(4), 4000), jnp.asarray(t))
        error = jnp.sqrt(jnp.mean((learned(x_t, jnp.asarray(t)) - exact(x_t, jnp.asarray(t))) ** 2))
        assert error < 0.04, (t, error)


@pytest.mark.parametrize("norm", NORMS)
def test_time_counts_and_one_time_may_stand_for_all(inputs, norm):
    net, (x, t) = MLP(**SMALL, norm=norm), inputs
    params = randomized(net, x, t)
    assert jnp.abs(net.apply(params, x, t) - net.apply(params, x, t + 50)).min(0).max() > 1e-3
    one = net.apply(params, x, t[:1])
    np.testing.assert_allclose(one, net.apply(params, x, jnp.full(4, t[0])), atol=1e-6)


@pytest.mark.system
@pytest.mark.parametrize("norm", NORMS)
def test_examples_see_each_other_in_training_with_a_norm_over_the_batch_alone(inputs, norm):
    net, (x, t) = MLP(**SMALL, norm=norm), inputs
    params = randomized(net, x, t)
    np.testing.assert_allclose(net.apply(params, x, t)[:1], net.apply(params, x[:1], t[:1]), atol=1e-5)
    train = functools.partial(net.apply, params, train=True, mutable=["batch_stats"])
    (whole, changed), (part, _) = train(x, t), train(x[:2], t[:2])
    apart = jnp.abs(whole[:2] - part).max()
    assert (apart > 1e-2) if norm == "batch" else (apart < 1e-5)
    assert jax.tree.structure(changed) == jax.tree.structure({k: v for k, v in params.items() if k != "params"})
    for new, old in zip(jax.tree.leaves(changed), jax.tree.leaves(params.get("batch_stats", {})), strict=True):
        assert jnp.abs(new - old).max() > 1e-4


@pytest.mark.system
def test_what_is_far_off_shows_unless_the_norm_is_over_the_features(inputs):
    x, t = inputs
    for norm in NORMS:
        net = MLP(**SMALL, norm=norm)
        params = randomized(net, x, t)
        near, far = (jnp.linalg.norm(net.apply(params, scale * x, t)) for scale in (1e3, 1e6))
        assert (far / near < 1.1) if norm == "layer" else (far / near > 900)


def test_dropout_acts_in_training_alone(inputs):
    x, t = inputs
    quiet = MLP(**SMALL)
    params = randomized(quiet, x, t)
    for rates in ({"dropout": 0.5}, {"dropout_out": 0.5}):
        net = MLP(**{**SMALL, **rates})
        a, b = (net.apply(params, x, t, train=True, rngs={"dropout": jax.random.key(k)}) for k in (0, 1))
        assert jnp.abs(a - b).max() > 1e-3
        np.testing.assert_array_equal(net.apply(params, x, t), quiet.apply(params, x, t))


def test_classes_change_the_output_and_minus_one_and_none_are_the_unconditional_network(inputs):
    x, t = inputs
    net = MLP(**SMALL, num_classes=10)
    params = randomized(net, x, t, {"label": jnp.arange(4)})
    a, b, absent = (net.apply(params, x, t, {"label": jnp.array(k)}) for k in ([0, 1, 2, -1], [0, 9, 2, -1], [-1] * 4))
    np.testing.assert_array_equal(a[jnp.array([0, 2, 3])], b[jnp.array([0, 2, 3])])
    assert jnp.abs(a[1] - b[1]).max() > 1e-3
    nothing = net.apply(params, x, t)
    np.testing.assert_array_equal(absent, nothing)
    np.testing.assert_array_equal(a[3], nothing[3])
    assert jnp.abs(a[0] - nothing[0]).max() > 1e-3  # class 0 is a class
    plain = {"params": {k: v for k, v in params["params"].items() if k != "classes"}}
    np.testing.assert_array_equal(nothing, MLP(**SMALL).apply(plain, x, t))


@pytest.mark.parametrize(
    ("changes", "shape", "given", "message"),
    [
        (
            {},
            (2, 5),
            {"label": jnp.zeros(2, int)},
            "'label' was given to net 'mlp', which takes none: make it",
        ),
        ({}, (2, 5), {"vector": jnp.zeros((2, 3))}, "the condition 'vector' .* 'mlp', which takes none"),
        ({}, (2, 5), {"image": jnp.zeros((2, 4, 4, 1))}, "the condition 'image' .* which takes none"),
        ({}, (2, 5), {"sequence": jnp.zeros((2, 3, 4))}, "the condition 'sequence' .* which takes none"),
        ({}, (2, 8, 8, 1), None, r"an MLP takes vectors, \(batch, features\), not an array of shape \(2, 8, 8, 1\)"),
        ({"widths": (32, 48)}, (2, 5), None, r"net.widths=\(32, 48\): give three or more, of which the ends"),
        ({"widths": (32, 48, 33)}, (2, 5), None, r"net.widths=\(32, 48, 33\): give three or more, of which the ends"),
        (
            {"norm": "bath"},
            (2, 5),
            None,
            r"unknown net.norm 'bath' \(did you mean 'batch'\?\): allowed are batch, layer",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, shape, given, message):
    with pytest.raises(InputError, match=message):
        MLP(**{**SMALL, **changes}).init(jax.random.key(0), jnp.zeros(shape), jnp.zeros(2), given)
