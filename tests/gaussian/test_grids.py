import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdiff.errors import InputError
from jaxdiff.gaussian import betas, grids, schedules


@pytest.mark.parametrize("spacing", [grids.leading, grids.trailing, grids.linspace])
@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_spacings_fall_along_the_chain_to_the_data(spacing, steps):
    times = spacing(steps, 1000)
    assert times.shape == (steps + 1,)
    assert times[-1] == 0
    assert np.all(np.diff(times) < 0)
    index = times[:-1].astype(np.float64) * 1000 - 1
    np.testing.assert_allclose(index, np.round(index), atol=1e-4)


def test_all_steps_are_the_chain_itself():
    chain = (np.arange(1000, -1, -1) / 1000).astype(np.float32)
    for spacing in (grids.leading, grids.trailing, grids.linspace):
        np.testing.assert_array_equal(spacing(1000, 1000), chain)


def test_uniform():
    np.testing.assert_allclose(grids.uniform(4), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(grids.uniform(2, 0.9, 0.1), [0.9, 0.5, 0.1])


def test_chains_are_visited_as_published():
    """Lin et al. 2024, table 2, by index from the data on; every grid ends at the data, t = 0."""
    index = lambda times: (np.round(np.float64(times) * 1000) - 1).astype(int).tolist()
    assert index(grids.leading(4)) == [750, 500, 250, 0, -1]
    assert index(grids.leading(4, offset=249)) == [999, 749, 499, 249, -1]
    assert index(grids.leading(3)) == [666, 333, 0, -1]
    assert index(grids.trailing(4)) == [999, 749, 499, 249, -1]
    assert index(grids.trailing(3)) == [999, 666, 332, -1]
    assert index(grids.linspace(4)) == [999, 666, 333, 0, -1]
    np.testing.assert_allclose(grids.trailing(3, 10), [1.0, 0.7, 0.3, 0])
    for bad in (-1, 250):
        with pytest.raises(InputError, match=f"offset={bad} takes step"):
            grids.leading(4, offset=bad)


def test_what_a_grid_is_unless_told_otherwise():
    """Uniform on [0, 1]; EDM's 80, 0.002 and 7; even log-SNR down to t = 0.001; Beta(0.6, 0.6) on [0, 1]."""
    np.testing.assert_allclose(grids.uniform(2), [1, 0.5, 0])
    np.testing.assert_allclose(grids.uniform(1, 0.5, 0.0), [0.5, 0])
    chain, i = schedules.edm(), np.arange(5) / 4
    karras = (80 ** (1 / 7) + i * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(80 * grids.karras(chain, 5), np.append(karras, 0), rtol=1e-5)
    other = (9 ** (1 / 3) + i * (0.1 ** (1 / 3) - 9 ** (1 / 3))) ** 3
    np.testing.assert_allclose(80 * grids.karras(chain, 5, 9.0, 0.1, 3.0), np.append(other, 0), rtol=1e-5)
    np.testing.assert_allclose(80 * grids.exponential(chain, 5), np.append(80 * (0.002 / 80) ** i, 0), rtol=1e-5)
    np.testing.assert_allclose(grids.log_snr(chain, 5), np.append(0.001**i, 0), rtol=1e-5)
    np.testing.assert_allclose(grids.log_snr(schedules.flow(), 1, 0.9, 0.1), [0.9, 0], rtol=1e-6)
    np.testing.assert_allclose(stats.beta.cdf(grids.beta(4), 0.6, 0.6), [1, 0.75, 0.5, 0.25, 0], atol=1e-6)
    inner = stats.beta.cdf((grids.beta(4, 2.0, 3.0, 0.9, 0.2) - 0.2) / 0.7, 2, 3)
    np.testing.assert_allclose(inner, [1, 0.75, 0.5, 0.25, 0], atol=1e-6)
    assert all(
        g.dtype == np.float32 for g in (grids.uniform(3), grids.leading(3), grids.beta(3), grids.karras(chain, 3))
    )


@pytest.mark.parametrize("ends", [(1.1, 0.0), (1.0, -0.1), (0.5, 0.5), (0.2, 0.4)])
def test_ends_outside_of_the_path_are_refused(ends):
    for grid in (lambda: grids.uniform(3, *ends), lambda: grids.beta(3, 0.6, 0.6, *ends)):
        with pytest.raises(InputError, match=f"t_max={ends[0]}, t_min={ends[1]}"):
            grid()
    with pytest.raises(InputError, match=f"t_max={ends[0]}, t_min={ends[1]}"):
        grids.log_snr(schedules.edm(), 3, *ends)
    with pytest.raises(InputError, match="within"):
        grids.log_snr(schedules.edm(), 3, 1.0, 0.0)
    for a, b in ((0.0, 1.0), (1.0, 0.0)):
        with pytest.raises(InputError, match=f"a={a}, b={b}"):
            grids.beta(3, a, b)
    for sigmas in ((1.0, 1.0), (1.0, 0.0), (0.5, 1.0)):
        with pytest.raises(InputError, match=f"sigma_max={sigmas[0]}, sigma_min={sigmas[1]}"):
            grids.exponential(schedules.edm(), 3, *sigmas)
    for table in ((1.0,), (1.0, 1.0), (1.0, 0.0), ((2.0, 1.0),)):
        with pytest.raises(InputError, match="a table is a row of 2 or more"):
            grids.table(schedules.edm(), 3, table)


def test_as_many_steps_as_there_may_be():
    assert len(grids.uniform(10**6)) == 10**6 + 1
    for grid in (grids.uniform, lambda n: grids.karras(schedules.edm(), n)):
        with pytest.raises(InputError, match="a grid of 1000001 steps: .* from 1 to 1000000"):
            grid(10**6 + 1)
    for grid in (grids.leading, grids.trailing, grids.linspace):
        with pytest.raises(InputError, match="a grid of 0 steps: .* from 1 to 1000, the length of the chain"):
            grid(0)
        with pytest.raises(InputError, match="a grid of 1001 steps"):
            grid(1001)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (lambda: grids.uniform(0), "from 1 to 1000000"),
        (lambda: grids.uniform(5, 0.1, 0.9), "falls from t_max to t_min"),
        (lambda: grids.trailing(1001, 1000), "from 1 to 1000"),
        (lambda: grids.leading(10, 1000, offset=100), "takes step 1000 out of a chain"),
    ],
)
def test_bad_grids_are_refused(grid, message):
    with pytest.raises(InputError, match=message):
        grid()


PATHS = {
    "vp": schedules.vp,
    "edm": schedules.edm,
    "flow": schedules.flow,
    "ddpm": lambda: schedules.ddpm(betas.linear(1000)),
}


def levels(path, times):
    t = jnp.asarray(times)
    return np.asarray(path.sigma(t) / path.alpha(t))


@pytest.mark.system
@pytest.mark.parametrize("name", PATHS)
def test_noise_levels_are_the_published_ones(name):
    """Karras et al., equation 5, its limit of even logarithms, and then the data, on every path."""
    path, n = PATHS[name](), 18
    i = np.arange(n)
    karras = (40 ** (1 / 7) + i / (n - 1) * (0.02 ** (1 / 7) - 40 ** (1 / 7))) ** 7
    times = grids.karras(path, n, 40.0, 0.02)
    np.testing.assert_allclose(levels(path, times), np.append(karras, 0), rtol=2e-4)
    assert times[-1] == 0
    even = levels(path, grids.exponential(path, n, 40.0, 0.02))[:-1]
    np.testing.assert_allclose(np.diff(np.log(even)), np.log(0.02 / 40) / (n - 1), rtol=2e-3)
    same = grids.log_snr(path, n, float(times[0]), float(times[-2]))
    np.testing.assert_allclose(levels(path, same)[:-1], even, rtol=2e-3)


@pytest.mark.system
def test_tables_of_ones_own():
    """Align your steps: its ten levels as they are, and in between for other numbers of steps; the last is the data."""
    table = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
    path = schedules.ddpm(betas.quadratic(1000, 0.00085, 0.012))
    np.testing.assert_allclose(levels(path, grids.table(path, 10, table)), np.append(table[:-1], 0), rtol=1e-4)
    twice = levels(path, grids.table(path, 20, table))
    np.testing.assert_allclose(twice[:-1:2], table[:-1], rtol=1e-4)
    np.testing.assert_allclose(twice[1::2], np.sqrt(np.multiply(table[:-1], table[1:])), rtol=1e-4)


def test_the_shortest_table():
    np.testing.assert_allclose(
        levels(schedules.edm(), grids.table(schedules.edm(), 2, (10, 0.1))), [10, 1, 0], rtol=1e-4
    )


@pytest.mark.system
@pytest.mark.parametrize("path", [schedules.vp(), schedules.flow(), schedules.edm(10.0)])
def test_angles_are_even(path):
    """Up to that of pure noise, which is a quarter turn where alpha ends at 0."""
    times = grids.angles(path, 8)
    assert (times[0], times[-1]) == (1, 0)
    turned = np.arctan2(path.sigma(jnp.asarray(times)), path.alpha(jnp.asarray(times)))
    most = {0.0: np.pi / 2}.get(float(path.alpha(jnp.ones(()))), float(turned[0]))
    np.testing.assert_allclose(turned, np.linspace(most, 0, 9), atol=2e-5)


def test_beta():
    np.testing.assert_allclose(grids.beta(10, 1.0, 1.0), np.linspace(1, 0, 11), atol=1e-6)
    times = grids.beta(100, 0.6, 0.6)
    np.testing.assert_allclose(stats.beta.cdf(times, 0.6, 0.6), np.linspace(1, 0, 101), atol=1e-5)
    assert np.diff(times).max() < 0


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (lambda: grids.karras(schedules.vp(), 10, 1e6), "noise levels from 1e[+]06 to 0.002 are not all those"),
        (lambda: grids.karras(schedules.ve(), 10, 50.0, 0.001), "down to 0.01"),
        (lambda: grids.karras(schedules.edm(), 10, 1.0, 2.0), "sigma_max=1.0, sigma_min=2.0"),
        (lambda: grids.log_snr(schedules.flow(), 10), "not finite there"),
        (lambda: grids.table(schedules.edm(), 10, (1.0, 2.0)), "positive noise levels that fall"),
        (lambda: grids.table(schedules.edm(), 10, (3.0, 1.0, 2.0)), "positive noise levels that fall"),
        (lambda: grids.table(schedules.edm(), 10, (2.0, 1.0, 0.0)), "positive noise levels that fall"),
        (lambda: grids.table(schedules.edm(), 10, (2.0,)), "positive noise levels that fall"),
        (lambda: grids.beta(10, a=0.0), "a=0.0"),
    ],
)
def test_bad_levels_are_refused(grid, message):
    with pytest.raises(InputError, match=message):
        grid()


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_a_single_level_beyond_the_process_is_refused_too(steps):
    edm, ve = schedules.edm, schedules.ve
    for chain, make in ((edm(50.0), grids.karras), (edm(5.0), grids.exponential), (ve(), grids.karras)):
        with pytest.raises(InputError, match="are not all those of this process"):
            make(chain, steps, 80.0, 0.02)
