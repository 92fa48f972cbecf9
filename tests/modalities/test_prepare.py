"""CIFAR-10, MNIST and Fashion-MNIST from archives of the original format, small ones of random pixels."""

import gzip
import hashlib
import io
import os
import runpy
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tensorflow_datasets.core.hashing import Hasher

from jaxdiff.cli.data import main
from jaxdiff.config import build
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import tfds
from jaxdiff.modalities.images.prepare import STOCK, prepare
from tests.helpers.array_files import classes_of

SIZES = {"train": 50, "test": 20}
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def examples(shape):
    rng = np.random.default_rng(0)
    return {
        s: (rng.integers(0, 256, (n, *shape), np.uint8), np.arange(n, dtype=np.uint8) % 10) for s, n in SIZES.items()
    }


CIFAR, MNIST = examples((32, 32, 3)), examples((28, 28))


def cifar_members():
    records = [
        np.c_[labels, images.transpose(0, 3, 1, 2).reshape(len(images), -1)] for images, labels in CIFAR.values()
    ]
    members = {"batches.meta.txt": "\n".join([*CLASSES, "", ""]).encode(), "readme.html": b"<html>"}
    members |= {f"data_batch_{i + 1}.bin": records[0][10 * i : 10 * i + 10].tobytes() for i in (3, 0, 1, 2, 4)}
    return members | {"test_batch.bin": records[1].tobytes()}


def write_cifar(folder, members, more=()):
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry in more:
            tar.addfile(entry)


def write_mnist(folder, magic=2051, labels=0):
    for split, prefix in (("train", "train"), ("test", "t10k")):
        pixels, classes = MNIST[split]
        content = struct.pack(">4I", magic, *pixels.shape) + pixels.tobytes()
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
        classes = classes[labels:]
        content = struct.pack(">2I", 2049, len(classes)) + classes.tobytes()
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))


def know(monkeypatch, folder, name):
    """Let the archives in a folder be the ones that TensorFlow Datasets has on record, to be had from the folder."""
    known = {
        file.as_uri(): SimpleNamespace(filename=file.name, checksum=hashlib.sha256(file.read_bytes()).hexdigest())
        for file in folder.iterdir()
    }
    monkeypatch.setattr(STOCK[name], "url_infos", known)


@pytest.fixture(scope="module", params=["cifar10", "mnist", "fashion_mnist"])
def prepared(request, tmp_path_factory):
    """A prepared set: its name, its folder, the place it was prepared in, its examples."""
    name, root = request.param, tmp_path_factory.mktemp("prepared")
    archives = root / "archives"
    archives.mkdir()
    write_cifar(archives, cifar_members()) if name == "cifar10" else write_mnist(archives)
    with pytest.MonkeyPatch.context() as patch:
        know(patch, archives, name)
        place = prepare(name, str(root / "data"), str(archives))
    return name, str(root / "data"), place, CIFAR if name == "cifar10" else MNIST


@pytest.mark.parametrize("split", SIZES)
def test_every_pixel_and_label_arrives_in_the_order_of_the_stock_set(prepared, split):
    name, root, _, content = prepared
    pixels, labels = content[split]
    hasher = Hasher(split)  # TensorFlow Datasets orders examples by the hashes of their keys, here their numbers
    order = sorted(range(SIZES[split]), key=hasher.hash_key)
    source = tfds(name, split, root)
    batch = source.take(np.arange(source.size))
    assert (source.size, classes_of(source), source.spec.levels) == (SIZES[split], 10, 256)
    np.testing.assert_array_equal(np.round((batch.x_0 + 1) * 127.5), pixels[order].reshape(-1, *source.spec.shape))
    np.testing.assert_array_equal(batch.condition["label"], labels[order])
    assert "tensorflow" not in sys.modules


def test_the_stock_builder_reads_it(prepared):
    name, root, place, content = prepared
    builder = STOCK[name](data_dir=root, file_format="array_record")
    assert Path(builder.data_dir) == place
    assert {s: i.num_examples for s, i in builder.info.splits.items()} == SIZES
    first = builder.as_data_source(split="test")[0]
    if name == "cifar10":
        assert builder.info.features["label"].names == CLASSES
        assert first["id"].startswith(b"test_000")
        np.testing.assert_array_equal(first["image"], content["test"][0][int(first["id"][5:])])
    assert len(builder.info.features["label"].names) == 10


def test_what_is_there_is_left_as_it_is(prepared, capsys):
    name, root, place, _ = prepared
    before = {f: f.stat().st_mtime_ns for f in place.iterdir()}
    assert main(["prepare", name, "--data-dir", root]) == 0
    assert f"{name} is prepared in {place}: train 50, test 20" in capsys.readouterr().out
    assert {f: f.stat().st_mtime_ns for f in place.iterdir()} == before
    assert main(["inspect", name, "--data-dir", root]) == 0
    first = {
        "cifar10": "airplane: 5, automobile: 5",
        "mnist": "0: 5, 1: 5",
        "fashion_mnist": "T-shirt/top: 5, Trouser: 5",
    }
    assert f"10 classes: {first[name]}" in capsys.readouterr().out


def test_the_configuration_opens_it(prepared):
    name, root, _, _ = prepared
    setting = "cifar10" if name == "cifar10" else "fashion_mnist"
    config = runpy.run_path("configs/ddpm.py")["get_config"](setting).to_dict()
    config["data"] |= {"dataset": name, "data_dir": root}
    assert build.source(config).size == 50


def test_an_archive_that_is_not_the_original_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cifar-10-binary.tar.gz' is not there: get it from https://www.cs.toronto"):
        prepare("cifar10", str(tmp_path / "data"), str(tmp_path))
    write_cifar(tmp_path, cifar_members())
    with pytest.raises(InputError, match=r"is not the original: its SHA-256 is \w{64}, not c4a38c50a1bc5f3a1c5537f21"):
        prepare("cifar10", str(tmp_path / "data"), str(tmp_path))
    with pytest.raises(InputError, match="unknown data set to prepare 'imagenet': allowed are cifar10, fashion_mnist"):
        prepare("imagenet", str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def without(name):
    return {k: v for k, v in cifar_members().items() if k != name}


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("mnist", lambda f: write_mnist(f, magic=2052), "train-images-idx3-ubyte.gz begins with 2052, not 2051"),
        ("mnist", lambda f: write_mnist(f, labels=1), "50 images, 49 labels"),
        ("cifar10", lambda f: write_cifar(f, without("test_batch.bin")), "without test_batch.bin"),
        ("cifar10", lambda f: write_cifar(f, cifar_members() | {"test_batch.bin": bytes(3074)}), "3074"),
        ("cifar10", lambda f: write_cifar(f, cifar_members() | {"test_batch.bin": b"\xff" * 3073}), "labels up to 255"),
        ("cifar10", lambda f: (f / "cifar-10-binary.tar.gz").write_bytes(b"no archive"), "not a gzip file"),
    ],
)
def test_archives_that_hold_something_else_are_refused(monkeypatch, tmp_path, name, write, message):
    write(tmp_path)
    know(monkeypatch, tmp_path, name)
    with pytest.raises(InputError, match=rf"the archives of '{name}' cannot be read: .*{message}"):
        prepare(name, str(tmp_path / "data"), str(tmp_path))
    assert not (tmp_path / "data").exists()


def test_nothing_in_an_archive_can_leave_its_folder(monkeypatch, tmp_path):
    archives = tmp_path / "deep" / "archives"
    archives.mkdir(parents=True)
    link, climbing, absolute = (tarfile.TarInfo(n) for n in ("data_batch_1.bin", "../../climbed", f"{tmp_path}/there"))
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    write_cifar(archives, without("data_batch_1.bin"), [link, climbing, absolute])
    know(monkeypatch, archives, "cifar10")
    with pytest.raises(InputError, match=r"without data_batch_1.bin"):
        prepare("cifar10", str(tmp_path / "deep" / "data"), str(archives))
    write_cifar(archives, cifar_members(), [climbing, absolute])
    know(monkeypatch, archives, "cifar10")
    prepare("cifar10", str(tmp_path / "deep" / "data"), str(archives))
    assert [f.name for f in tmp_path.iterdir()] == ["deep"]


def test_archives_are_downloaded_and_checked(monkeypatch, tmp_path, capsys):
    write_mnist(tmp_path)
    know(monkeypatch, tmp_path, "mnist")
    data, file = tmp_path / "data", tmp_path / "t10k-labels-idx1-ubyte.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert main(["prepare", "mnist", "--data-dir", str(data)]) == 2
    assert "is not the original" in capsys.readouterr().err
    assert not list(data.glob("*/*t10k-labels*"))
    file.unlink()
    assert main(["prepare", "mnist", "--data-dir", str(data)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1
    assert "t10k-labels-idx1-ubyte.gz cannot be downloaded" in lines[0]
    assert "--archives=FOLDER" in lines[0]
    file.write_bytes(whole)
    assert main(["prepare", "mnist", "--data-dir", str(data)]) == 0
    assert tfds("mnist", "test", str(data)).size == 20
    assert len(list((data / "downloads").glob("mnist-*"))) == 4


KILLED = """
import os, sys
from jaxdiff.modalities.images import prepare
made = []
def die(pixels):
    made.append(pixels)
    if len(made) > 20:
        os._exit(9)
    return whole(pixels)
whole, prepare.Image.fromarray = prepare.Image.fromarray, die
images = prepare.np.zeros((30, 28, 28), "u1")
builder = prepare._builder(prepare.MNIST, {"train": prepare.Split(images, images[:, 0, 0])}, [])
builder(data_dir=sys.argv[1], file_format="array_record").download_and_prepare()
"""


def test_an_interrupted_preparation_is_none(monkeypatch, tmp_path):
    data = str(tmp_path / "data")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", KILLED, data], env=env, capture_output=True).returncode == 9
    (left,) = (tmp_path / "data" / "mnist").iterdir()
    (left / "dataset_info.json").write_text("{}")  # killed at the last moment
    with pytest.raises(InputError, match=r"'mnist' is not prepared in .*: prepare it once, with `jaxdiff data "):
        tfds("mnist", data_dir=data)
    archives = tmp_path / "archives"
    archives.mkdir()
    write_mnist(archives)
    know(monkeypatch, archives, "mnist")
    prepare("mnist", data, str(archives))
    assert tfds("mnist", data_dir=data).size == 50


def test_a_set_that_cannot_be_read_is_not_written_over(tmp_path):
    place = tmp_path / "mnist" / "3.0.1"
    place.mkdir(parents=True)
    with pytest.raises(InputError, match=r"mnist/3.0.1' holds no data set: move it away, or give another --data-dir"):
        prepare("mnist", str(tmp_path))
