import pytest

from jaxdiff.config.names import call
from jaxdiff.errors import InputError, unknown


def scaled(x: int, factor: int = 2) -> int:
    return x * factor


def test_called_by_name_with_what_is_given_first():
    assert call("function", {"scaled": scaled}, {"name": "scaled", "factor": 5}, 3) == 15


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "scale"}, r"unknown function 'scale' \(did you mean 'scaled'\?\): allowed are scaled"),
        ({}, "unknown function ''"),
        (
            {"name": "scaled", "faktor": 1},
            "unknown argument of function 'scaled' 'faktor'.*'factor'.*allowed are factor",
        ),
        ({"name": "scaled", "x": 1}, "unknown argument of function 'scaled' 'x'"),
        ({"name": "scaled", "factor": {}}, "function 'scaled': factor={}: must be a whole number"),
    ],
)
def test_bad_specs_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        call("function", {"scaled": scaled}, spec, 3)


def test_nothing_allowed():
    assert str(unknown("thing", "x", [])) == "unknown thing 'x': allowed are none"
