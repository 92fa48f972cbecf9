"""Peers: the training loops of two other libraries, around their own networks, losses and samplers, for quality.py.

    diffusers   UNet2DModel and DDPMScheduler as its example `train_unconditional.py` has them: eps, linear betas
    lucidrains  Unet and GaussianDiffusion of denoising-diffusion-pytorch as its README has them: v, sigmoid betas

Each by two recipes: "its example", with batch, optimizer, rates and average as documented there; and "jaxdiff's rates",
with those of jaxdiff's own recipe, and with cosine betas. Nothing is mirrored. The loop is written here, since theirs
read folders of pictures and write checkpoints: shuffled epochs, the gradient clipped to norm 1, an average of all
updates as their own classes compute it.
"""

import copy
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch

from jaxdiff.training.ema import averages

CHAIN, CALLS = 1000, 50
SIZES: dict[int, dict[str, Any]] = {
    8: {"widths": (32, 64), "layers": 1, "dim": 30, "multiples": (1, 2)},
    28: {"widths": (32, 64, 64), "layers": 2, "dim": 34, "multiples": (1, 2, 2)},
}
"""By the side of the images: networks with as many parameters as jaxdiff's, to a twentieth."""


class Recipe(NamedTuple):
    """How to train.

    Attributes:
      batch: images an update.
      rates, decays: of the optimizer and of the average, for each update.
      optimizer: `parameters -> optimizer`.
    """

    batch: int
    rates: np.ndarray
    decays: np.ndarray
    optimizer: Callable[[Any], torch.optim.Optimizer]


class Peer(NamedTuple):
    """What a library brings.

    Attributes:
      net: as it is trained.
      loss: `images (n, channels, height, width) in [-1, 1] -> scalar`.
      samplers: `(net, n) -> images` by name; the first is its own, with a call of the network for each of 1000 steps.
    """

    net: torch.nn.Module
    loss: Callable[[torch.Tensor], torch.Tensor]
    samplers: dict[str, Callable[[torch.nn.Module, int], torch.Tensor]]


def jaxdiffs(config: dict) -> Recipe:
    """Batch, rates and average of a configuration of jaxdiff."""
    spec, batch, n = config["optimizer"], config["train"]["batch_size"], np.arange(config["train"]["steps"])
    rates = spec["learning_rate"] * np.minimum(1, (n + 1) / max(spec["warmup"], 1))
    if spec["schedule"]["name"] == "cosine_decay_schedule":
        passed = np.clip((n - spec["warmup"]) / spec["schedule"]["decay_steps"], 0, 1)
        rates = rates * (1 + np.cos(np.pi * passed)) / 2
    decay = next(iter(averages(config["ema"], batch).values()))
    return Recipe(batch, rates, np.asarray(decay(n.astype(np.float32))), lambda p: torch.optim.Adam(p, 1.0))


def example(name: str, steps: int) -> Recipe:
    """As the library documents it."""
    n = np.arange(steps)
    if name == "diffusers":
        passed = (n - 500) / max(steps - 500, 1)
        rates = 1e-4 * np.where(n < 500, n / 500, (1 + np.cos(np.pi * passed)) / 2)
        adam = lambda p: torch.optim.AdamW(p, 1.0, (0.95, 0.999), weight_decay=1e-6)
        return Recipe(16, rates, np.minimum(0.9999, 1 - (1 + n) ** -0.75), adam)
    late = np.minimum(0.995, 1 - np.maximum(n - 99.0, 1) ** (-2 / 3))
    decays = np.where(n % 10, 1.0, np.where(n > 100, late, 0.0))
    return Recipe(64, np.full(steps, 8e-5), decays, lambda p: torch.optim.Adam(p, 1.0, (0.9, 0.99)))


def diffusers(shape: tuple[int, ...], cosine: bool) -> Peer:
    from diffusers import DDPMScheduler, UNet2DModel

    size, levels = SIZES[shape[0]], len(SIZES[shape[0]]["widths"])
    net = UNet2DModel(
        sample_size=shape[0],
        in_channels=shape[2],
        out_channels=shape[2],
        block_out_channels=size["widths"],
        layers_per_block=size["layers"],
        down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
        attention_head_dim=None,
    )
    scheduler = DDPMScheduler(CHAIN, beta_schedule="squaredcos_cap_v2" if cosine else "linear")

    def loss(x_0):
        eps, t = torch.randn_like(x_0), torch.randint(CHAIN, (len(x_0),))
        return (net(scheduler.add_noise(x_0, eps, t), t).sample - eps).square().mean()

    def chain(average, n):
        x = torch.randn(n, shape[2], *shape[:2])
        scheduler.set_timesteps(CHAIN)
        for t in scheduler.timesteps:
            x = scheduler.step(average(x, t).sample, t, x).prev_sample
        return x

    solver = solver_of(shape, scheduler.betas, "epsilon")
    return Peer(net, loss, {"DDPM": chain, "DPM-Solver++": lambda average, n: solver(lambda *a: average(*a).sample, n)})


def lucidrains(shape: tuple[int, ...], cosine: bool) -> Peer:
    unused = ("torchvision", "accelerate")  # which its Trainer imports
    missing = {name: mock.MagicMock() for name in unused if name not in sys.modules}
    sys.modules.update(missing)
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    for name in missing:
        del sys.modules[name]
    size = SIZES[shape[0]]
    net = Unet(size["dim"], dim_mults=size["multiples"], channels=shape[2])
    options = {"image_size": shape[:2], "auto_normalize": False, "beta_schedule": "cosine" if cosine else "sigmoid"}
    whole = GaussianDiffusion(net, **options)
    draws = lambda average, n, **more: GaussianDiffusion(average, **options, **more).sample(n)
    solver = solver_of(shape, whole.betas, "v_prediction")
    samplers = {"DDPM": draws, "DDIM": lambda average, n: draws(average, n, sampling_timesteps=CALLS)}
    samplers["DPM-Solver++"] = lambda average, n: solver(lambda x, t: average(x, t.expand(len(x))), n)
    return Peer(net, whole, samplers)


def solver_of(shape: tuple[int, ...], betas: torch.Tensor, prediction: str):
    """DPM-Solver++ (2M) of diffusers in 50 calls: x_0 clipped, cosine betas from log-SNR -10.2 on, as it advises."""
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        CHAIN,
        trained_betas=betas.numpy().astype(np.float32),
        prediction_type=prediction,
        timestep_spacing="trailing",
        lambda_min_clipped=-5.1,
        thresholding=True,  # by the largest value allowed, 1: clips
        sample_max_value=1.0,
    )

    def draw(net, n):
        x = torch.randn(n, shape[2], *shape[:2])
        scheduler.set_timesteps(CALLS)
        for t in scheduler.timesteps:
            x = scheduler.step(net(x, t), t, x).prev_sample
        return x

    return draw


class Training:
    """A run of a peer, update by update."""

    def __init__(self, name: str, recipe: Recipe, images: np.ndarray, seed: int, cosine: bool):
        torch.manual_seed(seed)
        self.peer = {"diffusers": diffusers, "lucidrains": lucidrains}[name](images.shape[1:], cosine)
        self.recipe, self.done, self.order = recipe, 0, torch.empty(0, dtype=torch.long)
        self.images = torch.tensor(images, dtype=torch.float32).permute(0, 3, 1, 2).contiguous()
        self.weights = list(self.peer.net.parameters())
        self.size = sum(w.numel() for w in self.weights)
        self.average = copy.deepcopy(self.peer.net).eval()
        self.optimizer = recipe.optimizer(self.weights)

    def step(self) -> None:
        recipe, at = self.recipe, self.done % len(self.recipe.rates)
        while len(self.order) < recipe.batch:
            self.order = torch.cat([self.order, torch.randperm(len(self.images))])
        x_0, self.order = self.images[self.order[: recipe.batch]], self.order[recipe.batch :]
        self.optimizer.param_groups[0]["lr"] = float(recipe.rates[at])
        self.optimizer.zero_grad()
        self.peer.loss(x_0).backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        if (share := 1 - float(recipe.decays[at])) > 0:
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), self.weights, share)
        self.done += 1

    @torch.no_grad()
    def draw(self, sampler: str, seed: int, n: int) -> np.ndarray:
        """Images of the average, (n, height, width, channels)."""
        torch.manual_seed(seed)
        return self.peer.samplers[sampler](self.average, n).clamp(-1, 1).permute(0, 2, 3, 1).numpy()
