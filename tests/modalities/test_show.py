"""What each modality shows of examples, and the contract of all of them."""

import csv

import numpy as np
import pytest
from PIL import Image

from jaxdiff import modalities
from jaxdiff.errors import InputError
from jaxdiff.modalities import find
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.modalities.tables.rows import rows_source
from jaxdiff.modalities.text.spec import text_spec
from jaxdiff.modalities.text.vocabulary import Vocabulary
from jaxdiff.types import Batch, Spec

KINDS = ("audio", "images", "molecules", "tables", "text", "trajectories", "video")


@pytest.mark.parametrize("kind", KINDS)
def test_every_modality_keeps_the_contract(kind):
    folder, show, measured = find(kind), find(kind, "show"), find(kind, "measured")
    assert all(isinstance(axis, str) for axis in folder.AXES)
    assert len(folder.RANGE) == 2
    spec = Spec((4,) * len(folder.AXES), kind, *folder.RANGE)
    modalities.check(spec)
    codec, x = modalities.make_codec(spec), np.zeros((2, *spec.shape), np.float32)
    np.testing.assert_array_equal(codec.encode(codec.decode(x)), x)
    assert isinstance(show.describe(spec), str)
    assert min(show.SHOWN, show.CHAIN, show.BESIDE + 1) > 0
    for rounded in measured.ROUNDINGS.values():
        assert rounded(x).shape == x.shape
    values = measured.values(spec, x)
    assert values.shape == (2, x[0].size)
    if hasattr(measured, "beside"):
        assert measured.beside(spec, x, np.stack([x, x], 1)).dtype == np.uint8


def test_texts_are_compared_by_their_symbols():
    spec = text_spec(Vocabulary("characters", ["a", "b"], []), np.ones(2), 4)
    values = find("text", "measured").values(spec, np.array(["aaab", "bbbb"]))
    np.testing.assert_array_equal(values, [[0.75, 0.25], [0, 1]])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            Spec((4,), "smells"),
            "unknown modality 'smells': allowed are audio, images, molecules, tables, text, trajectories",
        ),
        (Spec((4,), "images", -1, 1), r"an example of images has the axes \(height, width, channels\)"),
        (Spec((4, 4), "tables"), r"shape=\(4, 4\): an example of tables has the axes \(columns\)"),
        (Spec((4, 4, 1), "images"), "those of images are -1.0 and 1.0"),
        (Spec((4,), "tables", 0, 1), "those of tables are None and None"),
        (Spec((4,), "tables", levels=3), "levels=3: goes with a range"),
        (Spec((4,), "tables", details={"columns": ["a"]}), "details of a table"),
    ],
)
def test_what_is_no_example_of_its_modality_is_refused(spec, message):
    with pytest.raises(InputError, match=message):
        modalities.check(spec)


def test_what_one_modality_has_is_refused_for_another():
    modalities.require("images", image_spec((4, 4, 1)), "train.augment=0.1")
    with pytest.raises(InputError, match="train.augment=0.1: is for images, and this data is of the modality 'tables'"):
        modalities.require("images", Spec((4,), "tables"), "train.augment=0.1")


def a_table(rng, columns):
    return rows_source(rng.normal(size=(50, columns)), labels=np.arange(50) % 3, classes=("x", "y", "z"), label="kind")


@pytest.mark.system
@pytest.mark.parametrize("columns", [1, 2, 6])
@pytest.mark.parametrize("beside", [True, False])
def test_a_table_is_shown_whatever_its_width(tmp_path, rng, columns, beside):
    source, show = a_table(rng, columns), find("tables", "show")
    drawn = Batch(rng.normal(size=(20, columns)))
    drawn.x_0[0] = np.nan
    picture = show.preview(source.spec, drawn, drawn if beside else None)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.std() > 0
    assert show.save_chain(tmp_path, source.spec, rng.normal(size=(9, 20, columns)), "note") == ["chain.png"]
    with Image.open(tmp_path / "chain.png") as chain:
        assert chain.info["Comment"] == "note"


@pytest.mark.system
def test_rows_that_are_all_alike_or_not_finite_are_shown(rng):
    spec, show = a_table(rng, 3).spec, find("tables", "show")
    for rows in (np.full((5, 3), 2.0), np.full((5, 3), np.nan)):
        assert show.preview(spec, Batch(rows), Batch(rows)).std() > 0


@pytest.mark.system
def test_a_csv_holds_all_rows_and_their_classes(tmp_path, rng):
    spec, show = a_table(rng, 2).spec, find("tables", "show")
    rows = np.array([[1.25, -3e-7], [1234567.5, 0.1]])
    names = show.save_samples(tmp_path, spec, Batch(rows, {"label": np.array([2, -1])}), None, "")
    assert names == ["figure.png", "samples.csv"]
    with open(tmp_path / "samples.csv", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["column 0", "column 1", "kind"]
    assert [line[2] for line in lines] == ["z", ""]
    np.testing.assert_array_equal(np.float64([line[:2] for line in lines]), rows)
    show.save_samples(tmp_path, spec, Batch(rows), None, "")
    assert (tmp_path / "samples.csv").read_text().splitlines()[0] == "column 0,column 1"


def test_images_are_shown_above_the_real_ones_where_there_are_some(tmp_path, rng):
    spec, show = image_spec((4, 4, 1)), find("images", "show")
    x = rng.uniform(-1, 1, size=(3, 4, 4, 1)).astype(np.float32)
    alone = show.preview(spec, Batch(x), None)
    assert alone.shape == (2 * 66 + 2, 2 * 66 + 2, 1)
    told = show.preview(spec, Batch(x, {"low_res": x, "label": np.arange(3)}), Batch(x))
    assert told.shape == (3 * 66 + 2, 3 * 66 + 2, 1)
    broken = show.preview(spec, Batch(np.full_like(x, np.nan)), None)
    assert broken[2:66, 2:66].max() == 0
    assert show.save_samples(tmp_path, spec, Batch(x), None, "") == ["grid.png"]
