import numpy as np
import pytest

from jaxdiff import grids
from jaxdiff.errors import InputError


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


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (lambda: grids.uniform(0), "1 or more"),
        (lambda: grids.uniform(5, 0.1, 0.9), "falls from t_max to t_min"),
        (lambda: grids.trailing(1001, 1000), "from 1 to 1000"),
        (lambda: grids.leading(10, 1000, offset=100), "takes step 1000 out of a chain"),
    ],
)
def test_bad_grids_are_refused(grid, message):
    with pytest.raises(InputError, match=message):
        grid()
