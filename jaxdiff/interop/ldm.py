"""Names in single files: of the U-Net, the autoencoder and OpenCLIP's text transformer, as latent diffusion's own code
(Rombach et al. 2022) and most published checkpoints have them.

    model.diffusion_model.                     the U-Net; its average, in some files, is at model_ema., without dots
    first_stage_model.                         the autoencoder
    cond_stage_model.transformer.              CLIP, in transformers' names, of Stable Diffusion 1
    cond_stage_model.model.                    OpenCLIP, of Stable Diffusion 2
    conditioner.embedders.0.transformer. and .1.model.         both, of XL

Blocks are counted from the first to the last and not by level, so that a table depends on how many a level has.
"""

from collections.abc import Mapping

from jaxdiff.interop.names import WORDS, Table, by_table, transformer
from jaxdiff.interop.weights import Name
from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.nets.conditional_unet import ConditionalUNet

__all__ = ["AUTOENCODER", "AVERAGE", "BUFFERS", "CLIP", "CLIP_XL", "OPEN_CLIP", "OPEN_CLIP_XL", "UNET"]
__all__ += ["averaged", "of_autoencoder", "of_unet"]

UNET, AUTOENCODER, AVERAGE = "model.diffusion_model.", "first_stage_model.", "model_ema."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
CLIP_XL, OPEN_CLIP_XL = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."

ALPHAS = ("alphas_cumprod", "alphas_cumprod_prev", "one_minus_alphas_cumprod", "recip_alphas_cumprod")
BUFFERS: tuple[str, ...] = (
    *("betas", *ALPHAS, "log_one_minus_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "lvlb_weights", "logvar"),
    *(f"sqrt_{name}" for name in ALPHAS),
    *("posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2"),
    *("scale_factor", "global_step", "model_ema.decay", "model_ema.num_updates", "denoiser.sigmas"),
    *("cond_stage_model.logit_scale", "cond_stage_model.transformer.text_model.embeddings.position_ids"),
)
"""Tensors that are no weights: what follows from the schedule, and counts."""

OURS: Mapping[str, Mapping[str, str]] = {
    "two": {"1": "0", "2": "2"},
    "unet": {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "embed": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "shortcut": "skip_connection",
    },
    "coder": {"shortcut": "nin_shortcut"},
    "one": {"query": "q", "key": "k", "value": "v", "out": "proj_out"},
}


def of_unet(net: ConditionalUNet) -> Name:
    """The names of a U-Net's parameters, after `UNET`."""
    rows: list[tuple[str, str]] = [
        ("time([12])", r"time_embed.{two:\1}"),
        ("added([12])", r"label_emb.0.{two:\1}"),
        ("conv_in", "input_blocks.0.0"),
        ("norm_out", "out.0"),
        ("conv_out", "out.2"),
        (r"middle_residual0/(\w+)", r"middle_block.0.{unet:\1}"),
        (r"middle_residual1/(\w+)", r"middle_block.2.{unet:\1}"),
        *transformer("middle_attention0", "middle_block.1"),
    ]
    block, last = 1, len(net.widths) - 1
    for level in range(len(net.widths)):
        for i in range(net.blocks):
            rows += _block(f"down{level}", i, f"input_blocks.{block}")
            block += 1
        if level < last:
            rows.append((f"down{level}_downsample/conv", f"input_blocks.{block}.0.op"))
            block += 1
    for level, depth in enumerate(net.up_depths):
        first = level * (net.blocks + 1)
        for i in range(net.blocks + 1):
            rows += _block(f"up{level}", i, f"output_blocks.{first + i}")
        rows.append((f"up{level}_upsample/conv", f"output_blocks.{first + net.blocks}.{1 + (depth > 0)}.conv"))
    return by_table(rows, {**WORDS, **OURS})


def _block(ours: str, i: int, there: str) -> Table:
    return (
        (rf"{ours}_residual{i}/(\w+)", rf"{there}.0.{{unet:\1}}"),
        *transformer(f"{ours}_attention{i}", f"{there}.1"),
    )


def of_autoencoder(net: Autoencoder) -> Name:
    """The names of an autoencoder's parameters, after `AUTOENCODER`; the decoder's levels are counted from its end."""
    ends = "(encoder|decoder)"
    last = len(net.widths) - 1
    up = tuple(
        row
        for level in range(last + 1)
        for row in (
            (rf"decoder/up{level}_residual(\d+)/(\w+)", rf"decoder.up.{last - level}.block.\1.{{coder:\2}}"),
            (f"decoder/up{level}_upsample/conv", f"decoder.up.{last - level}.upsample.conv"),
        )
    )
    rows: Table = (
        ("quant", "quant_conv"),
        ("post_quant", "post_quant_conv"),
        (f"{ends}/(conv_in|norm_out|conv_out)", r"\1.\2"),
        (r"encoder/down(\d+)_residual(\d+)/(\w+)", r"encoder.down.\1.block.\2.{coder:\3}"),
        (r"encoder/down(\d+)_downsample/conv", r"encoder.down.\1.downsample.conv"),
        (rf"{ends}/middle_residual0/(\w+)", r"\1.mid.block_1.{coder:\2}"),
        (rf"{ends}/middle_residual1/(\w+)", r"\1.mid.block_2.{coder:\2}"),
        (rf"{ends}/middle_attention0/(\w+)", r"\1.mid.attn_1.{one:\2}"),
        *up,
    )
    return by_table(rows, OURS)


def averaged(name_of: Name) -> Name:
    """The names of the U-Net's average, after `AVERAGE`."""
    return lambda path: "diffusion_model" + name_of(path).replace(".", "")
