"""Judge a model of few pictures: Fréchet distances to pictures it has not seen, beside a mixture of Gaussians.

    python benchmarks/own_pictures.py --run RUN --train FOLDER --reference FOLDER [--num 300] [--json FILE]

All three draw as many pictures, and are compared with the same reference, disjoint from what they were made of: the
run; a mixture of 10 Gaussians, fitted to the run's pictures in their first 60 principal components; and the training
pictures themselves, which only a model that knows them by heart would equal. Features are

    pixels    the first 32 principal components of the reference: mean and covariance, where Gaussians are at home
    edges     mean and spread of the gradient's length and of each color in 4x4 fields, then 32 principal components:
              whether there are outlines, flat areas and the right colors beside each other

Of nothing but finite samples a distance is above 0: `train` says by how much.
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import jaxdiff
from jaxdiff.evaluation.frechet import frechet_distance
from jaxdiff.modalities.images import folder, pictures

COMPONENTS, PIXELS, FEATURES, FIELDS = 10, 60, 32, 4


def edges(x: np.ndarray) -> np.ndarray:
    """(n, features) of images (n, height, width, channels)."""
    x = x.astype(np.float64)
    down, right = np.diff(x, axis=1)[:, :, :-1], np.diff(x, axis=2)[:, :-1]
    length = np.sqrt((down**2 + right**2).sum(-1, keepdims=True))
    maps = np.concatenate([length, x[:, 1:, 1:]], -1)
    rows = np.array_split(np.arange(maps.shape[1]), FIELDS)
    columns = np.array_split(np.arange(maps.shape[2]), FIELDS)
    fields = [maps[:, r][:, :, c] for r in rows for c in columns]
    return np.concatenate([f(field, axis=(1, 2)) for field in fields for f in (np.mean, np.std)], axis=1)


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype(np.float64)


def mixture(train: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Pictures drawn of a mixture of Gaussians that was fitted to others."""
    pca = PCA(min(PIXELS, len(train) // 4), random_state=seed).fit(flat(train))
    fitted = GaussianMixture(COMPONENTS, reg_covar=1e-3, random_state=seed, n_init=3).fit(pca.transform(flat(train)))
    drawn = pca.inverse_transform(fitted.sample(num)[0])
    return np.clip(drawn, -1, 1).reshape(num, *train.shape[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "train", "reference"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--num", type=int, default=300)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--json")
    parser.add_argument("--sheet")
    args = parser.parse_args()
    model = jaxdiff.load(args.run)
    height, width, channels = model.spec.shape
    read = lambda path: folder(path, height, width, channels)
    take = lambda source, n: np.asarray(source.take(np.arange(min(n, source.size))).x_0)
    train, reference = take(read(args.train), args.num), take(read(args.reference), 10_000)
    options = {"steps": args.steps} if args.steps else {}
    parts = [np.asarray(model.sample(jax.random.key(i), 50, **options)) for i in range(-(-args.num // 50))]
    sets = {
        "ours": np.clip(np.concatenate(parts)[: args.num], -1, 1),
        "mixture": mixture(train, args.num, 0),
        "train": train,
    }
    found = {}
    for kind, features in (("pixels", flat), ("edges", edges)):
        pca = PCA(FEATURES, random_state=0).fit(features(reference))
        of = {name: pca.transform(features(x)) for name, x in sets.items()}
        found[kind] = {name: float(frechet_distance(x, pca.transform(features(reference)))) for name, x in of.items()}
        print(kind, ", ".join(f"{name} {value:.3f}" for name, value in found[kind].items()))
    near = lambda x: np.sqrt(((flat(x)[:, None] - flat(train)[None]) ** 2).mean(-1)).min(1)
    found["nearest"] = {name: float(np.median(near(x[:100]))) for name, x in sets.items() if name != "train"}
    found["nearest"]["reference"] = float(np.median(near(reference[:100])))
    print("distance to the nearest training picture, median:", found["nearest"])
    if args.sheet:
        pictures.save_grid(Path(args.sheet), np.concatenate([x[:24] for x in sets.values()]))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
