"""Loss: the weighted squared error of a network's output, over times drawn at random.

    L = E_{t, x_0, eps} w(t) |out(x_t, t) - (a x_0 + b eps)|²,  averaged over the components of an example

A weight is given for the output's error, and most are stated in the literature for the error in eps; `eps_error` is the
factor between them, so each weight below means the same for every parameterization. Where alpha = 0 a weight is what it
is just before, at `jaxdiff.process.interior(process, t)`: its limit, if it has one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.parameterization import Parameterization, determinant, eps_error, evaluate, target
from jaxdiff.process import Process, interior, log_snr, perturb, time_at, with_slopes
from jaxdiff.types import Array, Batch, Key, LossFn, Network, Params, StatefulLoss, expand

Weight = Callable[[Process, Parameterization, Array], Array]
"""`(process, parameterization, t) -> w`, (batch,), the factor on the squared error of the output."""

Times = Callable[[Process, Key, int], Array]
"""`(process, key, batch) -> t`, (batch,)."""


def simple() -> Weight:
    """One, whatever the output means (for eps: L_simple of Ho et al. 2020, equation 14)."""
    return lambda process, parameterization, t: jnp.ones_like(t)


def elbo() -> Weight:
    """`-lambda'(t) / 2` on the error in eps: the variational bound, in nats per component when t is uniform on [0, 1].

    Kingma et al. 2021, equation 17. Grows without limit towards t = 0.
    """

    def weight(process, parameterization, t):
        # -lambda' alpha² / 2 = alpha (alpha sigma' / sigma - alpha'), without lambda', which is infinite at alpha = 0.
        t = interior(process, t)
        (alpha, sigma), slopes = with_slopes(process, t)
        return alpha * (alpha * slopes[1] / sigma - slopes[0]) / determinant(process, parameterization, t) ** 2

    return weight


def likelihood() -> Weight:
    """g² on the error in the score: twice `elbo`, likelihood weighting (Song, Durkan et al. 2021)."""
    weight = elbo()
    return lambda process, parameterization, t: 2 * weight(process, parameterization, t)


def min_snr(gamma: float = 5.0) -> Weight:
    """min(SNR, gamma) on the error in x_0, which is min(1, gamma / SNR) on that in eps (Hang et al. 2023)."""
    return _on_eps(lambda process, t: jnp.minimum(1, gamma * jnp.exp(-log_snr(process, t))))


def p2(k: float = 1.0, gamma: float = 1.0) -> Weight:
    """1 / (k + SNR)^gamma on the error in eps (Choi et al. 2022, equation 8)."""
    return _on_eps(lambda process, t: (k + jnp.exp(log_snr(process, t))) ** -gamma)


def sigmoid(bias: float = -3.0) -> Weight:
    """sigmoid(bias - lambda) times `elbo` (Kingma and Gao 2023; Hoogeboom et al. 2024, SiD2: bias of -1 to -3)."""
    weight = elbo()
    return lambda process, parameterization, t: (
        jax.nn.sigmoid(bias - log_snr(process, t)) * weight(process, parameterization, t)
    )


def edm(sigma_data: float = 0.5) -> Weight:
    """1 on the output of parameterization `edm`: `1 + (sigma / alpha / sigma_data)²` on the error in eps.

    Karras et al. 2022, table 1: `(sigma² + sigma_data²) / (sigma sigma_data)²` on the error in x_0.
    """

    def weight(process, parameterization, t):
        t = interior(process, t)
        size = process.alpha(t) ** 2 + (process.sigma(t) / sigma_data) ** 2
        return size / determinant(process, parameterization, t) ** 2

    return weight


def eps() -> Weight:
    """1 on the error in eps, whatever the output means: for a score, sigma² (Song and Ermon 2019)."""
    return _on_eps(lambda process, t: jnp.ones_like(t))


def _on_eps(factor: Callable[[Process, Array], Array]) -> Weight:
    def weight(process, parameterization, t):
        t = interior(process, t)
        return factor(process, t) * eps_error(process, parameterization, t)

    return weight


def uniform(t_min: float = 0.0, steps: int | None = None) -> Times:
    """Independent times, uniform on [t_min, 1]; with `steps`, on the times of a chain of that many steps."""
    return _uniform(lambda key, batch: jax.random.uniform(key, (batch,)), t_min, steps)


def stratified(t_min: float = 0.0, steps: int | None = None) -> Times:
    """One random offset, then evenly spaced: uniform times that cover [t_min, 1] (Kingma et al. 2021, appendix I.1)."""
    return _uniform(lambda key, batch: (jax.random.uniform(key) + jnp.arange(batch) / batch) % 1, t_min, steps)


def antithetic(t_min: float = 0.0, steps: int | None = None) -> Times:
    """Pairs u and 1 - u, uniform on [t_min, 1]."""

    def draw(key, batch):
        half = jax.random.uniform(key, ((batch + 1) // 2,))
        return jnp.stack([half, 1 - half], axis=1).reshape(-1)[:batch]

    return _uniform(draw, t_min, steps)


def logit_normal(mean: float = 0.0, std: float = 1.0, t_min: float = 0.0) -> Times:
    """t = sigmoid(n), n normal: the middle of the path most often (Esser et al. 2024, equation 19). At least t_min."""
    _check_t_min(t_min)
    return lambda process, key, batch: jnp.maximum(jax.nn.sigmoid(mean + std * jax.random.normal(key, (batch,))), t_min)


def log_normal(mean: float = -1.2, std: float = 1.2) -> Times:
    """Noise levels sigma / alpha with a normal logarithm, of any process (Karras et al. 2022, P_mean and P_std)."""

    def times(process, key, batch):
        return time_at(process, -2 * (mean + std * jax.random.normal(key, (batch,))))

    return times


def _uniform(draw: Callable[[Key, int], Array], t_min: float, steps: int | None) -> Times:
    _check_t_min(t_min)
    if steps is not None and (steps < 1 or t_min):
        raise InputError(f"steps={steps}, t_min={t_min}: steps must be 1 or more, and a chain has no t_min")

    def times(process, key, batch):
        u = draw(key, batch)
        # A draw of just below 1 may round to 1 when scaled: the last step is the last.
        return (jnp.minimum(jnp.floor(u * steps), steps - 1) + 1) / steps if steps else 1 - (1 - t_min) * u

    return times


def _check_t_min(t_min: float) -> None:
    if not 0 <= t_min < 1:
        raise InputError(f"t_min={t_min}: the smallest time must lie in [0, 1)")


def squared_error(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    params: Params,
    key: Key,
    batch: Batch,
    t: Array,
) -> Array:
    """The mean squared error of the output over the components of each example, (batch,), at times t (batch,)."""
    key_eps, key_net = jax.random.split(key)
    x_0 = batch.x_0
    x_t, eps = perturb(process, key_eps, x_0, t)
    out = evaluate(process, parameterization, network, params, x_t, t, batch.condition, key_net)
    return jnp.square(out - target(process, parameterization, x_0, eps, t)).reshape(x_0.shape[0], -1).mean(axis=1)


def drop_condition(loss_fn: LossFn | StatefulLoss, rate: float) -> LossFn | StatefulLoss:
    """The loss, with each example's condition left out at this rate, so that guidance has an unconditional model.

    All parts of a condition go together (Ho and Salimans 2022, algorithm 1, p_uncond); see `jaxdiff.types.Condition`.
    What is known of every example and never missing, such as how it was augmented, is to be told by the loss within.
    """
    if not rate:
        return loss_fn

    def dropped(key, batch):
        if batch.condition is None:
            return batch
        kept = jax.random.uniform(key, (batch.x_0.shape[0],)) >= rate
        missing = jax.tree.map(jnp.zeros_like, batch.condition)
        if missing.label is not None:
            missing = missing._replace(label=jnp.full_like(missing.label, -1))
        choose = lambda value, none: jnp.where(expand(kept, value), value, none)  # noqa: E731
        return batch._replace(condition=jax.tree.map(choose, batch.condition, missing))

    return of_changed(loss_fn, dropped)


def of_changed(loss_fn: LossFn | StatefulLoss, change: Callable[[Key, Batch], Batch]) -> LossFn | StatefulLoss:
    """The loss of a batch that has been changed at random."""
    if isinstance(loss_fn, StatefulLoss):

        def remembering(params, memory, key, batch):
            key_change, key = jax.random.split(key)
            return loss_fn.loss(params, memory, key, change(key_change, batch))

        return StatefulLoss(loss_fn.init, remembering)

    def plain(params, key, batch):
        key_change, key = jax.random.split(key)
        return loss_fn(params, key, change(key_change, batch))

    return plain


def diffusion_loss(
    process: Process, parameterization: Parameterization, network: Network, weight: Weight, times: Times
) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`: the mean over the batch, and "mse", its unweighted error."""

    def loss_fn(params, key, batch):
        key_t, key_error = jax.random.split(key)
        t = times(process, key_t, batch.x_0.shape[0])
        error = squared_error(process, parameterization, network, params, key_error, batch, t)
        return jnp.mean(weight(process, parameterization, t) * error), {"mse": jnp.mean(error)}

    return loss_fn
