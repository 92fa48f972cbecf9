"""Tables of mixed columns: schema, quantile maps and their inverse, what is refused, and the report."""

import csv
import json

import numpy as np
import pytest
from scipy import stats

from jaxdiff.config.build import rescaled
from jaxdiff.errors import InputError
from jaxdiff.modalities import check, make_codec
from jaxdiff.modalities.tables import columns, measured, people, report, schema, show
from jaxdiff.modalities.tables.mixed import rows_of
from jaxdiff.modalities.tables.quantiles import from_normal, learn_quantiles, to_normal
from jaxdiff.modalities.tables.show_mixed import columns_of, write
from jaxdiff.modalities.tables.spec import mixed_columns
from jaxdiff.types import Batch

RNG = np.random.default_rng(0)
SPIKED = np.where(RNG.random(5000) < 0.92, 0, np.round(np.exp(RNG.normal(8, 1, 5000))))


@pytest.mark.parametrize(
    "values",
    [np.array([3.0]), np.arange(50.0), SPIKED, RNG.normal(size=5000), np.append(np.zeros(500), RNG.random(4000))],
    ids=["one", "few", "spike", "many", "spike and many"],
)
def test_quantile_maps_are_normal_and_come_back(values):
    known = learn_quantiles(values)
    z = to_normal(known, values, RNG.random(len(values)))
    np.testing.assert_allclose(from_normal(known, z), values, atol=1e-3 * np.ptp(values) * (len(known.values) > 500))
    if len(values) > 1000:
        assert stats.kstest(z, "norm").statistic < 0.03
    drawn = from_normal(known, RNG.normal(size=20_000))
    assert report.kolmogorov_smirnov(values, drawn) < 0.02 + 0.3 * (len(values) < 100)
    assert values.min() <= drawn.min() <= drawn.max() <= values.max()
    if len(np.unique(values)) <= 1000:
        assert set(drawn) <= set(values)


def test_beyond_the_values_that_were_seen_are_the_outermost():
    """92 of 100 are the largest: also above it a number lies in the middle of their mass."""
    known = learn_quantiles(np.append(np.arange(8.0), np.full(92, 100.0)))
    beyond = np.array([-5.0, 0.0, 100.0, 100.5, 900.0])
    z = to_normal(known, beyond, np.full(5, 0.5))
    np.testing.assert_allclose(z, stats.norm.ppf([0.005, 0.005, 0.54, 0.54, 0.54]), atol=1e-9)


def written(tmp_path, text, name="a.csv"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def a_csv(tmp_path, n=60):
    rng = np.random.default_rng(1)
    lines = ["id,price,kind,flag,note"]
    for i in range(n):
        price = "?" if i % 10 == 3 else f"{rng.normal(100, 20):.2f}"
        lines.append(f"{i},{price},{('a', 'b', '')[i % 3]},{i % 2},same")
    return written(tmp_path, "\n".join(lines) + "\n")


def test_a_schema_is_inferred_and_cells_come_back(tmp_path):
    source = columns(a_csv(tmp_path))
    known = mixed_columns(source.spec)
    assert [(c.name, c.kind) for c in known] == [
        ("id", "number"), ("price", "number"), ("kind", "category"), ("flag", "category"), ("note", "category")
    ]  # fmt: skip
    assert known[1].missing == "?"
    assert (known[0].decimals, known[1].decimals) == (0, 2)
    assert known[2].values == ("a", "b", "")
    assert source.spec.shape == (2 + 3 + 1,)
    check(source.spec)
    table = make_codec(source.spec).decode(source.take(np.arange(60)).x_0)
    with open(tmp_path / "a.csv", newline="") as file:
        _, *lines = csv.reader(file)
    assert schema.cells(known, table) == lines
    x = source.take(np.arange(60)).x_0
    np.testing.assert_array_equal(make_codec(source.spec).encode(table), x)
    law = np.array(source.spec.details["law"])
    assert law.shape == (4, 3)
    np.testing.assert_allclose(law[0], 1 / 3, atol=1e-5)
    np.testing.assert_allclose(law[3], [0.9, 0.1, 0], atol=1e-5)


def test_the_text_of_a_missing_number_is_that_which_comes_first_of_the_commonest():
    """Not one by the order of a set, which is another in each process, so that a run would find other data."""
    texts = ["?", "NA", "null", "none", "n/a"]
    turned = [texts[i:] + texts[:i] for i in range(5)]
    rows = [[str(i)] * 5 for i in range(20)] + [list(row) for row in zip(*turned, strict=True)]
    assert [column.missing for column in schema.infer(list("abcde"), rows, {}, "it")] == texts


def test_no_zero_is_negative():
    whole, small = schema.Column("a", "number"), schema.Column("a", "number", decimals=-1)
    assert schema.cells([whole, small], np.array([[-0.3, -0.0], [-0.7, -1e-9]])) == [["0", "0"], ["-1", "-1e-09"]]


def test_kinds_may_be_given_and_columns_left_out(tmp_path):
    source = columns(a_csv(tmp_path), ignore="id, note", numbers="flag")
    assert source.spec.details["columns"] == ["price", "kind", "flag"]
    assert mixed_columns(source.spec)[2].kind == "number"
    labeled = columns(a_csv(tmp_path), label="kind")
    assert labeled.conditions["label"].values == 3
    assert labeled.labels().tolist()[:3] == [0, 1, 2]


@pytest.mark.system
def test_a_csv_is_written_as_the_one_that_was_read(tmp_path):
    source = columns(a_csv(tmp_path), label="kind")
    batch = source.take(np.arange(60))
    drawn = batch._replace(x_0=make_codec(source.spec).decode(batch.x_0))
    assert show.save_samples(tmp_path, source.spec, drawn, drawn, "note") == [
        "figure.png",
        "samples.csv",
        "report.json",
    ]
    assert (tmp_path / "samples.csv").read_text() == (tmp_path / "a.csv").read_text()
    assert "5 columns, 2 of numbers" not in show.describe(source.spec)
    assert show.save_chain(tmp_path, source.spec, np.stack([batch.x_0] * 3), "note") == ["chain.png"]


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("", {}, "has 0 rows"),
        ("a,b\n", {}, "has 0 rows"),
        ("a,b\n1,2\n3\n", {}, "row 2 has 1 cells and the header 2"),
        ("a,a\n1,2\n", {}, "holds 'a' twice"),
        ("a,b\n1,2020-01-02\n", {}, "row 1 has the date '2020-01-02' in column 'b'"),
        ("a,b\n1,x\n", {"numbers": "b"}, "row 1 has 'x' in column 'b', which is no number"),
        ("a,b\n1,x\n", {"numbers": "a", "categories": "a"}, "column 'a' is in data.categories, or data.label, too"),
        ("a,b\n1,x\n", {"numbers": "a", "label": "a"}, "column 'a' is in data.categories, or data.label, too"),
        ("a,b\n1,x\n2,y\n", {"split": "test"}, "a fifth of 2 rows is none"),
        ("a,b\n1,x\n", {"ignore": "c"}, "unknown column .* 'c'"),
        ("a,b\n1,x\n", {"label": "c"}, "unknown column .* 'c'"),
        ("a,b\n1,x\n", {"categories": "c"}, "unknown column .* 'c'"),
        ("a,b\n1,x\n", {"split": "third"}, "unknown split of a table"),
        ("a\n" + "".join(f"x{i}\n" for i in range(1200)), {}, "column 'a' has 1200 different texts"),
    ],
)
def test_a_bad_table_is_one_line_that_names_the_place(tmp_path, text, given, message):
    with pytest.raises(InputError, match=message) as caught:
        columns(written(tmp_path, text), **given)
    assert "\n" not in str(caught.value)


def test_two_encodings_and_unknown_categories_are_named(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"a,b\n1,x\n2,caf\xe9\n")
    with pytest.raises(InputError, match="row 2 is no UTF-8 .0xe9."):
        columns(str(tmp_path / "b.csv"))
    known = schema.infer(["k"], [["a"], ["b"]], {}, "t")
    with pytest.raises(InputError, match="row 1 has 'c' in column 'k', which is none of its 2 categories"):
        schema.parsed(known, [["c"]], "t")


def test_columns_that_are_missing_or_constant_are_drawn_as_that(tmp_path, caplog):
    source = columns(written(tmp_path, "a,b,c\n" + "".join(f"{i},,7\n" for i in range(20))))
    assert "column 'b': always ''" in caplog.text
    assert "column 'c': always '7'" in caplog.text
    table = make_codec(source.spec).decode(source.take(np.arange(20)).x_0)
    assert schema.cells(mixed_columns(source.spec), table)[3] == ["3", "", "7"]


def test_the_splits_share_their_quantiles_and_part_the_rows():
    train, test = people(500, "train"), people(500, "test")
    assert train.spec == test.spec
    assert train.size + test.size == people(500).size == 500
    assert people(100, label=True).conditions["label"].values == 2


def test_broken_details_are_refused():
    spec = people(100).spec
    for broken in ({"law": [[1.0]]}, {"numbers": 1}, {"schema": []}, {"schema": [{"name": "a"}]}, {"place": "x"}):
        with pytest.raises(InputError, match="details of a table"):
            check(spec._replace(details={**spec.details, **broken}))


def a_report(n=2000):
    source = people(3 * n)
    known = mixed_columns(source.spec)
    table = make_codec(source.spec).decode(source.take(np.arange(3 * n)).x_0)
    return known, table[:n], table[n : 2 * n], table[2 * n :]


@pytest.mark.system
def test_the_report_of_real_rows_is_near_its_ideal():
    found = report.figures(*a_report(), target="income")
    assert found["shape"] < 0.03
    assert found["trend"] < 0.06
    assert found["c2st"] > 0.9
    assert 0.45 < found["dcr"] < 0.55
    assert found["utility"] > 0.6


def test_the_report_does_not_see_how_a_table_is_sorted():
    """As tables are by place or date: of the training rows as many as there are others are taken, not the first."""
    known, train, test, other = a_report()
    train = train[np.argsort(train[:, 0])]
    assert 0.45 < report.dcr(known, train, test[:400], other) < 0.55
    assert report.c2st(known, train, other[:400]) > 0.8


@pytest.mark.system
def test_the_report_tells_copies_and_independent_columns():
    known, train, test, _ = a_report(1000)
    assert report.dcr(known, train, test, train[:300]) > 0.9
    rng = np.random.default_rng(0)
    mixed_up = np.stack([rng.permutation(column) for column in train.T], axis=1)
    assert np.mean(list(report.shape(known, train, mixed_up).values())) == 0
    assert report.trend(known, train, mixed_up) > 0.03
    assert report.utility(known, mixed_up, test, "income") < report.utility(known, train, test, "income") - 0.1
    shifted = train.copy()
    shifted[:, 0] += 30
    assert report.c2st(known, train, shifted) < 0.3
    assert report.shape(known, train, shifted)["age"] > 0.5


def test_the_distances_are_those_of_scipy():
    x, y = RNG.normal(size=300), RNG.normal(0.3, 1.2, size=200)
    assert report.kolmogorov_smirnov(x, y) == pytest.approx(stats.ks_2samp(x, y).statistic)
    known = [schema.Column("a", "category", ("x", "y", "z"))]
    a, b = np.array([[0], [0], [1], [2.0]]), np.array([[0], [1], [1], [1.0]])
    assert report.shape(known, a, b)["a"] == pytest.approx(0.5 * (0.25 + 0.5 + 0.25))


def test_the_class_of_a_row_stands_where_it_stood():
    source = people(50, label=True)
    batch = source.take(np.arange(50))
    known, table = columns_of(source.spec, Batch(make_codec(source.spec).decode(batch.x_0), batch.condition))
    assert [column.name for column in known] == ["age", "work", "hours", "married", "gain", "income"]
    np.testing.assert_array_equal(table[:, 5], batch.condition["label"])


def test_a_class_that_is_not_known_is_an_empty_cell_and_is_not_compared(tmp_path):
    source = people(50, label=True)
    real = source.take(np.arange(50))
    real = real._replace(x_0=make_codec(source.spec).decode(real.x_0))
    drawn = Batch(real.x_0, {"label": np.where(np.arange(50) < 2, -1, real.condition["label"])})
    write(tmp_path, source.spec, drawn, real)
    rows = list(csv.DictReader((tmp_path / "samples.csv").read_text().splitlines()))
    assert [row["income"] for row in rows[:2]] == ["", ""]
    assert rows[2]["income"] == source.spec.details["classes"][real.condition["label"][2]]
    assert "income" not in json.loads((tmp_path / "report.json").read_text())["shape error by column"]


@pytest.mark.parametrize("asked", [(0, 1), (1,)], ids=["in turn", "one"])
def test_drawn_rows_are_compared_with_real_ones_of_the_same_classes(tmp_path, asked):
    source = people(4000, label=True)
    batch = source.take(np.arange(4000))
    rows, label = make_codec(source.spec).decode(batch.x_0), batch.condition["label"]
    of_each = [np.flatnonzero(label == c) for c in (0, 1)]
    real = np.concatenate([of_each[0][:900], of_each[1][:100]])
    drawn = np.concatenate([of_each[c][-200:] for c in asked])
    drawn, real, others = (Batch(rows[i], {"label": label[i]}) for i in (drawn, real, of_each[1 - max(asked)]))
    if len(asked) == 1:
        assert write(tmp_path, source.spec, drawn, others) == ["samples.csv"]
    write(tmp_path, source.spec, drawn, real)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["shape error by column"]["income"] == 0
    assert found["real rows"] == 100 * len(asked)
    assert found["shape error"] < 0.1  # of 100 rows; in other shares the class alone is wrong by 0.4


def test_rows_of_another_file_are_read_by_the_texts_of_their_categories(tmp_path):
    """A file of fewer categories numbers them otherwise."""
    lines = lambda kinds: "".join(f"{i / 7:.3f},{kinds[i % len(kinds)]}\n" for i in range(24))
    train, few, more = (columns(written(tmp_path, f"price,kind\n{lines(k)}", f"{k}.csv")) for k in ("abc", "bc", "abd"))
    x = rescaled(few, train.spec, "held_out").take(np.arange(4)).x_0
    assert make_codec(train.spec).decode(x)[:, 1].tolist() == [1, 2, 1, 2]
    with pytest.raises(InputError, match="column 'kind' holds 'd', none of its categories"):
        rescaled(more, train.spec, "held_out")
    swapped = written(tmp_path, "kind,price\n" + "".join(f"{'bc'[i % 2]},{i / 7:.3f}\n" for i in range(24)), "s.csv")
    with pytest.raises(InputError, match="must have price, kind, in this order"):
        rescaled(columns(swapped), train.spec, "held_out")
    assert rows_of(swapped, mixed_columns(train.spec))[:3].tolist() == [[0, 1], [0.143, 2], [0.286, 1]]


def test_a_number_that_was_never_missing_is_not_made_up(tmp_path):
    lines = lambda lost: "price\n" + "".join(f"{'?' if i == lost else i}\n" for i in range(24))
    full, some = (columns(written(tmp_path, lines(lost), f"{lost}.csv")) for lost in (-1, 3))
    held = rescaled(some, full.spec, "held_out")
    assert held.take(np.arange(3)).x_0.shape == (3, 2)
    with pytest.raises(InputError, match="a number is missing in a column"):
        held.take(np.arange(5))


def test_categories_are_as_far_from_each_other_whatever_their_numbers_are():
    source = people(60)
    row = make_codec(source.spec).decode(source.take(np.arange(1)).x_0)
    rows = np.repeat(row, 4, 0)
    rows[:, 1] = np.arange(4)
    x = measured.values(source.spec, rows)
    far = np.sqrt(((x[:, None] - x) ** 2).sum(-1))
    np.testing.assert_allclose(far, 1 - np.eye(4), atol=1e-6)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (1, 4, "row 2 has 4 in column 'work', which takes a number of a category, 0 to 3"),
        (3, 0.5, "row 2 has 0.5 in column 'married'"),
        (5, np.nan, "row 2 has nan in column 'income'"),
        (0, np.nan, "row 2 has nan in column 'age', which takes a number, none missing"),
        (2, np.inf, "row 2 has inf in column 'hours'"),
    ],
)
def test_a_cell_that_is_none_of_its_column_is_refused_and_measured_as_nothing(place, value, message):
    source = people(60)
    table = make_codec(source.spec).decode(source.take(np.arange(3)).x_0)
    table[1, place] = value
    with pytest.raises(InputError, match=message):
        make_codec(source.spec).encode(table)
    np.testing.assert_array_equal(np.isfinite(measured.values(source.spec, table)).all(1), [True, False, True])


def test_equal_rows_have_equal_features():
    source = people(100)
    table = make_codec(source.spec).decode(source.take(np.arange(100)).x_0)
    order = RNG.permutation(100)
    np.testing.assert_array_equal(
        measured.values(source.spec, table[order]), measured.values(source.spec, table)[order]
    )
