"""How good are digits drawn with the 1000-step chain? A judge trained on the real ones says.

    python benchmarks/digits_quality.py --workdir runs/ddpm            a run of configs/ddpm.py
    python benchmarks/digits_quality.py --workdir runs/ddpm --peer     and diffusers' U-Net beside it (extra `parity`)

All rows are 718 images, five times, and all are compared with one reference: the 360 digits that no run is trained on
(`jaxdiff.modalities.images.digits("test")`), and no row draws from. The judge is a support vector machine trained on
these, too. "Real digits" are one half of the training digits, another at each time, and "a Gaussian" has the mean and
covariance of all training digits. The table gives the mean top probability, the share of the rarest class, and the
Fréchet distance in pixel space (64 values in [-1, 1]), which is above 0 also for real digits, since so few differ by
chance. The peer is a U-Net of the same size from diffusers in a plain PyTorch loop with the same betas, optimizer and
average, trained on as many images.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from measure import surroundings
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC

import jaxdiff
from jaxdiff.config.record import find, read_record
from jaxdiff.evaluation.frechet import frechet_distance
from jaxdiff.modalities import images
from jaxdiff.training.log import read
from jaxdiff.training.sharding import use_cpu_devices

SEEDS = 5
FIGURES = ("probability", "rarest", "frechet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", default="runs/ddpm", help="a run that was trained on the digits")
    parser.add_argument("--peer", action="store_true", help="train and judge diffusers' U-Net too")
    parser.add_argument("--peer-steps", type=int, default=1500)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    arguments = parser.parse_args()

    use_cpu_devices(read_record(find(arguments.workdir)).config["train"]["cpu_devices"])
    judge = Judge()
    rows = [*judge.floors(), ours(judge, arguments.workdir)]
    if arguments.peer:
        rows.append(peer(judge, arguments.peer_steps))

    print(f"{'':36}  {'probability':>15}  {'rarest class':>15}  {'Fréchet':>15}  training s  sampling s")
    for row in rows:
        figures = "  ".join(f"{row[f]['mean']:7.3f} ± {row[f]['spread']:.3f}" for f in FIGURES)
        print(f"{row['name']:36}  {figures}  {row.get('training_s', 0):10.0f}  {row.get('sampling_s', 0):10.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(surroundings() | {"rows": rows}, indent=2) + "\n")


class Judge:
    """Rates digits, 64 numbers in [-1, 1] each."""

    def __init__(self):
        self.train, _ = flat("train")
        self.reference, labels = flat("test")
        self.n = len(self.train) // 2
        self.machine = CalibratedClassifierCV(SVC(random_state=0), ensemble=False).fit(self.reference, labels)

    def row(self, name: str, draw: Callable[[int], np.ndarray]) -> dict:
        """Mean and standard deviation over seeds, of the images that `draw(seed)` gives, n of them."""
        begin = time.perf_counter()
        drawn = [np.asarray(draw(seed), np.float64).reshape(-1, 64) for seed in range(SEEDS)]
        seconds = (time.perf_counter() - begin) / SEEDS
        if any(len(images) != self.n for images in drawn):
            raise ValueError(f"{name}: all rows are of {self.n} images")
        each = [self.figures(images) for images in drawn]
        spread = lambda values: {"mean": float(np.mean(values)), "spread": float(np.std(values, ddof=1))}
        return {"name": name, **{f: spread([e[f] for e in each]) for f in FIGURES}, "sampling_s": seconds}

    def floors(self) -> list[dict]:
        """What real digits have, and what a Gaussian has, which knows two moments alone."""
        mean, covariance = self.train.mean(0), np.cov(self.train.T)
        rng = np.random.default_rng

        def real(seed):
            return rng(seed).permutation(self.train)[: self.n]

        def gaussian(seed):
            return rng(seed).multivariate_normal(mean, covariance, self.n, method="eigh")

        return [self.row("real digits", real), self.row("a Gaussian", gaussian)]

    def figures(self, images: np.ndarray) -> dict[str, float]:
        """Those of one set; sets of as many images alone can be compared by the distance."""
        images = np.asarray(images, np.float64).reshape(len(images), 64)
        probabilities = self.machine.predict_proba(images)
        classes = np.bincount(probabilities.argmax(1), minlength=10) / len(images)
        distance = frechet_distance(images, self.reference)
        return {"probability": probabilities.max(1).mean(), "rarest": classes.min(), "frechet": distance}


def flat(split: str) -> tuple[np.ndarray, np.ndarray]:
    """A split of the digits, (n, 64), and their classes."""
    source = images.digits(split)
    batch = source.take(np.arange(source.size))
    return np.asarray(batch.x_0, np.float64).reshape(-1, 64), np.asarray(batch.condition["label"])


def ours(judge: Judge, workdir: str) -> dict:
    history, batch_size = read(find(workdir)), read_record(find(workdir)).config["train"]["batch_size"]
    each = np.diff([0] + [r["step"] for r in history]) * batch_size / [r["examples_per_s"] for r in history]
    model = jaxdiff.load(workdir)
    row = judge.row(
        f"jaxdiff, {history[-1]['step']} steps", lambda seed: np.asarray(model.sample(jax.random.key(seed), judge.n))
    )
    return row | {"training_s": float(each.sum())}


def peer(judge: Judge, steps: int) -> dict:
    import torch
    from diffusers import DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    net = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,
    )
    warmed_up = lambda old, new, n: torch.lerp(new, old, min(0.998, (1 + float(n)) / (10 + float(n))))
    average = torch.optim.swa_utils.AveragedModel(net, avg_fn=warmed_up)
    scheduler = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    data = torch.tensor(judge.train, dtype=torch.float32).reshape(-1, 1, 8, 8)
    start = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100)
        x_0 = data[torch.randint(len(data), (128,))]
        eps, t = torch.randn_like(x_0), torch.randint(1000, (128,))
        loss = (net(scheduler.add_noise(x_0, eps, t), t).sample - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(net)
    trained = time.perf_counter() - start

    @torch.no_grad()
    def draw(seed):
        torch.manual_seed(seed)
        x = torch.randn(judge.n, 1, 8, 8)
        for t in scheduler.timesteps:
            x = scheduler.step(average(x, t).sample, t, x).prev_sample
        return x.numpy()

    return judge.row(f"diffusers, {steps} steps", draw) | {"training_s": trained}


if __name__ == "__main__":
    main()
