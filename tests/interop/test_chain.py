"""The whole chain of a DDPM folder, with given noise, gives diffusers' pictures: live, under `-m slow`."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.config.build.network import linen_network
from jaxdiff.gaussian.denoiser import clip, make_denoiser
from jaxdiff.interop.unconditional import read_unconditional, shapes, write_unconditional
from jaxdiff.nets.unet2d import UNet2D
from jaxdiff.samplers import ancestral
from tests.helpers import latent_folder as tiny

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]
NET = UNet2D(widths=(8, 16), blocks=1, down=(False, True), up=(True, False), groups=4)
SHAPE, STEPS = (8, 8, 3), 1000
RNG = np.random.default_rng(0)
START = RNG.normal(size=(2, *SHAPE)).astype(np.float32)
NOISES = RNG.normal(size=(STEPS, 2, *SHAPE)).astype(np.float32)


def theirs(folder):
    import diffusers
    import torch

    net = diffusers.UNet2DModel.from_pretrained(folder / "unet")
    scheduler = diffusers.DDPMScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(STEPS)
    x, drawn = torch.tensor(START.transpose(0, 3, 1, 2)), iter(torch.tensor(NOISES.transpose(0, 1, 4, 2, 3)))
    place = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    with torch.no_grad(), mock.patch(place, side_effect=lambda *a, **k: next(drawn)):
        for t in scheduler.timesteps:
            x = scheduler.step(net(x, t).sample, t, x).prev_sample
    return x.numpy().transpose(0, 2, 3, 1)


def test_a_chain_of_1000_steps(tmp_path):
    params = tiny.random(shapes(NET, SHAPE))
    write_unconditional(tmp_path, NET, params, SHAPE, {"num_train_timesteps": STEPS})
    parts = read_unconditional(tmp_path)
    schedule, key = parts.schedule, jax.random.key(0)
    assert schedule.sampler == {"name": "ancestral", "variance": "fixed_small"}
    known = jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(STEPS)))
    noises = jnp.asarray(NOISES)
    process = schedule.process._replace(
        noise=lambda key, x: noises[jnp.argmax((known == jax.random.key_data(key)).all(1))]
    )
    denoiser = make_denoiser(process, schedule.parameterization, linen_network(parts.net), parts.params)
    sampler = ancestral(process, denoiser, constrain=clip(schedule.clip))
    ours = jax.jit(lambda x, times: samplers.sample(sampler, key, x, times))(START, schedule.grid(STEPS))
    there = theirs(tmp_path)
    assert there.std() > 0.1
    assert np.abs(ours - there).max() < 2e-3  # a thousandth of the range from -1 to 1
