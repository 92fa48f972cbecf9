"""Symbols from a configuration: text and tables of mixed columns, trained, loaded, drawn and filled in."""

import csv
import dataclasses
import gzip

import jax
import numpy as np
import pytest

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.cli import preview
from jaxdiff.config import build
from jaxdiff.errors import InputError
from jaxdiff.evaluation import held_out
from jaxdiff.modalities import find
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Batch, class_label
from tests.helpers.configs import get_config, with_field

pytestmark = pytest.mark.slow

TEXT = "the cat sat on the mat and the rat ate the hat. " * 40


def a_text(tmp_path):
    (tmp_path / "cat.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    config = get_config(f"text={tmp_path / 'cat.txt.gz'}", "masked")
    config["net"] |= {"width": 16, "blocks": 1, "heads": 2, "hidden": 2}
    config["data"] |= {"length": 12, "stride": 3}
    config["held_out"] |= {"length": 12}
    config["sample"]["steps"] = 4
    return config


def a_table(**net):
    config = get_config("people", "tables")
    config["data"]["n"] = config["held_out"]["n"] = 200
    config["net"] |= {"width": 16, "blocks": 1, "embedding": 8, **net}
    config["sample"]["steps"] = 4
    return config


def untrained(config):
    spec = build.source(config).spec
    parts = experiment.build(config, spec)
    return dataclasses.replace(parts.model, params=parts.init(jax.random.key(0)))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    config = a_text(tmp_path_factory.mktemp("text"))
    return config, untrained(config)


@pytest.fixture(scope="module")
def table():
    config = a_table()
    return config, untrained(config)


def test_text_is_drawn_as_text_the_same_in_any_batch(text):
    _, model = text
    drawn = model.sample(jax.random.key(0), 4)
    assert drawn.dtype.kind == "U"
    assert all(len(one) == 12 and set(one) <= set(TEXT) for one in drawn.tolist())
    assert model.sample(jax.random.key(0), 2, first=2).tolist() == drawn[2:].tolist()
    assert np.concatenate(list(model.stream(jax.random.key(0), 4, 2))).tolist() == drawn.tolist()
    assert "texts of 12 symbols" in repr(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "ddim"}, "this model draws symbols: take one of ancestral_symbols"),
        ({"sampler": "columnwise"}, "this model draws symbols"),
        ({"eta": 0.5}, "unknown option"),
        ({"clip": 1.0}, "unknown option"),
        ({"temperature": 0.0}, "temperature=0.0: must be a number from 0.001"),
        ({"guidance": 2.0}, "has no condition to follow"),
    ],
)
def test_options_that_symbols_do_not_have_are_refused(text, options, message):
    with pytest.raises(InputError, match=message):
        text[1].sample(jax.random.key(0), 2, **options)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("process", {"name": "vp"}, "process 'vp': is for numbers, and this data is symbols"),
        ("parameterization", {"name": "eps"}, "parameterization: is not for symbols, of which the process is"),
        ("process", {"name": "multinomial"}, "parameterization 'subs': copies what is no mask"),
        ("loss", {"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "uniform"}}, "loss 'diffusion'"),
        ("loss.times", {"name": "log_normal"}, "times 'log_normal': are by noise levels"),
        ("loss.times", {"name": "logit_normal"}, "the bound of symbols is over even times"),
        ("net", {"name": "unet"}, "net 'unet'"),
        ("net.symbols", 3, "config.net.symbols follows from the data"),
        ("sample.clip", 1.0, "symbols have no bound"),
        ("sample.sampler", {"name": "ddim"}, "sampler 'ddim': this model draws symbols"),
        ("sample.grid", {"name": "karras"}, "needs noise levels, and symbols have none"),
        ("sample.grid", {"name": "uniform", "t_min": 0.1}, "symbols are drawn from t=1 to 0"),
        ("sample.process", {"name": "vp"}, "symbols are drawn along the process of training"),
    ],
)
def test_what_symbols_cannot_have_is_one_line(text, field, value, message):
    config = with_field({**text[0], **{k: dict(text[0][k]) for k in ("net", "loss", "sample")}}, field, value)
    with pytest.raises(InputError, match=message) as caught:
        experiment.build(config, build.source(config).spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("process.symbols", {"name": "multinomial"}, "parameterization 'subs': copies what is no mask"),
        ("process", {"name": "vp"}, "this data is rows of numbers and symbols: take process product"),
    ],
)
def test_what_rows_of_numbers_and_symbols_cannot_have_is_one_line(field, value, message):
    config = with_field(get_config("people", "tables"), field, value)
    with pytest.raises(InputError, match=message) as caught:
        experiment.build(config, build.source(config).spec)
    assert "\n" not in str(caught.value)


def test_numbers_refuse_what_is_for_symbols():
    for field, value, message in [
        ("process", {"name": "masked"}, "is for symbols, and this data has none"),
        ("net", {"name": "sequence"}, "net 'sequence': is for symbols"),
        ("sample.sampler", {"name": "first_hitting"}, "this model draws numbers"),
    ]:
        config = with_field(get_config(), field, value)
        with pytest.raises(InputError, match=message):
            experiment.build(config, build.source(config).spec)


def test_blanks_are_filled_and_the_rest_stays(text):
    _, model = text
    filled = pipelines.infill(model, jax.random.key(0), ["the ___ sat ", "a_"])
    assert filled[0][:4] == "the "
    assert filled[0][7:] == " sat "
    assert filled[1][0] == "a"
    assert all("_" not in one and len(one) == 12 for one in filled.tolist())
    for texts, message in [
        ([], "at least one"),
        (["the cat sat "], "row 1 is known as a whole"),
        (["the cat sat on"], "has 14 symbols, and this model takes 12"),
        (["th$ _"], "text 1, line 1, column 3: '\\$'"),
    ]:
        with pytest.raises(InputError, match=message):
            pipelines.infill(model, jax.random.key(0), texts)


def test_no_line_ends_before_what_is_known(tmp_path):
    (tmp_path / "words.txt").write_text("ab\nabba\nbaabab\nb\n" * 20)
    config = get_config(f"smiles={tmp_path / 'words.txt'}", "masked")
    config["net"] |= {"width": 16, "blocks": 1, "heads": 2, "hidden": 2}
    model = untrained(config)  # a third of what it draws are ends
    filled = pipelines.infill(model, jax.random.key(0), ["____b_"] * 30, steps=4)
    assert all(len(one) >= 5 and one[4] == "b" for one in filled.tolist())
    assert len({len(one) for one in filled.tolist()}) == 2


def test_the_bound_of_an_untrained_network_is_that_of_equal_symbols(text):
    """Its last layer is zero, so that every symbol has the probability 1 / K."""
    config, model = text
    figures = held_out.measure(model, build.held_out(config, model.spec), jax.random.key(0), 4, draws=12)
    symbols = len(model.spec.details["vocabulary"])
    mean, error = figures["bound"]
    assert mean == pytest.approx(np.log2(symbols), abs=3 * error + 1e-3)
    source = build.held_out(config, model.spec)
    monitor = held_out.make_monitor(model, source, 4)
    assert monitor(model.params)["held_out_bits"] == pytest.approx(np.log2(symbols), rel=0.2)


def test_rows_are_drawn_in_the_units_of_the_table(table, tmp_path):
    _, model = table
    rows = model.sample(jax.random.key(0), 6)
    assert rows.shape == (6, 6)
    np.testing.assert_array_equal(rows[:, 0], np.round(rows[:, 0]))
    assert (rows[:, 0] >= 17).all()
    assert set(rows[:, 1]) <= {0, 1, 2, 3}
    show = find("tables", "show")
    show.save_samples(tmp_path, model.spec, Batch(rows), None, "note")
    with open(tmp_path / "samples.csv", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["age", "work", "hours", "married", "gain", "income"]
    assert {line[5] for line in lines} <= {"<=50K", ">50K"}
    assert all(line[0].isdigit() for line in lines)
    with pytest.raises(InputError, match="this model draws numbers and symbols: take one of columnwise"):
        model.sample(jax.random.key(0), 2, sampler="ddim")


def test_a_table_of_categories_alone_is_drawn_and_imputed(tmp_path):
    (tmp_path / "a.csv").write_text("shade,size\n" + "light,s\ndark,l\ndark,m\n" * 20)
    config = a_table()
    config["data"] = {**get_config(f"csv={tmp_path / 'a.csv'}", "tables")["data"], "split": "all"}
    model = untrained(config)
    rows = model.sample(jax.random.key(0), 30)
    assert [set(column) for column in rows.T] == [{0, 1}, {0, 1, 2}]
    filled = pipelines.impute(model, jax.random.key(1), rows, np.array([True, False]), repeats=1)
    np.testing.assert_array_equal(filled[:, 1], rows[:, 1])


def test_cells_are_imputed_and_the_others_stay(table):
    _, model = table
    rows = model.sample(jax.random.key(1), 4)
    free = np.zeros((4, 6), bool)
    free[:, [0, 3]] = True
    filled = pipelines.impute(model, jax.random.key(2), rows, free)
    np.testing.assert_array_equal(filled[:, [1, 2, 4, 5]], rows[:, [1, 2, 4, 5]])
    assert set(filled[:, 3]) <= {0, 1}
    rows[:, 3] = np.nan
    assert np.isfinite(pipelines.impute(model, jax.random.key(2), rows, free)[:, 3]).all()
    for known, options, message in [
        (np.zeros(6, bool), {}, "row 1 is known as a whole"),
        (np.arange(6) < 1, {}, "row 1 has nan in column 'married'"),
        (free, {"repeats": 0}, "repeats=0: must be a whole number from 1 on"),
    ]:
        with pytest.raises(InputError, match=message):
            pipelines.impute(model, jax.random.key(0), rows, known, **options)


def test_a_class_that_is_not_given_is_unknown_where_cells_are_imputed(monkeypatch):
    given = []
    config = a_table(num_classes=2)
    config["data"]["label"] = config["held_out"]["label"] = True
    config["train"]["cond_dropout"] = 0.1
    model = untrained(config)
    monkeypatch.setattr(Model, "check_condition", lambda *args, **further: given.append(args[1]) or 1 / 0)
    for condition, told in ((None, {}), (1, 1)):
        with pytest.raises(ZeroDivisionError):
            pipelines.impute(model, jax.random.key(0), np.ones((2, 5)), np.arange(5) < 1, condition=condition)
        assert given.pop() == told


@pytest.mark.slow
def test_classes_guide_both_parts():
    config = a_table(num_classes=2)
    config["data"]["label"] = config["held_out"]["label"] = True
    config["train"]["cond_dropout"] = 0.1
    model = untrained(config)
    assert model.sample(jax.random.key(0), 4, guidance=2.0).shape == (4, 5)


@pytest.mark.slow
def test_a_table_is_trained_loaded_and_drawn(tmp_path):
    config = a_table()
    config["train"] |= {"steps": 2, "log_every": 1, "sample_every": 2, "checkpoint_every": 2, "batch_size": 16}
    model = jaxdiff.train(config, workdir=tmp_path / "run")
    assert jaxdiff.load(tmp_path / "run").spec == model.spec == build.source(config).spec
    assert (tmp_path / "run" / "samples.png").is_file()


@pytest.mark.slow
def test_a_text_is_learned(tmp_path):
    """Twelve words in one order: far below the entropy of their letters alone."""
    config = a_text(tmp_path)
    config["optimizer"] |= {"learning_rate": 1e-2, "warmup": 20}
    config["ema"]["decay"] = (0.9,)
    config["train"] |= {
        "steps": 1200,
        "log_every": 400,
        "sample_every": 1200,
        "checkpoint_every": 1200,
        "batch_size": 32,
    }
    model = jaxdiff.train(config, workdir=tmp_path / "run")
    source = build.held_out(config, model.spec)
    mean, _ = held_out.measure(model, source, jax.random.key(0), 4, draws=12)["bound"]
    law = np.array(model.spec.details["law"])
    assert mean < 0.6 * -(law * np.log2(law)).sum()
    assert (tmp_path / "run" / "samples.png").is_file()


def test_what_is_measured_in_training_has_one_name(text):
    config, model = text
    model = dataclasses.replace(model, path=build.build_core(config, model.spec).process)
    settings = {"held_out_examples": 2, "samples": 16, "keep_best": "held_out_bits"}
    config = {**config, "train": {**config["train"], **settings}}
    found = preview.monitor(config, model, build.source(config))(model.params)
    assert np.isfinite([found["held_out_bits"], found["fd_symbols"]]).all()
    config["train"]["keep_best"] = "held_out_mse"
    with pytest.raises(InputError, match="'held_out_mse' .*allowed are , fd_symbols, held_out_bits"):
        preview.monitor(config, model, build.source(config))


def test_a_model_that_always_had_labels_is_not_measured_without_them(text):
    config, model = text
    told = dataclasses.replace(model, conditions={"label": class_label(2)}, guidable=False)
    with pytest.raises(InputError, match="never trained without its 'label'"):
        held_out.measure(told, build.held_out(config, model.spec), jax.random.key(0), 4)


def test_a_network_of_nan_draws_nothing(text, table):
    of_text, of_table = (
        dataclasses.replace(m, params=jax.tree.map(lambda p: p * np.nan, m.params)) for _, m in (text, table)
    )
    with pytest.raises(InputError, match="2 of examples 0 to 1 hold symbols of which the network told NaN"):
        next(of_text.stream(jax.random.key(0), 2))
    with pytest.raises(InputError, match="told NaN"):
        pipelines.infill(of_text, jax.random.key(0), ["the ___ sat "])
    with pytest.raises(InputError, match="of rows are not finite"):
        pipelines.impute(of_table, jax.random.key(2), table[1].sample(jax.random.key(1), 2), np.arange(6) < 1)
