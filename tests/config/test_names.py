import inspect
import sys
from collections.abc import Callable

import pytest

from jaxdiff.config.names import Part
from jaxdiff.config.parts import PARTS
from jaxdiff.config.ranges import RANGES
from jaxdiff.config.sampling import CORRECTORS
from jaxdiff.errors import InputError, unknown


def scaled(x: int, factor: int = 2) -> int:
    return x * factor


def half(x: int) -> float:
    return x / 2


def broken(x: int) -> int:
    raise ValueError("cannot")


FUNCTION = Part("function", {"scaled": scaled}, int, "a function (x, ...) that returns an int", ("x",))
HERE = __name__


def test_called_by_name_with_what_is_given():
    assert FUNCTION.make({"name": "scaled", "factor": 5}, x=3, y=7) == 15


def test_a_function_from_outside_is_called_by_package_module_and_name():
    assert FUNCTION.make({"name": f"{HERE}:scaled", "factor": 5}, x=3) == 15


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
        ({"name": f"{HERE}:scaled", "factor": "2"}, "factor='2': must be a whole number"),
        ({"name": f"{HERE}:half"}, "half' returns a float: it must be a function .* that returns an int"),
        ({"name": f"{HERE}:broken"}, "broken': cannot; it must be a function .* that returns an int"),
        ({"name": f"{HERE}:none"}, "AttributeError.*it must be a function .* that returns an int"),
        ({"name": f"{HERE}:HERE"}, "TypeError.*it must be"),
        ({"name": "no.such.module:x"}, "ModuleNotFoundError.*it must be"),
        ({"name": ":"}, "it must be"),
        ({"name": "a:b:c"}, "it must be"),
    ],
)
def test_bad_specs_are_refused(spec, message):
    with pytest.raises(InputError, match=message) as caught:
        FUNCTION.make(spec, x=3)
    assert "\n" not in str(caught.value)


def test_a_module_from_outside_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "with_an_error.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"'with_an_error:f'.*SyntaxError"):
        FUNCTION.make({"name": "with_an_error:f"}, x=3)
    assert "with_an_error" not in sys.modules


def test_nothing_allowed():
    assert str(unknown("thing", "x", [])) == "unknown thing 'x': allowed are none"


@pytest.mark.parametrize(
    ("place", "synonym", "name"),
    [
        ("parameterization", "epsilon", "eps"),
        ("parameterization", "sample", "x0"),
        ("parameterization", "v_prediction", "v"),
        ("sample.sampler", "dpmsolver++", "dpmpp_2m"),
        ("sample.sampler", "euler_ancestral", "ancestral"),
        ("sample.sampler", "ddpm", "ancestral"),
        ("process", "VPSDE", "vp"),
    ],
)
def test_a_synonym_of_the_field_is_known(place, synonym, name):
    with pytest.raises(InputError, match=f"did you mean '{name}'"):
        PARTS[place].find({"name": synonym})


def test_what_a_synonym_means_elsewhere_is_said():
    error = unknown("option of sampler 'heun'", "S_churn", PARTS["sample.sampler"].arguments({"name": "heun"}))
    assert "did you mean 'churn'?, churn is gamma of one step, where EDM's S_churn is the total" in str(error)


def kinds(parts):
    for part in parts.values():
        yield part
        yield from kinds({k: p for k, p in part.inner.items() if p is not part})


def test_every_range_is_that_of_an_argument():
    known: dict[str, dict[str, Callable]] = {"corrector": dict(CORRECTORS)}
    for part in kinds(PARTS):
        known.setdefault(part.kind, {}).update(part.known)
    for kind, functions in RANGES.items():
        for name, ranges in functions.items():
            assert ranges.keys() <= inspect.signature(known[kind][name]).parameters.keys(), (kind, name)
