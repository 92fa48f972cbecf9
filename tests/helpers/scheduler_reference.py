"""What diffusers' schedulers make of one toy network, which tests/interop compares with live: needs `parity`."""

import warnings
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np

SHAPE = (2, 4, 4, 3)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = SD | {"timestep_spacing": "leading", "steps_offset": 1}
ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
ONLY_HIGH = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
V = {"prediction_type": "v_prediction"}

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "ddpm": ("DDPMScheduler", {}, 20),
    "ddpm_large": ("DDPMScheduler", {"variance_type": "fixed_large"}, 20),
    "ddpm_free": ("DDPMScheduler", SD | V | {"clip_sample": False}, 25),
    "ddim": ("DDIMScheduler", {}, 20),
    "ddim_sd": ("DDIMScheduler", LEADING | {"clip_sample": False, "set_alpha_to_one": False}, 20),
    "ddim_no_offset": ("DDIMScheduler", SD | {"clip_sample": False, "set_alpha_to_one": False}, 20),
    "ddim_zero_snr": ("DDIMScheduler", SD | ZERO_SNR | {"clip_sample": False}, 20),
    "ddim_x0": ("DDIMScheduler", {"prediction_type": "sample", "clip_sample": False}, 20),
    "ddim_cosine": ("DDIMScheduler", {"beta_schedule": "squaredcos_cap_v2", "clip_sample": True} | V, 20),
    "ddim_long": ("DDIMScheduler", {"num_train_timesteps": 400, "beta_end": 0.05, "clip_sample": False}, 20),
    "plms": ("PNDMScheduler", LEADING | {"skip_prk_steps": True}, 20),
    "plms_v": ("PNDMScheduler", LEADING | V | {"skip_prk_steps": True}, 20),
    "pndm": ("PNDMScheduler", {"set_alpha_to_one": True}, 20),
    "euler": ("EulerDiscreteScheduler", LEADING, 20),
    "euler_v": ("EulerDiscreteScheduler", LEADING | V, 20),
    "euler_linspace": ("EulerDiscreteScheduler", SD, 20),
    "euler_trailing": ("EulerDiscreteScheduler", SD | {"timestep_spacing": "trailing"}, 20),
    "euler_zero_snr": ("EulerDiscreteScheduler", SD | ZERO_SNR, 20),
    "euler_karras": ("EulerDiscreteScheduler", LEADING | {"use_karras_sigmas": True}, 20),
    "euler_exponential": ("EulerDiscreteScheduler", LEADING | {"use_exponential_sigmas": True}, 20),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", LEADING, 20),
    "heun": ("HeunDiscreteScheduler", LEADING, 20),
    "lms": ("LMSDiscreteScheduler", LEADING, 20),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", LEADING, 20),
    "dpmpp_2m_linspace": ("DPMSolverMultistepScheduler", SD | V, 20),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", LEADING | {"use_karras_sigmas": True}, 20),
    "dpmpp_2m_few": ("DPMSolverMultistepScheduler", LEADING, 6),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", LEADING | {"algorithm_type": "sde-dpmsolver++"}, 20),
    "dpmpp_2m_sigma_min": ("DPMSolverMultistepScheduler", LEADING | {"final_sigmas_type": "sigma_min"}, 20),
    "dpmpp_3m": ("DPMSolverMultistepScheduler", LEADING | {"solver_order": 3}, 20),
    "dpmpp_1s": ("DPMSolverMultistepScheduler", LEADING | {"solver_order": 1}, 20),
    "unipc": ("UniPCMultistepScheduler", LEADING, 20),
    "ddpm_trailing": ("DDPMScheduler", {"timestep_spacing": "trailing"}, 20),
    "ddpm_zero_snr": ("DDPMScheduler", SD | ZERO_SNR | {"clip_sample": False}, 20),
    "ddpm_offset": ("DDPMScheduler", LEADING, 30),
    "ddim_v": ("DDIMScheduler", LEADING | V | {"clip_sample": False, "set_alpha_to_one": False}, 30),
    "ddim_trailing": ("DDIMScheduler", SD | {"timestep_spacing": "trailing", "clip_sample": False}, 25),
    "ddim_uneven": ("DDIMScheduler", SD | {"timestep_spacing": "trailing", "clip_sample": False}, 30),
    "ddim_linspace": ("DDIMScheduler", SD | {"timestep_spacing": "linspace", "clip_sample": False}, 20),
    "ddim_betas": (
        "DDIMScheduler",
        {"num_train_timesteps": 200, "trained_betas": list(np.linspace(1e-4, 0.05, 200)), "clip_sample": False},
        20,
    ),
    "ddim_clip2": ("DDIMScheduler", LEADING | {"clip_sample": True, "clip_sample_range": 1.5}, 20),
    "plms_one": ("PNDMScheduler", LEADING | {"skip_prk_steps": True, "set_alpha_to_one": True}, 20),
    "plms_trailing": ("PNDMScheduler", SD | {"skip_prk_steps": True, "timestep_spacing": "trailing"}, 20),
    "pndm_sd": ("PNDMScheduler", LEADING, 20),
    "euler_x0": ("EulerDiscreteScheduler", LEADING | {"prediction_type": "sample"}, 20),
    "euler_karras_linspace": ("EulerDiscreteScheduler", SD | V | {"use_karras_sigmas": True}, 20),
    "euler_karras_trailing": (
        "EulerDiscreteScheduler",
        SD | {"use_karras_sigmas": True, "timestep_spacing": "trailing"},
        20,
    ),
    "euler_ancestral_v": ("EulerAncestralDiscreteScheduler", SD | V, 20),
    "euler_ancestral_trailing": ("EulerAncestralDiscreteScheduler", SD | {"timestep_spacing": "trailing"}, 20),
    "euler_ancestral_zero_snr": ("EulerAncestralDiscreteScheduler", SD | ZERO_SNR, 20),
    "heun_linspace": ("HeunDiscreteScheduler", SD | V, 20),
    "heun_karras": ("HeunDiscreteScheduler", LEADING | {"use_karras_sigmas": True}, 20),
    "heun_exponential": ("HeunDiscreteScheduler", SD | {"use_exponential_sigmas": True}, 20),
    "lms_linspace": ("LMSDiscreteScheduler", SD | V, 20),
    "lms_karras": ("LMSDiscreteScheduler", LEADING | {"use_karras_sigmas": True}, 20),
    "dpmpp_2m_trailing": ("DPMSolverMultistepScheduler", SD | {"timestep_spacing": "trailing"}, 20),
    "dpmpp_2m_zero_snr": ("DPMSolverMultistepScheduler", SD | ZERO_SNR, 20),
    "dpmpp_2m_x0": ("DPMSolverMultistepScheduler", LEADING | {"prediction_type": "sample"}, 20),
    "dpmpp_2m_sde_karras": (
        "DPMSolverMultistepScheduler",
        LEADING | {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
        20,
    ),
    "dpmpp_2m_exponential": ("DPMSolverMultistepScheduler", LEADING | {"use_exponential_sigmas": True}, 20),
    "dpmpp_2m_cosine": ("DPMSolverMultistepScheduler", {"beta_schedule": "squaredcos_cap_v2"}, 20),
    "dpmpp_3m_sigma_min": (
        "DPMSolverMultistepScheduler",
        LEADING | {"solver_order": 3, "final_sigmas_type": "sigma_min"},
        20,
    ),
    "unipc_v": ("UniPCMultistepScheduler", LEADING | V, 20),
    "unipc_linspace": ("UniPCMultistepScheduler", SD, 20),
    "unipc_karras": ("UniPCMultistepScheduler", LEADING | {"use_karras_sigmas": True}, 20),
    "unipc_trailing": ("UniPCMultistepScheduler", SD | {"timestep_spacing": "trailing"}, 20),
    "unipc_zero_snr": ("UniPCMultistepScheduler", SD | ZERO_SNR, 20),
    "unipc_1": ("UniPCMultistepScheduler", LEADING | {"solver_order": 1}, 20),
    "unipc_3": ("UniPCMultistepScheduler", LEADING | ONLY_HIGH | {"solver_order": 3}, 20),
    "unipc_few": ("UniPCMultistepScheduler", LEADING, 6),
    "unipc_sigma_min": ("UniPCMultistepScheduler", LEADING | ONLY_HIGH, 20),
}


UNEVEN = ("ddim_linspace", "ddim_uneven")
"""Where diffusers steps to `t - T // steps`, which is not the time that it visits next: here it is told that one."""
MORE = list(CASES)[list(CASES).index("ddpm_trailing") :]
"""Further cases, for the slow tier."""


def toy(x, t, tanh, sin):
    """A network's output, in any framework, that depends on the step it is told."""
    return tanh(0.8 * x + 0.5 * sin(t / 130.0)) + 0.1 * sin(3 * x)


def inputs(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Unit noise to start from, and one for each step."""
    rng = np.random.default_rng(sum(map(ord, case)))
    return rng.normal(size=SHAPE), rng.normal(size=(CASES[case][2], *SHAPE))


class Stride:
    """What the chain's length is divided by for the way to the time that is visited next; 0 beyond the last."""

    def __init__(self, timesteps):
        self.ways = iter([int(a) - int(b) for a, b in pairwise(timesteps)] + [int(timesteps[-1]) + 1])

    def __rfloordiv__(self, length):
        return next(self.ways)


def outputs(case: str) -> np.ndarray:
    """The last x of a case."""
    return run(*CASES[case], *inputs(case), toy, case in UNEVEN)


def run(cls: str, config: dict[str, Any], steps: int, start, noises, network, uneven: bool) -> np.ndarray:
    """The last x of a run in double precision, which diffusers' schedulers are not: they ask for float32 by name.

    Args:
      network: as `toy`.
      uneven: whether it is told the ways from step to step (`UNEVEN`).
    """
    import diffusers
    import torch

    start, noises = (torch.tensor(a) for a in (start, noises))
    with (
        warnings.catch_warnings(),
        mock.patch.object(torch, "float32", torch.float64),
        mock.patch.object(np, "float32", np.float64),
    ):
        warnings.simplefilter("ignore")
        scheduler = getattr(diffusers, cls)(**config)
        scheduler.set_timesteps(steps)
        if (scheduler.timesteps < 0).any():
            raise IndexError("a step below 0, where rounding gave one more than was asked for")
        if uneven:
            scheduler.num_inference_steps = Stride(scheduler.timesteps)
        x, drawn = start * scheduler.init_noise_sigma, iter(noises)
        place = f"{type(scheduler).__module__}.randn_tensor"
        with mock.patch(place, create=True, side_effect=lambda *a, **k: next(drawn)):
            for t in scheduler.timesteps:
                out = network(scheduler.scale_model_input(x, t), t.double(), torch.tanh, torch.sin)
                x = scheduler.step(out, t, x).prev_sample
    return x.numpy()
