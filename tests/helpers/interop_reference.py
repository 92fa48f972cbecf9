"""What diffusers' networks give on fixed inputs and weights: run as a script, it writes the fixtures of tests/interop.

python -m tests.helpers.interop_reference        needs the extra `parity`

Every tensor has numbers of its own, made from its name there: a table of names that takes one for another gives
another output.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FIXTURES = Path(__file__).parents[1] / "fixtures" / "interop.npz"
UNET2D = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
}
CROSS = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
SD1 = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": CROSS[0],
    "up_block_types": CROSS[1],
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}
XL = SD1 | {
    "down_block_types": CROSS[0][::-1],
    "up_block_types": CROSS[1][::-1],
    "transformer_layers_per_block": [1, 2],
    "attention_head_dim": [2, 4],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 10 + 6 * 8,
}
CONTROL = {k: v for k, v in SD1.items() if k not in ("sample_size", "up_block_types")}
CONTROL |= {"conditioning_embedding_out_channels": (4, 8)}
ADAPTER = {"in_channels": 1, "channels": [8, 16], "num_res_blocks": 1, "downscale_factor": 2}
KL = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": 16,
}
TINY = {
    "encoder_block_out_channels": (8, 8),
    "decoder_block_out_channels": (8, 8),
    "num_encoder_blocks": (1, 2),
    "num_decoder_blocks": (2, 1),
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "unet2d": ("UNet2DModel", UNET2D),
    "unet2d_ddpm": (
        "UNet2DModel",
        UNET2D
        | {
            "attention_head_dim": None,
            "downsample_padding": 0,
            "norm_eps": 1e-6,
            "flip_sin_to_cos": False,
            "freq_shift": 1,
        },
    ),
    "unet2d_classes": (
        "UNet2DModel",
        UNET2D | {"num_class_embeds": 5, "attention_head_dim": 4, "center_input_sample": True},
    ),
    "sd1": ("UNet2DConditionModel", SD1),
    "sd2": ("UNet2DConditionModel", SD1 | {"attention_head_dim": [2, 4], "use_linear_projection": True}),
    "depth": ("UNet2DConditionModel", SD1 | {"in_channels": 5}),
    "pix2pix": ("UNet2DConditionModel", SD1 | {"in_channels": 8}),
    "inpaint": ("UNet2DConditionModel", SD1 | {"in_channels": 9}),
    "sdxl": ("UNet2DConditionModel", XL),
    "control": ("ControlNetModel", CONTROL),
    "adapter": ("T2IAdapter", ADAPTER),
    "adapter_light": ("T2IAdapter", ADAPTER | {"in_channels": 3, "adapter_type": "light_adapter"}),
    "adapter_xl": ("T2IAdapter", ADAPTER | {"channels": [8, 16, 24, 24], "adapter_type": "full_adapter_xl"}),
    "kl": ("AutoencoderKL", KL),
    "kl_plain": ("AutoencoderKL", KL | {"use_quant_conv": False, "use_post_quant_conv": False, "layers_per_block": 2}),
    "tiny": ("AutoencoderTiny", TINY),
}


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of a tensor of diffusers' name and shape: of norms around 1, of the rest around 0."""
    x = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
    if len(shape) > 1:
        return (x / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    return (name.endswith("weight") + 0.2 * x).astype(np.float32)


def inputs(case: str) -> dict[str, np.ndarray]:
    """All that a network of a case is given, channels last: of latents or pictures 8 or 16 pixels wide."""
    rng = np.random.default_rng(zlib.crc32(case.encode()))
    cls, config = CASES[case]
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    if cls.startswith("Autoencoder"):
        return {"x": np.tanh(normal(2, 16, 16, 3)), "z": normal(2, 8, 8, 4)}
    if cls == "T2IAdapter":
        return {"x": rng.uniform(size=(2, 16, 24, config["in_channels"])).astype(np.float32)}
    channels = config.get("in_channels", 3 if cls == "UNet2DModel" else 4)
    given = {"x": normal(2, 8, 8, channels), "t": np.array([3, 712], np.float32)}
    if "num_class_embeds" in config:
        given["label"] = np.array([1, 4], np.int32)
    if "cross_attention_dim" in config:
        given["context"] = normal(2, 7, config["cross_attention_dim"])
    if "addition_embed_type" in config:
        given |= {
            "pooled": normal(2, 10),
            "sizes": np.array([[64, 64, 0, 8, 64, 32], [48, 64, 4, 0, 64, 64]], np.float32),
        }
    if cls == "ControlNetModel":
        given["control"] = rng.uniform(size=(2, 16, 16, 3)).astype(np.float32)
    return given


def network(case: str) -> Any:
    """diffusers' network, with all its tensors replaced."""
    import diffusers
    import torch

    cls, config = CASES[case]
    net = getattr(diffusers, cls)(**config)
    net.load_state_dict({name: torch.tensor(tensor(name, tuple(p.shape))) for name, p in net.state_dict().items()})
    return net.eval()


def run(case: str, net: Any) -> dict[str, Any]:
    """Its outputs, torch tensors, channels last."""
    import torch

    given = {k: torch.tensor(v if v.ndim < 4 else v.transpose(0, 3, 1, 2)) for k, v in inputs(case).items()}
    last = lambda x: x.permute(0, 2, 3, 1)
    if case.startswith("adapter"):
        return {f"features{i}": last(one) for i, one in enumerate(net(given["x"]))}
    if case == "tiny":
        return {"z": last(net.encode(given["x"]).latents), "x": last(net.decode(given["z"]).sample)}
    if case.startswith("kl"):
        moments = net.encode(given["x"]).latent_dist
        return {"mean": last(moments.mean), "logvar": last(moments.logvar), "x": last(net.decode(given["z"]).sample)}
    if case.startswith("unet2d"):
        return {"out": last(net(given["x"], given["t"], given.get("label")).sample)}
    more = {}
    if "pooled" in given:
        more["added_cond_kwargs"] = {"text_embeds": given["pooled"], "time_ids": given["sizes"]}
    if case == "control":
        down, middle = net(given["x"], given["t"], given["context"], given["control"], 0.7, return_dict=False)
        return {f"added{i}": last(one) for i, one in enumerate([*down, middle])}
    return {"out": last(net(given["x"], given["t"], given["context"], **more).sample)}


def outputs(case: str) -> dict[str, np.ndarray]:
    """Its outputs, as NumPy arrays."""
    import torch

    with torch.no_grad():
        return {name: one.numpy() for name, one in run(case, network(case)).items()}


def gradients(case: str) -> dict[str, np.ndarray]:
    """The gradients of the sum of the squared outputs by each tensor, by its name."""
    net = network(case)
    sum((one**2).sum() for one in run(case, net).values()).backward()
    return {name: p.grad.numpy() for name, p in net.named_parameters()}


def reference() -> Mapping[str, np.ndarray]:
    """All that is compared, by case and name."""
    return {f"{case}/{name}": value for case in CASES for name, value in outputs(case).items()}


if __name__ == "__main__":
    np.savez_compressed(FIXTURES, **reference())
