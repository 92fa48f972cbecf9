"""What a step is fed does not depend on where the data lies, nor on how many steps a call takes."""

import itertools
import threading
import time
from types import SimpleNamespace

import chex
import jax
import numpy as np
import optax
import pytest

from jaxdiff.data.source import Source, batches, select
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.training import feed
from jaxdiff.training.ema import warmed_up
from jaxdiff.training.sharding import make_mesh
from jaxdiff.training.step import in_calls, init_state, make_train_step
from jaxdiff.types import Batch

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZE = 22


def pictures(flip=True, labels=True):
    rng = np.random.default_rng(0)
    images, classes = rng.normal(size=(SIZE, 3, 4, 1)).astype(np.float32), np.arange(SIZE, dtype=np.int32) % 5
    take = lambda i: Batch(images[i], classes[i] if labels else None)
    return Source(SIZE, image_spec((3, 4, 1)), take, flip=flip)


def equal(a, b):
    chex.assert_trees_all_equal(a, b)


@pytest.mark.parametrize("source", [pictures(), pictures(flip=False), pictures(labels=False)])
@pytest.mark.parametrize("where", ["always", "never", "auto"])
def test_a_step_sees_the_batches_of_the_source(source, where):
    food = feed.make_feed(source, make_mesh(), 8, 3, where)
    assert (food.resident is not None) == (where == "always")  # auto: the host's memory is the device's, on CPU
    parts = food.read(2, 3)
    stream = batches(source, 8, 3, start=2)
    for i in range(3):
        batch = jax.jit(feed.examples)(food.resident, jax.tree.map(lambda x, i=i: x[i], parts))
        equal(batch, next(stream))


def test_another_place_is_refused():
    with pytest.raises(InputError, match="unknown train.device_data 'sometimes': allowed are always, auto, never"):
        feed.make_feed(pictures(), make_mesh(), 8, 3, "sometimes")


def loss_fn(params, key, batch):
    noise = jax.random.normal(key, batch.x_0.shape)
    return ((batch.x_0 * params["w"] - noise) ** 2).mean(), {"noise": noise.mean()}


@pytest.mark.system
@pytest.mark.parametrize("where", ["always", "never"])
def test_several_steps_in_a_call_are_those_steps_one_by_one(where):
    optimizer = optax.adam(0.1)
    run = jax.jit(
        in_calls(make_train_step(loss_fn, optimizer, {"average": warmed_up(0.9)}, jax.random.key(1)), feed.examples)
    )
    food = feed.make_feed(pictures(), make_mesh(), 8, 3, where)
    states, histories = [], []
    for length in (1, 4, 12):
        state = init_state({"w": np.linspace(-1, 1, 4, dtype=np.float32)[:, None]}, optimizer, ["average"])
        history = []
        for first, n in feed.Calls(0, 12, length):
            state, metrics = run(state, food.resident, food.read(first, n))
            history.append(metrics)
        states.append(state)
        histories.append(jax.tree.map(lambda *m: np.concatenate(m), *history))
    assert histories[0]["loss"].shape == (12,)
    for other in (1, 2):
        chex.assert_trees_all_close(states[0], states[other], rtol=1e-5)
        chex.assert_trees_all_close(histories[0], histories[other], rtol=1e-5)


def test_calls_end_at_multiples_of_their_length():
    assert list(feed.Calls(0, 10, 4)) == [(0, 4), (4, 4), (8, 2)]
    assert list(feed.Calls(3, 9, 4)) == [(3, 1), (4, 4), (8, 1)]
    assert list(feed.Calls(5, 5, 4)) == []


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_reading_ahead_keeps_the_order_and_where_an_error_belongs(readers):
    plan = list(feed.Calls(3, 40, 4))

    def load(first, n):
        time.sleep(0.01 * (first % 3))  # later ones are ready earlier
        if first == 24:
            raise InputError("'cut.png' cannot be read")
        return first, n

    stream = feed.ahead(load, plan, readers)
    assert [next(stream) for _ in plan[:6]] == plan[:6]
    with pytest.raises(InputError) as raised:
        next(stream)
    assert str(raised.value) == "'cut.png' cannot be read"
    assert list(feed.ahead(lambda *call: call, plan, readers)) == plan
    assert list(feed.ahead(load, [], readers)) == []


def test_readers_wait_at_the_same_time():
    together = threading.Barrier(3, timeout=20)  # passed only if three read at once
    assert len(list(feed.ahead(lambda first, n: together.wait(), [(i, 1) for i in range(3)], 3))) == 3
    with pytest.raises(InputError, match="train.readers=0: at least one"):
        feed.ahead(lambda first, n: first, [], 0)


def three_epochs(size, hosts, stops):
    """What a run reads in batches of 8 that ends at each of `stops`, and goes on with another of `hosts`, in turn."""
    source, taken, start = pictures()._replace(size=size), [], 0
    for host_count, end in zip(itertools.cycle(hosts), [*stops, -(-3 * size // 8)]):
        parts = np.split(np.arange(8), host_count)  # the rows of each host

        def load(first, n, parts=parts):
            steps = range(first, first + n)
            return [[select(source, 8, 3, step).index[mine] for mine in parts] for step in steps]

        for call in feed.ahead(load, feed.Calls(start, end, 4), readers=1 + host_count % 3):
            taken += [part for step in call for part in step]
        start = end
    return np.concatenate(taken)[: 3 * size]


@pytest.mark.parametrize("size", [22, 64])
def test_the_order_is_kept_with_other_hosts_and_after_a_resume(size):
    whole = three_epochs(size, [1], [])
    assert all(sorted(epoch) == list(range(size)) for epoch in whole.reshape(3, size))
    for hosts in (1, 2, 4, 8):
        np.testing.assert_array_equal(three_epochs(size, [hosts], []), whole)
    for stop in range(-(-3 * size // 8)):
        np.testing.assert_array_equal(three_epochs(size, [2, 8, 1, 4], [stop, stop, stop + 1]), whole)


def test_the_rows_of_the_hosts_make_up_the_batch(monkeypatch):
    mesh = make_mesh()
    whole = feed.split(mesh).devices_indices_map((8,))
    rows = []
    for mine in ({d: p for d, p in whole.items() if d.id % 2 == host} for host in (0, 1)):
        sharding = SimpleNamespace(addressable_devices_indices_map=lambda shape, mine=mine: mine)
        monkeypatch.setattr(feed, "split", lambda mesh, sharding=sharding: sharding)
        rows.append(feed._rows(mesh, 8) if mine else np.array([], int))
    assert sorted(np.concatenate(rows)) == list(range(8))


def test_a_set_of_an_eighth_of_the_memory_is_resident(monkeypatch):
    """On an accelerator of one host; as float32."""
    size, memory = 4 * SIZE * 3 * 4 * 1, {}
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: memory["now"])])
    for backend, hosts, stats, expected in [
        ("gpu", 1, {"bytes_limit": 8 * size}, True),
        ("gpu", 1, {"bytes_limit": 8 * size - 1}, False),
        ("gpu", 2, {"bytes_limit": 80 * size}, False),
        ("cpu", 1, {"bytes_limit": 80 * size}, False),
        ("gpu", 1, None, False),
    ]:
        memory["now"] = stats
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        monkeypatch.setattr(jax, "process_count", lambda hosts=hosts: hosts)
        assert feed._fits(pictures()) == expected


def test_the_number_of_steps_a_call(monkeypatch):
    every = {"train.log_every": 100, "train.checkpoint_every": 250}
    assert feed.steps_per_call(0, every, 1000) == 1
    assert feed.steps_per_call(25, every, 1000) == 25
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert feed.steps_per_call(0, every, 1000) == 50
    assert feed.steps_per_call(0, every, 2**28 // 20) == 10
    assert feed.steps_per_call(0, every, 2**28 // 9) == 5
    assert feed.steps_per_call(0, every, 2**30) == 1
    assert feed.steps_per_call(0, every, 0) == 50
    assert feed.steps_per_call(0, {"train.log_every": 7}, 2**28) == 1
    assert feed.steps_per_call(25, every, 1000) == 25
    for asked, message in ((20, "train.checkpoint_every=250 is not a multiple of it"), (-1, "it is negative")):
        with pytest.raises(InputError, match=rf"train.steps_per_call={asked}: {message}.*choose 0"):
            feed.steps_per_call(asked, every, 1000)


def test_a_plan_takes_no_room():
    plan = feed.Calls(3, 10**12, 4)
    assert (len(plan), plan[0], plan[1], plan[len(plan) - 1]) == (25 * 10**10, (3, 1), (4, 4), (10**12 - 4, 4))
