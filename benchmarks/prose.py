"""Masked diffusion of prose beside n-grams and the same network, autoregressive, trained for the same minutes.

    python benchmarks/prose.py --text kjv.txt.gz --minutes 5 --json benchmarks/results/prose.json

Bits a character of the last 20th of the text (of its first 100,000 characters for the n-grams): for the diffusion model
the bound by the number of masks with its interval of 95 %; for n-grams Witten-Bell's interpolation (Witten and Bell
1991), trained on the rest; for the autoregressive network its exact cross-entropy, each character given up to `length`
before it within its window. The network is that of configs/masked.py.
"""

import argparse
import json
import math
import time
from collections import Counter, defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxdiff
from configs.masked import get_config
from jaxdiff.config import build
from jaxdiff.data.source import Source, batches
from jaxdiff.discrete import interval
from jaxdiff.discrete.likelihood import by_count
from jaxdiff.modalities.text.file import HELD, read_text
from jaxdiff.nets import Sequence

ORDERS = (4, 5, 6)


def witten_bell(train: str, test: str, order: int) -> float:
    """Bits a character of an n-gram: p(c | h) = (count(h c) + types(h) p(c | shorter h)) / (count(h) + types(h))."""
    counts = [defaultdict(Counter) for _ in range(order)]
    for n in range(order):
        for i in range(n, len(train)):
            counts[n][train[i - n : i]][train[i]] += 1
    totals = [{h: (sum(c.values()), len(c)) for h, c in level.items()} for level in counts]
    symbols, bits = len(set(train) | set(test)), 0.0
    for i, character in enumerate(test):
        p = 1 / symbols
        for n in range(min(order, i + 1)):
            h = test[i - n : i]
            if h in totals[n]:
                total, types = totals[n][h]
                p = (counts[n][h][character] + types * p) / (total + types)
        bits -= math.log2(p)
    return bits / len(test)


def autoregressive(source: Source, held_out: np.ndarray, net: dict, minutes: float, batch: int, rate: float):
    """Bits a character of the same network that sees what stands before, and the steps that it was trained."""
    symbols = len(source.spec.details["vocabulary"])
    module = Sequence(symbols, causal=True, **{k: v for k, v in net.items() if k != "name"})

    def entropy(params, x):
        before = jnp.pad(x[:, :-1], ((0, 0), (1, 0)), constant_values=symbols)
        log_p = jax.nn.log_softmax(module.apply({"params": params}, before, jnp.zeros(len(x))))
        return -jnp.take_along_axis(log_p, x[..., None], -1).mean()

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.linear_schedule(0.0, rate, 100)))

    @jax.jit
    def step(params, state, x):
        loss, grads = jax.value_and_grad(entropy)(params, x)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    params = module.init(jax.random.key(0), jnp.zeros((1, source.spec.shape[0])), jnp.zeros(1))["params"]
    state, steps, begin = optimizer.init(params), 0, None
    for one in batches(source, batch, 0):
        params, state, loss = step(params, state, jnp.asarray(one.x_0))
        jax.block_until_ready(loss)
        steps, begin = steps + 1, begin or time.monotonic()  # after it was compiled
        if time.monotonic() - begin > 60 * minutes:
            break
    measured = [float(jax.jit(entropy)(params, jnp.asarray(part))) for part in np.array_split(held_out, 16)]
    return float(np.mean(measured)) / math.log(2), steps


def main():
    """Train, measure, and print one row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--examples", type=int, default=512)
    parser.add_argument("--json")
    given = parser.parse_args()
    config = get_config(f"text={given.text}").to_dict()
    config["data"]["length"] = config["held_out"]["length"] = given.length
    model = jaxdiff.train(config, fields={"train.minutes": given.minutes})
    held_out = build.held_out(config, model.spec)
    x = held_out.take(np.linspace(0, held_out.size - 1, min(given.examples, held_out.size)).astype(int)).x_0
    process, denoiser, *_ = model.bind(model.params, None)
    nats = jax.jit(lambda x: by_count(process, denoiser, jax.random.key(0), x, 32))
    values = np.concatenate([nats(jnp.asarray(part)) for part in np.split(x, range(64, len(x), 64))])
    found = interval(values / given.length / np.log(2))
    rows = {"masked diffusion, bound": found._asdict() | {"weights": model.weights}}
    rate, batch = config["optimizer"]["learning_rate"], config["train"]["batch_size"]
    bits, steps = autoregressive(build.source(config), x, config["net"], given.minutes, batch, rate)
    rows["autoregressive, the same network"] = {"mean": bits, "steps": steps}
    text = read_text(given.text)
    cut = int(len(text) * (1 - HELD))
    for order in ORDERS:
        rows[f"Witten-Bell, order {order}"] = {"mean": witten_bell(text[:cut], text[cut : cut + 100_000], order)}
    for name, row in rows.items():
        print(f"{name:36} {row['mean']:.3f}" + (f" ({row['low']:.3f} to {row['high']:.3f})" if "low" in row else ""))
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"minutes": given.minutes, "length": given.length, "rows": rows}, file, indent=2)


if __name__ == "__main__":
    main()
