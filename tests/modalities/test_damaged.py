"""Damaged files: each reader of every kind of data refuses them in one line, or reads what can still be read."""

import gzip

import numpy as np
import pytest

from jaxdiff.cli.evaluate import is_statistics
from jaxdiff.errors import InputError
from jaxdiff.modalities import audio, images, molecules, tables, text, trajectories, video
from jaxdiff.modalities.audio import given as sounds
from jaxdiff.modalities.audio.wave import write_wave
from jaxdiff.modalities.video import given as videos
from jaxdiff.modalities.video.file import write_clip
from tests.helpers.cases import one_line

SOUND, VIDEO = audio.audio_spec((64, 1), 8000, 0.1), video.video_spec((4, 8, 8, 1))
READERS = {
    "text .gz": (text.text, "a.txt.gz"),
    "lines .npz": (text.lines, "a.npz"),
    "columns .gz": (tables.columns, "a.csv.gz"),
    "table .npz": (tables.table, "a.npz"),
    "molecules .npz": (molecules.molecules, "a.npz"),
    "molecules .sdf": (molecules.molecules, "a.sdf"),
    "molecules .xyz": (molecules.molecules, "a.xyz"),
    "conformers .npz": (molecules.conformers, "a.npz"),
    "conformers .sdf": (molecules.conformers, "a.sdf"),
    "tracks .npz": (trajectories.tracks, "a.npz"),
    "waves .npz": (audio.waves, "a.npz"),
    "videos .npy": (video.video_arrays, "a.npy"),
    "images .npz": (images.arrays, "a.npz"),
    "given sounds .npy": (lambda path: sounds.read(path, SOUND), "a.npy"),
    "given sounds .wav": (lambda path: sounds.read(path, SOUND), "a.wav"),
    "given videos .npy": (lambda path: videos.read(path, VIDEO), "a.npy"),
    "given videos .gif": (lambda path: videos.read(path, VIDEO), "a.gif"),
}
DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "overwritten": lambda content: content[:-150] + bytes(40) + content[-110:],
}


def write_whole(path, rng):
    numbers = rng.normal(size=(12, 5)).astype(np.float32)
    if path.suffix == ".npz":
        np.savez_compressed(path, windows=numbers, told=numbers, train=np.array(["ab"] * 9), test=np.array(["ab"]))
    elif path.suffix == ".npy":
        np.save(path, numbers)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(rng.bytes(300).hex().encode()))
    elif path.suffix == ".wav":
        write_wave(path, 8000, numbers[:, :1])
    elif path.suffix == ".gif":
        write_clip(path, rng.integers(0, 256, (4, 8, 8, 1)).astype(np.uint8), 8)
    else:
        path.write_bytes(rng.bytes(300))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_in_one_line(tmp_path, rng, name, damage):
    reader, file = READERS[name]
    if file == "a.sdf":
        pytest.importorskip("rdkit", reason="needs the extra molecules")
    path = tmp_path / file
    write_whole(path, rng)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    try:
        reader(str(path))
        assert damage == "overwritten"  # where it does no harm
    except InputError as error:
        one_line(error)


def test_given_arrays_without_examples_are_refused(tmp_path):
    for reader, spec in ((sounds.read, SOUND), (videos.read, VIDEO)):
        np.save(tmp_path / "none.npy", np.zeros((0, *spec.shape), np.float32))
        with pytest.raises(InputError, match="there is nothing in it"):
            reader(str(tmp_path / "none.npy"), spec)


def test_a_damaged_file_holds_no_statistics(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK" + bytes(20))
    assert not is_statistics(str(tmp_path / "a.npz"))
