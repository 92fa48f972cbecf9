"""Control: how well a model keeps to the edges of pictures that it has never seen.

    python train.py --config=configs/guided.py:fashion_mnist=fashion_mnist.npz --workdir runs/fashion
    python train.py --config=configs/control.py:runs/fashion,edges --config.train.steps=400 --workdir runs/control
    python benchmarks/control.py --data fashion_mnist.npz --workdir runs/control --json control_cpu.json

The F1 of edge pixels, mean over the first --num test images: edges of what is drawn against those of the picture that
was followed, against those of another picture, and of what is drawn without (a strength of 0).
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from measure import surroundings

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.modalities.images import pictures
from jaxdiff.modalities.images.controls import edges


def f1(drawn: np.ndarray, wanted: np.ndarray) -> list[float]:
    """The mean over images of the F1 of edge pixels, and its standard error."""
    a, b = (np.asarray(edges(jnp.asarray(x))) > 0 for x in (drawn, wanted))
    each = 2 * (a & b).sum((1, 2, 3)) / np.maximum(a.sum((1, 2, 3)) + b.sum((1, 2, 3)), 1)
    return [float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help='a .npz with "test_images"')
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--picture", type=Path, help="write images, edges, what follows them and what does not here")
    given = parser.parse_args()
    x = np.float32(np.load(given.data)["test_images"][: given.num, ..., None] / 127.5 - 1)
    model, key = jaxdiff.load(given.workdir), jax.random.key(0)
    drawn, free = (np.asarray(pipelines.follow(model, key, x, strength=s)) for s in (1.0, 0.0))
    rows = {"followed": f1(drawn, x), "another picture's": f1(drawn, x[::-1]), "strength 0": f1(free, x)}
    for name, (mean, error) in rows.items():
        print(f"{name:20} {mean:.3f} ± {error:.3f}")
    if given.json:
        record = {"images": len(x), "weights": model.weights, "f1": rows}
        given.json.write_text(json.dumps(surroundings() | record, indent=2) + "\n")
    if given.picture:
        seen = np.asarray(edges(jnp.asarray(x)))
        pictures.save_grid(given.picture, np.concatenate([x[:15], seen[:15], drawn[:15], free[:15]]), columns=15)


if __name__ == "__main__":
    main()
