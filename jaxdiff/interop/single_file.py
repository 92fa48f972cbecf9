"""Single files: checkpoints of Stable Diffusion 1, 2 and XL, all networks in one .safetensors (`jaxdiff.interop.ldm`).

There is no configuration in them. The sizes are those of the tensors; what tensors do not tell is, as everywhere in
the field, taken from the family that they belong to:

    family   told by                                          heads        scale     pictures       scheduler
    1        transformers that begin with 1x1 convolutions    8            0.18215   512            PNDM
    2        transformers that begin with linear layers       of 64        0.18215   512, of v 768  DDIM
    XL       a vector and sizes beside the time               of 64        0.13025   1024           Euler

Whether Stable Diffusion 2 predicts eps or v no tensor tells: it has to be said.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.interop import ldm
from jaxdiff.interop.conditional import BESIDE
from jaxdiff.interop.latent import DTYPES, Latent, controlled, sides
from jaxdiff.interop.schedulers import read_scheduler
from jaxdiff.interop.weights import opened, read_params
from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.nets.conditional_unet import SIZES, ConditionalUNet
from jaxdiff.types import Spec, missing

__all__ = ["read_single"]

Shapes = Mapping[str, tuple[int, ...]]
"""Of tensors, by name, after the prefix of their network."""
FIRST, TRANSFORMER = "input_blocks.0.0.weight", "transformer_blocks"
HEAD, HEADS = 64, 8
SIZE_WIDTH = 256
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
LEADING = {"steps_offset": 1, "timestep_spacing": "leading"}
CHAIN = {"set_alpha_to_one": False, "clip_sample": False, "skip_prk_steps": True, "prediction_type": "epsilon"}
SCHEDULERS = {"1": "PNDMScheduler", "2": "DDIMScheduler", "XL": "EulerDiscreteScheduler"}
SCALES = {"1": 0.18215, "2": 0.18215, "XL": 0.13025}
PREFIXES = (ldm.UNET, ldm.AUTOENCODER, ldm.CLIP, ldm.OPEN_CLIP, ldm.CLIP_XL, ldm.OPEN_CLIP_XL, ldm.AVERAGE)


def read_single(
    file: Path,
    weights: str = "",
    scheduler: Mapping[str, Any] | None = None,
    size: tuple[int, int] | None = None,
    control: Sequence[str | Path] = (),
    dtype: str = "float32",
) -> Latent:
    """Read a file; its text encoders are read by themselves (`jaxdiff.interop.clip`).

    Args:
      weights: "ema" for the average that some files hold beside the U-Net.
      scheduler, size, control, dtype: see `jaxdiff.interop.latent.read_latent`; a scheduler's fields take the place of
        the family's.

    Raises:
      InputError: another kind of file; a tensor too few, too many or of another shape; an average that is not there; a
        Stable Diffusion 2 without scheduler={"prediction_type": ...}.
    """
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if weights not in ("", "ema"):
        raise InputError(f"weights={weights!r}: a single file has its own and, some of them, 'ema'")
    with opened(file) as stored:
        shapes = {name: tuple(part.get_slice(name).get_shape()) for name, part in stored.items()}
        kept = {name: stored[name].get_tensor(name) for name in ("alphas_cumprod", "scale_factor") if name in stored}
    _check(file, shapes)
    unet, coder = (
        {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
        for prefix in (ldm.UNET, ldm.AUTOENCODER)
    )
    family, net = unet_of(file, unet)
    autoencoder = autoencoder_of(file, coder).clone(scale=np.asarray(kept.get("scale_factor", SCALES[family])).item())
    given = dict(scheduler or {})
    config = _scheduler(file, family, net, given, kept.get("alphas_cumprod"))
    side = 1024 if family == "XL" else 768 if (family, config["prediction_type"]) == ("2", "v_prediction") else 512
    shape = (*sides(size or (side, side), None, autoencoder.factor), net.outputs)
    net = net.clone(dtype=DTYPES[dtype])
    told = missing(net.condition_spec(Spec(shape, "images")), 1)
    start = lambda key: net.init(key, jnp.zeros((1, *shape)), jnp.zeros(1), told)
    like = jax.eval_shape(start, jax.random.key(0))["params"]
    names, prefix = ldm.of_unet(net), ldm.UNET
    if weights:
        names, prefix = ldm.averaged(names), ldm.AVERAGE
    params = read_params(file, like, names, unused=ldm.BUFFERS, dtype=DTYPES[dtype], prefix=prefix)
    picture = jnp.zeros((1, autoencoder.factor, autoencoder.factor, autoencoder.channels))
    like = jax.eval_shape(autoencoder.init, jax.random.key(0), picture)["params"]
    judges = tuple(name for name in shapes if name.startswith(f"{ldm.AUTOENCODER}loss."))
    names = ldm.of_autoencoder(autoencoder)
    decoded = read_params(file, like, names, unused=judges, dtype=jnp.float32, prefix=ldm.AUTOENCODER)
    net, params = controlled(net, params, control, shape, "", dtype)
    return Latent(net, params, shape, read_scheduler(config), autoencoder, decoded)


def _check(file: Path, shapes: Shapes) -> None:
    """Refuse another kind of file, and tensors of no known part."""
    if ldm.UNET + FIRST not in shapes:
        example = min(shapes, default="nothing")
        raise InputError(
            f"{str(file)!r} is no checkpoint of Stable Diffusion 1, 2 or XL: it has no {ldm.UNET + FIRST!r} but "
            f"{example!r}: is it a part, such as a LoRA or an autoencoder, or another model?"
        )
    if "conditioner.embedders.0.model.text_projection" in shapes:
        raise InputError(f"{str(file)!r} is XL's refiner, which is not supported: take the base model")
    if rest := [name for name in shapes if not name.startswith(PREFIXES) and name not in ldm.BUFFERS]:
        raise InputError(f"{str(file)!r} has {len(rest)} tensors of no known part, such as {min(rest)!r}")


def unet_of(file: Path, shapes: Shapes) -> tuple[str, ConditionalUNet]:
    """The family and the U-Net of a file's tensors.

    Raises:
      InputError: they are not laid out as in Stable Diffusion.
    """
    levels: list[list[int]] = [[]]
    widths: list[int] = [0]
    block = 1
    while True:
        there = f"input_blocks.{block}.0"
        if f"{there}.op.weight" in shapes:
            levels.append([])
            widths.append(0)
        elif shape := shapes.get(f"{there}.in_layers.2.weight"):
            levels[-1].append(_depth(shapes, f"input_blocks.{block}.1"))
            widths[-1] = shape[0]
        else:
            break
        block += 1
    blocks, depths = len(levels[0]), [level[0] if level else 0 for level in levels]
    if any(level != [depth] * blocks for level, depth in zip(levels, depths, strict=True)) or not blocks:
        raise InputError(f"{str(file)!r}: a U-Net with levels of {levels} transformers: all must have as many blocks")
    contexts = {shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")}
    first, outputs = shapes[FIRST][1], shapes.get("out.2.weight", (0,))[0]
    linear = all(len(shape) == 2 for name, shape in shapes.items() if name.endswith("proj_in.weight"))
    pooled = shapes.get("label_emb.0.0.weight", (0, 0))[1]
    if len(contexts) != 1 or first - outputs not in BESIDE:
        raise InputError(f"{str(file)!r}: a U-Net of {first} channels told {sorted(contexts)} numbers is not supported")
    if linear and any(width % HEAD for width in widths):
        raise InputError(f"{str(file)!r}: a U-Net of the widths {widths}, which heads of {HEAD} do not divide")
    net = ConditionalUNet(
        widths=tuple(widths),
        blocks=blocks,
        depths=tuple(depths),
        middle_depth=_depth(shapes, "middle_block.1"),
        heads=tuple(width // HEAD if linear else HEADS for width in widths),
        context=contexts.pop(),
        pooled=pooled - SIZES * SIZE_WIDTH if pooled else 0,
        size_width=SIZE_WIDTH,
        up_depths=tuple(_depth(shapes, f"output_blocks.{i * (blocks + 1)}.1") for i in range(len(widths))),
        outputs=outputs,
        beside=BESIDE[first - outputs],
    )
    return "XL" if pooled else "2" if linear else "1", net


def _depth(shapes: Shapes, there: str) -> int:
    """How many blocks the transformer at a place has."""
    depth = 0
    while f"{there}.{TRANSFORMER}.{depth}.norm1.weight" in shapes:
        depth += 1
    return depth


def autoencoder_of(file: Path, shapes: Shapes) -> Autoencoder:
    """The autoencoder of a file's tensors.

    Raises:
      InputError: they are not laid out as in Stable Diffusion.
    """
    widths: list[int] = []
    while shape := shapes.get(f"encoder.down.{len(widths)}.block.0.conv1.weight"):
        widths.append(shape[0])
    blocks = 0
    while f"encoder.down.0.block.{blocks}.conv1.weight" in shapes:
        blocks += 1
    ends = shapes.get("encoder.conv_in.weight"), shapes.get("encoder.conv_out.weight")
    if not widths or ends[0] is None or ends[1] is None:
        raise InputError(f"{str(file)!r} has no autoencoder at {ldm.AUTOENCODER!r}: it is a part of a model")
    return Autoencoder(
        widths=tuple(widths),
        blocks=blocks,
        latents=ends[1][0] // 2,
        channels=ends[0][1],
        attention="encoder.mid.attn_1.q.weight" in shapes,
        quantized="quant_conv.weight" in shapes,
        unquantized="post_quant_conv.weight" in shapes,
    )


def _scheduler(
    file: Path, family: str, net: ConditionalUNet, given: Mapping[str, Any], alphas: np.ndarray | None
) -> dict[str, Any]:
    """The scheduler's configuration: the family's, with what is given in its place."""
    if family == "2" and not net.beside and "prediction_type" not in given:
        raise InputError(
            f"{str(file)!r} is a Stable Diffusion 2, of which no tensor tells what it predicts: give scheduler="
            "{'prediction_type': 'v_prediction'}, for those of 768 pixels, or 'epsilon', for those of 512"
        )
    if alphas is not None and not any("beta" in field for field in given):
        betas = np.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, BETAS["num_train_timesteps"]) ** 2
        usual = np.cumprod(1 - betas)
        if alphas.shape != usual.shape or not np.allclose(alphas.astype(np.float64), usual, rtol=1e-2, atol=0):
            raise InputError(
                f"{str(file)!r}: its alphas_cumprod are not those of Stable Diffusion: give the schedule's fields, "
                "such as scheduler={'rescale_betas_zero_snr': True}"
            )
    return {**BETAS, **LEADING, **CHAIN, "_class_name": SCHEDULERS[family], **given}
