"""What was drawn survives a full disk, an interruption, and a second process."""

import argparse
import resource
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock

from jaxdiff.cli.sample import draw_rows
from jaxdiff.cli.written import Rows, claimed
from jaxdiff.errors import InputError


def parts(n=4):
    return [np.random.default_rng(i).normal(size=(3, 2, 2)).astype(np.float32) for i in range(n)]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
def test_rows_are_an_array(tmp_path, kind):
    rows = Rows(tmp_path / "a.npy")
    for part in parts():
        rows.append(part.astype(kind)[:, ::-1])  # not contiguous
    rows.close()
    np.testing.assert_array_equal(np.load(rows.path), np.concatenate(parts()).astype(kind)[:, ::-1])
    np.testing.assert_array_equal(np.load(rows.path, mmap_mode="r"), np.load(rows.path))


def test_rows_that_end_early_are_those_that_came(tmp_path):
    rows = Rows(tmp_path / "a.npy")
    rows.close()
    assert not rows.path.exists()
    rows.append(parts()[0])
    rows.close()
    np.testing.assert_array_equal(np.load(rows.path), parts()[0])


def test_rows_on_a_full_disk_are_those_that_fit(tmp_path):
    rows, big = Rows(tmp_path / "a.npy"), np.ones((100, 1000), np.float32)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        rows.append(0 * big)
        rows.append(big)
        with pytest.raises(OSError, match="File too large"):
            rows.append(2 * big)
        rows.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    np.testing.assert_array_equal(np.load(rows.path), np.concatenate([0 * big, 1 * big]))


def test_two_processes_write_apart(tmp_path):
    with claimed(tmp_path / "out") as first, claimed(tmp_path / "out") as second:
        assert (first.name, second.name) == ("out", "out-2")
    with FileLock(tmp_path / "out" / ".lock"), claimed(tmp_path / "out") as third:
        assert third.name == "out-2"
    with claimed(tmp_path / "out") as again:
        assert again.name == "out"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to .*file.*--out"), claimed(tmp_path / "file" / "out"):
        pass
    with pytest.raises(InputError, match="cannot write to .*: No space left"), claimed(tmp_path / "out"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError])
def test_an_interrupted_draw_leaves_what_was_drawn_and_says_how_to_go_on(tmp_path, capsys, end):
    def stream(*given, **options):
        yield from parts(2)
        raise end

    args = argparse.Namespace(seed=0, num=20, batch=3, sampler=None, label=None, first=100)
    with pytest.raises(end):
        draw_rows(args, tmp_path, SimpleNamespace(stream=stream), 5, {}, lambda n: None)
    np.testing.assert_array_equal(np.load(tmp_path / "samples.part.npy"), np.concatenate(parts(2)))
    assert "6 of 20 are in" in (out := capsys.readouterr().out)
    assert "--first 106 --num 14 draws the others" in out
