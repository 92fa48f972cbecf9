"""Twenty steps of one training on several meshes of 8 devices; prints what test_sharding.py checks, as JSON.

A program of its own, since the number of devices is chosen before JAX starts.
"""

import json
import re
from dataclasses import replace

import jax
import numpy as np

from jaxdiff.config import build
from jaxdiff.pipelines import experiment
from jaxdiff.training import feed, sharding
from jaxdiff.training.step import in_calls, init_state, make_train_step
from tests.helpers.configs import changed

MESHES = {
    "one": {},
    "data": {"data": 8},
    "fsdp": {"data": 1, "fsdp": 8},
    "all": {"data": 2, "fsdp": 2, "tensor": 2},
}
STEPS, BATCH = 20, 16


def gathered(compiled):
    """The number of values that the all-gathers of a compiled program produce."""
    found = re.findall(r"= \(?[a-z0-9]+\[([\d,]*)\]\S* all-gather(?:-start)?\(", compiled.as_text())
    return sum(int(np.prod([int(d) for d in shape.split(",") if d])) for shape in found)


def train(name, sizes, params):
    config = changed("net.multipliers", (1,))
    config["net"]["attention"] = (8,)
    source = build.source(config)
    mesh = single_device() if name == "one" else sharding.make_mesh(**sizes)
    parts = experiment.build(config, source.spec, mesh)
    params = params or jax.jit(parts.init)(jax.random.key(0))
    state = init_state(params, parts.optimizer, parts.ema)
    everything = sum(leaf.size for leaf in jax.tree.leaves(state))
    placed = sharding.shard(mesh, state, parts.tensor_axis)
    state = jax.device_put(state, placed)
    held = sum(leaf.addressable_shards[0].data.size for leaf in jax.tree.leaves(state))

    step = make_train_step(parts.loss_fn, parts.optimizer, parts.ema, jax.random.key(1))
    run = jax.jit(in_calls(step, feed.examples), out_shardings=(placed, sharding.replicated(mesh)))
    food = feed.make_feed(source, mesh, BATCH, 0, "never")
    batch = food.read(0, 1)
    compiled = run.lower(state, None, batch).compile()

    def gradient(params, batch):
        return jax.grad(lambda p: parts.loss_fn(p, jax.random.key(2), jax.tree.map(lambda x: x[0], batch))[0])(params)

    cut = name == "fsdp"
    alone = cut and jax.jit(gradient, out_shardings=placed.params).lower(state.params, batch).compile()
    losses = []
    for i in range(STEPS):
        state, metrics = compiled(state, None, food.read(i, 1))
        losses.append(float(metrics["loss"][0]))
    gathers = {"gathered": gathered(compiled), "gathered_by_gradient": gathered(alone)} if cut else {}
    drawn = {}
    if name in ("one", "data"):
        model = replace(parts.model, params=jax.device_put(params, sharding.replicated(mesh)))
        images = model.sample(jax.random.key(3), 3 if name == "data" else 8, steps=3, sampler="ancestral")
        drawn = {"images": np.asarray(images).tolist()}
    return {"losses": losses, "share": held / everything, **gathers, **drawn}, params


def single_device():
    return jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), ("data", "fsdp", "tensor"))


if __name__ == "__main__":
    seen, params = {}, None
    for name, sizes in MESHES.items():
        seen[name], params = train(name, sizes, params)
    print(json.dumps(seen))
