"""Makes the figures of algebra.md and algebra_sampling.md: `python docs/figures.py`, a minute of CPU.

Nothing is trained: data are mixtures of Gaussians, whose denoiser is exact (`jaxdiff.gaussian.mixture`).
"""

import io
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from jaxdiff.gaussian import betas, grids, schedules
from jaxdiff.gaussian.mixture import gaussian_mixture, mixture_log_density
from jaxdiff.gaussian.parameterization import eps, eps_error, v, x0
from jaxdiff.gaussian.process import log_snr, transition
from jaxdiff.losses import weights
from jaxdiff.samplers import ancestral, ddim, dpmpp_2m, dpmpp_3m, heun, rk4, sample, trajectory, unipc

IMAGES = Path(__file__).parent / "images"
WEIGHTS, MEANS, STDS = np.array([0.35, 0.65]), np.array([[-1.0], [1.0]]), np.full((2, 1), 0.15)
"""The data of all figures in one dimension."""
INK = {"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.4}
TIMES = np.linspace(0.001, 0.999, 400).astype(np.float32)


def processes() -> None:
    """alpha, sigma and log-SNR of five processes."""
    named = {
        "ddpm": schedules.ddpm(betas.linear(1000)),
        "cosine": schedules.cosine(),
        "flow": schedules.flow(),
        "sub_vp": schedules.sub_vp(),
        "edm": schedules.edm(),
    }
    _, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    for name, process in named.items():
        for axis, f in zip(axes, (process.alpha, process.sigma, lambda t, p=process: log_snr(p, t)), strict=True):
            axis.plot(TIMES, jax.vmap(f)(TIMES), label=name)
    for axis, title in zip(axes, ("alpha(t)", "sigma(t)", "log-SNR"), strict=True):
        axis.set(title=title, xlabel="t")
    axes[1].set_ylim(0, 1.05)
    axes[1].text(0.03, 0.93, "edm: to 80", fontsize=8, color="C4")
    axes[2].set_ylim(-12, 12)
    axes[2].legend(frameon=False, fontsize=8)
    save("algebra-processes")


def noising() -> None:
    """The density of x_t from the data to the noise, and paths back along the probability flow."""
    process = schedules.cosine()
    log_density = mixture_log_density(process, WEIGHTS, MEANS, STDS)
    x = np.linspace(-2.6, 2.6, 300)
    rows = [np.exp(log_density(jnp.asarray(x)[:, None], jnp.float32(t))) for t in TIMES]
    picture = np.stack([row / row.max() for row in rows], axis=1)
    times = grids.uniform(200, 0.999, 0.001)
    x_1 = jnp.linspace(-1.8, 1.8, 13)[:, None]
    keep = np.arange(0, 200, 2)
    _, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
    denoiser = gaussian_mixture(process, WEIGHTS, MEANS, STDS)
    x_0 = jnp.array([-1.15, -1.0, -0.85, 0.8, 0.9, 1.0, 1.1, 1.2])[:, None]
    forth = grids.uniform(200, 0.999, 0.001)[::-1]

    def noise(x, along):
        key, s, t = along
        factor, variance = transition(process, s, t)
        return (x_t := factor * x + jnp.sqrt(variance) * jax.random.normal(key, x.shape)), x_t

    steps = (jax.random.split(jax.random.key(1), 200), forth[:-1], forth[1:])
    noised = jax.lax.scan(noise, x_0, steps)[1]
    panels = (("noising", None), ("back, DDIM", ddim), ("back, ancestral", ancestral))
    for axis, (title, make) in zip(axes, panels, strict=True):
        axis.imshow(picture, extent=(0, 1, -2.6, 2.6), aspect="auto", origin="lower", cmap="Blues", alpha=0.8)
        axis.set(title=title, xlabel="t", xlim=(0, 1), ylim=(-2.6, 2.6))
        if make is None:
            axis.plot(forth[1:], noised[:, :, 0], color="C3", linewidth=0.8)
        else:
            _, frames = trajectory(make(process, denoiser), jax.random.key(3), x_1, times, keep)
            axis.plot(times[keep], frames[:, :, 0], color="C3", linewidth=0.8)
    axes[0].set_ylabel("x_t")
    save("algebra-noising")


def outputs() -> None:
    """How much an error of the output is in eps, by parameterization, and what weights make of it."""
    process = schedules.cosine()
    _, axes = plt.subplots(1, 2, figsize=(7.5, 2.8), layout="constrained")
    for name, parameterization in (("eps", eps()), ("x0", x0()), ("v", v())):
        axes[0].semilogy(
            TIMES, np.abs(jax.vmap(lambda t, p=parameterization: eps_error(process, p, t))(TIMES)), label=name
        )
    axes[0].set(title="error in eps, by error of the output", xlabel="t", ylim=(1e-2, 1e3))
    for name, weight in (("eps", weights.eps()), ("min_snr", weights.min_snr()), ("p2", weights.p2())):
        axes[1].semilogy(jax.vmap(lambda t: log_snr(process, t))(TIMES), weight(process, v(), TIMES), label=name)
    axes[1].set(title="weight on the squared error of v", xlabel="log-SNR", xlim=(-8, 8), ylim=(1e-3, 1e2))
    for axis in axes:
        axis.legend(frameon=False, fontsize=8)
    save("algebra-outputs")


def times_visited() -> None:
    """Where each grid spends twelve steps."""
    process = schedules.cosine()
    named = {
        "uniform": grids.uniform(12, 0.999, 0.001),
        "trailing": grids.trailing(12, 1000),
        "beta": grids.beta(12, t_max=0.999, t_min=0.001),
        "log_snr": grids.log_snr(process, 12, 0.999),
        "karras": grids.karras(process, 12),
    }
    _, axes = plt.subplots(1, 2, figsize=(8, 2.2), sharey=True, layout="constrained")
    for i, times in enumerate(reversed(named.values())):
        inside = np.clip(times, 1e-4, 1 - 1e-4)
        axes[0].plot(times, np.full(len(times), i), "|", markersize=11, color=f"C{i}", markeredgewidth=1.6)
        axes[1].plot(
            jax.vmap(lambda t: log_snr(process, t))(inside),
            np.full(len(times), i),
            "|",
            markersize=11,
            color=f"C{i}",
            markeredgewidth=1.6,
        )
    axes[0].set(
        yticks=range(len(named)),
        yticklabels=list(reversed(named)),
        xlabel="t (time runs to the left)",
        ylim=(-0.6, 4.6),
    )
    axes[1].set(xlabel="log-SNR")
    save("algebra-grids")


def orders() -> None:
    """The error of seven samplers against the number of calls of the denoiser."""
    process = schedules.vp()
    denoiser = gaussian_mixture(process, WEIGHTS, MEANS, np.full((2, 1), 0.5))
    x_1 = np.random.default_rng(0).normal(size=(512, 1))

    def end(make, steps):
        with jax.enable_x64(True):
            times = np.asarray(grids.log_snr(process, steps + 1, t_min=0.01)[:-1], np.float64)
            return np.asarray(sample(make(process, denoiser), jax.random.key(1), jnp.asarray(x_1), times))

    _, axis = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
    truth = end(rk4, 1000)
    for make, calls in ((ddim, 1), (heun, 2), (dpmpp_2m, 1), (dpmpp_3m, 1), (unipc, 1), (rk4, 4)):
        steps = np.array([8, 16, 32, 64, 128])
        error = [np.sqrt(np.mean((end(make, int(n)) - truth) ** 2)) for n in steps]
        axis.loglog(steps * calls, error, "o-", markersize=3, label=make.__name__)
    axis.set(xlabel="calls of the denoiser", ylabel="root mean square error of x_0")
    axis.legend(frameon=False, fontsize=8)
    save("algebra-orders")


def guided() -> None:
    """Draws of one class of three in two dimensions, by the scale of guidance."""
    process = schedules.cosine()
    angle = 2 * np.pi * np.arange(3) / 3 + np.pi / 2
    means, stds = np.stack([np.cos(angle), np.sin(angle)], 1), np.full((3, 2), 0.45)
    every = gaussian_mixture(process, np.ones(3), means, stds)
    one = gaussian_mixture(process, np.ones(1), means[:1], stds[:1])
    x_1 = jax.random.normal(jax.random.key(0), (1500, 2))
    _, axes = plt.subplots(1, 4, figsize=(9, 2.5), sharex=True, sharey=True, layout="constrained")
    for axis, scale in zip(axes, (0, 1, 2, 4), strict=True):
        denoiser = lambda x, t, w=scale: w * one(x, t) + (1 - w) * every(x, t)
        x_0 = sample(ddim(process, denoiser), jax.random.key(1), x_1, grids.uniform(100, 0.999, 0.001))
        axis.scatter(*x_0.T, s=1, alpha=0.4, color="C0")
        axis.scatter(*means.T, marker="+", color="C3")
        axis.set(title=f"guidance {scale}", aspect="equal", xlim=(-2.4, 2.4), ylim=(-2, 3.2))
    save("algebra-guidance")


def save(name: str) -> None:
    """Write the figure as docs/images/NAME.png, in few colors, which halves it and more."""
    plt.savefig(buffer := io.BytesIO())
    plt.close()
    Image.open(buffer).convert("RGB").quantize(96).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    with plt.rc_context(INK):
        for figure in (processes, noising, outputs, times_visited, orders, guided):
            figure()
