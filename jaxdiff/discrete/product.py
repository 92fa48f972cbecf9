"""Product: numbers and symbols of one example, each noised by a process of its own, by one clock.

    q(x_t | x_0) = q(numbers_t | numbers_0) q(symbols_t | symbols_0)

The parts of a state are a dict, {"numbers": (batch, n), "symbols": (batch, columns)}, whole numbers the latter. A
denoiser sees all parts at once and returns all, {"numbers": E[numbers_0 | x_t], "symbols": probabilities}, so that one
call of a network serves a step of both. This is the diffusion of tables of Kotelnikov et al. 2023 (TabDDPM: Gaussian
numbers, multinomial symbols) and Shi et al. 2025 (TabDiff: masked symbols).

Outside a state is one array, (batch, n + columns), the numbers first and the symbols as they count.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.discrete import process as replacement
from jaxdiff.discrete.denoiser import guided
from jaxdiff.discrete.losses import OBJECTIVES, bound_rate, cross_entropy
from jaxdiff.discrete.parameterization import Symbols
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.samplers import ancestral_symbols
from jaxdiff.errors import unknown
from jaxdiff.gaussian import process as gaussian
from jaxdiff.gaussian.parameterization import Parameterization, target, to_x0
from jaxdiff.gaussian.process import Process
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.samplers.ddim import ddim
from jaxdiff.types import Array, Batch, Condition, Key, LossFn, Network, Params, as_time, expand

__all__ = [
    "Mixed",
    "Parts",
    "Product",
    "columnwise",
    "guided_parts",
    "joined",
    "make_denoiser",
    "mixed",
    "mixed_loss",
    "outputs",
    "parted",
    "perturb",
    "prior",
    "product",
    "replaced",
]

Parts = Mapping[str, Array]


class Product(NamedTuple):
    """Two processes; the symbols' law, (columns, symbols), says how many columns of symbols there are."""

    numbers: Process
    symbols: Replacement


def product(numbers: Process, symbols: Replacement) -> Product:
    """Numbers by a Gaussian process, columns of symbols by a process of symbols."""
    return Product(numbers, symbols)


class Mixed(NamedTuple):
    """The meaning of a network's output: of the numbers, and of the symbols' logits."""

    numbers: Parameterization
    symbols: Symbols


def mixed(numbers: Parameterization, symbols: Symbols) -> Mixed:
    """Each part by a parameterization of its own."""
    return Mixed(numbers, symbols)


def parted(process: Product, x: Array) -> dict[str, Array]:
    """An array (batch, n + columns) as its parts.

    >>> of = product(None, replacement.masked([[1, 1], [1, 1]]))
    >>> {name: part.tolist() for name, part in parted(of, jnp.array([[0.5, 1.0, 0.0]])).items()}
    {'numbers': [[0.5]], 'symbols': [[1, 0]]}
    """
    count = x.shape[-1] - process.symbols.valid.shape[0]
    return {"numbers": x[..., :count], "symbols": jnp.asarray(jnp.round(x[..., count:]), jnp.int32)}


def joined(parts: Parts) -> Array:
    """The parts as one array; what is no symbol, -1, is NaN there."""
    numbers, symbols = parts["numbers"], parts["symbols"]
    return jnp.concatenate([numbers, jnp.where(symbols < 0, jnp.nan, symbols.astype(numbers.dtype))], axis=-1)


def perturb(process: Product, key: Key, x_0: Parts, t: Array) -> tuple[dict[str, Array], Array]:
    """Draw x_t of x_0, and the noise of the numbers: `(parts, eps)`; t is a scalar or (batch,)."""
    first, second = jax.random.split(key)
    numbers, eps = gaussian.perturb(process.numbers, first, x_0["numbers"], t)
    return {"numbers": numbers, "symbols": replacement.perturb(process.symbols, second, x_0["symbols"], t)}, eps


def prior(process: Product, key: Key, x: Array) -> dict[str, Array]:
    """Draw x_1, shaped like the parts of x (batch, n + columns)."""
    first, second = jax.random.split(key)
    parts = parted(process, x)
    return {
        "numbers": gaussian.prior(process.numbers, first, parts["numbers"]),
        "symbols": replacement.prior(process.symbols, second, parts["symbols"]),
    }


def outputs(
    process: Product,
    parameterization: Mixed,
    network: Network,
    params: Params,
    x_t: Parts,
    t: Array,
    condition: Condition | None = None,
    key: Key | None = None,
) -> tuple[Array, Array]:
    """A network's output for the numbers, and log p of the symbols (batch, columns, symbols); t is (batch,).

    The network is given one array, and returns the numbers' output and the logits of all columns side by side.
    """
    of_numbers, count = parameterization.numbers, x_t["numbers"].shape[-1]
    scaled = expand(of_numbers.input_scale(process.numbers, t), x_t["numbers"]) * x_t["numbers"]
    given = joined({"numbers": scaled, "symbols": x_t["symbols"]})
    out = network(params, given, of_numbers.time_input(process.numbers, t), condition, key)
    logits = out[..., count:].reshape(*x_t["symbols"].shape, process.symbols.symbols)
    return out[..., :count], parameterization.symbols.log_p(process.symbols, logits, x_t["symbols"])


def make_denoiser(
    process: Product,
    parameterization: Mixed,
    network: Network,
    params: Params,
    condition: Condition | None = None,
) -> Callable[[Parts, Array], dict[str, Array]]:
    """`(x_t, t) -> {"numbers": x̂_0, "symbols": probabilities}`; t is a scalar or (batch,)."""

    def denoise(x_t, t):
        t = jnp.broadcast_to(as_time(t, x_t["numbers"]), x_t["numbers"].shape[:1])
        out, log_p = outputs(process, parameterization, network, params, x_t, t, condition)
        x_0 = to_x0(process.numbers, parameterization.numbers, out, x_t["numbers"], t)
        return {"numbers": x_0, "symbols": jnp.exp(log_p)}

    return denoise


def guided_parts(conditional: Callable, unconditional: Callable, scale: float | Array) -> Callable:
    """Leads towards the condition: numbers in x̂_0 (Ho and Salimans 2022), symbols in logits."""

    def denoise(x_t, t):
        with_it, without = conditional(x_t, t), unconditional(x_t, t)
        numbers = without["numbers"] + scale * (with_it["numbers"] - without["numbers"])
        symbols = guided(lambda x, t: with_it["symbols"], lambda x, t: without["symbols"], scale)(
            with_it["symbols"], jnp.float32(0)
        )
        return {"numbers": numbers, "symbols": symbols}

    return denoise


def mixed_loss(
    process: Product,
    parameterization: Mixed,
    network: Network,
    times: Callable[[Any, Key, int], Array],
    objective: str = "elbo",
    balance: float = 1.0,
) -> LossFn:
    """The squared error of the numbers and `balance` times the loss of the symbols, each a mean over its columns.

    Args:
      times: see `jaxdiff.discrete.losses.symbol_loss`.
      objective: of the symbols: "elbo", the bound, or "simple", their cross-entropy.
      balance: weight of the symbols.
    """
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)

    def loss_fn(params: Params, key: Key, batch: Batch):
        key_t, key_x, key_net = jax.random.split(key, 3)
        x_0 = parted(process, batch.x_0)
        t = times(process, key_t, batch.x_0.shape[0])
        x_t, eps = perturb(process, key_x, x_0, t)
        out, log_p = outputs(process, parameterization, network, params, x_t, t, batch.condition, key_net)
        wanted = target(process.numbers, parameterization.numbers, x_0["numbers"], eps, t)
        error = jnp.square(out - wanted).sum() / max(out.size, 1)
        rate = bound_rate(process.symbols, t, x_0["symbols"], x_t["symbols"], log_p)
        symbols = rate if objective == "elbo" else cross_entropy(log_p, x_0["symbols"])
        symbols = symbols.sum() / max(symbols.size, 1)
        return error + balance * symbols, {"mse": error, "symbols": symbols}

    return loss_fn


def columnwise(
    process: Product,
    denoiser: Callable[[Parts, Array], Parts],
    eta: float | Array = 1.0,
    temperature: float | Array = 1.0,
    top_p: float | Array = 1.0,
) -> Sampler:
    """DDIM for the numbers and `ancestral_symbols` for the symbols, by one call of the denoiser a step.

    Args:
      eta: share of the ancestral noise of the numbers.
      temperature, top_p: of the symbols, see `ancestral_symbols`.
    """

    def step(key, state, t, s):
        first, second = jax.random.split(key)
        x_0 = denoiser(state.x, t)
        of_numbers = ddim(process.numbers, lambda x, t: x_0["numbers"], eta)
        of_symbols = ancestral_symbols(process.symbols, lambda x, t: x_0["symbols"], temperature, top_p)
        numbers = of_numbers.step(first, of_numbers.init(state.x["numbers"]), t, s).x
        symbols = of_symbols.step(second, State(state.x["symbols"]), t, s).x
        return State({"numbers": numbers, "symbols": symbols})  # pyright: ignore[reportArgumentType]

    return Sampler(State, step)


def replaced(process: Product, sampler: Sampler, known: Parts, free: Parts, repeats: int | Array = 1) -> Sampler:
    """Draws the free entries, and keeps the others: symbols as `infill` does, numbers noised to each state's time.

    What is drawn sees known numbers only through their noise, and follows them too little. So each step is taken
    several times, going back up in between (Lugmayr et al. 2022, RePaint, algorithm 1, with jumps of one step).

    Args:
      known, free: the parts, and which of their entries are to be drawn.
      repeats: of each step.
    """

    def placed(x, numbers, symbols):
        fixed = {"numbers": numbers, "symbols": known["symbols"] if process.symbols.masks else symbols}
        return jax.tree.map(jnp.where, dict(free), dict(x), fixed)

    def put(key, x, s):
        noised, _ = perturb(process, key, known, s)
        return placed(x, noised["numbers"], noised["symbols"])

    def init(x):
        alpha, sigma = process.numbers.alpha(jnp.ones(())), process.numbers.sigma(jnp.ones(()))
        noise = x["numbers"] / jnp.hypot(alpha, sigma)  # as `prior` drew it
        return sampler.init(placed(x, alpha * known["numbers"] + sigma * noise, x["symbols"]))

    def up(key, x, s, t):
        of_numbers, of_symbols = jax.random.split(key)
        scale, variance = gaussian.transition(process.numbers, s, t)
        noise = process.numbers.noise(of_numbers, x["numbers"])
        numbers = scale * x["numbers"] + jnp.sqrt(variance) * noise
        return {"numbers": numbers, "symbols": replacement.onward(process.symbols, of_symbols, x["symbols"], s, t)}

    def step(key, state, t, s):
        def again(i, x):
            down, back, fix = jax.random.split(jax.random.fold_in(key, i), 3)
            return put(fix, up(back, sampler.step(down, state._replace(x=x), t, s).x, s, t), t)

        x = jax.lax.fori_loop(0, repeats - 1, again, dict(state.x))
        first, second = jax.random.split(jax.random.fold_in(key, repeats - 1))
        after = sampler.step(first, state._replace(x=x), t, s)
        return after._replace(x=put(second, after.x, s))

    return Sampler(init, step)
