"""What diffusers gives on fixed inputs: run as a script, it writes the fixtures that the default suite compares with.

python -m tests.helpers.diffusers_reference        needs the extra `parity`
"""

import zlib
from pathlib import Path
from unittest import mock

import numpy as np

FIXTURES = Path(__file__).parents[1] / "fixtures" / "diffusers.npz"
STEPS = (10, 50, 1000)
SCHEDULES = {"linear": "linear", "quadratic": "scaled_linear", "sigmoid": "sigmoid", "cosine": "squaredcos_cap_v2"}
LENGTHS = (10, 1000, 4000)
SPACINGS = ("leading", "trailing", "linspace")
DDPM = [(variance, clip) for variance in ("fixed_small", "fixed_large") for clip in (False, True)]
DDIM = [(eta, clip) for eta in (0.0, 1.0) for clip in (False, True)]
NET = {"channels": 32, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "dropout": 0.0}


def inputs(steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x_t, eps and z for each of the steps: (3, steps, 2, 3)."""
    return tuple(np.random.default_rng(steps).normal(size=(3, steps, 2, 3)).astype(np.float32))


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The same numbers for a parameter of this name in any framework."""
    scale = 0.5 / np.sqrt(max(np.prod(shape[:-1]), 1)) if len(shape) > 1 else 0.1
    return (np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape) * scale).astype(np.float32)


def net_inputs() -> tuple[np.ndarray, np.ndarray]:
    """Images (2, 8, 8, 3) and times (2,)."""
    return np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32), np.array([3.0, 712.0], np.float32)


def reference() -> dict[str, np.ndarray]:
    """All that is compared, by name."""
    import torch
    from diffusers import DDIMScheduler, DDPMScheduler

    out = {}
    for ours, theirs in SCHEDULES.items():
        for length in LENGTHS:
            scheduler = DDPMScheduler(length, beta_schedule=theirs)
            out[f"betas/{ours}/{length}"] = scheduler.betas.numpy()
            out[f"alpha_bar/{ours}/{length}"] = scheduler.alphas_cumprod.numpy()
    for steps in STEPS:
        for spacing in SPACINGS:
            scheduler = DDPMScheduler(1000, timestep_spacing=spacing)
            scheduler.set_timesteps(steps)
            out[f"timesteps/{spacing}/{steps}"] = scheduler.timesteps.numpy()
        # Ancestral steps on the leading grid, which ends at step 0: from any other last step diffusers adds noise to
        # the result under fixed_large. DDIM on the trailing one.
        x_t, eps, z = (torch.tensor(a) for a in inputs(steps))
        for variance, clip in DDPM:
            scheduler = DDPMScheduler(1000, variance_type=variance, clip_sample=clip, timestep_spacing="leading")
            scheduler.set_timesteps(steps)
            _in_float64(scheduler)
            rows = []
            for i, t in enumerate(scheduler.timesteps):
                with mock.patch("diffusers.schedulers.scheduling_ddpm.randn_tensor", return_value=z[i]):
                    rows.append(scheduler.step(eps[i], t, x_t[i]).prev_sample.numpy())
            out[f"ddpm/{variance}/{clip}/{steps}"] = np.stack(rows)
        for eta, clip in DDIM:
            scheduler = DDIMScheduler(1000, clip_sample=clip, timestep_spacing="trailing", set_alpha_to_one=True)
            scheduler.set_timesteps(steps)
            _in_float64(scheduler)
            out[f"ddim/{eta}/{clip}/{steps}"] = np.stack(
                [
                    scheduler.step(eps[i], t, x_t[i], eta=eta, variance_noise=z[i]).prev_sample.numpy()
                    for i, t in enumerate(scheduler.timesteps)
                ]
            )
    out["unet"] = _unet()
    return out


def _in_float64(scheduler) -> None:
    """Give a scheduler its tables in float64: in float32 its `1 - alpha_bar` is wrong by up to 1e-4 near the data."""
    scheduler.betas = scheduler.betas.double()
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
    scheduler.one = scheduler.betas.new_ones(())


def _unet() -> np.ndarray:
    import torch
    from diffusers import UNet2DModel

    levels = len(NET["multipliers"])
    net = UNet2DModel(
        sample_size=8,
        block_out_channels=[NET["channels"] * m for m in NET["multipliers"]],
        layers_per_block=NET["blocks"],
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,
        downsample_padding=0,
        norm_eps=1e-6,
        flip_sin_to_cos=False,
        freq_shift=1,
    )
    state = {}
    for theirs, value in net.state_dict().items():
        name = our_name(theirs, levels)
        if value.ndim == 4 and "shortcut" not in name:
            array = weights(name, tuple(value.shape[i] for i in (2, 3, 1, 0))).transpose(3, 2, 0, 1)
        elif value.ndim >= 2:
            array = weights(name, (value.shape[1], value.shape[0])).T.reshape(value.shape)
        else:
            array = weights(name, tuple(value.shape))
        state[theirs] = torch.tensor(array.copy())
    net.load_state_dict(state)
    x, t = net_inputs()
    with torch.no_grad():
        return net(torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(t)).sample.numpy().transpose(0, 2, 3, 1)


def our_name(name: str, levels: int) -> str:
    """`down_blocks.1.resnets.0.conv1.weight` is `down1_0/conv1/kernel` here."""
    *path, leaf = name.split(".")
    path = ".".join(path)
    parts = path.split(".")
    single = {
        "time_embedding.linear_1": "time1",
        "time_embedding.linear_2": "time2",
        "conv_in": "conv_in",
        "conv_norm_out": "norm_out",
        "conv_out": "conv_out",
    }
    inner = {"time_emb_proj": "embed", "conv_shortcut": "shortcut", "group_norm": "norm", "to_out": "out"}
    inner |= {"to_q": "query", "to_k": "key", "to_v": "value"}
    if path in single:
        module = single[path]
    elif parts[0] == "mid_block":
        layer = inner.get(parts[3], parts[3])
        module = f"middle_{parts[2]}/{layer}" if parts[1] == "resnets" else f"middle_attention/{layer}"
    else:
        side, level = parts[0].split("_")[0], int(parts[1])
        level = level if side == "down" else levels - 1 - level
        if parts[2].endswith("samplers"):
            module = f"{side}sample{level}/conv"
        else:
            layer = inner.get(parts[4], parts[4])
            module = f"{side}{level}_{parts[3]}" + ("" if parts[2] == "resnets" else "_attention") + f"/{layer}"
    norm = "norm" in module.split("/")[-1]
    return f"{module}/" + {"weight": "scale" if norm else "kernel", "bias": "bias"}[leaf]


if __name__ == "__main__":
    FIXTURES.parent.mkdir(exist_ok=True)
    np.savez_compressed(FIXTURES, **reference())
