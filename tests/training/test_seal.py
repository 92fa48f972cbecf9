import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxdiff.training.checkpoints.seal import fingerprint
from jaxdiff.training.sharding import make_mesh


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16, np.int32, np.uint8, bool])
def test_no_word_changes_or_moves_unseen(rng, dtype):
    array = np.asarray(rng.normal(size=(3, 7)) * 9)
    array = array > 0 if dtype is bool else array.astype(dtype)
    before = fingerprint({"a": array})
    for place in np.ndindex(array.shape):
        changed = array.copy()
        changed[place] = ~changed[place] if dtype is bool else changed[place] + np.asarray(1, dtype)
        assert fingerprint({"a": changed}) != before
    assert fingerprint({"a": array[::-1]}) != before
    assert fingerprint({"a": array.copy()}) == before


def test_it_is_the_sum_of_words_times_odd_numbers_wherever_the_array_lies(rng):
    array = rng.normal(size=(8, 5)).astype(np.float32)
    words = array.view(np.uint32).astype(object).ravel()
    exact = sum(int(w) * (2 * i + 1) for i, w in enumerate(words)) % 2**32
    split = jax.device_put(array, NamedSharding(make_mesh(), PartitionSpec("data")))
    assert [int(x) for x in fingerprint(array)] == [int(x) for x in fingerprint(split)] == [exact]
