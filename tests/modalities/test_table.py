import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from jaxdiff.errors import InputError
from jaxdiff.modalities.tables.cleaning import learn_cleaning


@pytest.fixture
def rows(rng):
    rows = rng.normal(3, [1, 10, 0.1, 1, 1], size=(50, 5))
    rows[:, 3] = 7
    rows[:, 4] = np.nan
    rows[[2, 5, 5], [0, 0, 1]] = np.nan, np.inf, -np.inf
    return rows


def test_it_does_what_scikit_learn_does_and_says_so(rows):
    cleaning, report = learn_cleaning(rows)
    finite = np.where(np.isfinite(rows), rows, np.nan)[:, :3]
    medians = SimpleImputer(strategy="median").fit(finite)
    expected = StandardScaler().fit_transform(medians.transform(finite))
    np.testing.assert_allclose(cleaning.apply(rows), expected, atol=1e-6)
    assert report == [
        "column 4: no value at all, left out",
        "column 3: always 7, left out",
        f"column 0: 2 missing values become {medians.statistics_[0]:g}, the median",
        f"column 1: 1 missing values become {medians.statistics_[1]:g}, the median",
    ]


def test_the_way_back_is_exact_where_there_were_values(rows):
    cleaning, _ = learn_cleaning(rows)
    back = cleaning.invert(cleaning.apply(rows))
    there = np.isfinite(rows)
    np.testing.assert_allclose(back[there], rows[there], rtol=1e-5)
    assert np.isfinite(back).all()


def test_rows_may_be_dropped_or_refused(rows):
    rows = rows[:, :4]
    cleaning, report = learn_cleaning(rows, "drop")
    assert cleaning.apply(rows).shape == (48, 3)
    assert report[-1] == "2 of 50 rows have missing values, left out"
    whole = np.delete(rows, [2, 5], axis=0)
    np.testing.assert_allclose(cleaning.mean, whole.mean(0))
    with pytest.raises(InputError, match="2 rows hold values that are not finite, the first is row 2: choose"):
        learn_cleaning(rows, "refuse")


@pytest.mark.parametrize(
    ("table", "missing", "message"),
    [
        (np.zeros(3), "median", r"a table is \(n, columns\) numbers, not float64 of shape \(3,\)"),
        (np.array([["a", "b"]]), "median", "not <U1 of shape"),
        (np.ones((4, 2)), "median", "a table of 4 rows and 2 columns, and none varies"),
        (np.full((4, 2), np.nan), "drop", "and none varies"),
        (np.eye(2), "mean", "unknown treatment of missing values 'mean' .*: allowed are drop, median, refuse"),
    ],
)
def test_what_is_no_table_is_refused(table, missing, message):
    with pytest.raises(InputError, match=message):
        learn_cleaning(table, missing)


def test_a_table_of_other_columns_is_refused(rows):
    cleaning, _ = learn_cleaning(rows)
    with pytest.raises(InputError, match=r"a table is \(n, 5\) numbers, not float64 of shape \(50, 4\)"):
        cleaning.apply(rows[:, :4])
