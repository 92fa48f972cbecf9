"""Ranges of numeric arguments of the functions that a configuration names: by kind, function and argument.

An argument that is not here may be any finite number, or is refused by its function; an option of a sampler may be any
number from 0 on.
"""

import math
from collections.abc import Mapping

__all__ = ["COUNT", "MOST", "RANGES", "SCALE", "SHARED", "UNIT", "Range"]

Range = tuple[float, float]

MOST = 2**31 - 1
UNIT = (0, 1)
SCALE = (1e-6, 1e6)
COUNT = (1, MOST)


def _each(functions: tuple[str, ...], ranges: Mapping[str, Range]) -> dict[str, Mapping[str, Range]]:
    return dict.fromkeys(functions, ranges)


_chain = {"steps": (1, 10**6)}
_start = {"t_min": (0, 0.999)}
_images = {"size": (0, 2**14), "width": (0, 2**14)}
_net = {
    "channels": (1, 2**20),
    "multipliers": (1, 2**10),
    "blocks": (1, 1000),
    "attention": COUNT,
    "dropout": UNIT,
    "num_classes": (0, MOST),
    "patch": (1, 2**10),
    "groups": COUNT,
    "heads": COUNT,
}
_unet = {
    "fourier": (-64, 64),
    "outputs": (1, 2),  # which the loss decides
    "control": (0, 2**10),  # which the training decides
    "head_channels": (0, 2**20),
}
_diffwave = {
    "channels": (1, 2**20),
    "layers": (1, 1000),
    "cycle": (1, 20),
    "patch": (1, 2**16),
    "num_classes": (0, MOST),
    "outputs": (1, 2),  # which the loss decides
}
_unet_video = _net | {"outputs": (1, 2), "alone": UNIT}  # the loss decides the outputs
_unet1d = {
    "channels": (2, 2**20),
    "multipliers": (1, 2**10),
    "blocks": (1, 1000),
    "kernel": (1, 2**10),
    "patch": (1, 2**16),
    "stride": (1, 2**10),
    "dropout": UNIT,
    "num_classes": (0, MOST),
    "groups": COUNT,
    "heads": COUNT,
    "outputs": (1, 2),  # which the loss decides
}
_dit = {
    "depth": (1, 1000),
    "width": (4, 2**20),
    "heads": COUNT,
    "patch": (1, 2**10),
    "patch_frames": (1, 2**10),
    "ratio": (0.01, 1000),
    "num_classes": (0, MOST),
    "class_tokens": (0, 2**16),
    "context_from": (0, 1000),
    "bottleneck": (0, 2**20),
    "base": (0, 2**14),
    "shift": UNIT,
    "dropout": UNIT,
    "outputs": (1, 2),  # which the loss decides
}
_autoencoder = {
    "widths": (1, 2**20),
    "blocks": (1, 1000),
    "latents": (1, 2**10),
    "channels": (1, 2**10),
    "groups": COUNT,
}
_mlp = {
    "widths": (1, 2**20),
    "blocks": (0, 1000),
    "embedding": (2, 2**20),
    "dropout": UNIT,
    "dropout_out": UNIT,
    "num_classes": (0, MOST),
}
_guidance = (-100, 100)
_target = {"half_life": (0, 1e12), "c": SCALE}
_wide = {"width": (1, 2**20), "blocks": (0, 1000), "hidden": (1, 2**10), "dropout": UNIT, "num_classes": (0, MOST)}
_sharp = {"temperature": (1e-3, 1e3), "top_p": UNIT}
_block = {"block": (0, MOST)}
_text = {"size": (2, 2**20), "length": (1, 2**20)}
_windows = {**_text, "stride": (0, MOST)}
_sound = {"length": (0, 2**24), "rate": (0, 10**6), "hop": (0, MOST)}
_trips = {"trips": (1, 10**7), "steps": (2, 2**16), "seed": (0, MOST)}
_moments = {"b1": UNIT, "b2": UNIT, "eps": UNIT, "eps_root": UNIT}
_decoupled = {"weight_decay": (0, 1e6)}
_transition = {"transition_steps": COUNT, "transition_begin": (0, MOST)}
_rise = {"warmup_steps": COUNT}
_end = {"end_value": (0, 1e38)}
_rate = {"decay_rate": (1e-30, 1e30)}
_cosine = {"decay_steps": COUNT, "exponent": (0, 100)}

RANGES: Mapping[str, Mapping[str, Mapping[str, Range]]] = {
    "dataset": {
        "molecules": {"atoms": (0, 2**12)},
        "folder": {**_images, "cache_gb": (0, math.inf)},
        "tfds": _images,
        "scenes": {"n": COUNT, "objects": (1, 4), "seed": (0, MOST)},
        "text": _windows,
        "manual": _windows,
        "lines": {**_text, "length": (0, 2**20)},
        "conformers": {"most": (2, 2**12)},
        "people": {"n": (10, 10**7)},
        "recordings": {**_sound, "channels": (1, 64)},
        "waves": {**_sound, "held": (0, MOST)},
        "clips": {**_images, "frames": (2, 2**16), "every": COUNT, "hop": (0, MOST), "pace": (0.1, 1000)},
        "video_arrays": {"pace": (0.1, 1000)},
        "moving_digits": {"n": COUNT, "frames": (2, 2**16), "size": (9, 2**10), "speed": (0, 100), "seed": (0, MOST)},
        "notes": {"n": COUNT, "length": (16, 2**24), "rate": (1000, 10**6), "seed": (0, MOST)},
        "tracks": {"steps": (0, 2**20)},
        "maze": {**_trips, "stride": COUNT},
        "maze_policy": _trips,
    },
    "table of betas": {"linear": _chain, "quadratic": _chain, "sigmoid": _chain, "cosine": {**_chain, "s": UNIT}},
    "noise": {"simplex": {"octaves": (1, 16), "frequency": (1e-6, 1), "persistence": UNIT}},
    "process": {
        "cosine": {"s": UNIT},
        "ncsn": {"levels": (2, 2**16)},
        "polynomial": {"precision": (1e-7, 0.1)},
        "learned": {"width": (1, 2**20)},
    },
    "parameterization": {"edm": {"sigma_data": SCALE}, "velocity": {"time_scale": SCALE}},
    "net": {
        "unet": {**_net, **_unet},
        "unet1d": _unet1d,
        "diffwave": _diffwave,
        "unet_video": _unet_video,
        "dit": _dit,
        "autoencoder": _autoencoder,
        "mlp": _mlp,
        "classifier": _net,
        "sequence": {**_wide, "heads": COUNT},
        "columns": {**_wide, "embedding": (2, 2**20)},
        "egnn": {"width": (1, 2**20), "blocks": (0, 1000), "reach": SCALE},
        "set_transformer": {
            **{name: one for name, one in _wide.items() if name != "num_classes"},
            "heads": COUNT,
            "pair_width": (1, 2**16),
            "distances": (0, 2**10),
            "fourier": (1, 2**16),
        },
    },
    "loss": {
        "importance": {**_chain, "keep": (1, 10**4), "even": UNIT},
        "hybrid": {**_chain, "levels": (2, 2**16)},
        "frames": {"together": UNIT},
        "held": {"first": (0, 2**16), "last": (0, 2**16), "share": UNIT},
        "bound": {"levels": (2, 2**16)},
        "reconstruction": {"kl": (0, 1e6), "perceptual": (0, 1e6)},
        "adversarial_reconstruction": {
            **{"kl": (0, 1e6), "perceptual": (0, 1e6), "adversary": (0, 1e6)},
            "start": (0, MOST),
        },
        "progressive": {"total": (2, 2**20), "last": (1, 2**19), "stage": COUNT, "guidance": _guidance},
        "consistency_distillation": {"steps": (1, 10**6), "guidance": _guidance, **_target},
        "consistency_training": {"first": (1, 10**6), "last": (1, 10**6), "stage": COUNT, "c": SCALE},
        "easy_consistency": {"base": (1.0001, 1e6), "stage": COUNT, "stages": (1, 100), "c": SCALE},
        "continuous_distillation": {"guidance": _guidance, "warmup": (0, MOST), "c": SCALE},
        "continuous_training": {"warmup": (0, MOST), "c": SCALE},
        "mean_flow": {"std": (0, 100), "equal": UNIT, "power": (0, 10), "omega": _guidance, "kappa": _guidance},
        "shortcut": {"levels": (1, 20), "share": UNIT, "half_life": (0, 1e12)},
        "moment_matching": {"particles": (1, 2**16), "gap": (1e-6, 1), "width": SCALE},
        "dmd": {"low": UNIT, "high": UNIT, "guidance": _guidance},
        "judged_dmd": {"low": UNIT, "high": UNIT, "guidance": _guidance, "adversary": (0, 1e6)},
        "ddgan": {"steps": (1, 1000), "gamma": (0, 1e6)},
        "symbol_chain": _chain,
        "structures": {"lddt": (0, 1e6), "radius": (1e-3, 1e6)},
        "mixed": {"balance": (0, 1e6)},
    },
    "critic": {"patches": {"width": (1, 2**16), "layers": (1, 10), "groups": COUNT}},
    "loss weight": {
        "min_snr": {"gamma": (0, math.inf)},
        "p2": {"k": (0, math.inf), "gamma": (0, math.inf)},
        "edm": {"sigma_data": SCALE},
        "velocity": {"t_min": (0, 0.999)},
    },
    "time sampler": {
        **_each(("uniform", "stratified", "antithetic"), {**_chain, **_start}),
        "logit_normal": {"std": (0, math.inf), **_start},
        "log_normal": {"std": (0, math.inf)},
    },
    "optimizer": {
        "adam": _moments,
        "adamw": _moments | _decoupled,
        "lamb": _moments | _decoupled,
        "lion": {"b1": UNIT, "b2": UNIT} | _decoupled,
        "radam": _moments,
        "sgd": {"momentum": UNIT},
    },
    "learning rate schedule": {
        "cosine_decay_schedule": {**_cosine, "alpha": UNIT},
        "exponential_decay": _transition | _rate | _end,
        "linear_schedule": _transition | _end,
        "polynomial_schedule": {**_transition, **_end, "power": (0, 100)},
        "warmup_constant_schedule": _rise,
        "warmup_cosine_decay_schedule": _rise | _cosine | _end,
        "warmup_exponential_decay_schedule": _rise | _transition | _rate | _end,
    },
    "grid": {
        **_each(("leading", "trailing", "linspace"), {"total": (1, 10**6)}),
        "karras": {"rho": (1e-3, 1e3)},
        "nested": {"total": (1, 10**6), "only": (0, 10**6)},
    },
    "sampler": {
        **_each(("ddim", "dpmpp_1s", "dpmpp_2m", "dpmpp_2s", "dpmpp_3m"), {"eta": UNIT}),
        **_each(("deis", "lms"), {"order": (1, 4)}),
        "unipc": {"order": (1, 3)},
        **_each(("ancestral_symbols", "most_confident"), {**_sharp, **_block}),
        "first_hitting": _sharp,
        "columnwise": {"eta": UNIT, **_sharp},
        "staggered": {"delay": UNIT, "eta": UNIT},
        "annealed_langevin": {"repeats": (1, 10**6)},
    },
    "corrector": {"langevin": {"repeats": (1, 10**6)}},
}

SHARED: Mapping[str, Range] = {
    "guidance": (-math.inf, math.inf),
    "guidance_rescale": UNIT,
    "threshold": UNIT,
    "cache": (1, math.inf),
}
"""Of the options of every sampler."""
