"""FlowMap: `(x_t, t, s) -> x_s`, where the probability flow through x_t at time t is at time s.

Denoisers say where the flow goes next; a flow map says where it arrives, in one call. For all s <= r <= t

    X(x, t, t) = x                 X(X(x, t, r), r, s) = X(x, t, s)                 X pushes q_t to q_s

A network is a flow map by DDIM's formula, aimed at an endpoint E(x_t, t, s) that knows both times:

    x_s = alpha_s E + sigma_s (x_t - alpha_t E) / sigma_t                                       (`towards`)

so that the first identity holds by construction, E(x, t, 0) is the consistency function (Song et al. 2023), E(x, t, t)
the denoiser, and on the straight path `x_t - (t - s) u`, with u the mean velocity of MeanFlow (Geng et al. 2025) and of
shortcut models (Frans et al. 2025), is the same with `E = x_t - t u`.

Exact maps: N(m, s²) moves along `(x - alpha m) / sqrt(alpha² s² + sigma²)`, and any law on the line from quantile to
quantile, `F_s^-1(F_t(x))`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

from jaxdiff.gaussian.parameterization import Parameterization, evaluate, to_x0
from jaxdiff.gaussian.process import Process
from jaxdiff.types import Array, Condition, Denoiser, Key, Network, Params, as_time, expand, per_example

__all__ = [
    "Endpoint",
    "FlowMap",
    "ddim_map",
    "endpoint_of",
    "from_mean_velocity",
    "gaussian_map",
    "make_endpoint",
    "mean_velocity",
    "mixture_map",
    "one_time",
    "to_endpoint",
    "towards",
]

FlowMap = Callable[[Array, Array, Array], Array]
"""`(x_t, t, s) -> x_s`, shaped like x_t; t and s <= t are scalars or (batch,)."""

Endpoint = Callable[[Array, Array, Array], Array]
"""`(x_t, t, s) -> E`, the x_0 at which DDIM's step from t to s has to aim to land on the flow."""


def towards(process: Process, x_t: Array, x_0: Array, t: Array, s: Array) -> Array:
    """DDIM's step from t to s towards x_0, shaped like x_t; x_t itself where s = t."""
    shrink = _shrink(process, t, s)
    of_x_0 = process.alpha(s) - shrink * process.alpha(t)
    return expand(shrink, x_t) * x_t + expand(of_x_0, x_t) * x_0


def endpoint_of(process: Process, x_t: Array, x_s: Array, t: Array, s: Array) -> Array:
    """The x_0 at which DDIM's step from t to s < t has to aim to land on x_s (Salimans and Ho 2022, appendix G)."""
    shrink = _shrink(process, t, s)
    of_x_0 = process.alpha(s) - shrink * process.alpha(t)
    return (x_s - expand(shrink, x_t) * x_t) / expand(of_x_0, x_t)


def _shrink(process: Process, t: Array, s: Array) -> Array:
    """sigma_s / sigma_t, the part of the noise that a step leaves; 1 where there is none at t."""
    sigma_t = process.sigma(t)
    return jnp.where(sigma_t > 0, process.sigma(s) / jnp.where(sigma_t > 0, sigma_t, 1), 1)


def ddim_map(process: Process, endpoint: Endpoint) -> FlowMap:
    """The flow map that aims at an endpoint; of a denoiser, `ddim_map(process, one_time(denoiser))`, DDIM's steps.

    >>> from jaxdiff.gaussian.schedules import flow
    >>> step = ddim_map(flow(), one_time(lambda x_t, t: jnp.zeros_like(x_t)))
    >>> step(jnp.array([[2.0, -4.0]]), jnp.float32(1.0), jnp.float32(0.5)).tolist()
    [[1.0, -2.0]]
    """

    def flow_map(x_t, t, s):
        t, s = as_time(t, x_t), as_time(s, x_t)
        return towards(process, x_t, endpoint(x_t, t, s), t, s)

    return flow_map


def one_time(denoiser: Denoiser) -> Endpoint:
    """The endpoint of a denoiser, whatever s is."""
    return lambda x_t, t, s: denoiser(x_t, t)


def make_endpoint(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    params: Params,
    condition: Condition | None = None,
    key: Key | None = None,
) -> Endpoint:
    """Bind a network that is told a second time, by the condition "until", in the form in which it is told the first.

    As `make_denoiser`, which binds one that is not told.
    """

    def endpoint(x_t, t, s):
        t = per_example(t, x_t)
        until = parameterization.time_input(process, per_example(s, x_t))
        out = evaluate(process, parameterization, network, params, x_t, t, {**(condition or {}), "until": until}, key)
        return to_x0(process, parameterization, out, x_t, t)

    return endpoint


def to_endpoint(process: Process, flow_map: FlowMap) -> Endpoint:
    """The endpoint of a flow map, for s < t."""
    return lambda x_t, t, s: endpoint_of(process, x_t, flow_map(x_t, t, s), t, s)


def mean_velocity(flow_map: FlowMap) -> FlowMap:
    """`(x_t, t, s) -> u = (x_t - x_s) / (t - s)`, s < t: the velocity averaged over the way (Geng et al. 2025)."""

    def velocity(x_t, t, s):
        t, s = as_time(t, x_t), as_time(s, x_t)
        return (x_t - flow_map(x_t, t, s)) / expand(t - s, x_t)

    return velocity


def from_mean_velocity(velocity: FlowMap) -> FlowMap:
    """The flow map `x_t - (t - s) u` of a mean velocity `(x_t, t, s) -> u`."""

    def flow_map(x_t, t, s):
        t, s = as_time(t, x_t), as_time(s, x_t)
        return x_t - expand(t - s, x_t) * velocity(x_t, t, s)

    return flow_map


def gaussian_map(process: Process, mean: Array | float, std: Array | float) -> FlowMap:
    """The exact map of data from N(mean, diag(std²)), both broadcast against one example."""
    mean, std = jnp.asarray(mean), jnp.asarray(std)

    def at(x, t):
        alpha, sigma = expand(process.alpha(t), x), expand(process.sigma(t), x)
        return alpha * mean, jnp.sqrt((alpha * std) ** 2 + sigma**2)

    def flow_map(x_t, t, s):
        (mean_t, std_t), (mean_s, std_s) = at(x_t, as_time(t, x_t)), at(x_t, as_time(s, x_t))
        return mean_s + std_s / std_t * (x_t - mean_t)

    return flow_map


def mixture_map(process: Process, weights: Array, means: Array, stds: Array) -> FlowMap:
    """The exact map of data whose every component is drawn from the mixture `sum_k w_k N(m_k, s_k²)` on the line.

    From quantile to quantile, by bisection of the logit of the distribution function, which keeps its digits in both
    tails. Derivatives of the first order, by x_t, t and s, are exact.

    Args:
      weights, means, stds: (components,); the weights are normalized.
    """
    weights, means, stds = (jnp.asarray(array) for array in (weights, means, stds))

    def at(x, t):
        """Means and standard deviations of the components of x_t, with an axis in front for each of x."""
        wide = lambda c: expand(c, x)[..., None]
        alpha, sigma = wide(process.alpha(t)), wide(process.sigma(t))
        return alpha * means, jnp.sqrt((alpha * stds) ** 2 + sigma**2)

    def logit(x, t):
        mean, std = at(x, t)
        z, log_w = (x[..., None] - mean) / std, jnp.log(weights / weights.sum())
        return logsumexp(log_w + norm.logcdf(z), axis=-1) - logsumexp(log_w + norm.logcdf(-z), axis=-1)

    def flow_map(x_t, t, s):
        t, s = as_time(t, x_t), as_time(s, x_t)
        goal = logit(x_t, t)
        mean_t, std_t = at(x_t, t)
        mean_s, std_s = at(x_t, s)
        z = (x_t[..., None] - mean_t) / std_t
        low = jnp.min(mean_s + std_s * z.min(-1, keepdims=True), -1)
        high = jnp.max(mean_s + std_s * z.max(-1, keepdims=True), -1)

        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            below = logit(middle, s) < goal
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        low, high = jax.lax.stop_gradient(jax.lax.fori_loop(0, 60, halve, jax.lax.stop_gradient((low, high))))
        x_s = (low + high) / 2
        slope = jax.lax.stop_gradient(jax.jvp(lambda x: logit(x, s), (x_s,), (jnp.ones_like(x_s),))[1])
        return x_s - (logit(x_s, s) - goal) / slope

    return flow_map
