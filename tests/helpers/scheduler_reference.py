"""What diffusers' schedulers make of one toy network, which tests/interop compares with live: needs `parity`."""

import warnings
from typing import Any
from unittest import mock

import numpy as np

SHAPE = (2, 4, 4, 3)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = SD | {"timestep_spacing": "leading", "steps_offset": 1}
ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
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
}


def toy(x, t, tanh, sin):
    """A network's output, in any framework, that depends on the step it is told."""
    return tanh(0.8 * x + 0.5 * sin(t / 130.0)) + 0.1 * sin(3 * x)


def inputs(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Unit noise to start from, and one for each step."""
    rng = np.random.default_rng(sum(map(ord, case)))
    steps = CASES[case][2]
    return rng.normal(size=SHAPE).astype(np.float32), rng.normal(size=(steps, *SHAPE)).astype(np.float32)


def outputs(case: str) -> np.ndarray:
    """The last x of a run."""
    import diffusers
    import torch

    cls, config, steps = CASES[case]
    start, noises = (torch.tensor(a) for a in inputs(case))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = getattr(diffusers, cls)(**config)
        scheduler.set_timesteps(steps)
        x, drawn = start * scheduler.init_noise_sigma, iter(noises)
        place = f"{type(scheduler).__module__}.randn_tensor"
        with mock.patch(place, create=True, side_effect=lambda *a, **k: next(drawn)):
            for t in scheduler.timesteps:
                out = toy(scheduler.scale_model_input(x, t), t.float(), torch.tanh, torch.sin)
                x = scheduler.step(out, t, x).prev_sample
    return x.numpy()


def reference() -> dict[str, np.ndarray]:
    """All that is compared, by case."""
    return {case: outputs(case) for case in CASES}
