"""Trajectories of several lengths: read, masked, and brought back."""

import jax
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.modalities import check, complete, completed, find, has_space, make_codec
from jaxdiff.modalities.trajectories import show, tracks
from jaxdiff.modalities.trajectories.file import of_lengths
from jaxdiff.modalities.trajectories.spec import lengths_of, track_spec
from jaxdiff.types import Batch

LENGTHS = np.array([3, 10, 1, 7, 10, 2])


@pytest.fixture
def parts(rng):
    return [rng.normal(size=(n, 2)) * [3, 0.1] + [10, -2] for n in LENGTHS]


def written(tmp_path, **arrays):
    np.savez(tmp_path / "tracks.npz", **arrays)
    return str(tmp_path / "tracks.npz")


@pytest.mark.parametrize("scaling", ["range", "std", "none"])
def test_three_ways_to_give_them_are_the_same_and_come_back(tmp_path, parts, scaling):
    padded = np.full((6, 10, 2), 7.5)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    sources = [
        of_lengths(parts, scaling=scaling),
        tracks(written(tmp_path, windows=padded, n=LENGTHS), lengths="n", scaling=scaling),
        tracks(written(tmp_path, windows=np.concatenate(parts), n=LENGTHS), lengths="n", scaling=scaling),
    ]
    for source in sources:
        check(source.spec)
        assert source.spec == sources[0].spec
        assert source.spec.shape == (16, 2)  # a multiple of 8
        batch = source.take(np.arange(6))
        np.testing.assert_array_equal(lengths_of(batch.condition["mask"]), LENGTHS)
        assert (batch.x_0[batch.condition["mask"] == 0] == 0).all()
        back = make_codec(source.spec).decode(batch.x_0)
        for row, part in zip(back, parts, strict=True):
            np.testing.assert_allclose(row[: len(part)], part, rtol=1e-5)
            assert np.isnan(row[len(part) :]).all()
        np.testing.assert_array_equal(make_codec(source.spec).encode(back) == 0, batch.x_0 == 0)
        real = batch.x_0[batch.condition["mask"] > 0]
        if scaling == "range":
            np.testing.assert_allclose([real.min(0), real.max(0)], [[-1, -1], [1, 1]], atol=1e-5)
        if scaling == "std":
            np.testing.assert_allclose([real.mean(0), real.std(0)], [[0, 0], [1, 1]], atol=1e-4)


def test_a_state_that_is_zero_in_all_channels_is_a_state():
    source = of_lengths([np.zeros((2, 2)), np.ones((5, 2))], scaling="none")
    back = make_codec(source.spec).decode(source.take(np.arange(2)).x_0)
    np.testing.assert_array_equal(np.isnan(back).all(-1).sum(1), [6, 3])
    np.testing.assert_allclose(back[0, :2], 0, atol=1e-20)


def test_what_is_no_number_is_no_end(parts):
    """So that a network that has gone astray is seen, and not taken for short trajectories."""
    source = of_lengths(parts)
    x_0 = source.take(np.arange(6)).x_0
    x_0[1, 4] = np.nan
    back = make_codec(source.spec).decode(x_0)
    assert np.isinf(back[1, 4]).all()
    assert not np.isfinite(find("trajectories", "measured").values(source.spec, back)).all()


def test_lengths_are_drawn_as_in_the_data_or_as_asked_for(parts):
    spec = of_lengths(parts).spec
    assert has_space(spec)
    assert completed(spec) == ("mask",)
    draw = lambda index, given: lengths_of(complete(spec, jax.random.key(0), index, given)["mask"])
    drawn = draw(np.arange(6000), {})
    shares = np.bincount(drawn, minlength=17)[[1, 2, 3, 7, 10]] / 6000
    np.testing.assert_allclose(shares, np.array([1, 1, 1, 1, 2]) / 6, atol=0.02)
    np.testing.assert_array_equal(draw(np.arange(100, 200), {}), drawn[100:200])
    np.testing.assert_array_equal(draw(np.arange(3), {"length": 4}), 4)
    np.testing.assert_array_equal(draw(np.arange(3), {"length": np.array([1, 16, 5])}), [1, 16, 5])
    for length in (0, 17, 2.5):
        with pytest.raises(InputError, match="length="):
            draw(np.arange(3), {"length": length})


def test_trajectories_of_one_length_have_no_mask(tmp_path, rng):
    source = tracks(written(tmp_path, windows=rng.normal(size=(4, 8, 2))))
    assert not has_space(source.spec)
    assert completed(source.spec) == ()
    assert complete(source.spec, jax.random.key(0), np.arange(2), 3) == 3
    assert source.take(np.arange(2)).condition is None


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"n": np.array([2, 2])}, {}, "2 lengths up to 2, 4 states in all, are not those of an array of shape"),
        ({"n": np.array([2, 5, 2])}, {}, "3 lengths up to 5"),
        ({"n": np.array([2, 0, 2])}, {}, "lengths are .n,. whole numbers from 1"),
        ({"n": np.array([2.0, 1, 2])}, {}, "lengths are .n,. whole numbers from 1"),
        ({"n": np.array([2, 3, 2])}, {"steps": 2}, "data.steps=2: the longest trajectory has 3"),
        ({"n": np.array([4, 4, 4])}, {"lengths": "", "steps": 8}, "data.steps=8: goes with data.lengths"),
        ({"n": np.array([2, 4, 3])}, {}, "number 1: 1 of 1 are not finite"),
        ({"n": np.array([2, 3, 4])}, {"lengths": ""}, "if these are ends, set data.lengths"),
    ],
)
def test_what_is_no_set_of_lengths_is_refused(tmp_path, arrays, options, message):
    windows = np.ones((3, 4, 2))
    windows[1, 3] = np.nan
    with pytest.raises(InputError, match=message):
        tracks(written(tmp_path, windows=windows, **arrays), **{"lengths": "n", **options})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([], "of .. channels: give one or more"),
        ([np.ones((2, 2)), np.ones((2, 3))], "of .2, 3. channels"),
        ([np.ones((2, 2)), np.ones((0, 2))], "number 1 of float64 and shape"),
        ([np.ones(3)], "must be numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, message):
    with pytest.raises(InputError, match=message):
        of_lengths(arrays)


@pytest.mark.parametrize("lengths", [[0, 1], [1, 1, 1], [0, -1, 2], [0, 0, 0]])
def test_details_that_are_no_lengths_are_refused(lengths):
    with pytest.raises(InputError, match="lengths are not those of 2 steps"):
        check(track_spec((2, 1), np.zeros(1), np.ones(1), lengths=np.array(lengths)))


def test_what_is_shown_ends_where_they_do(tmp_path, parts):
    source = of_lengths(parts)
    x = make_codec(source.spec).decode(source.take(np.arange(6)).x_0)
    assert show.save_samples(tmp_path, source.spec, Batch(x), Batch(x), "note") == ["tracks.png", "samples.npz"]
    with np.load(tmp_path / "samples.npz") as file:
        np.testing.assert_array_equal(file["windows"], x)
        np.testing.assert_array_equal(file["lengths"], LENGTHS)
    assert show.describe(source.spec) == "trajectories of up to 16 steps of 2 channels"
    assert np.isfinite(find("trajectories", "measured").values(source.spec, x)).all()
