import inspect

from jaxdiff import samplers
from tests.helpers.samplers import SAMPLERS
from tests.samplers.test_written_out import ALL, APART


def public():
    """The constructors of samplers under their public names."""
    functions = {name: getattr(samplers, name) for name in samplers.__all__}
    return {name for name, f in functions.items() if inspect.isfunction(f) and returns(f) is samplers.Sampler}


def returns(function):
    return inspect.signature(function, eval_str=True).return_annotation


def test_every_public_sampler_is_registered():
    of_frames = {"staggered"}  # whose denoiser takes times (batch, frames): tests/gaussian/test_gaussian.py
    assert public() - of_frames == set(SAMPLERS) & public(), "add a line to tests/helpers/samplers.py"
    assert len(public()) >= 20


def test_every_public_sampler_is_written_out():
    """The published formula in NumPy, beside those with tests of their own."""
    known = set(ALL) | APART
    assert public() - {"then"} <= known


def test_facts_are_complete():
    for name, entry in SAMPLERS.items():
        assert (entry.order is None) or (entry.weak is None), name
