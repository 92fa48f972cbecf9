"""Tables in files, as sources of standardized rows, and the way back."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.config import build
from jaxdiff.errors import InputError
from jaxdiff.modalities import make_codec
from jaxdiff.modalities.tables import breast_cancer, table
from jaxdiff.modalities.tables.rows import rows_source
from tests.helpers.array_files import classes_of
from tests.helpers.configs import get_config

CSV = "height,kind,weight,id,always\n1.5,cat,4,a1,7\n2.5,dog,,a2,7\n3.5,cat,6,a3,7\n4.5,emu,8,a4,7\n"


def written(tmp_path, text=CSV, name="a.csv"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def everything(source):
    return source.take(np.arange(source.size))


def test_a_csv_with_classes_missing_values_and_a_constant_column(tmp_path, caplog):
    source = table(written(tmp_path), label="kind", ignore="id")
    assert (source.size, source.spec.shape, source.spec.modality, classes_of(source)) == (4, (2,), "tables", 3)
    assert source.spec.details["columns"] == ["height", "weight", "always"]
    assert (source.spec.details["label"], source.spec.details["classes"]) == ("kind", ["cat", "dog", "emu"])
    batch = everything(source)
    assert batch.x_0.dtype == np.float32
    np.testing.assert_allclose(batch.x_0.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(batch.x_0.std(0), 1, rtol=1e-6)
    np.testing.assert_array_equal(batch.condition["label"], [0, 1, 0, 2])
    np.testing.assert_array_equal(source.labels(), [0, 1, 0, 2])
    expected = [[1.5, 4, 7], [2.5, 6, 7], [3.5, 6, 7], [4.5, 8, 7]]
    np.testing.assert_allclose(make_codec(source.spec).decode(batch.x_0), expected, rtol=1e-6)
    assert any("1 missing values become 6" in line for line in caplog.messages)
    assert any("always 7, left out" in line for line in caplog.messages)


def test_rows_with_missing_values_can_be_dropped_with_their_class(tmp_path):
    source = table(written(tmp_path), label="kind", ignore="id", missing="drop")
    np.testing.assert_array_equal(everything(source).condition["label"], [0, 0, 2])
    with pytest.raises(InputError, match="the first is row 1"):
        table(written(tmp_path), label="kind", ignore="id", missing="refuse")


@pytest.mark.parametrize("labels", [[0.2, 0.9], [0, -1], [0, 2], [0], ["a", "b"]])
def test_labels_of_rows_are_numbers_of_their_classes(labels):
    with pytest.raises(InputError, match="must be 2 whole numbers from 0 to 1"):
        rows_source(np.array([[1.0], [2.0]]), labels=labels, classes=["x", "y"])


def test_a_csv_without_names_and_with_another_separator(tmp_path):
    source = table(written(tmp_path, "1;2\n3;5\n"), separator=";")
    assert source.spec.details["columns"] == ["column 0", "column 1"]
    np.testing.assert_allclose(everything(source).x_0, [[-1, -1], [1, 1]])


def test_arrays(tmp_path, rng):
    rows, kinds = rng.normal(size=(6, 3)), np.array([3, 3, 9, 9, 3, 9])
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", x=rows, y=kinds)
    plain, labeled = table(str(tmp_path / "a.npy")), table(str(tmp_path / "a.npz"), key="x", label="y")
    np.testing.assert_array_equal(everything(plain).x_0, everything(labeled).x_0)
    np.testing.assert_array_equal(everything(labeled).condition["label"], [0, 0, 1, 1, 0, 1])
    assert labeled.spec.details["classes"] == ["3", "9"]
    assert everything(plain).condition is None


def test_large_offsets_keep_their_digits():
    """Standardized in float64: in float32 a year in seconds would have steps of 128."""
    rows = 1.7e9 + np.arange(8.0)[:, None]
    source = rows_source(rows)
    codec = make_codec(source.spec)
    np.testing.assert_allclose(codec.decode(everything(source).x_0), rows, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(codec.encode(rows), everything(source).x_0)


def test_the_codec_decodes_arrays_of_jax_with_any_leading_axes(tmp_path):
    source = table(written(tmp_path), label="kind", ignore="id")
    decode, x = make_codec(source.spec).decode, everything(source).x_0
    expected = decode(x)
    assert expected.dtype == np.float64
    np.testing.assert_allclose(jax.jit(decode)(jnp.asarray(x)), expected, rtol=1e-6)
    np.testing.assert_array_equal(decode(x.reshape(2, 2, 2)), expected.reshape(2, 2, 3))


def test_the_embedded_table():
    source = breast_cancer()
    assert (source.size, source.spec.shape, classes_of(source)) == (569, (30,), 2)
    assert (breast_cancer("train").size, breast_cancer("test").size) == (455, 114)
    assert source.spec.details["columns"][0] == "mean radius"
    first = make_codec(source.spec).decode(everything(source).x_0[:1])[0]
    np.testing.assert_allclose(first[:3], [17.99, 10.38, 122.8], rtol=1e-6)
    with pytest.raises(InputError, match="unknown split of the breast cancer table 'half'"):
        breast_cancer("half")


def test_held_out_rows_are_on_the_scale_of_training():
    config = get_config("breast_cancer", "table")
    source = build.source(config)
    own, mine = build.held_out(config), build.held_out(config, source.spec)
    assert mine.spec == source.spec != own.spec
    raw = make_codec(own.spec).decode(everything(own).x_0)
    np.testing.assert_allclose(make_codec(source.spec).decode(everything(mine).x_0), raw, rtol=1e-5, atol=1e-7)
    assert abs(everything(own).x_0.mean(0)).max() < 1e-5 < abs(everything(mine).x_0.mean(0)).max()


def test_held_out_data_of_another_kind_or_width_is_refused(tmp_path):
    config = get_config("breast_cancer", "table")
    spec = build.source(config).spec
    for data, message in (
        ({"name": "digits"}, r"held_out: images of shape \(8, 8, 1\), and the data of training is tables"),
        ({"name": "table", "path": written(tmp_path, "1,2\n3,5\n")}, r"a table is \(n, 30\) numbers"),
    ):
        with pytest.raises(InputError, match=message):
            build.held_out({**config, "held_out": data}, spec)


BAD = {
    "no file": ("", {"path": "none.csv"}, "is no file of a table"),
    "another suffix": ("1,2\n", {"name": "a.txt"}, "is no file of a table"),
    "nothing": ("", {}, "is empty"),
    "names alone": ("a,b\n", {}, "a table is .n, columns. numbers"),
    "a text": ("a,b\n1,x\n", {}, "row 0 has 'x' in column 'b', which is no number: name the column in data.ignore"),
    "a short row": ("a,b\n1,2\n3\n", {}, "row 1 has 1 cells and there are 2 columns"),
    "no such label": (CSV, {"label": "kinds"}, "unknown column .*'kinds': did you mean 'kind'|unknown column"),
    "no such column": (CSV, {"ignore": "x"}, "unknown column"),
    "a key": (CSV, {"key": "x"}, "data.key='x': is for a .npz"),
    "a class that is missing": ("a,k\n1,x\n2,\n", {"label": "k"}, "row 1 has no class in column 'k'"),
    "nothing varies": ("a,b\n1,2\n1,2\n", {}, "none varies"),
    "no array": ("text", {"name": "a.npy"}, "cannot be read as a table of numbers"),
    "a separator for arrays": ("text", {"name": "a.npy", "separator": ";"}, "are for a .csv: leave them out"),
    "no such treatment": (CSV, {"label": "kind", "ignore": "id", "missing": "zero"}, "unknown treatment of missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused_in_one_line(tmp_path, name):
    text, options, message = BAD[name]
    options = dict(options)
    path = written(tmp_path, text, options.pop("name", "a.csv"))
    with pytest.raises(InputError, match=message) as caught:
        table(options.pop("path", path), **options)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_no_tables_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "b.npy", np.zeros((2**34, 0)))
    np.savez(tmp_path / "a.npz", x=np.eye(3), y=np.zeros(2), z=np.array([{}], object))
    for name, options, message in (
        ("a.npy", {}, "a table is .n, columns. numbers, not float64 of shape"),
        ("b.npy", {}, "a table is .n, columns. numbers, not float64 of shape .17179869184, 0."),
        ("a.npy", {"key": "x"}, "holds one array, without a name"),
        ("a.npz", {"key": "w"}, "unknown array"),
        ("a.npz", {"key": "x", "label": "y"}, r"'y' in .* has shape \(2,\): it must hold one class for each row"),
        ("a.npz", {"key": "z"}, "cannot be read as a table of numbers"),
    ):
        with pytest.raises(InputError, match=message):
            table(str(tmp_path / name), **options)


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.WARNING)
