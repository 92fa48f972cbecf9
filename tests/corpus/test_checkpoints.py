"""Checkpoints of runs, damaged."""

import json
import shutil

import pytest

import jaxdiff
from jaxdiff.training.checkpoints.seal import CHECKSUMS, seal
from tests.helpers.cases import cases, refused
from tests.helpers.runs import AVERAGE, loaded, same


def newest(name):
    return lambda place: place / "checkpoints" / "20" / name


def sealed_with(**names):
    """Checksums that name other files."""

    def change(place):
        record = place / "checkpoints" / "20" / CHECKSUMS
        record.write_text(json.dumps(json.loads(record.read_text()) | names.get("more", {})))

    return change


def rewrite(name, content):
    return lambda place: newest(name)(place).write_bytes(content)


def swapped(place):
    folders = [place / "checkpoints" / step for step in ("10", "20")]
    shutil.rmtree(folders[1] / AVERAGE)
    shutil.copytree(folders[0] / "rest", folders[1] / AVERAGE)
    seal(folders[1])


def only(place):
    shutil.rmtree(place / "checkpoints")


OLDER, NEWER = 0, 1
CHECKPOINTS = {
    "nothing changed": (lambda place: None, NEWER),
    "none": (only, "no checkpoint in"),
    "a file in their place": (lambda place: only(place) or (place / "checkpoints").write_text(""), "no checkpoint in"),
    "empty": (lambda place: only(place) or (place / "checkpoints").mkdir(), "no checkpoint in"),
    "the newest is an empty folder": (lambda place: (place / "checkpoints" / "30").mkdir(), NEWER),
    "the newest is a file": (lambda place: (place / "checkpoints" / "30").write_text(""), NEWER),
    "a name with a raised digit": (lambda place: (place / "checkpoints" / "3²").mkdir(), NEWER),
    "a name with zeros before": (lambda place: (place / "checkpoints" / "0030").mkdir(), NEWER),
    "a name of 200 digits": (lambda place: (place / "checkpoints" / ("9" * 200)).mkdir(), NEWER),
    "a name that is no number": (lambda place: (place / "checkpoints" / "30a").mkdir(), NEWER),
    "left half written": (
        lambda place: (place / "checkpoints" / "20").rename(place / "checkpoints" / "writing-20"),
        OLDER,
    ),
    "no checksums": (lambda place: newest(CHECKSUMS)(place).unlink(), OLDER),
    "checksums of nothing": (rewrite(CHECKSUMS, b"{}"), OLDER),
    "empty checksums": (rewrite(CHECKSUMS, b""), OLDER),
    "checksums that are a list": (rewrite(CHECKSUMS, f'["{AVERAGE}/a"]'.encode()), OLDER),
    "checksums that are a list of numbers": (rewrite(CHECKSUMS, b"[1, 2]"), OLDER),
    "checksums that are a text": (rewrite(CHECKSUMS, f'"{AVERAGE}/"'.encode()), OLDER),
    "checksums that are a number": (rewrite(CHECKSUMS, b"3"), OLDER),
    "checksums that are no UTF-8": (rewrite(CHECKSUMS, b"\xff\xfe"), OLDER),
    "checksums nested without end": (rewrite(CHECKSUMS, b"[" * 10**6), OLDER),
    "checksums of other numbers": (sealed_with(more={f"{AVERAGE}/d": 3}), OLDER),
    "checksums of an endless device": (
        sealed_with(more={f"{AVERAGE}/../../../../../../../../../../../dev/zero": "0"}),
        OLDER,
    ),
    "checksums of a name with a zero": (sealed_with(more={f"{AVERAGE}/a\0b": "0"}), OLDER),
    "checksums of a name too long": (sealed_with(more={f"{AVERAGE}/" + "x" * 5000: "0"}), OLDER),
    "no average": (lambda place: shutil.rmtree(newest(AVERAGE)(place)), OLDER),
    "no rest, which sampling does not read": (lambda place: shutil.rmtree(newest("rest")(place)), NEWER),
    "another tree, with matching sums": (swapped, "is of another network"),
    "both without checksums": (
        lambda place: [(place / "checkpoints" / s / CHECKSUMS).unlink() for s in ("10", "20")],
        "no intact one is left",
    ),
}


@pytest.mark.system
@cases(CHECKPOINTS, every=2)
def test_damaged_checkpoints(tmp_path, whole, case):
    change, expected = case
    shutil.copytree(whole[0], tmp_path / "run")
    change(tmp_path / "run")
    if isinstance(expected, str):
        with refused(expected):
            loaded(tmp_path / "run", whole)
    else:
        assert same(loaded(tmp_path / "run", whole).params, whole[1][expected])


@pytest.mark.parametrize("path", ["", "nothing", "a\0b", "x" * 300, "/dev/null"])
def test_what_is_no_run_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with refused("no run with a checkpoint"):
        jaxdiff.load(path)
