import jax
import pytest
from jax._src.api_util import InternalFloatingPointError

from jaxdiff.errors import InputError
from jaxdiff.training.errors import explained, looked_for

XLA = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 68719476736 bytes.\n[[tf-allocator-allocation-error]]"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (jax.errors.JaxRuntimeError(XLA), r"out of memory \(for 68719476736 bytes\): lower the batch"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no room"), "out of memory: lower the batch"),
        (MemoryError(), "out of memory: lower the batch"),
    ],
)
def test_out_of_memory_says_what_to_lower(error, message):
    with pytest.raises(InputError, match=message) as caught, explained("lower the batch"):
        raise error
    assert len(str(caught.value).splitlines()) == 1


def test_what_xla_really_says_when_memory_runs_out():
    with pytest.raises(InputError, match=r"^out of memory \(for .*\): lower it$"), explained("lower it"):
        jax.block_until_ready(jax.jit(lambda: jax.numpy.zeros((2**46,), jax.numpy.uint8))())


def test_a_lost_process_is_told_only_where_there_are_several(monkeypatch):
    lost = ValueError("UNKNOWN: Gloo AllGather failed: Connection reset by peer")
    with pytest.raises(ValueError, match="Gloo") as caught, explained(""):
        raise lost
    assert not isinstance(caught.value, InputError)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InputError, match="another process is gone .*start all of them again"), explained(""):
        raise lost
    with pytest.raises(ValueError, match="a bug"), explained(""):
        raise ValueError("a bug")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("Unable to initialize backend 'x': none. (set JAX_PLATFORMS='' to ...)"),
            "'x': none.): unset it",
        ),
        (AssertionError(), "JAX_PLATFORMS=x: JAX finds no such device (none there): unset it or install its JAX"),
    ],
)
def test_a_platform_that_is_not_there_is_a_line(monkeypatch, error, message):
    def devices():
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "x")
    with pytest.raises(InputError) as caught, explained(""):
        devices()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_nan_within_a_compiled_part_of_a_derivative_is_placed():
    """JAX 0.10 at times hands out an error of its own there, which is no FloatingPointError."""
    placed = r"the first value that is not finite comes from .*test_errors\.py:\d+, .*jit\(silu\)"
    with pytest.raises(InputError, match=placed), explained(""):
        raise InternalFloatingPointError("jit(silu)", "nan")
    with pytest.raises(KeyError), explained(""):
        raise KeyError("a bug")


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(("nans", "infs"), [(False, False), (True, False), (False, True)])
def test_what_the_user_has_jax_look_for_it_looks_for(asked, nans, infs):
    with jax.debug_nans(nans), jax.debug_infs(infs):
        assert looked_for(asked) == (asked or nans, asked or infs)
