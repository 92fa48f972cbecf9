"""Files, records, configurations and options with any change at random."""

import json
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import jaxdiff
from jaxdiff.config import record as run_record
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import arrays, folder
from tests.helpers.array_files import UNIT, WHOLE, ZIPPED, npy, npz
from tests.helpers.cases import JSON, damaged, fuzzed, one_line
from tests.helpers.configs import begin, leaves, tiny, with_field
from tests.helpers.options import ASKED, TAKES
from tests.helpers.pictures import NOISE, SAVED, content, frames, turned
from tests.helpers.runs import record, same


@contextmanager
def a_file(name, bytes_):
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / name).write_bytes(bytes_)
        yield Path(place)


def sound(read):
    """What is read is a batch of images in [-1, 1], or there is an InputError of one line."""
    try:
        source = read()
        x_0 = source.take(np.arange(min(source.size, 3))).x_0
    except InputError as error:
        one_line(error)
        return
    assert x_0.shape[1:] == source.spec.shape
    assert x_0.dtype == np.float32
    assert np.all(abs(x_0) <= 1 + 1e-6)


SEEDS = {
    **{f"a.{kind}": content(Image.fromarray(NOISE[:12, :12]), kind) for kind in SAVED},
    "b.png": turned(6),
    "b.gif": frames("gif"),
    "b.webp": frames("webp"),
    "b.tif": content(Image.fromarray(NOISE[:12, :12]), "tif", compression="tiff_lzw"),
    "b.jpg": content(Image.fromarray(NOISE[:12, :12]), "jpg", progressive=True),
}
ARRAY_SEEDS = {
    "a.npy": WHOLE,
    "b.npy": npy(UNIT),
    "a.npz": ZIPPED,
    "b.npz": npz(zipfile.ZIP_STORED, **{"x.npy": WHOLE}),
}


@fuzzed(50)
@given(st.data())
def TestPictures(data):
    name = data.draw(st.sampled_from(sorted(SEEDS)))
    with a_file(name, damaged(data.draw, SEEDS[name])) as place:
        sound(lambda: folder(str(place), size=8))


@fuzzed(80)
@given(st.data())
def TestArrays(data):
    name = data.draw(st.sampled_from(sorted(ARRAY_SEEDS)))
    options = {"key": "x", "label_key": "y"} if name == "a.npz" and data.draw(st.booleans()) else {}
    with a_file(name, damaged(data.draw, ARRAY_SEEDS[name])) as place:
        sound(lambda: arrays(str(place / name), **options))


@fuzzed(80)
@given(st.data())
def TestRecords(data):
    whole = record()
    if data.draw(st.booleans()):
        field = data.draw(st.sampled_from(["format", "spec", "config"]))
        bytes_ = json.dumps(whole | {field: data.draw(JSON)}).encode()
    else:
        bytes_ = damaged(data.draw, json.dumps(whole).encode())
    with a_file("config.json", bytes_) as place:
        try:
            read = run_record.read_record(place)
        except InputError as error:
            one_line(error)
        else:
            assert isinstance(read.config, dict)
            assert read.spec.modality in ("images", "tables")


CONFIG_FIELDS = [field for field, _ in leaves(tiny()) if not field.startswith("held_out")]


@fuzzed(12, 500)
@given(st.data())
def TestConfigs(data):
    """Any value at any field: an experiment that begins, or one line that says what is wrong."""
    config = with_field(tiny(), data.draw(st.sampled_from(CONFIG_FIELDS)), data.draw(JSON))
    try:
        begin(json.loads(json.dumps(config)))
    except InputError as error:
        one_line(error)


def changed_run(data, whole, place):
    """A copy of the run with a file damaged or deleted, or a folder."""
    shutil.copytree(whole[0], place)
    paths = sorted(place.rglob("*"))
    path = data.draw(st.sampled_from(paths))
    if path.is_dir():
        shutil.rmtree(path)
    elif data.draw(st.integers(0, 4)) == 0:
        path.unlink()
    else:
        path.write_bytes(damaged(data.draw, path.read_bytes()))


def load_any(data, whole):
    with tempfile.TemporaryDirectory() as place:
        changed_run(data, whole, Path(place) / "run")
        try:
            model = jaxdiff.load(Path(place) / "run")
        except InputError as error:
            one_line(error)
            return
        assert any(same(model.params, average) for average in whole[1])
        assert np.all(np.diff(model.grid(model.steps)) < 0)


@pytest.mark.system
@pytest.mark.parametrize("count", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_a_run_with_any_damage_loads_or_is_refused(whole, count):
    @settings(max_examples=count, derandomize=True, deadline=None, database=None)
    @given(st.data())
    def attempt(data):
        load_any(data, whole)

    attempt()


@pytest.mark.system
@pytest.mark.parametrize("count", [80, pytest.param(2000, marks=pytest.mark.slow)])
def test_any_options_are_taken_or_refused(model, count):
    @settings(max_examples=count, derandomize=True, deadline=None, database=None)
    @given(st.sampled_from(sorted(ASKED)), JSON | st.integers(-3, 3) | st.floats(-1, 2))
    def attempt(name, value):
        asked = {"n": 2, "frames": 2, "steps": 5, "sampler": TAKES.get(name, "ddim"), name: value}
        if name == "n" and type(value) is int and value > 100:
            return
        try:
            model.trajectory(jax.random.key(0), **asked)
        except InputError as error:
            one_line(error)

    attempt()
