"""Samples against a reference, of files."""

import json

import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.evaluation import statistics
from jaxdiff.evaluation.evaluate import How, evaluate, featured, reference_of
from jaxdiff.evaluation.features import Features, find_features
from jaxdiff.evaluation.frechet import frechet_distance
from jaxdiff.evaluation.sets import first, of_file, of_path, of_source
from jaxdiff.modalities.images import digits
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Spec
from tests.helpers.cases import refused
from tests.helpers.evaluated import SPEC

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.system
def test_figures_are_those_of_the_pixels(files, how, tmp_path, cache):
    real, samples, held_out = (of_file(f"{name}.npy") for name in ("real", "samples", "held"))
    result = evaluate(samples, reference_of(real, how, cache), held_out, how, tmp_path / "work", cache)
    flat = lambda name: np.load(f"{name}.npy").reshape(-1, 16)
    expected = frechet_distance(flat("samples"), flat("real"))
    fd = result["figures"]["fd_pixels"]
    np.testing.assert_allclose(fd["value"], expected, rtol=1e-6)
    assert fd["low"] < fd["value"] < fd["high"]
    assert result["figures"]["precision_pixels"]["value"] < 0.9
    assert result["figures"]["memorization_pixels"]["p_value"] > 0.01
    level = result["floor"]["pixels"]
    assert (level["n"], level["held_out"]) == (300, True)
    assert level["real"]["fd"]["mean"] < level["samples"]["fd"]["mean"]
    assert json.loads(json.dumps(result, default=str)) == result


@pytest.mark.slow
def test_a_set_has_no_distance_to_itself(files, how, tmp_path, cache):
    real = of_file("real.npy")
    result = evaluate(real, reference_of(real, how, cache), None, how, tmp_path / "work", cache)
    assert abs(result["figures"]["fd_pixels"]["value"]) < 1e-6
    assert result["figures"]["precision_pixels"]["value"] == 1
    assert result["floor"]["pixels"]["n"] == 200  # halves of the reference, none in both
    assert not result["floor"]["pixels"]["held_out"]


def test_what_is_told_names_the_content(files, how, tmp_path):
    _, one = featured(of_file("real.npy"), how, tmp_path / "work")
    _, other = featured(of_file("held.npy"), how, tmp_path / "work")
    assert one["sha256"] != other["sha256"]
    assert len(list((tmp_path / "work").iterdir())) == 2
    featured(of_file("real.npy"), how._replace(rounding="none"), tmp_path / "work")
    assert len(list((tmp_path / "work").iterdir())) == 3


@pytest.mark.slow
def test_statistics_are_shared(files, how, tmp_path, cache):
    real, samples = of_file("real.npy"), of_file("samples.npy")
    known = reference_of(real, how, cache)
    statistics.save("stats.npz", known, how.features)
    again = statistics.load("stats.npz", how.features, "nearest")
    given = [evaluate(samples, k, None, how, tmp_path / "work", cache)["figures"] for k in (known, again)]
    np.testing.assert_allclose(given[0]["fd_pixels"]["value"], given[1]["fd_pixels"]["value"], rtol=1e-12)
    assert given[0]["kid_pixels"] == given[1]["kid_pixels"]
    with refused("were rounded with 'nearest', not 'none'"):
        statistics.load("stats.npz", how.features, "none")
    with refused("are of the features pixels, not of 'digits'"):
        statistics.load("stats.npz", [Features("digits", {}, lambda x: {})], "nearest")
    with refused("are of other 'pixels' features"):
        statistics.load("stats.npz", [Features("pixels", {"sha256": "1"}, lambda x: {})], "nearest")


def test_statistics_of_other_programs(files, how, tmp_path, cache):
    flat = np.load("real.npy").reshape(-1, 16).astype(np.float64)
    np.savez("fid.npz", mu=flat.mean(0), sigma=np.cov(flat.T))
    known = statistics.load("fid.npz", how.features, "nearest")
    result = evaluate(of_file("samples.npy"), known, None, how, tmp_path / "work", cache)
    expected = frechet_distance(np.load("samples.npy").reshape(-1, 16), flat)
    np.testing.assert_allclose(result["figures"]["fd_pixels"]["value"], expected, rtol=1e-6)
    assert list(result["figures"]) == ["fd_pixels"]


def test_three_axes_are_grey_images_only_if_something_says_so(rng):
    x = rng.uniform(-1, 1, (20, 4, 2)).astype(np.float32)
    np.save("tracks.npy", x)
    np.save("bytes.npy", np.zeros((20, 4, 2), np.uint8))
    with refused("grey images, trajectories or something else"):
        of_file("tracks.npy")
    for like in (Spec((4, 2), "trajectories"), Spec((4, 2), "audio")):
        read = of_file("tracks.npy", like=like)
        assert read.spec == like
        np.testing.assert_array_equal(first(read, 20), x)
    assert of_file("tracks.npy", like=image_spec((4, 2, 1))).spec.shape == (4, 2, 1)
    assert of_file("bytes.npy").spec.modality == "images"


def test_rows_of_bytes_are_what_they_are():
    rows = np.arange(40, dtype=np.uint8).reshape(20, 2)
    np.save("rows.npy", rows)
    np.testing.assert_array_equal(first(of_file("rows.npy"), 20), rows)


def test_memorization_is_not_told_of_a_part_of_the_examples(files, how, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(statistics, "ROWS", 100)
    how = how._replace(seeds=0, groups=0)
    statistics.save("stats.npz", reference_of(of_file("real.npy"), how, cache), how.features)
    known = statistics.load("stats.npz", how.features, "nearest")
    result = evaluate(of_file("samples.npy"), known, of_file("held.npy"), how, tmp_path / "work", cache)
    assert "memorization_pixels" not in result["figures"]
    assert "hold 100 of 400 examples" in result["warnings"][-1]


def test_features_of_the_users_own(files, tmp_path, monkeypatch):
    (tmp_path / "own_measures.py").write_text("def means(x):\n    return x.mean((1, 2))\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    own = find_features("own_measures:means", SPEC)
    assert own.name == "means"
    x = first(of_file("real.npy"), 5)
    np.testing.assert_array_equal(own.apply(x)["features"], x.mean((1, 2)))
    wrong = find_features("numpy:sum", SPEC)
    with refused(r"gave \(\) of 5 examples"):
        wrong.apply(x)


@pytest.mark.slow
def test_features_learned_from_digits_are_kept_and_tell_digits_from_noise(monkeypatch, cache):
    from jaxdiff.evaluation import train_features

    made = find_features("digits", image_spec((8, 8, 1)))
    assert made.told["accuracy_on_unseen"] > 0.95
    monkeypatch.setattr(train_features, "_fit", lambda *given: 1 / 0)
    again = find_features("digits", image_spec((8, 8, 1)))
    assert again.told == made.told
    x = first(of_source(digits("test"), "test"), 360)
    found = made.apply(x)
    labels = digits("test").take(np.arange(360)).condition["label"]
    assert (found["logits"].argmax(1) == labels).mean() > 0.98
    apart = lambda a, b: frechet_distance(made.apply(a)["features"], made.apply(b)["features"])
    assert apart(x[::2], -x[1::2]) > 3 * apart(x[::2], x[1::2])


def test_a_set_by_its_name():
    assert of_path("digits").size == 1797
    assert of_path("digits").spec.shape == (8, 8, 1)
    assert first(of_path("digits"), 300).shape == (300, 8, 8, 1)


def test_the_values_themselves_are_features_of_every_modality():
    x = np.ones((2, 3))
    np.testing.assert_array_equal(find_features("columns", Spec((3,), "tables")).apply(x)["features"], x)
    with refused("unknown features 'pixels': allowed are columns, package.module:name"):
        find_features("pixels", Spec((3,), "tables"))


def test_tables_are_on_the_scale_of_their_reference_whatever_was_measured_before(rng, cache):
    rows = rng.normal(size=(60, 2)) * [1, 10]
    tables = {"real": (rows, "x,y"), "large": (100 * rows + 5, "x,y"), "swapped": (rows[:, ::-1], "y,x")}
    for name, (x, names) in tables.items():
        np.savetxt(f"{name}.csv", x, delimiter=",", header=names, comments="")
    real, alone = of_path("real.csv"), of_path("large.csv")
    on = lambda spec: How([find_features("columns", spec)], "none")
    wanted = lambda x, of: (x - of.mean(0)) / of.std(0)
    ours, _ = featured(of_path("large.csv", like=real.spec), on(real.spec), cache)
    np.testing.assert_allclose(ours["columns"]["features"], wanted(100 * rows + 5, rows), rtol=1e-4, atol=1e-4)
    for scale, of in ((real.spec, rows), (alone.spec, 100 * rows + 5)):
        its = reference_of(real, on(scale), cache)["columns"].rows["features"]
        np.testing.assert_allclose(its, wanted(rows, of), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="has the columns y, x, and must have x, y, in this order"):
        of_path("swapped.csv", like=real.spec)


def test_more_groups_than_samples_are_refused(files, how, tmp_path, cache):
    samples = of_file("samples.npy")
    with pytest.raises(InputError, match="--intervals 301: there are 300 samples"):
        evaluate(samples, {}, None, how._replace(groups=301), tmp_path / "work", cache)


def test_two_features_of_one_name_are_refused(how, cache):
    with pytest.raises(InputError, match="two of them are named 'pixels'"):
        featured(of_source(digits("all"), "digits"), how._replace(features=[*how.features, *how.features]), cache)
