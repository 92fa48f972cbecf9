"""The loss of an autoencoder and of its critic against hand computations, and who moves whom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.losses.adversary import Memory, adversarial_reconstruction, balance, hinge
from jaxdiff.losses.perceptual import perceptual_distance
from jaxdiff.losses.reconstruction import reconstruction_loss
from jaxdiff.pipelines.warm_start import for_players
from jaxdiff.types import Batch
from tests.helpers.cases import refused

KEY, KL = jax.random.key(3), 0.07


class Linear:
    """A critic whose logits are w x + b at each place."""

    def apply(self, variables, x):
        return jnp.sum(variables["params"]["w"] * x, -1) + variables["params"]["b"]


def coded(params, x, key):
    """An encoder without noise, and a decoder whose last kernel is `last`."""
    mean = params["encoder"] * x
    return mean @ params["decoder"]["last"]["kernel"], mean, jnp.full_like(mean, -1.2)


def some(rng):
    kernel = rng.normal(size=(2, 2)).astype(np.float32)
    generator = {"encoder": jnp.float32(0.8), "decoder": {"last": {"kernel": jnp.asarray(kernel)}}}
    critic = {"w": jnp.asarray([0.3, -0.7]), "b": jnp.float32(0.1)}
    return {"generator": generator, "critic": critic}, rng.normal(size=(5, 4, 3, 2)).astype(np.float32)


def made(**options):
    return adversarial_reconstruction(coded, Linear(), kl=KL, last="decoder/last/kernel", **options)


def value(loss, params, x, seen=0):
    return loss.loss(params, Memory(jnp.int32(seen)), KEY, Batch(jnp.asarray(x)))


def by_hand(params, x):
    """The parts of the loss, in float64, for the kernel's gradients by the chain rule: h^T (dE/dx̂)."""
    kernel = np.float64(params["generator"]["decoder"]["last"]["kernel"])
    mean = 0.8 * np.float64(x)
    seen = mean @ kernel
    w, b = np.float64(params["critic"]["w"]), 0.1
    along = lambda cotangent: np.einsum("nhwi,nhwo->io", mean, cotangent)
    of_error = along(np.sign(seen - x) / x.size)
    of_critic = along(np.broadcast_to(-w / (x.size / 2), seen.shape))
    balance = np.linalg.norm(of_error) / (np.linalg.norm(of_critic) + 1e-4)
    nats = (mean**2 + np.exp(-1.2) - 1 + 1.2) / 2
    fake, real = seen @ w + b, np.float64(x) @ w + b
    players = (np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()) / 2
    return np.abs(seen - x).mean(), KL * nats.sum() / x.size, balance, fake.mean(), players


def test_the_loss_and_its_adaptive_weight_are_those_of_a_hand_computation(rng):
    params, x = some(rng)
    loss, (metrics, memory) = value(made(adversary=0.5), params, x)
    error, nats, w, fooled, players = by_hand(params, x)
    np.testing.assert_allclose(metrics["balance"], w, rtol=1e-5)
    np.testing.assert_allclose(metrics["fooled"], fooled, rtol=1e-5)
    np.testing.assert_allclose(metrics["critic"], players, rtol=1e-5)
    np.testing.assert_allclose(loss, error + nats - 0.5 * w * fooled + players, rtol=1e-5)
    assert memory.seen == 5
    assert 0.01 < w < 100  # so that neither end of it is what was compared


def test_the_weight_is_cut_off_and_finite_where_the_critic_says_nothing():
    one = jnp.ones((2, 2))
    np.testing.assert_allclose(balance(3 * one, one), 6 / (2 + 1e-4), rtol=1e-6)
    assert balance(1e9 * one, 0 * one) == 1e4
    assert balance(0 * one, one) == 0
    assert jax.grad(lambda g: balance(g, one))(one).any() == 0


def test_the_hinge_has_no_slope_beyond_its_margin():
    np.testing.assert_allclose(hinge(jnp.array([2.0, 0.5]), jnp.array([-3.0, 0.2])), 0.5 * (0.25 + 0.6), rtol=1e-6)
    slopes = jax.grad(hinge, (0, 1))(jnp.array([2.0, 0.5]), jnp.array([-3.0, 0.2]))
    np.testing.assert_allclose(slopes, [[0, -0.25], [0, 0.25]])


def test_each_player_has_the_gradient_of_its_own_loss_alone(rng):
    params, x = some(rng)
    loss, grads = made(), jax.grad(lambda params: value(made(), params, x)[0])(params)
    w = value(loss, params, x)[1][0]["balance"]

    def of_autoencoder(own):
        seen = coded(own, jnp.asarray(x), KEY)[0]
        plain = reconstruction_loss(coded, KL)(own, KEY, Batch(jnp.asarray(x)))[0]
        return plain - 0.5 * w * jnp.mean(Linear().apply({"params": params["critic"]}, seen))

    def of_critic(critic):
        judged = lambda x: Linear().apply({"params": critic}, x)
        return hinge(judged(jnp.asarray(x)), judged(coded(params["generator"], jnp.asarray(x), KEY)[0]))

    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-7)
    jax.tree.map(close, grads["generator"], jax.grad(of_autoencoder)(params["generator"]))
    jax.tree.map(close, grads["critic"], jax.grad(of_critic)(params["critic"]))
    assert all(np.abs(g).max() > 1e-3 for g in jax.tree.leaves(grads["generator"]))


def test_before_its_start_the_adversary_changes_nothing(rng):
    params, x = some(rng)
    loss = made(start=10)
    plain = reconstruction_loss(coded, KL)
    batch = Batch(jnp.asarray(x))
    expected, of_plain = jax.value_and_grad(lambda own: plain(own, KEY, batch)[0])(params["generator"])
    for seen, on in ((0, False), (9, False), (10, True)):
        found, grads = jax.value_and_grad(lambda params, seen=seen: value(loss, params, x, seen)[0])(params)
        same = jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), grads["generator"], of_plain)
        assert all(jax.tree.leaves(same)) != on
        assert bool(found == expected) != on
        assert any(map(jnp.any, jax.tree.leaves(grads["critic"]))) == on


def test_the_distance_is_of_directions_of_features(rng):
    x, y = (rng.normal(size=(3, 4, 5, 2)).astype(np.float32) for _ in range(2))
    unit = lambda f: np.float64(f) / np.linalg.norm(np.float64(f), axis=-1, keepdims=True)
    first = ((unit(x) - unit(y)) ** 2).sum(-1).mean((1, 2))
    np.testing.assert_allclose(perceptual_distance(lambda x: x, x, y), first, rtol=1e-5)
    flat = lambda x: x.reshape(len(x), -1)
    second = ((unit(flat(x)) - unit(flat(y))) ** 2).sum(-1)
    several = lambda x: (3 * x, x.reshape(len(x), -1))
    np.testing.assert_allclose(perceptual_distance(several, x, y), first + second, rtol=1e-5)
    assert not perceptual_distance(several, x, 2 * x).max() > 1e-6
    assert np.isfinite(jax.grad(lambda x: perceptual_distance(several, x, y).sum())(jnp.zeros_like(x))).all()


@pytest.mark.parametrize("adversary", [False, True])
def test_features_stand_beside_the_error(rng, adversary):
    params, x = some(rng)
    options = {"perceptual": 0.3, "features": lambda x: (x, x**3)}
    seen = coded(params["generator"], x, KEY)[0]
    distance = perceptual_distance(lambda x: (x, x**3), seen, x).mean()
    if adversary:
        (more, (metrics, _)), (plain, _) = value(made(start=1, **options), params, x), value(made(start=1), params, x)
    else:
        one = lambda **given: reconstruction_loss(coded, KL, **given)(params["generator"], KEY, Batch(jnp.asarray(x)))
        (more, metrics), (plain, _) = one(**options), one()
    np.testing.assert_allclose(metrics["perceptual"], distance, rtol=1e-5)
    np.testing.assert_allclose(more - plain, 0.3 * distance, rtol=1e-4)


def test_a_weight_without_features_and_no_kernel_at_its_place_are_refused(rng):
    params, x = some(rng)
    with refused("loss.perceptual=0.5: is the weight of loss.features, which are not there"):
        made(perceptual=0.5)
    with refused("loss.perceptual=0.0"):
        reconstruction_loss(coded, features=lambda x: x)
    for last, said in (("decoder/conv/kernel", "at 'conv' there are last"), ("decoder/last", "path of a kernel")):
        with refused(said):
            value(adversarial_reconstruction(coded, Linear(), last=last), params, x)


def test_a_critic_that_is_another_network_does_not_begin_as_the_autoencoder(rng):
    params, _ = some(rng)
    trained = jax.tree.map(lambda p: p + 1, params["generator"])
    assert for_players(params, trained) == {"generator": trained}
    assert for_players(trained, {"generator": trained, "critic": params["critic"]}) is trained
