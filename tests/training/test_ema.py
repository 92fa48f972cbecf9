import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import quad

from jaxdiff.errors import InputError
from jaxdiff.training import ema
from jaxdiff.training.checkpoints.checkpoint import Checkpoints
from jaxdiff.training.checkpoints.post_hoc import reconstruct
from jaxdiff.training.checkpoints.rollback import roll_back
from jaxdiff.training.step import init_state, make_train_step


def profile_of(decay, steps):
    """How much of each of the values is in the average after the last."""
    share = np.asarray(decay.share(jnp.arange(steps)), np.float64)
    return share * np.append(np.cumprod((1 - share)[:0:-1])[::-1], 1)


def test_the_average_warms_up():
    decay = ema.warmed_up(0.999)
    np.testing.assert_allclose([decay(0), decay(90), decay(10**6)], [0.1, 0.91, 0.999], rtol=1e-6)


def test_a_half_life_halves():
    """After 100 steps of 1 that follow long zeros, half of the average is new; early, a twentieth of the steps do."""
    decay = ema.half_life(100)
    np.testing.assert_allclose(decay(10**5) ** 100, 0.5, rtol=1e-5)
    np.testing.assert_allclose(decay(400) ** (0.05 * 400), 0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("decay", "updates", "exact"),
    [
        (ema.half_life(1e6), 10**9, -np.expm1(-np.log(2) / 1e6)),
        (ema.half_life(1e7), 10**9, -np.expm1(-np.log(2) / 1e7)),
        (ema.half_life(1e7), 10**7, -np.expm1(-np.log(2) / 5e5)),
        (ema.warmed_up(0.9999), 10**7, 1e-4),
        (ema.warmed_up(0.9999999), 10**7, 9 / (10**7 + 10)),
        (ema.power(0.1), 10**7, -np.expm1((ema.gamma(0.1) + 1) * np.log1p(-1 / (10**7 + 1)))),
        (ema.power(0.01), 10**7, -np.expm1((ema.gamma(0.01) + 1) * np.log1p(-1 / (10**7 + 1)))),
        (ema.power(0.1), 0, 1),
    ],
)
def test_one_update_moves_by_its_exact_share_after_millions(decay, updates, exact):
    moved = jax.jit(lambda n: ema.follow(decay, jnp.float32(0), jnp.float32(1), n))(jnp.int32(updates))
    np.testing.assert_allclose(moved, exact, rtol=2e-6)


@pytest.mark.parametrize("steps", [1e6, 1e7])
def test_a_long_half_life_is_not_lost_to_rounding(steps):
    """Averages of 1, 0.7 ... that follow weights of 0 for 200,000 updates, each a change near their last digit."""
    decay, start, count = ema.half_life(steps), jnp.array([1, 0.7, -3, 1e-3], jnp.float32), 200_000
    one = lambda n, average: ema.follow(decay, average, jnp.zeros(4), 10**9 + n)
    moved = jax.jit(lambda: jax.lax.fori_loop(0, count, one, start))()
    np.testing.assert_allclose(1 - moved / start, -np.expm1(-np.log(2) * count / steps), rtol=1e-3)


def test_an_average_of_weights_that_rest_is_those_weights(rng):
    rest = jnp.asarray([0, 1, -1, 0.5, 2**-20, 3e38, *rng.normal(size=20)], jnp.float32)
    one = lambda n, average: ema.follow(ema.warmed_up(0.999), average, rest, n)
    np.testing.assert_array_equal(jax.jit(lambda: jax.lax.fori_loop(0, 5000, one, rest))(), rest)


@pytest.mark.parametrize("std", [0.02, 0.05, 0.1, 0.2, 0.288])
def test_a_power_average_has_its_profile_and_the_profile_its_deviation(std):
    gamma = ema.gamma(std)
    steps = 2000
    profile = profile_of(ema.power(std), steps)[97::97]
    tau = (np.arange(97, steps, 97) + 1) / steps
    np.testing.assert_allclose(profile, (gamma + 1) * tau**gamma / steps, atol=6 * (gamma + 1) ** 2 / steps**2)
    density = lambda x: (gamma + 1) * x**gamma
    mean = quad(lambda x: x * density(x), 0, 1)[0]
    np.testing.assert_allclose(quad(lambda x: (x - mean) ** 2 * density(x), 0, 1)[0] ** 0.5, std, rtol=1e-6)


def test_a_stored_average_is_its_own_recipe():
    stored = [(0.05, 100), (0.1, 100), (0.05, 50), (0.1, 50)]
    shares, distance = ema.recipe(0.1, stored, 100)
    np.testing.assert_allclose(shares, [0, 1, 0, 0], atol=1e-10)
    assert distance < 1e-7


def test_overlaps_are_integrals():
    profile = lambda gamma, t: lambda x: (gamma + 1) * x**gamma / t ** (gamma + 1) * (x <= t)
    for one, other in [((3.0, 5.0), (1.0, 8.0)), ((1.0, 8.0), (3.0, 5.0)), ((2.0, 4.0), (7.0, 4.0))]:
        exact = quad(lambda x, p=one, q=other: profile(*p)(x) * profile(*q)(x), 0, min(one[1], other[1]))[0]
        np.testing.assert_allclose(ema._overlap(*one, *other), exact, rtol=1e-7)


def test_early_on_the_averages_forget_the_start():
    """After 1, 2, 10 steps; at the first the average becomes what the weights are."""
    np.testing.assert_allclose([ema.half_life(100)(n) for n in (0, 1)], [0, 0.5**20], atol=1e-12)
    for std in (0.05, 0.2):
        expected = [0, 0.5 ** (ema.gamma(std) + 1), 0.9 ** (ema.gamma(std) + 1)]
        np.testing.assert_allclose([ema.power(std)(n) for n in (0, 1, 9)], expected, rtol=1e-6)


def test_the_averages_of_a_configuration():
    """Half-lives are counted in examples, of which a step takes 8; ends of the ranges are allowed."""
    spec = {"decay": (0.0, 0.99), "half_life": (4000,), "sigma_rel": (1e-4, 0.288)}
    found = ema.averages(spec, 8)
    assert list(found) == ["ema_0", "ema_0.99", "half_life_4000", "sigma_rel_0.0001", "sigma_rel_0.288"]
    assert found["ema_0"](5) == 0
    np.testing.assert_allclose(found["ema_0.99"](10**6), 0.99, rtol=1e-6)
    np.testing.assert_allclose(found["half_life_4000"](10**6) ** 500, 0.5, rtol=1e-4)
    with pytest.raises(InputError, match="two averages are named ema_0.9:"):
        ema.averages({"decay": (0.9, 0.9), "half_life": (), "sigma_rel": ()}, 8)
    for std in (0.9e-4, 0.2881):
        with pytest.raises(InputError, match="must be from 0.0001 to 0.288"):
            ema.gamma(std)


def test_a_recipe_is_the_nearest_sum_of_profiles():
    """Least squares with shares that sum to one, on a grid of the training so far."""
    stored, end, wanted = [(0.05, 100), (0.1, 100), (0.1, 60)], 120, 0.08
    t = (np.arange(60_000) + 0.5) / 500

    def profile(std, last):
        exponent = ema.gamma(std)
        return (exponent + 1) * t**exponent / last ** (exponent + 1) * (t <= last)

    p, aim = np.stack([profile(*s) for s in stored]), profile(wanted, end)
    free = np.linalg.lstsq((p[:-1] - p[-1]).T, aim - p[-1], rcond=None)[0]
    expected = np.append(free, 1 - free.sum())
    shares, distance = ema.recipe(wanted, stored, end)
    np.testing.assert_allclose(shares, expected, rtol=1e-3)
    np.testing.assert_allclose(distance, np.linalg.norm(expected @ p - aim) / np.linalg.norm(aim), rtol=1e-3)


@pytest.mark.slow
def test_widths_made_afterwards_are_those_computed_along_the_way(tmp_path):
    """Noisy descent in 5 dimensions; two widths kept at 16 moments give six others."""
    others = [0.04, 0.06, 0.08, 0.12, 0.15]
    averages = ema.averages({"decay": (), "half_life": (), "sigma_rel": (0.05, 0.1, *others)}, 8)
    optimizer = optax.sgd(0.02)
    loss = lambda params, key, batch: (jnp.sum((params - 1 - jax.random.normal(key, (5,))) ** 2), {})
    step = jax.jit(make_train_step(loss, optimizer, averages, jax.random.key(0)))
    state = init_state(jnp.zeros(5), optimizer, averages)
    with Checkpoints(tmp_path, keep_every=32) as checkpoints:
        for n in range(1, 513):
            state, _ = step(state, None)
            if n % 32 == 0:
                checkpoints.save(state)
    for std in others:
        said, weights = reconstruct(tmp_path, std, ["sigma_rel_0.05", "sigma_rel_0.1"], state.params)
        exact = state.ema[f"sigma_rel_{std:g}"]
        nearest = min(np.abs(exact - state.ema[name]).max() for name in ("sigma_rel_0.05", "sigma_rel_0.1"))
        assert np.abs(weights - exact).max() < 0.05 * nearest, (std, weights, exact)
        assert said.startswith(f"sigma_rel_{std:g}, made of 32 averages")
    with pytest.raises(InputError, match=r"weights 0.01: the 32 averages .* no nearer to it than \d+%: choose"):
        reconstruct(tmp_path, 0.01, ["sigma_rel_0.05", "sigma_rel_0.1"], state.params)
    with pytest.raises(InputError, match="no power-function averages, which ema.sigma_rel asks for"):
        reconstruct(tmp_path, 0.07, ["ema_0.9"], state.params)


@pytest.mark.statistical
def test_widths_made_afterwards_know_what_was_skipped_and_undone(tmp_path):
    """A third of the steps is skipped, two checkpoints hold the same, and two are of weights that were given up."""
    names, guard = ["sigma_rel_0.05", "sigma_rel_0.1"], {"patience": 50, "rollbacks": 9, "spike": 0.0}
    averages = ema.averages({"decay": (), "half_life": (), "sigma_rel": (0.05, 0.1, 0.08)}, 8)
    loss = lambda params, key, bad: (
        jnp.where(bad, jnp.nan, jnp.sum((params - 1 - jax.random.normal(key, (5,))) ** 2)),
        {},
    )
    optimizer = optax.sgd(0.02)
    step = jax.jit(make_train_step(loss, optimizer, averages, jax.random.key(0)))
    state = init_state(jnp.zeros(5), optimizer, averages)
    with Checkpoints(tmp_path, keep_every=32) as checkpoints:
        for n in range(1, 577):
            state, _ = step(state, n % 3 == 0 or 120 < n < 200 or 256 < n <= 300)
            if n in (200, 400):
                row = state.health._replace(skipped_in_row=jnp.int32(70))
                state = roll_back(checkpoints, state._replace(health=row), **guard, keep_batch=lambda n: tmp_path)
            if n % 32 == 0:
                checkpoints.save(state)
    said, weights = reconstruct(tmp_path, 0.08, names, state.params)
    exact = state.ema["sigma_rel_0.08"]
    nearest = min(np.abs(exact - state.ema[name]).max() for name in names)
    assert np.abs(weights - exact).max() < 0.05 * nearest, (said, weights, exact)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "ema: name at least one average"),
        ({"decay": (1.0,)}, "ema.decay=1.0: must be at least 0 and below 1"),
        ({"half_life": (0,)}, "ema.half_life=0: must be a positive number of examples"),
        ({"sigma_rel": (0.3,)}, "ema.sigma_rel=0.3.* must be from 0.0001 to 0.288"),
    ],
)
def test_averages_that_mean_nothing_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        ema.averages({"decay": (), "half_life": (), "sigma_rel": (), **spec}, 8)
