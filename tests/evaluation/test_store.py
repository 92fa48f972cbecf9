import tracemalloc

import numpy as np
import pytest

from jaxdiff.evaluation.store import fill, opened


@pytest.fixture
def rows(rng):
    return {"a": np.float32(rng.normal(size=(100, 3))), "b": np.float32(rng.normal(size=(100, 5)))}


def stream(rows, asked, until=10**9, size=16):
    """Batches from a position on, which end with an error before row `until`."""

    def batches(start):
        asked.append(start)
        for i in range(start, len(rows["a"]), size):
            if i >= until:
                raise KeyboardInterrupt
            yield {name: values[i : i + size] for name, values in rows.items()}

    return batches


def test_it_goes_on_where_it_was_killed(rows, tmp_path):
    asked, told = [], []
    for until in (48, 80):
        with pytest.raises(KeyboardInterrupt):
            fill(tmp_path, 100, stream(rows, asked, until), ["a", "b"], told.append)
        assert opened(tmp_path) == {}
    files = fill(tmp_path, 100, stream(rows, asked), ["a", "b"], told.append)
    assert asked == [0, 48, 80]
    assert told == [16, 32, 48, 64, 80, 96, 100]
    for name, values in rows.items():
        np.testing.assert_array_equal(files[name], values)


def test_a_torn_row_is_written_again(rows, tmp_path):
    asked = []
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, 100, stream(rows, asked, 48), ["a", "b"])
    part = tmp_path / "b.part"
    part.write_bytes(part.read_bytes()[:-7])
    files = fill(tmp_path, 100, stream(rows, asked), ["a", "b"])
    assert asked == [0, 47]
    for name, values in rows.items():
        np.testing.assert_array_equal(files[name], values)


def test_killed_before_each_had_its_first_rows(rows, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, 100, stream(rows, [], 16), ["a", "b"])
    (tmp_path / "b.part").unlink()
    files = fill(tmp_path, 100, stream(rows, []), ["a", "b"])
    for name, values in rows.items():
        np.testing.assert_array_equal(files[name], values)


def test_what_is_there_is_not_computed(rows, tmp_path):
    asked = []
    for _ in range(2):
        fill(tmp_path, 100, stream(rows, asked), ["a", "b"])
    assert asked == [0]


def test_killed_between_two_renames_loses_nothing(rows, tmp_path):
    fill(tmp_path, 100, stream(rows, []), ["a", "b"])
    (tmp_path / "b.npy").rename(tmp_path / "b.part")
    asked = []
    files = fill(tmp_path, 100, stream(rows, asked), ["a", "b"])
    assert asked == []
    np.testing.assert_array_equal(files["b"], rows["b"])


def test_memory_is_that_of_a_batch(tmp_path):
    batches = lambda start: ({"a": np.full((250, 64), i, np.float32)} for i in range(start, 50_000, 250))
    tracemalloc.start()
    files = fill(tmp_path, 50_000, batches, ["a"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert files["a"].shape == (50_000, 64)
    assert files["a"][-1, 0] == 49_750
    assert peak < 1e6  # of 12.8 MB
