import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.errors import InputError
from jaxdiff.training.checkpoint import open_checkpoints, restore, restore_ema, save
from jaxdiff.training.step import init_state


@pytest.fixture
def state():
    params = {"a": jax.random.normal(jax.random.key(0), (3, 4)), "b": jnp.zeros(2)}
    state = init_state(params, optax.adam(0.1))
    return state._replace(step=jnp.int32(5), ema=jax.tree.map(lambda x: x + 1, params))


def test_everything_comes_back_bit_for_bit(tmp_path, state):
    with open_checkpoints(tmp_path) as checkpoints:
        save(checkpoints, state)
        save(checkpoints, state)
    with open_checkpoints(tmp_path) as checkpoints:
        again = restore(checkpoints, jax.tree.map(jnp.zeros_like, state))
    jax.tree.map(np.testing.assert_array_equal, again, state)
    step, ema = restore_ema(tmp_path, state.ema)
    assert step == 5
    jax.tree.map(np.testing.assert_array_equal, ema, state.ema)


def test_every_save_happens_and_the_newest_are_kept(tmp_path, state):
    with open_checkpoints(tmp_path, keep=2) as checkpoints:
        for step in range(1, 7):
            save(checkpoints, state._replace(step=jnp.int32(step)))
    assert sorted(f.name for f in tmp_path.iterdir()) == ["5", "6"]


def test_nothing_saved_is_the_state_given(tmp_path, state):
    with open_checkpoints(tmp_path) as checkpoints:
        assert restore(checkpoints, state) is state
    with pytest.raises(InputError, match=r"no checkpoint in .* yet: train first"):
        restore_ema(tmp_path, state.ema)


def test_another_network_is_refused_in_one_line(tmp_path, state):
    with open_checkpoints(tmp_path) as checkpoints:
        save(checkpoints, state)
    for other in ({"a": jnp.zeros((3, 5)), "b": jnp.zeros(2)}, {"c": jnp.zeros(2)}):
        with pytest.raises(InputError, match="is damaged or of another network") as caught:
            restore_ema(tmp_path, other)
        assert "\n" not in str(caught.value)
