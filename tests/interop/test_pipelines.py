"""Whole pipelines give diffusers' pictures, from given latents and words: live, the most telling under `-m parity`."""

import warnings
from unittest import mock

import jax
import numpy as np
import pytest

import jaxdiff
from jaxdiff.interop.conditional import BESIDE
from jaxdiff.pipelines import latents
from tests.helpers import latent_folder as tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY, STEPS = jax.random.key(0), 20
LEADING = {k: v for k, v in tiny.SCHEDULER.items() if k.startswith("beta")} | {"steps_offset": 1}
LEADING |= {"timestep_spacing": "leading"}
PLAIN = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
SCHEDULERS = {
    "ddim": LEADING | {"_class_name": "DDIMScheduler", "set_alpha_to_one": False, "clip_sample": False},
    "pndm": tiny.SCHEDULER,
    "euler": LEADING | {"_class_name": "EulerDiscreteScheduler"},
    "dpmpp_2m": LEADING | {"_class_name": "DPMSolverMultistepScheduler"},
}
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(2, *tiny.SHAPE)).astype(np.float32)
PICTURES = np.tanh(RNG.normal(size=(2, 16, 16, 3))).astype(np.float32)
MASK = np.ones((2, 16, 16, 1), np.float32)
MASK[:, 4:12, 6:] = 0


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """By the channels of the U-Net: with nothing, depth, a picture, or a mask and a picture beside the latents."""
    place = tmp_path_factory.mktemp("sd")
    return {4 + sum(n for _, n in b): tiny.write(place / str(i), beside=b) for i, b in enumerate(BESIDE.values())}


def torch_of(x):
    import torch

    return torch.tensor(np.ascontiguousarray(x))


def first(x):
    """Channels first."""
    return torch_of(x.transpose(0, 3, 1, 2))


def theirs(folder, scheduler, kind="StableDiffusionPipeline", negative=True, more=PLAIN, **given):
    """Pictures of diffusers in [-1, 1], of the same folder, words and noise; latents are their means, not draws."""
    import diffusers
    import torch
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    with (
        warnings.catch_warnings(),
        mock.patch.object(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean),
    ):
        warnings.simplefilter("ignore")
        pipeline = getattr(diffusers, kind)(
            vae=diffusers.AutoencoderKL.from_pretrained(folder / "vae"),
            unet=diffusers.UNet2DConditionModel.from_pretrained(folder / "unet"),
            scheduler=getattr(diffusers, scheduler["_class_name"]).from_config(scheduler),
            text_encoder=None,
            tokenizer=None,
            **more,
        )
        pipeline.set_progress_bar_config(disable=True)
        embeds = {"prompt_embeds": torch.tensor(tiny.words(2))}
        embeds |= {"negative_prompt_embeds": torch.tensor(tiny.words(2, 1))} if negative else {}
        scale = 3.0 if negative else 1.0
        out = pipeline(num_inference_steps=STEPS, guidance_scale=scale, output_type="np", **embeds, **given).images
    return 2 * out - 1


def words(negative=True):
    told = {"condition": {"context": tiny.words(2)}, "steps": STEPS}
    return told | ({"negative": {"context": tiny.words(2, 1)}, "guidance": 3.0} if negative else {})


def close(ours, there):
    """To a thousandth of the range [0, 1]."""
    assert np.abs(np.asarray(ours) - there).max() < 2e-3
    assert there.std() > 0.1


def cases(*telling, slow=()):
    marked = [pytest.param(*case, marks=pytest.mark.parity) for case in telling]
    return marked + [pytest.param(*case, marks=pytest.mark.slow) for case in slow]


EPS, V = "epsilon", "v_prediction"


@pytest.mark.parametrize(
    ("scheduler", "prediction"),
    cases(
        ("ddim", EPS),
        ("pndm", EPS),
        ("euler", V),
        ("dpmpp_2m", EPS),
        slow=[("ddim", V), ("pndm", V), ("euler", EPS), ("dpmpp_2m", V)],
    ),
)
def test_text_to_image(folders, scheduler, prediction):
    config = SCHEDULERS[scheduler] | {"prediction_type": prediction}
    model = jaxdiff.load(folders[4], scheduler=config)
    ours = latents.generate(model, KEY, 2, noise=NOISE, **words())
    close(ours, theirs(folders[4], config, latents=first(NOISE)))


@pytest.mark.slow
def test_without_guidance(folders):
    model = jaxdiff.load(folders[4], scheduler=SCHEDULERS["ddim"])
    ours = latents.generate(model, KEY, 2, noise=NOISE, **words(False))
    close(ours, theirs(folders[4], SCHEDULERS["ddim"], negative=False, latents=first(NOISE)))


@pytest.mark.parametrize("scheduler", cases(["euler"], slow=[["ddim"], ["dpmpp_2m"]]))
def test_image_to_image(folders, scheduler):
    config = SCHEDULERS[scheduler]
    model = jaxdiff.load(folders[4], scheduler=config)
    z = np.asarray(model.codec.encode(PICTURES))
    ours = latents.edit(model, KEY, PICTURES, strength=0.6, noise=NOISE, **words())
    place = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img.randn_tensor"
    with mock.patch(place, return_value=first(NOISE)):
        there = theirs(folders[4], config, "StableDiffusionImg2ImgPipeline", image=first(z), strength=0.6)
    close(ours, there)


@pytest.mark.parametrize(
    ("scheduler", "channels"),
    cases(("ddim", 4), ("euler", 9), slow=[("euler", 4), ("dpmpp_2m", 4), ("ddim", 9), ("dpmpp_2m", 9)]),
)
def test_inpainting(folders, scheduler, channels):
    config = SCHEDULERS[scheduler]
    model = jaxdiff.load(folders[channels], scheduler=config)
    ours = latents.fill(model, KEY, PICTURES, MASK, noise=NOISE, **words())
    given = {"image": first(PICTURES), "mask_image": first(1 - MASK), "latents": first(NOISE), "strength": 1.0}
    close(ours, theirs(folders[channels], config, "StableDiffusionInpaintPipeline", height=16, width=16, **given))


@pytest.mark.parity
def test_depth(folders):
    """Of another picture, whose depth is told too."""
    config = SCHEDULERS["ddim"]
    model = jaxdiff.load(folders[5], scheduler=config)
    z, told = np.asarray(model.codec.encode(PICTURES)), words()
    depth = RNG.normal(size=(2, 8, 8)).astype(np.float32)
    low, high = (f(depth, (1, 2), keepdims=True) for f in (np.min, np.max))
    told["condition"] |= {"depth": (2 * (depth - low) / (high - low) - 1)[..., None]}
    ours = latents.edit(model, KEY, z, strength=0.6, noise=NOISE, **told)
    given = {"image": first(PICTURES), "strength": 0.6, "depth_map": torch_of(depth)}
    place = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_depth2img.randn_tensor"
    more = {"depth_estimator": None, "feature_extractor": None}
    with mock.patch(place, return_value=first(NOISE)):
        there = theirs(folders[5], config, "StableDiffusionDepth2ImgPipeline", more=more, **given)
    close(ours, there)


@pytest.mark.parametrize("scheduler", cases(["ddim"], slow=[["euler"]]))
def test_instructions(folders, scheduler):
    """Three-way guidance, by a picture whose latents are not scaled."""
    config = SCHEDULERS[scheduler]
    model = jaxdiff.load(folders[8], scheduler=config)
    ours = latents.instruct(model, KEY, PICTURES, image_guidance=1.5, noise=NOISE, **words())
    kind = "StableDiffusionInstructPix2PixPipeline"
    given = {"image": first(PICTURES), "image_guidance_scale": 1.5, "latents": first(NOISE)}
    close(ours, theirs(folders[8], config, kind, **given))


@pytest.mark.parity
def test_xl(tmp_path):
    """Two levels of transformers, and a vector and sizes beside the words."""
    config = SCHEDULERS["euler"]
    model = jaxdiff.load(tiny.write(tmp_path, **tiny.XL), scheduler=config)
    pooled = RNG.normal(size=(2, 2, 10)).astype(np.float32)
    told = words()
    told["condition"] |= {"pooled": pooled[0], "sizes": np.tile(np.float32([32, 24, 4, 0, 16, 16]), (2, 1))}
    told["negative"] |= {"pooled": pooled[1]}
    ours = latents.generate(model, KEY, 2, noise=NOISE, **told)
    given = {"pooled_prompt_embeds": torch_of(pooled[0]), "negative_pooled_prompt_embeds": torch_of(pooled[1])}
    given |= {"original_size": (32, 24), "crops_coords_top_left": (4, 0), "target_size": (16, 16)}
    more = {"text_encoder_2": None, "tokenizer_2": None, "add_watermarker": False}
    close(ours, theirs(tmp_path, config, "StableDiffusionXLPipeline", more=more, latents=first(NOISE), **given))


def following(pictures):
    """What is told with two pictures to follow."""
    told = words()
    for i, strength in enumerate((0.8, 0.5)):
        told["condition"] |= {f"control{i}": pictures[i], f"strength{i}": np.full(2, strength, np.float32)}
    return told


@pytest.mark.parametrize("scheduler", cases(["ddim"], slow=[["dpmpp_2m"]]))
def test_two_control_networks(folders, scheduler, tmp_path):
    import diffusers

    config = SCHEDULERS[scheduler]
    controls = [tiny.write_tiny_control(tmp_path / str(seed), seed) for seed in (2, 3)]
    model = jaxdiff.load(folders[4], scheduler=config, control=controls)
    hints = RNG.uniform(size=(2, 2, 16, 16, 3)).astype(np.float32)
    ours = latents.generate(model, KEY, 2, noise=NOISE, **following(hints))
    nets = [diffusers.ControlNetModel.from_pretrained(place) for place in controls]
    given = {"image": [first(h) for h in hints], "controlnet_conditioning_scale": [0.8, 0.5], "latents": first(NOISE)}
    kind = "StableDiffusionControlNetPipeline"
    close(ours, theirs(folders[4], config, kind, more=PLAIN | {"controlnet": nets}, **given))


@pytest.mark.parity
def test_two_adapters(folders, tmp_path):
    import diffusers

    config = SCHEDULERS["ddim"]
    adapters = [tiny.write_tiny_adapter(tmp_path / str(seed), seed) for seed in (2, 3)]
    model = jaxdiff.load(folders[4], scheduler=config, control=adapters)
    pictures = RNG.uniform(size=(2, 2, 16, 16, 3)).astype(np.float32)
    ours = latents.generate(model, KEY, 2, noise=NOISE, **following(pictures))
    nets = [diffusers.T2IAdapter.from_pretrained(place) for place in adapters]
    given = {"image": [first(p) for p in pictures], "adapter_conditioning_scale": [0.8, 0.5], "latents": first(NOISE)}
    given |= {"height": 16, "width": 16}
    kind = "StableDiffusionAdapterPipeline"
    there = theirs(folders[4], config, kind, more=PLAIN | {"adapter": nets}, **given)
    close(ours, there)


@pytest.mark.parity
def test_an_adapter_of_xl(tmp_path):
    """Its last features meet the middle, and its first a level without transformers, which is halved by then."""
    import diffusers

    config = SCHEDULERS["euler"]
    levels = {"widths": (8, 16, 16), "heads": (2, 2, 4), "depths": (0, 1, 1), "up_depths": (1, 1, 0)}
    folder = tiny.write(tmp_path, **tiny.XL | {"middle_depth": 1} | levels)
    four = {"widths": (8, 16, 16, 16), "halved": (False, False, True, False), "patch": 4}
    adapter = tiny.write_tiny_adapter(tmp_path / "adapter", **four)
    model = jaxdiff.load(folder, scheduler=config)
    pooled = RNG.normal(size=(2, 2, 10)).astype(np.float32)
    picture, told = RNG.uniform(size=(2, 16, 16, 3)).astype(np.float32), words()
    told["condition"] |= {"pooled": pooled[0], "sizes": np.tile(np.float32([16, 16, 0, 0, 16, 16]), (2, 1))}
    told["condition"] |= {"control0": picture, "strength0": np.full(2, 0.8, np.float32)}
    told["negative"] |= {"pooled": pooled[1]}
    ours = latents.generate(model, KEY, 2, noise=NOISE, **told)
    given = {"pooled_prompt_embeds": torch_of(pooled[0]), "negative_pooled_prompt_embeds": torch_of(pooled[1])}
    given |= {"image": first(picture), "adapter_conditioning_scale": 0.8, "height": 16, "width": 16}
    more = {"text_encoder_2": None, "tokenizer_2": None, "adapter": diffusers.T2IAdapter.from_pretrained(adapter)}
    close(ours, theirs(folder, config, "StableDiffusionXLAdapterPipeline", more=more, latents=first(NOISE), **given))


@pytest.mark.parity
def test_exported_folders_load_without_a_warning(folders, tmp_path, caplog):
    import diffusers

    control = tiny.write_tiny_control(tmp_path / "control")
    adapter = tiny.write_tiny_adapter(tmp_path / "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cls, place in (
            ("UNet2DConditionModel", folders[9] / "unet"),
            ("AutoencoderKL", folders[4] / "vae"),
            ("ControlNetModel", control),
            ("T2IAdapter", adapter),
        ):
            net, left = getattr(diffusers, cls).from_pretrained(place, output_loading_info=True)
            assert not any(left.values())
            assert sum(p.numel() for p in net.parameters())
    assert not [record for record in caplog.records if "accelerate" not in record.message]
