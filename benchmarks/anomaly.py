"""Which class was never seen? Ten models of Fashion-MNIST, each trained without one class, and two classical methods.

    python benchmarks/anomaly.py --data fashion_mnist.npz --json benchmarks/results/anomaly_cpu.json

For each class: a small model trains on the others (`train.py`, --steps batches of 64), and all methods rate the first
--each test images of every class, the held-out class against the nine others: ROC-AUC of image-level scores. All see
the same training images; "msma" compares with 1,000 of them. PCA: the squared error of a reconstruction from as
many components as explain 90 %; k-NN: the distance to the fifth neighbor; both on pixels. Runs that are there are not
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
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

import jaxdiff
from jaxdiff.gaussian.process import time_at
from jaxdiff.pipelines.anomaly import denoising_error, msma
from jaxdiff.training.sharding import use_cpu_devices

ROOT = Path(__file__).parent.parent
NET = ("net.channels=32", "net.num_classes=0", "train.cond_dropout=0.0", "train.batch_size=64")
LEVELS = (0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 4.0)
HIGH = (1.0, 2.0, 3.0, 4.0, 5.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a .npz with train_images, train_labels, test_...")
    parser.add_argument("--workdir", type=Path, default=Path("runs/anomaly"))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--each", type=int, default=200, help="test images of each class")
    parser.add_argument("--classes", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--json", type=Path, help="write the rows here too")
    arguments = parser.parse_args()

    content = np.load(arguments.data)
    images, labels = content["test_images"], content["test_labels"]
    chosen = np.concatenate([np.flatnonzero(labels == c)[: arguments.each] for c in range(10)])
    images, labels = images[chosen], labels[chosen]
    use_cpu_devices(2)
    rows = []
    for held_out in arguments.classes:
        kept = content["train_images"][content["train_labels"] != held_out]
        begin = time.perf_counter()
        scores = classical(kept, images) | ours(arguments, content, held_out, images, kept)
        for method, values in scores.items():
            strange = labels == held_out
            auc, precision = roc_auc_score(strange, values), average_precision_score(strange, values)
            rows.append({"held_out": held_out, "method": method, "auc": auc, "average_precision": precision})
            print(f"{held_out} {method:34} {100 * auc:6.2f} {100 * precision:6.2f}", flush=True)
        print(f"  {time.perf_counter() - begin:.0f} s", flush=True)
        if arguments.json:
            record = {"rows": rows, "summary": summary(rows), "steps": arguments.steps, "each": arguments.each}
            arguments.json.write_text(json.dumps(surroundings() | record, indent=2) + "\n")
    for method, figures in summary(rows).items():
        print(f"{method:34} {figures['mean']:.2f} ± {figures['std']:.2f} (over classes)")


def summary(rows: list[dict]) -> dict[str, dict[str, float]]:
    """100 times ROC-AUC: mean and standard deviation over the classes."""
    methods = dict.fromkeys(row["method"] for row in rows)
    of = {m: 100 * np.array([row["auc"] for row in rows if row["method"] == m]) for m in methods}
    return {m: {"mean": float(a.mean()), "std": float(a.std()), "classes": len(a)} for m, a in of.items()}


def classical(kept: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
    train, test = (i.reshape(len(i), -1).astype(np.float32) / 127.5 - 1 for i in (kept, images))
    pca = PCA(0.9, svd_solver="covariance_eigh").fit(train)
    again = pca.inverse_transform(pca.transform(test))
    distances, _ = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(train).kneighbors(test)
    return {"PCA, 90 % of the variance": ((test - again) ** 2).sum(1), "k-NN, k = 5": distances[:, -1]}


def ours(
    arguments: argparse.Namespace, content, held_out: int, images: np.ndarray, kept: np.ndarray
) -> dict[str, np.ndarray]:
    run, file = arguments.workdir / str(held_out), arguments.workdir / f"without_{held_out}.npz"
    if not (run / "loss.png").exists():
        arguments.workdir.mkdir(parents=True, exist_ok=True)
        known = {
            f"{split}_{part}": content[f"{split}_{part}"][content[f"{split}_labels"] != held_out]
            for split in ("train", "test")
            for part in ("images", "labels")
        }
        np.savez(file, **known)
        fields = (*NET, f"train.steps={arguments.steps}", "train.sample_every=100000", "ema.decay=(0.995,)")
        config = f"--config=configs/guided.py:fashion_mnist={file.resolve()}"
        subprocess.run(
            [sys.executable, "train.py", config, f"--workdir={run.resolve()}", *(f"--config.{f}" for f in fields)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        file.unlink()
    model = jaxdiff.load(run)
    x, some = ((i[..., None] / 127.5 - 1).astype(np.float32) for i in (images, kept[:: len(kept) // 1000][:1000]))
    levels, bind = jnp.array(LEVELS + HIGH), model.bind
    rate = jax.jit(lambda params, key, x: errors(bind, params, key, x, levels))
    batches = np.split(np.concatenate([x, some]), range(500, len(x) + len(some), 500))
    rows = np.concatenate([rate(model.params, jax.random.key(i), batch) for i, batch in enumerate(batches)])
    rated, known = rows[: len(x)], rows[len(x) :]
    high, low = rated[:, len(LEVELS) :].mean(1), rated[:, : len(LEVELS)]
    return {
        "denoising error, levels 0.2 to 1": low[:, 1:5].mean(1),
        "denoising error, levels 1 to 5": high,
        "msma, 8 levels 0.1 to 4": msma(known[:, : len(LEVELS)], low),
    }


def errors(bind, params, key, x, levels):
    """(n, levels)."""
    process, denoiser, *_ = bind(params, None)
    return denoising_error(process, denoiser, key, x, time_at(process, -2 * jnp.log(levels)))[1]


if __name__ == "__main__":
    main()
