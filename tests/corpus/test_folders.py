"""Folders of pictures: links, pipes and what they cannot be asked."""

import os

import numpy as np
import pytest

from jaxdiff.modalities.images import folder
from tests.helpers.cases import cases, refused
from tests.helpers.pictures import HALVES, one_picture, taken


def link(name, target, inside="outside"):
    """A link below the folder `data`, beside which there are the folders `outside` and `data-too`."""

    def make(root):
        for place in (root / "data", root / "data" / "sub", root / "outside", root / "data-too"):
            one_picture(place)
        (root / "data" / name).symlink_to(target)

    return make


def chain(root):
    link("b.png", "c.link")(root)
    (root / "data" / "c.link").symlink_to("../outside/a.png")


def loop_of_two(root):
    link("b.png", "c.png")(root)
    (root / "data" / "c.png").symlink_to("b.png")


def linked_root(root):
    one_picture(root / "outside")
    (root / "data").symlink_to("outside")


def pipe(root):
    one_picture(root / "data")
    os.mkfifo(root / "data" / "b.png")


def empty_class(root):
    for name in ("cats", "dogs"):
        (root / "data" / name).mkdir(parents=True)
    one_picture(root / "data" / "cats")


def file(root):
    (root / "data").write_bytes(b"")


FOLDERS = {
    "a link to a picture outside": (link("b.png", "../outside/a.png"), "b.png' is a link .*outside"),
    "an absolute link outside": (link("b.png", "/etc/hostname"), "b.png' is a link .*outside"),
    "a link to a folder outside": (link("more", "../outside"), "more' is a link .*outside"),
    "a link to the folder above": (link("up", ".."), "up' is a link .*outside"),
    "a link to a folder whose name begins alike": (link("more", "../data-too"), "more' is a link .*outside"),
    "a link to a link outside": (chain, "is a link .*outside"),
    "a link to nothing": (link("b.png", "nothing.png"), "b.png' is a link .*nothing"),
    "a link to itself": (link("b.png", "b.png"), "b.png' is a link .*nothing"),
    "two links to each other": (loop_of_two, "b.png' is a link .*nothing"),
    "a link to a device": (link("b.png", "/dev/zero"), "b.png' is a link .*outside"),
    "a link to a picture inside": (link("b.png", "sub/a.png"), 3),
    "a link to a folder inside": (link("more", "sub"), 2),
    "a link to the folder itself": (link("more", "."), 2),
    "a link outside that is no picture": (link("notes.txt", "/etc/hostname"), 2),
    "a folder that is a link": (linked_root, 1),
    "a pipe under a picture's name": (pipe, 1),
    "a folder under a picture's name": (
        lambda root: one_picture(root / "data") or (root / "data" / "b.png").mkdir(),
        1,
    ),
    "a class without pictures": (empty_class, 1),
    "a file": (file, "is not a folder"),
    "nothing": (lambda root: None, "is not a folder"),
    "an empty folder": (lambda root: (root / "data").mkdir(), "no picture below"),
}


@cases(FOLDERS)
def test_an_unusual_folder(tmp_path, case):
    make, expected = case
    make(tmp_path)
    if isinstance(expected, str):
        with refused(expected):
            taken(tmp_path / "data")
    else:
        np.testing.assert_allclose(taken(tmp_path / "data"), np.stack([HALVES / 127.5 - 1] * expected), atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "is not a folder|no picture"),
        ({"path": "a\0b"}, "is not a folder"),
        ({"path": "x" * 300}, "is not a folder"),
        ({"size": 0}, "size"),
        ({"size": -8}, "size"),
        ({"size": 10**9}, "size"),
        ({"channels": 0}, "channels"),
        ({"channels": 4}, "channels"),
    ],
)
def test_what_a_folder_cannot_be_asked(tmp_path, monkeypatch, options, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    one_picture(tmp_path)
    with refused(message):
        folder(**{"path": str(tmp_path), **options})
