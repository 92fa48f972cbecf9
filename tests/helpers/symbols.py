"""A Markov chain of three symbols, all sequences of five listed, and its exact laws in NumPy, float64."""

import itertools

import jax.numpy as jnp
import numpy as np
from scipy import special

K, L = 3, 5
RNG = np.random.default_rng(0)
START, MOVE = RNG.dirichlet(np.ones(K) * 0.7), RNG.dirichlet(np.ones(K) * 0.7, K)
SEQUENCES = np.array(list(itertools.product(range(K), repeat=L)))
LAW = START[SEQUENCES[:, 0]] * np.prod([MOVE[SEQUENCES[:, i], SEQUENCES[:, i + 1]] for i in range(L - 1)], axis=0)
ENTROPY = float(-(LAW * np.log(LAW)).sum())
STATES = np.array(list(itertools.product(range(K + 1), repeat=L)))
"""All that a masked sequence can be, (1024, 5); 3 is [MASK]."""


def index(x, base):
    """The number of a sequence among all of its kind."""
    return (np.asarray(x) * base ** np.arange(L - 1, -1, -1)).sum(-1)


def posterior_table():
    """(1024, 5, 3): E[one-hot(x_0) | x_t] of every masked state, by summing over the sequences that agree with it."""
    agrees = ((STATES[:, None] == SEQUENCES) | (STATES[:, None] == K)).all(-1) * LAW
    agrees = agrees / agrees.sum(1, keepdims=True)
    return np.einsum("sn,nlk->slk", agrees, np.eye(K)[SEQUENCES])


TABLE = posterior_table()


def table_denoiser():
    """The exact denoiser of masked states, by looking up."""
    table = jnp.asarray(TABLE, jnp.float32)
    return lambda x, t: table[(x * (K + 1) ** jnp.arange(L - 1, -1, -1)).sum(-1)]


def law_of_steps(steps):
    """(243,): the law of what `steps` even steps of the linear masked process draw, each position alone."""
    now = np.zeros(len(STATES))
    now[-1] = 1
    for i in range(steps, 0, -1):
        leave = 1 / i  # (alpha_s - alpha_t) / (1 - alpha_t) of t = i / T
        moves = np.zeros((len(STATES), L, K + 1))
        moves[..., :K] = TABLE * np.where(STATES == K, leave, 1)[..., None]
        moves[..., K] = np.where(STATES == K, 1 - leave, 0)
        kernel = np.ones((len(STATES), 1))
        for position in range(L):
            kernel = (kernel[:, :, None] * moves[:, position, None, :]).reshape(len(STATES), -1)
        now = now @ kernel
    return now[index(SEQUENCES, K + 1)]


def chi_squared(drawn, law):
    """The p-value of a histogram of sequences (n, 5) against their law, the rare ones together."""
    n = len(drawn)
    seen, expected = np.bincount(index(drawn, K), minlength=K**L), n * law
    rare = expected < 8
    seen = np.append(seen[~rare], seen[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    return special.chdtrc(kept.sum() - 1, ((seen - expected)[kept] ** 2 / expected[kept]).sum())
