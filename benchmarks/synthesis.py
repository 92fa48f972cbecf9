"""Do drawn images teach as real ones do? Classifiers of Fashion-MNIST, trained on --num real or --num drawn images.

    python train.py --config=configs/guided.py:fashion_mnist=fashion_mnist.npz --workdir=runs/fashion
    python benchmarks/synthesis.py --data fashion_mnist.npz --workdir runs/fashion

First a judge, a classifier trained on all real images, tells how many of 1,000 images drawn at guidance scales 1 to 3
are of the class that was asked for. Then a model like it trains on the first --num real training images, and one on
--num drawn at scale --guidance, for as many steps; all are tested on the real test images. Those that are there are not
trained again.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from measure import surroundings

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.pipelines import classifier
from jaxdiff.pipelines.load import load_classifier
from jaxdiff.training.sharding import use_cpu_devices
from jaxdiff.types import Batch

ROOT = Path(__file__).parent.parent
CLEAR = 0.005
"""Noise that the classifiers are trained and tested with: they see the images as they are."""
SAMPLING = {"sampler": "dpmpp_2m", "steps": 12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=800, help="of each classifier, 128 images each")
    parser.add_argument("--judge-steps", type=int, default=9600)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    use_cpu_devices(2)
    content, model = np.load(arguments.data), jaxdiff.load(arguments.workdir)
    test = batch(content["test_images"], content["test_labels"])
    n, steps = arguments.num, arguments.steps
    rows: dict = {"weights": model.weights, "steps": steps, "judge_steps": arguments.judge_steps, "images": n}

    def note(name, value):
        rows[name] = value
        print(f"{name}: {value}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(surroundings() | rows, indent=2) + "\n")

    every = content["train_images"], content["train_labels"]
    judge = trained(arguments, "judge", arguments.judge_steps, *every, content)
    note("judge, on real test images", accuracy(judge, test))
    labels = np.arange(1000) % 10
    for scale in (1.0, 2.0, 3.0):
        drawn = np.asarray(model.sample(jax.random.key(1), 1000, condition=labels, guidance=scale, **SAMPLING))
        note(f"as asked, of 1000 at scale {scale:g}", accuracy(judge, batch(drawn, labels)))
    guidance = {"guidance": arguments.guidance} if arguments.guidance != 1 else {}
    begin = time.perf_counter()
    images, labels = pipelines.synthesize(model, jax.random.key(0), [n // 10] * 10, 500, **SAMPLING, **guidance)
    note("seconds to draw", time.perf_counter() - begin)
    real = trained(arguments, "real", steps, *(part[:n] for part in every), content)
    note(f"trained on {n} real images", accuracy(real, test))
    drawn = trained(arguments, "drawn", steps, images[..., 0], labels, content)
    note(f"trained on {n} drawn at scale {arguments.guidance:g}", accuracy(drawn, test))


def trained(arguments, name: str, steps: int, images: np.ndarray, labels: np.ndarray, content) -> classifier.Classifier:
    run = arguments.workdir.parent / f"judge-{name}"
    if not (run / "loss.png").exists():
        file = arguments.workdir.parent / f"{name}.npz"
        held_out = {k: content[k][:1000] for k in ("test_images", "test_labels")}
        np.savez(file, train_images=images, train_labels=labels, **held_out)
        fields = {"loss.times.mean": np.log(CLEAR), "loss.times.std": 0.1, "train.steps": steps}
        command = [f"--config=configs/classifier.py:fashion_mnist={file.resolve()}", f"--workdir={run.resolve()}"]
        command += [f"--config.{field}={value}" for field, value in fields.items()]
        subprocess.run([sys.executable, "train.py", *command], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    return load_classifier(run)


def batch(images: np.ndarray, labels: np.ndarray) -> Batch:
    pixels = images[..., None] / 127.5 - 1 if images.dtype == np.uint8 else images
    return Batch(jnp.asarray(pixels, jnp.float32), {"label": jnp.asarray(labels, jnp.int32)})


def accuracy(judge: classifier.Classifier, examples: Batch) -> float:
    shares, label = [], examples.condition["label"]
    for i in range(0, len(label), 1000):
        part = Batch(examples.x_0[i : i + 1000], {"label": label[i : i + 1000]})
        shares.append(classifier.accuracy(judge, judge.params, jax.random.key(0), part, jnp.array([CLEAR]))[0])
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
