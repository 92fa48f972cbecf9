"""Whole trajectories of other libraries' samplers on one toy denoiser: run as a script, it writes their fixtures.

    python -m tests.helpers.trajectory_reference diffusers                      needs the extra `parity`
    python -m tests.helpers.trajectory_reference k-diffusion PATH/sampling.py   needs torch, torchsde and torchdiffeq

k-diffusion is read from its one file, since its pinned requirements do not go with NumPy 2.
"""

import importlib.util
import sys
import types
import warnings
from pathlib import Path
from unittest import mock

import numpy as np

FIXTURES = Path(__file__).parents[1] / "fixtures"
STEPS = (20, 50)
SHAPE = (4, 3)


def toy(y, sigma, tanh, sqrt):
    """A smooth denoiser of `y = x_0 + sigma eps`, in any framework."""
    return tanh(1.2 * y / sqrt(1 + sigma**2)) + 0.1 * y / (1 + sigma**2)


def inputs(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit noise to start from, and one for each step."""
    rng = np.random.default_rng(steps)
    return rng.normal(size=SHAPE), rng.normal(size=(steps, *SHAPE))


# name: (class, options, whether its x is scaled as EDM's (alpha = 1))
DIFFUSERS = {
    "ddim": ("DDIMScheduler", {"set_alpha_to_one": True, "clip_sample": False}, False),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}, False),
    "euler": ("EulerDiscreteScheduler", {}, True),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}, True),
    "heun": ("HeunDiscreteScheduler", {}, True),
    "heun_karras": ("HeunDiscreteScheduler", {"use_karras_sigmas": True}, True),
    "lms": ("LMSDiscreteScheduler", {}, True),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}, False),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, False),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, False),
    "dpmpp_3m": ("DPMSolverMultistepScheduler", {"solver_order": 3}, False),
    "unipc_2": ("UniPCMultistepScheduler", {"solver_order": 2}, False),
    "unipc_3": ("UniPCMultistepScheduler", {"solver_order": 3}, False),
    "deis_2": ("DEISMultistepScheduler", {"solver_order": 2}, False),
    "deis_3": ("DEISMultistepScheduler", {"solver_order": 3}, False),
    "pndm": ("PNDMScheduler", {"set_alpha_to_one": True}, False),
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {}, False),
}


def diffusers_trajectories() -> dict[str, np.ndarray]:
    """By "name/steps": the levels sigma / alpha of the steps (of flows, t), and every x, the first included."""
    import diffusers
    import torch

    out = {}
    for name, (cls, options, edm_scale) in DIFFUSERS.items():
        for steps in STEPS:
            start, noises = (torch.tensor(a) for a in inputs(steps))
            with warnings.catch_warnings():  # NumPy 2, and their own scaling of the input, which is done here
                warnings.simplefilter("ignore")
                scheduler = getattr(diffusers, cls)(1000, **options)
                scheduler.set_timesteps(steps)
                levels, states = _run(scheduler, name, start, noises, edm_scale)
            out[f"{name}/{steps}/levels"], out[f"{name}/{steps}"] = np.array(levels), np.stack(states)
    return out


def _run(scheduler, name, start, noises, edm_scale):
    import torch

    by_table = hasattr(scheduler, "alphas_cumprod") and name in ("ddim", "ddpm", "pndm")
    if by_table:
        scheduler.alphas_cumprod = (1 - scheduler.betas.double()).cumprod(0)
        scheduler.betas, scheduler.alphas = scheduler.betas.double(), 1 - scheduler.betas.double()
    else:  # in float32 the closed forms of its third-order DEIS are good to 3e-4 alone
        scheduler.sigmas = scheduler.sigmas.double()
    timesteps, taken = scheduler.timesteps, 0

    def level(i, t):
        if by_table:
            return float(((1 - scheduler.alphas_cumprod[t]) / scheduler.alphas_cumprod[t]) ** 0.5)
        return float(scheduler.sigmas[i])

    first = level(0, timesteps[0])
    alpha = 1.0 if edm_scale else (1 - first if name.startswith("flow") else (1 + first**2) ** -0.5)
    sigma = first if edm_scale or name.startswith("flow") else alpha * first
    x = sigma * start
    levels, states = [first], [x.numpy()]
    for i, t in enumerate(timesteps):
        s = level(i, t)
        if name.startswith("flow"):
            out = (x - toy(x, s, torch.tanh, lambda a: a**0.5)) / s
        else:
            a = 1.0 if edm_scale else (1 + s**2) ** -0.5
            y = x / a
            out = (y - toy(y, s, torch.tanh, lambda a: a**0.5)) / s
        noise = noises[min(taken, len(noises) - 1)]
        place = f"{type(scheduler).__module__}.randn_tensor"
        if name in ("euler_ancestral", "ddpm"):
            with mock.patch(place, return_value=noise):
                x = scheduler.step(out, t, x).prev_sample
        elif name == "dpmpp_2m_sde":
            x = scheduler.step(out, t, x, variance_noise=noise).prev_sample
        else:
            x = scheduler.step(out, t, x).prev_sample
        # Heun's second stage and the stages of PNDM's warm-up are calls of their own: keep the ends of whole steps.
        whole = {"heun": i % 2 == 1, "heun_karras": i % 2 == 1, "pndm": i >= 12 or i % 4 == 3}.get(name, True)
        if whole or i == len(timesteps) - 1:
            taken += 1
            last = 0.0 if by_table else float(scheduler.sigmas[-1])
            after = level(i + 1, timesteps[i + 1]) if i + 1 < len(timesteps) else last
            levels.append(after)
            states.append(x.double().numpy())
    return levels, states


# name: (function, arguments, whether it takes noise)
K_DIFFUSION = {
    "euler": ("sample_euler", {}, False),
    "euler_churn": ("sample_euler", {"s_churn": 5.0, "s_tmax": 20.0, "s_tmin": 0.05, "s_noise": 1.003}, False),
    "euler_ancestral": ("sample_euler_ancestral", {"eta": 0.7}, True),
    "heun": ("sample_heun", {}, False),
    "heun_churn": ("sample_heun", {"s_churn": 5.0, "s_tmax": 20.0, "s_tmin": 0.05, "s_noise": 1.003}, False),
    "lms": ("sample_lms", {}, False),
    "dpmpp_2s": ("sample_dpmpp_2s_ancestral", {"eta": 0.0}, True),
    "dpmpp_2s_ancestral": ("sample_dpmpp_2s_ancestral", {"eta": 0.7}, True),
    "dpmpp_2m": ("sample_dpmpp_2m", {}, False),
    "dpmpp_2m_sde": ("sample_dpmpp_2m_sde", {"eta": 0.7}, True),
    "dpmpp_3m_sde": ("sample_dpmpp_3m_sde", {"eta": 0.7}, True),
}
SIGMAS = (0.01, 50.0)


def k_diffusion_trajectories(path: str) -> dict[str, np.ndarray]:
    """As above; x is EDM's. The grids are k-diffusion's own of Karras, and "exponential/K" its geometric one."""
    import torch

    package = types.ModuleType("k_diffusion_file")
    package.__path__ = []
    sys.modules["k_diffusion_file"] = package
    sys.modules["k_diffusion_file.utils"] = types.ModuleType("utils")
    package.utils = sys.modules["k_diffusion_file.utils"]
    package.utils.append_dims = lambda x, n: x.reshape(x.shape + (1,) * (n - x.ndim))
    spec = importlib.util.spec_from_file_location("k_diffusion_file.sampling", path)
    sampling = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sampling)

    def model(x, sigma):
        return toy(x, sigma[:, None], torch.tanh, torch.sqrt)

    out = {}
    for steps in STEPS:
        start, noises = (torch.tensor(a) for a in inputs(steps))
        sigmas = sampling.get_sigmas_karras(steps, *SIGMAS).double()
        out[f"exponential/{steps}/levels"] = sampling.get_sigmas_exponential(steps, *SIGMAS).numpy()
        for name, (function, arguments, noisy) in K_DIFFUSION.items():
            states, draws = [], iter(noises)
            given = dict(arguments) | ({"noise_sampler": lambda a, b, draws=draws: next(draws)} if noisy else {})
            with mock.patch.object(torch, "randn_like", lambda x, draws=draws: next(draws)):
                keep = lambda info, states=states: states.append(info["x"].numpy())
                run = getattr(sampling, function)
                last = run(model, sigmas[0] * start, sigmas, callback=keep, disable=True, **given)
            out[f"{name}/{steps}/levels"] = sigmas.numpy()
            out[f"{name}/{steps}"] = np.stack([*states, last.numpy()])
    return out


if __name__ == "__main__":
    which = sys.argv[1]
    content = diffusers_trajectories() if which == "diffusers" else k_diffusion_trajectories(sys.argv[2])
    np.savez_compressed(FIXTURES / f"trajectories_{which.replace('-', '_')}.npz", **content)
