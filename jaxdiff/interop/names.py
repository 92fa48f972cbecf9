"""Names: one table a network, from our paths of parameters to the names in files of diffusers.

A table is a row of `(pattern, name)`; the patterns are regular expressions, of which the first that fits the whole of a
module's path gives its name there.
"""

import re
from collections.abc import Mapping, Sequence

from jaxdiff.errors import InputError
from jaxdiff.interop.weights import Name

__all__ = [
    "ADAPTER",
    "AUTOENCODER",
    "CONDITIONAL",
    "CONTROL",
    "TINY",
    "UNET2D",
    "WORDS",
    "Table",
    "by_table",
    "old_attention",
    "own_unet",
    "projections",
    "squared",
    "transformer",
]

RESIDUAL = {"embed": "time_emb_proj", "shortcut": "conv_shortcut"}
ATTENTION = {"norm": "group_norm", "query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"}
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}

Table = Sequence[tuple[str, str]]

TIME: Table = (("time([12])", r"time_embedding.linear_\1"), ("classes", "class_embedding"))
ENDS: Table = (("conv_in", "conv_in"), ("norm_out", "conv_norm_out"), ("conv_out", "conv_out"))
LEVELS: Table = (
    (r"(down|up)(\d+)_residual(\d+)/(\w+)", r"\1_blocks.\2.resnets.\3.{residual:\4}"),
    (r"(down|up)(\d+)_(down|up)sample/conv", r"\1_blocks.\2.\3samplers.0.conv"),
    (r"middle_residual(\d)/(\w+)", r"mid_block.resnets.\1.{residual:\2}"),
)
SELF_ATTENTION: Table = (
    (r"(down|up)(\d+)_attention(\d+)/(\w+)", r"\1_blocks.\2.attentions.\3.{attention:\4}"),
    (r"middle_attention(\d)/(\w+)", r"mid_block.attentions.\1.{attention:\2}"),
)
UNET2D: Table = (*TIME, *ENDS, *LEVELS, *SELF_ATTENTION)
"""Of `jaxdiff.nets.unet2d.UNet2D`, which is UNet2DModel there."""


def own_unet(levels: int) -> Table:
    """Of `jaxdiff.nets.unet.UNet` with so many levels, whose plain variants are a UNet2DModel there, too.

    Its levels are numbered by their size, also on the way up, where the files count from the lowest.
    """
    up = tuple(
        row
        for level in range(levels)
        for row in (
            (rf"up{level}_(\d+)/(\w+)", rf"up_blocks.{levels - 1 - level}.resnets.\1.{{residual:\2}}"),
            (rf"up{level}_(\d+)_attention/(\w+)", rf"up_blocks.{levels - 1 - level}.attentions.\1.{{attention:\2}}"),
            (rf"upsample{level}/conv", rf"up_blocks.{levels - 1 - level}.upsamplers.0.conv"),
        )
    )
    return (
        *TIME,
        *ENDS,
        (r"down(\d+)_(\d+)/(\w+)", r"down_blocks.\1.resnets.\2.{residual:\3}"),
        (r"down(\d+)_(\d+)_attention/(\w+)", r"down_blocks.\1.attentions.\2.{attention:\3}"),
        (r"downsample(\d+)/conv", r"down_blocks.\1.downsamplers.0.conv"),
        (r"middle_([01])/(\w+)", r"mid_block.resnets.\1.{residual:\2}"),
        (r"middle_attention/(\w+)", r"mid_block.attentions.0.{attention:\1}"),
        *up,
    )


ENCODER_AND_DECODER: Table = tuple(
    (f"(encoder|decoder)/{pattern}", r"\1." + re.sub(r"\\(\d)", lambda n: rf"\{int(n[1]) + 1}", name))
    for pattern, name in (*ENDS, *LEVELS, *SELF_ATTENTION)
)
AUTOENCODER: Table = (("quant", "quant_conv"), ("post_quant", "post_quant_conv"), *ENCODER_AND_DECODER)
"""Of `jaxdiff.nets.autoencoder.Autoencoder`, AutoencoderKL there."""

TINY: Table = (
    (r"(encoder|decoder)/layer(\d+)", r"\1.layers.\2"),
    (r"(encoder|decoder)/layer(\d+)/conv([012])", r"\1.layers.\2.conv.{tiny:\3}"),
)
"""Of `jaxdiff.nets.tiny_autoencoder.TinyAutoencoder`, AutoencoderTiny there."""


def transformer(ours: str, there: str, n: int = 0) -> Table:
    """Of a `jaxdiff.nets.spatial_transformer`.

    Args:
      ours, there: where it is; of the groups that `ours` has, n, the names make use.
    """
    return (
        (rf"{ours}/(norm|proj_in|proj_out)", rf"{there}.\{n + 1}"),
        (rf"{ours}/block(\d+)/(norm\d|gated|mixed)", rf"{there}.transformer_blocks.\{n + 1}.{{block:\{n + 2}}}"),
        (
            rf"{ours}/block(\d+)/(self|cross)/(\w+)",
            rf"{there}.transformer_blocks.\{n + 1}.{{block:\{n + 2}}}.{{attention:\{n + 3}}}",
        ),
    )


TRANSFORMERS: Table = (
    *transformer(r"(down|up)(\d+)_attention(\d+)", r"\1_blocks.\2.attentions.\3", 3),
    *transformer(r"middle_attention(\d)", r"mid_block.attentions.\1", 1),
)
ADDED: Table = (("added([12])", r"add_embedding.linear_\1"),)
CONDITIONAL: Table = (*TIME, *ADDED, *ENDS, *LEVELS, *TRANSFORMERS)
"""Of `jaxdiff.nets.conditional_unet.ConditionalUNet`, UNet2DConditionModel there."""

CONTROL: Table = (
    *CONDITIONAL,
    ("hint/(conv_in|conv_out)", r"controlnet_cond_embedding.\1"),
    (r"hint/conv(\d+)", r"controlnet_cond_embedding.blocks.\1"),
    (r"zero(\d+)", r"controlnet_down_blocks.\1"),
    ("zero_middle", "controlnet_mid_block"),
)
"""Of `jaxdiff.nets.control.Control`, ControlNetModel there."""

ADAPTER: Table = (
    ("conv_in", "adapter.conv_in"),
    (r"level(\d+)_(in|out)", r"adapter.body.\1.\2_conv"),
    (r"level(\d+)_residual(\d+)_conv([12])", r"adapter.body.\1.resnets.\2.block\3"),
)
"""Of `jaxdiff.nets.adapter.Adapter`, T2IAdapter there."""

BLOCK = {"self": "attn1", "cross": "attn2", "gated": "ff.net.0.proj", "mixed": "ff.net.2"}
WORDS = {"residual": RESIDUAL, "attention": ATTENTION, "block": BLOCK, "tiny": {"0": "0", "1": "2", "2": "4"}}


def by_table(table: Table, words: Mapping[str, Mapping[str, str]] = WORDS) -> Name:
    """The function from our paths to the names of a table.

    Args:
      words: by kind, what "{kind:word}" in a name stands for, where it is not the word itself.

    >>> by_table(UNET2D)("up1_residual0/shortcut/kernel")
    'up_blocks.1.resnets.0.conv_shortcut.weight'
    """
    rows = [(re.compile(pattern), name) for pattern, name in table]

    def translated(found: re.Match) -> str:
        return words[found[1]].get(found[2]) or found[2]

    def name_of(path: str) -> str:
        module, leaf = path.rsplit("/", 1)
        for pattern, name in rows:
            if found := pattern.fullmatch(module):
                return re.sub(r"\{(\w+):([\w.]+)\}", translated, found.expand(name)) + "." + LEAVES[leaf]
        raise InputError(f"no name is known for the parameter {path!r} in files of other libraries")

    return name_of


def old_attention(name: str) -> str:
    """The name of an attention's tensor, where a file from before 2023 has another.

    >>> old_attention("mid_block.attentions.0.proj_attn.weight")
    'mid_block.attentions.0.to_out.0.weight'
    """
    found = re.fullmatch(r"(.*attentions\.\d+)\.(query|key|value|proj_attn)\.(\w+)", name)
    return f"{found[1]}.{OLD_ATTENTION[found[2]]}.{found[3]}" if found else name


def squared(path: str) -> bool:
    """Whether a dense layer of ours is a 1x1 convolution there: shortcuts, and layers that mix channels at the ends."""
    module = path.split("/")[-2]
    return module in ("shortcut", "quant", "post_quant") or module.startswith(("zero", "level"))


def projections(path: str) -> bool:
    """As `squared`, and the layers before and after a transformer, as in Stable Diffusion 1."""
    return squared(path) or path.split("/")[-2] in ("proj_in", "proj_out")
