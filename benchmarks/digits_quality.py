"""How good are digits drawn with the 1000-step chain? A judge trained on the real ones says.

    python benchmarks/digits_quality.py --workdir runs/ddpm            a run of configs/ddpm.py
    python benchmarks/digits_quality.py --workdir runs/ddpm --peer     and diffusers' U-Net beside it (extra `parity`)

The judge is a support vector machine trained on 70 % of scikit-learn's digits. Of 1,000 samples the table gives the
mean of its top probability (of held-out real digits: the first row), the share of the rarest class, and the Fréchet
distance in pixel space (64 values in [-1, 1]) to all real digits. The peer is a U-Net of the same size from diffusers
in a plain PyTorch loop with the same betas, optimiser and average, trained on as many images.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np
from measure import surroundings
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import jaxdiff
from jaxdiff.evaluation.frechet import frechet_distance
from jaxdiff.run import find, read_record
from jaxdiff.training.log import read
from jaxdiff.training.sharding import use_cpu_devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", default="runs/ddpm", help="a run that was trained on the digits")
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1, help="draws to judge, each of --num samples")
    parser.add_argument("--peer", action="store_true", help="train and judge diffusers' U-Net too")
    parser.add_argument("--peer-steps", type=int, default=1500)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    arguments = parser.parse_args()

    use_cpu_devices(read_record(find(arguments.workdir)).config["train"]["cpu_devices"])
    judge = Judge()
    rows = [judge.row("held-out real digits", judge.held_out, 0.0, 0.0)]
    for seed in range(arguments.seeds):
        rows.append(ours(judge, arguments.workdir, arguments.num, seed))
    if arguments.peer:
        rows.append(peer(judge, arguments.num, arguments.peer_steps))

    print(f"{'':36}  probability  rarest class  Fréchet  training s  sampling s")
    for row in rows:
        print(
            f"{row['name']:36}  {row['probability']:11.3f}  {row['rarest']:12.1%}  {row['frechet']:7.3f}"
            f"  {row['training_s']:10.0f}  {row['sampling_s']:10.0f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(surroundings() | {"rows": rows}, indent=2) + "\n")


class Judge:
    """Rates digits, (n, 64) in [-1, 1]."""

    def __init__(self):
        data = load_digits()
        self.real = data.data / 8 - 1
        train, self.held_out, train_labels, _ = train_test_split(self.real, data.target, test_size=0.3, random_state=0)
        self.machine = SVC(probability=True, random_state=0).fit(train, train_labels)

    def row(self, name: str, images: np.ndarray, training_s: float, sampling_s: float) -> dict:
        images = np.asarray(images, np.float64).reshape(len(images), 64)
        probabilities = self.machine.predict_proba(images)
        classes = np.bincount(probabilities.argmax(1), minlength=10) / len(images)
        return {
            "name": name,
            "probability": float(probabilities.max(1).mean()),
            "rarest": float(classes.min()),
            "frechet": frechet_distance(images, self.real),
            "training_s": training_s,
            "sampling_s": sampling_s,
        }


def ours(judge: Judge, workdir: str, num: int, seed: int) -> dict:
    history, batch_size = read(find(workdir)), read_record(find(workdir)).config["train"]["batch_size"]
    each = np.diff([0] + [r["step"] for r in history]) * batch_size / [r["images_per_s"] for r in history]
    model = jaxdiff.load(workdir)
    start = time.perf_counter()
    images = np.asarray(model.sample(jax.random.key(seed), num))
    return judge.row(
        f"jaxdiff, {history[-1]['step']} steps, seed {seed}", images, float(each.sum()), time.perf_counter() - start
    )


def peer(judge: Judge, num: int, steps: int) -> dict:
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
    warmed_up = lambda old, new, n: torch.lerp(new, old, min(0.998, (1 + float(n)) / (10 + float(n))))  # noqa: E731
    average = torch.optim.swa_utils.AveragedModel(net, avg_fn=warmed_up)
    scheduler = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    data = torch.tensor(judge.real, dtype=torch.float32).reshape(-1, 1, 8, 8)
    start = time.perf_counter()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100)
        x_0 = data[torch.randint(len(data), (128,))]
        eps, t = torch.randn_like(x_0), torch.randint(1000, (128,))
        loss = (net(scheduler.add_noise(x_0, eps, t), t).sample - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(net)
    trained = time.perf_counter() - start
    x = torch.randn(num, 1, 8, 8)
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(average(x, t).sample, t, x).prev_sample
    return judge.row(f"diffusers, {steps} steps", x.numpy(), trained, time.perf_counter() - start - trained)


if __name__ == "__main__":
    main()
