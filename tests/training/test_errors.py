import jax
import pytest

from jaxdiff.errors import InputError
from jaxdiff.training.errors import explained

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
