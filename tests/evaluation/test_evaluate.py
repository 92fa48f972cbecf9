import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxdiff.cli import evaluate as command
from jaxdiff.cli.main import main
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.evaluation import report, statistics
from jaxdiff.evaluation.evaluate import How, evaluate, featured, reference_of
from jaxdiff.evaluation.features import Features, find_features
from jaxdiff.evaluation.frechet import frechet_distance
from jaxdiff.evaluation.held_out import unit_of
from jaxdiff.evaluation.report import table
from jaxdiff.evaluation.sets import Examples, first, held, labels_like, of_file, of_model, of_path, of_source
from jaxdiff.modalities.images import digits, pictures
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch, Spec
from tests.helpers.cases import refused
from tests.helpers.models import MEANS, a_model

SPEC = image_spec((4, 4, 1))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def draw(rng, n, blur=0.0):
    """Images with two kinds of content, rounded as files of 8 bits are."""
    x = np.where(rng.random((n, 1, 1, 1)) < 0.5, -0.4, 0.3) + (0.15 + blur) * rng.normal(size=(n, 4, 4, 1))
    return (np.round((x.clip(-1, 1) + 1) * 127.5) / 127.5 - 1).astype(np.float32)


@pytest.fixture
def files(rng):
    for name, n, blur in (("samples", 300, 0.1), ("real", 400, 0), ("held", 320, 0)):
        np.save(f"{name}.npy", draw(rng, n, blur))


@pytest.fixture
def how():
    return How([find_features("pixels", SPEC)], "nearest", groups=5, seeds=2)


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


@pytest.mark.slow
def test_the_command(files, rng, capfd):
    folder = Path("pictures")
    folder.mkdir()
    for i, image in enumerate(np.load("real.npy")[:40]):
        pictures.save_picture(folder / f"{i:02}.png", pictures.to_uint8(image))
    line = ["evaluate", "--samples", "samples.npy", "--floor", "2", "--intervals", "2"]
    assert main([*line, "--reference", "real.npy", "--held-out", "held.npy", "--json", "out.json"]) == 0
    result = json.loads(Path("out.json").read_text())
    assert result["samples"]["rounding"] == "nearest"
    assert result["reference"]["size"] == 400
    assert "fd_pixels" in capfd.readouterr().out
    page = Path("out.html").read_text()
    assert page.count("data:image/png") == 2
    assert "http" not in page
    assert main([*line, "--reference", "pictures", "--json", "folder.json"]) == 0
    assert json.loads(Path("folder.json").read_text())["reference"]["size"] == 40
    assert main(["evaluate", "--reference", "real.npy", "--save-reference", "stats.npz"]) == 0
    assert main([*line, "--reference", "stats.npz", "--json", "stats.json"]) == 0
    one, other = (json.loads(Path(f).read_text())["figures"]["fd_pixels"]["value"] for f in ("out.json", "stats.json"))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    (folder / "00.png").write_bytes(b"no picture")
    assert main([*line, "--reference", "pictures"]) == 2
    assert "00.png" in capfd.readouterr().err


def test_bits_per_dimension_stand_in_the_table_with_their_interval():
    result = {"figures": {}, "features": [], "floor": {}, "likelihood": {"probability flow": {"mean": 2, "error": 0.1}}}
    result["unit"] = "bits per dimension"
    assert report.table(result)[1] == [["probability flow, bits per dimension", "2.0000", "1.8040 to 2.1960", "", ""]]


@pytest.mark.system
def test_what_a_model_draws_goes_on_where_it_was_killed(how, tmp_path, cache):
    model = a_model(steps=3)
    how = how._replace(features=[find_features("pixels", model.spec)], seeds=0, groups=0)
    whole = of_model(model, 60, 16, 3, {"workdir": "run"}, sampler="ddim")
    assert whole.told["sampler"] == "ddim"
    assert (whole.told["steps"], whole.told["seed"]) == (3, 3)
    asked = []

    def torn(start):
        asked.append(start)
        for i, batch in enumerate(whole.batches(start)):
            if len(asked) == 1 and i == 2:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        featured(whole._replace(batches=torn), how, tmp_path / "work")
    again, _ = featured(whole._replace(batches=torn), how, tmp_path / "work")
    at_once, _ = featured(whole, how, tmp_path / "other")
    assert asked == [0, 32]
    np.testing.assert_allclose(again["pixels"]["features"], at_once["pixels"]["features"], atol=1e-6)
    x = model.sample(jax.random.key(3), 60, sampler="ddim")
    np.testing.assert_allclose(at_once["pixels"]["features"], np.asarray(x).reshape(60, -1), atol=0.005)


@pytest.mark.slow
def test_tables_are_compared_by_their_columns(rng, tmp_path, cache, capfd):
    for name in ("samples", "real"):
        np.save(f"{name}.npy", rng.normal(size=(200, 3)))
    line = ["evaluate", "--samples", "samples.npy", "--reference", "real.npy", "--json", "out.json"]
    assert main([*line, "--floor", "2", "--intervals", "0"]) == 0
    found = json.loads(Path("out.json").read_text())["figures"]["fd_columns"]["value"]
    np.testing.assert_allclose(found, frechet_distance(np.load("samples.npy"), np.load("real.npy")), rtol=1e-5)


def test_few_samples_are_warned_of(rng, capfd):
    np.save("samples.npy", draw(rng, 12))
    np.save("real.npy", draw(rng, 100))
    line = ["evaluate", "--samples", "samples.npy", "--reference", "real.npy", "--intervals", "0", "--floor", "0"]
    assert main(line) == 0
    assert "12 samples for 16 features: their covariance is singular" in capfd.readouterr().out


CASES = {
    "not finite": (lambda x: np.where(np.arange(len(x))[:, None, None, None] < 3, np.nan, x), "3 of 300 examples"),
    "another range": (lambda x: (x + 1) * 127.5, "has pixels up to"),
    "another size": (lambda x: x[:, :2, :2], r"of shape \(4, 4, 1\), and the samples are images of shape \(2, 2, 1\)"),
    "whole numbers": (lambda x: np.int32(x), "holds int32: images are uint8"),
    "no images": (lambda x: x[:, 0, 0, 0], "must be images"),
}


@pytest.mark.parametrize("name", CASES)
def test_samples_that_cannot_be_measured_are_refused(name, files, capfd):
    change, message = CASES[name]
    np.save("wrong.npy", change(np.load("samples.npy")))
    assert main(["evaluate", "--samples", "wrong.npy", "--reference", "real.npy"]) == 2
    line = capfd.readouterr().err
    assert line.startswith("error: ")
    assert len(line.strip().splitlines()) == 1
    with refused(message):
        raise InputError(line.strip())


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


LINES = {
    "--samples samples.npy": "go with a --reference",
    "--reference real.npy": "--save-reference",
    "--samples samples.npy --reference real.npy --steps 5": "--steps: is for drawing from a run",
    "--samples samples.npy --reference real.npy --num 5": "--num: is for drawing from a run",
    "--samples samples.npy --reference real.npy --resize clean": "--resize: is for --features inception",
    "--samples samples.npy --reference real.npy --features pixel": "did you mean 'pixels'",
    "--samples samples.npy --reference real.npy --features inception --resize clean": "no weights of InceptionV3 at",
    "--samples samples.npy --reference real.npy --features nowhere:f": "that can be imported",
    "--samples samples.npy --reference real.npy --features digits": "are of images of 8x8x1, and these are 4x4x1",
    "--samples samples.npy --reference real.npy --rounding up": "unknown --rounding 'up'",
    "--samples samples.npy --reference real.npy --intervals 1": "--intervals 1: at least 2",
    "--samples samples.npy --reference real.npy --weights-file a": "--weights-file: is for --features inception",
    "--workdir run --key x": "--key: is of --samples",
    "--workdir run --held-out real.npy --likelihood 5": "--likelihood: is of the run's own held-out data",
    "--reference real.npy --save-reference s.npz --json a": "--json: is for measuring, and there are no samples",
    "--reference real.npy --save-reference s.npz --floor 0": "--floor: is for measuring, and there are no samples",
    "--convert a.pth --samples samples.npy": "--samples: goes without --convert",
    "--convert real.npy": "weights",
}


@pytest.mark.parametrize("line", LINES)
def test_lines_that_make_no_sense_are_refused(line, files, capfd):
    assert main(["evaluate", *line.split()]) == 2
    said = capfd.readouterr().err
    assert LINES[line] in said
    assert len(said.strip().splitlines()) == 1


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


def test_examples_of_one_class_alone():
    source = digits("test")
    some = of_source(source, "digits", 3)
    labels = source.take(np.arange(source.size)).condition["label"]
    np.testing.assert_array_equal(first(some, some.size), source.take(np.flatnonzero(labels == 3)).x_0)
    assert next(some.batches(5)).shape[0] == some.size - 5
    assert some.told != of_source(source, "digits", 4).told
    with refused("--label 12: digits has no example of this class"):
        of_source(source, "digits", 12)


def test_labels_have_the_shares_of_the_data():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], [900, 90, 10]))
    source = Source(1000, image_spec((2, 2, 1)), lambda indices: Batch(None), labels=lambda: labels)
    drawn = labels_like(source, 2000, seed=5)
    for n in (200, 2000):  # each first part, too
        np.testing.assert_allclose(np.bincount(drawn[:n]) / n, [0.9, 0.09, 0, 0.01], atol=2 / n)
    np.testing.assert_array_equal(labels_like(source, 300, seed=5), drawn[:300])
    assert (labels_like(source, 2000, seed=6) != drawn).any()
    untold = source._replace(labels=None, take=lambda indices: Batch(None, {"label": labels[indices]}))
    np.testing.assert_array_equal(labels_like(untold, 2000, seed=5), drawn)


@pytest.mark.system
def test_a_model_is_told_the_labels_in_any_batch_and_from_any_place():
    model, labels = a_model(classes=2, steps=1), np.array([0, 0, 1, 0, 0, 0, 1])
    drawn = lambda start, batch: np.concatenate([*of_model(model, 7, batch, 0, {}, labels).batches(start)])
    whole = drawn(0, 7)
    np.testing.assert_array_equal(np.square(whole - MEANS[0]).sum((1, 2, 3)) > 1, labels)
    np.testing.assert_allclose(drawn(0, 3), whole, atol=1e-6)
    np.testing.assert_allclose(drawn(4, 3), whole[4:], atol=1e-6)
    assert of_model(model, 7, 7, 0, {}, labels).told != of_model(model, 7, 7, 0, {}, 1 - labels).told


def test_a_run_draws_each_class_as_often_as_its_data_has_it(monkeypatch):
    found = {}
    monkeypatch.setattr(
        command, "of_model", lambda model, n, batch, seed, told, labels, **_: found.update(labels=labels)
    )
    model = dataclasses.replace(a_model(classes=10), spec=digits("all").spec)
    rare = lambda config: digits("all")._replace(labels=lambda: np.repeat(np.int32([0, 7]), [1700, 97]))
    monkeypatch.setattr(command.build, "source", rare)
    line = ["--workdir", "run", "--num", "500"]
    command.drawn(command.make_parser().parse_args(line), Path("run"), {}, model)
    np.testing.assert_array_equal(np.bincount(found["labels"]) > 0, np.arange(8) % 7 == 0)
    assert abs((found["labels"] == 7).mean() - 97 / 1797) < 0.005
    command.drawn(command.make_parser().parse_args([*line, "--label", "7"]), Path("run"), {}, model)
    assert found["labels"] is None


def test_what_is_held_is_made_once():
    made = []

    def batches(start):
        for i in range(start, 10, 4):
            made.append(i)
            yield np.arange(i, min(i + 4, 10))

    examples = held(Examples(10, image_spec((2, 2, 1)), {}, batches), 5)
    rest = lambda start: np.concatenate([*examples.batches(start)]).tolist()
    assert first(examples, 2).tolist() == [0, 1]
    assert rest(0) == [*range(10)]
    assert made == [0, 4, 8]
    assert rest(3) == [*range(3, 10)]
    assert first(examples, 6).tolist() == [*range(6)]
    assert made == [0, 4, 8, 8]
    assert rest(9) == [9]


def test_likelihoods_are_told_in_their_units():
    figure = {"mean": 1.0, "error": 0.1}
    units = {"images": "bits per dimension", "molecules": "nats a molecule", "text": "bits a symbol"}
    for modality, unit in units.items():
        found = {"figures": {}, "features": {}, "floor": {}, "likelihood": {"bound": figure}}
        (row,) = table({**found, "unit": unit_of(Spec((2,), modality))})[1]
        assert row[0] == f"bound, {unit}"


def test_two_features_of_one_name_are_refused(how, cache):
    with pytest.raises(InputError, match="two of them are named 'pixels'"):
        featured(of_source(digits("all"), "digits"), how._replace(features=[*how.features, *how.features]), cache)


def test_what_is_told_of_a_model_tells_how_it_draws_by_itself():
    model = a_model(steps=3)
    told = lambda model: of_model(model, 4, 4, 0, {}).told
    assert told(model) == told(a_model(steps=3))
    changes = [{"options": {"clip": 1.0}}, {"sampler": {"name": "ancestral", "temperature": 0.5}}]
    for change in [*changes, {"grid": lambda steps: np.linspace(0.9, 0, steps + 1)}]:
        assert told(dataclasses.replace(model, **change)) != told(model)
