"""The one error that a user can mend: it says what was wrong, what was allowed and what to do, in one line."""

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["NOTES", "SYNONYMS", "InputError", "unknown"]

SYNONYMS = {
    "epsilon": "eps",
    "noise": "eps",
    "sample": "x0",
    "x_0": "x0",
    "x_start": "x0",
    "v_prediction": "v",
    "flow_prediction": "velocity",
    "flow_matching": "flow",
    "rectified_flow": "flow",
    "vpsde": "vp",
    "vesde": "ve",
    "subvpsde": "sub_vp",
    "scaled_linear": "quadratic",
    "squaredcos_cap_v2": "cosine",
    "min_snr_gamma": "min_snr",
    "ddpm": "ancestral",
    "euler_ancestral": "ancestral",
    "euler_a": "ancestral",
    "dpmsolver": "dpmpp_2m",
    "dpmsolver++": "dpmpp_2m",
    "dpm_solver++": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m",
    "langevin": "annealed_langevin",
    "lr": "learning_rate",
    "beta1": "b1",
    "beta2": "b2",
    "beta_start": "beta_min",
    "beta_end": "beta_max",
    "num_train_timesteps": "steps",
    "guidance_scale": "guidance",
    "cfg_scale": "guidance",
    "rescale": "guidance_rescale",
    "s_churn": "churn",
    "s_noise": "churn_noise",
    "s_tmin": "churn_min",
    "s_tmax": "churn_max",
}
"""Names of the literature and of other libraries, in small letters, and what is called so here."""
NOTES = {
    "s_churn": "churn is gamma of one step, where EDM's S_churn is the total over all steps: give S_churn / steps",
    "dpmpp_2m_sde": "with eta=1",
    "euler_ancestral": "with variance='fixed_small'; or ddim with eta=1",
    "euler_a": "with variance='fixed_small'; or ddim with eta=1",
    "langevin": "for processes with alpha = 1; with any other sampler, corrector='langevin'",
}
"""Where a synonym does not mean quite the same."""


class InputError(ValueError):
    """Bad input. The scripts print its message alone and exit with code 2."""


def unknown(kind: str, name: Any, allowed: Iterable[str]) -> InputError:
    """An error for `name`, which is none of the `allowed` ones of its `kind`; names the nearest and lists them all.

    The nearest is what a synonym stands for, or else what is spelled most alike.
    """
    allowed = sorted(allowed)
    key = str(name).lower().replace("-", "_")
    meant = SYNONYMS.get(key)
    near = [meant] if meant in allowed else difflib.get_close_matches(str(name), allowed, n=1)
    note = f", {NOTES[key]}" if meant in allowed and key in NOTES else ""
    hint = f" (did you mean {near[0]!r}?{note})" if near else ""
    return InputError(f"unknown {kind} {str(name)!r}{hint}: allowed are {', '.join(allowed) or 'none'}")
