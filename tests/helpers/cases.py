"""Cases from tables, and what a refusal is."""

from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from jaxdiff.errors import InputError


@contextmanager
def refused(message=""):
    """One line, which matches."""
    with pytest.raises(InputError, match=f"(?s){message}") as caught:
        yield
    text = str(caught.value)
    assert text.strip()
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 2000


def one_line(error):
    assert "\n" not in str(error)


def case(*values, name, slow=False, unit=False):
    return pytest.param(*values, id=name, marks=[pytest.mark.slow] * slow + [pytest.mark.unit] * unit)


def cases(table, every=1):
    """One parameter for each entry; the first with each outcome is a unit test, all but one of `every` are slow."""
    seen, listed = set(), []
    for i, (name, value) in enumerate(table.items()):
        expected = value[-1] if isinstance(value[-1], str) else "taken"
        first = expected not in seen
        listed.append(case(value, name=name, slow=i % every > 0 and not first, unit=first))
        seen.add(expected)
    return pytest.mark.parametrize("case", listed)


def tiers(names, unit):
    """Names for `parametrize`: the tests of those in `unit` are unit tests, all others statistical ones."""
    return [pytest.param(name, marks=[] if name in unit else pytest.mark.statistical) for name in names]


def each(table):
    """Names with each of their values; the first value of a name is a unit test."""
    return [case(k, v, name=f"{k}-{v!r}", unit=i == 0) for k in table for i, v in enumerate(table[k])]


def fuzzed(few, many=2000):
    """A property, tried with a few examples, and with many where the slow tests are run."""

    def wrap(test):
        def settle(count):
            return settings(
                max_examples=count,
                derandomize=True,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )(test)

        def run_few(self):
            settle(few)()

        def run_many(self):
            settle(many)()

        run_few, run_many = pytest.mark.system(run_few), pytest.mark.slow(run_many)
        return type(test.__name__, (), {"test_few": run_few, "test_many": run_many})

    return wrap


def damaged(draw, bytes_):
    """Bytes cut short, flipped, overwritten, put in, taken out."""
    content = bytearray(bytes_)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        some = draw(st.binary(min_size=1, max_size=8))
        match draw(st.sampled_from(["cut", "flip", "over", "in", "out"])):
            case "cut":
                del content[place:]
            case "flip" if content:
                content[place] ^= 1 << draw(st.integers(0, 7))
            case "over":
                content[place : place + len(some)] = some
            case "in":
                content[place:place] = some
            case _:
                del content[place : place + len(some)]
    return bytes(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
