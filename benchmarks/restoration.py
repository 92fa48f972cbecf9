"""Fashion-MNIST: what a model makes of damaged images it has never seen, beside what a user would reach for otherwise.

    python train.py --config=configs/guided.py:fashion_mnist=fashion_mnist.npz --workdir=runs/fashion
    python train.py --config=configs/super_resolution.py:fashion_mnist_7_28=fashion_mnist.npz --workdir=runs/enlarge
    python benchmarks/restoration.py --data fashion_mnist.npz --workdir runs/fashion --enlarge runs/enlarge --docs docs

The first --num test images (pixels in [-1, 1]) lose their middle 14x14 pixels; are downsampled to 7x7; are blurred by a
Gaussian of 1.5 pixels, with noise 0.05; or get noise 0.5. Needs scikit-image. Each row: mean PSNR in dB and the mean
structural similarity, both by scikit-image, and seconds; in the record also how far the PSNR is ahead of the mixture's,
image by image, with its standard error. A posterior draw is not its mean: rows "of N draws" average.
Free settings of the classical methods were chosen for the best PSNR on the first 100 training images, out of a grid.
"30 Gaussians" is scikit-learn's mixture, of full covariances, fit to all training images in pixel space by k-means and
three iterations of EM; its posterior mean is known in closed form. Its seconds leave out those of the fit, once, which
are a row of the record.
"""

import argparse
import json
import re
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import skimage.restoration as classical
from measure import surroundings
from scipy.linalg import solve_triangular
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import resize
from sklearn.mixture import GaussianMixture

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.modalities.images import operators, pictures
from jaxdiff.modalities.images.operators import gaussian_kernel
from jaxdiff.training.sharding import use_cpu_devices

MASK = np.ones((1, 28, 28, 1))
MASK[:, 7:21, 7:21] = 0
KERNEL = gaussian_kernel(1.5)
NOISE, STRONG, DRAWS = 0.05, 0.5, 4
STEPS = 10
SAMPLING = {"sampler": "ancestral", "steps": STEPS}


def degraded(x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(seed).normal(size=x.shape)
    return {
        "inpainting": np.where(MASK > 0, x, 0),
        "super-resolution": np.asarray(operators.downsampled(4)(jnp.asarray(x))),
        "deblurring": np.asarray(operators.blurred(jnp.asarray(KERNEL))(jnp.asarray(x))) + NOISE * noise,
        "denoising": x + STRONG * noise,
    }


def each(function):
    """Of single images, with values in [0, 1], which the classical methods expect."""
    return lambda y: np.stack([2 * function((image[..., 0] + 1) / 2) - 1 for image in y])[..., None]


CLASSICAL = {
    "inpainting": {"biharmonic": lambda: each(lambda y: classical.inpaint_biharmonic(y, MASK[0, ..., 0] == 0))},
    "super-resolution": {"bicubic": lambda: each(lambda y: resize(y, (28, 28), order=3, mode="edge"))},
    "deblurring": {
        "Richardson-Lucy": lambda n: each(lambda y: classical.richardson_lucy(y.clip(0, 1), KERNEL, num_iter=n)),
        "Wiener": lambda n: each(lambda y: classical.wiener(y, KERNEL, balance=n, clip=False)),
    },
    "denoising": {
        "non-local means": lambda n: each(
            lambda y: classical.denoise_nl_means(y, 5, 9, h=n, sigma=STRONG / 2, fast_mode=False)
        ),
        "total variation": lambda n: each(lambda y: classical.denoise_tv_chambolle(y, weight=n)),
    },
}
GRIDS = {
    "Richardson-Lucy": (3, 5, 10, 20, 40),
    "Wiener": (0.003, 0.01, 0.03, 0.1, 0.3),
    "non-local means": (0.05, 0.1, 0.15, 0.2),
    "total variation": (0.1, 0.2, 0.3, 0.5),
}


LINEAR = {
    "inpainting": (lambda x: x[:, MASK[0] > 0], 0.01),
    "super-resolution": (operators.downsampled(4), 0.01),
    "deblurring": (operators.blurred(np.float32(KERNEL)), NOISE),
    "denoising": (lambda x: x, STRONG),
}
"""The operator and the noise of each task."""


def of_mixture(mixture: GaussianMixture, task: str, y: np.ndarray) -> np.ndarray:
    """E[x_0 | y]: the linear estimates of the components, weighed by how probable each makes y."""
    operator, noise = LINEAR[task]
    rows = lambda x: np.asarray(operator(jnp.asarray(x.reshape(-1, 28, 28, 1))), np.float64).reshape(len(x), -1)
    A, seen = rows(np.eye(784)).T, (rows(y) if task == "inpainting" else y.reshape(len(y), -1))
    log_weights, means = [], []
    for weight, mean, C in zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True):
        L = np.linalg.cholesky(A @ C @ A.T + noise**2 * np.eye(len(A)))
        z = solve_triangular(L, (seen - mean @ A.T).T, lower=True)
        log_weights.append(np.log(weight) - 0.5 * (z**2).sum(0) - np.log(np.diag(L)).sum())
        means.append(mean + (C @ A.T @ solve_triangular(L.T, z)).T)
    shares = np.exp(np.array(log_weights) - np.max(log_weights, 0))
    return np.einsum("kn,knd->nd", shares / shares.sum(0), np.array(means)).reshape(-1, 28, 28, 1)


def ours(model, enlarging, y: dict[str, np.ndarray]) -> dict[tuple[str, str], object]:
    """`(task, method) -> key -> images`."""

    def fill(method, **more):
        return lambda key: pipelines.inpaint(model, key, y["inpainting"], MASK, method, **more)

    def mend(task, operator, noise, **more):
        return lambda key: pipelines.restore(model, key, np.float32(y[task]), operator, noise, **more)

    def matched(task, operator, noise=0.01, **more):
        make = lambda draws: mend(task, operator, noise, method="moment_matching", steps=STEPS, draws=draws, **more)
        return {
            (task, "moment matching"): make(1),
            **{(task, f"moment matching, mean of {d} draws"): make(d) for d in (8, 32)},
        }

    def several(task, method, draw):
        mean = lambda key: np.mean([draw(jax.random.fold_in(key, i)) for i in range(DRAWS)], 0)
        return {(task, method): draw, (task, f"{method}, mean of {DRAWS} draws"): mean}

    small, blurred = "super-resolution", "deblurring"
    runs = {
        ("inpainting", "repaint, 5 repeats"): fill("repaint", repeats=5, **SAMPLING),
        ("inpainting", "repaint, 10 repeats, mean of 32 draws"): fill("repaint", repeats=10, draws=32, **SAMPLING),
        **several("inpainting", "DDRM", fill("ddrm", steps=STEPS)),
        **several(small, "DDRM", mend(small, "downsample", 0.01, method="ddrm", steps=STEPS)),
        **matched(small, "downsample"),
        **several(blurred, "DDRM", mend(blurred, "blur", NOISE, kernel=KERNEL, method="ddrm", steps=STEPS)),
        **matched(blurred, "blur", NOISE, kernel=KERNEL),
        ("denoising", "one step: the posterior mean"): lambda key: pipelines.denoise(
            model, key, np.float32(y["denoising"]), STRONG, sampler="ddim", steps=1
        ),
        ("denoising", "drawn"): lambda key: pipelines.denoise(
            model, key, np.float32(y["denoising"]), STRONG, sampler="heun", steps=8
        ),
    }
    if enlarging:
        given = np.float32(y[small])
        drawn = lambda key: pipelines.upscale(enlarging, key, given, sampler="heun", steps=12)
        runs |= several(small, "conditional model", drawn)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--enlarge", help="the run of the conditional model")
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--methods", default="", help="a regular expression: only the methods of ours that it finds")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--docs", type=Path, help="write a picture of each task here")
    arguments = parser.parse_args()
    use_cpu_devices(2)
    content = np.load(arguments.data)
    test, train = content["test_images"][: arguments.num, ..., None], content["train_images"][:100, ..., None]
    x, tuning = (np.float32(pixels / 127.5 - 1) for pixels in (test, train))
    y, y_tuning = degraded(x, 0), degraded(tuning, 1)
    model = jaxdiff.load(arguments.workdir)
    enlarging = jaxdiff.load(arguments.enlarge) if arguments.enlarge else None
    rows, shown = [], {task: [x, _shown(y[task])] for task in y}

    mixed = {}

    def add(task, method, images, seconds, **more):
        images = np.clip(np.asarray(images), -1, 1)
        found = each_psnr(images, x)
        if method == "30 Gaussians":
            mixed[task] = found
        elif task in mixed:
            ahead = found - mixed[task]
            more |= {"ahead_of_mixture": [ahead.mean(), ahead.std(ddof=1) / len(ahead) ** 0.5]}
        rows.append({"task": task, "method": method, **quality(images, x), "seconds": seconds, **more})
        row = rows[-1]
        print(f"{task:17} {method:34} {row['psnr']:6.2f} dB  {row['ssim']:.3f}  {seconds:6.1f} s", flush=True)
        shown[task].append(images)
        if arguments.json:
            record = {"rows": rows, "weights": model.weights, "images": arguments.num}
            arguments.json.write_text(json.dumps(surroundings() | record, indent=2) + "\n")

    for task, methods in CLASSICAL.items():
        for name, make in methods.items():
            score = lambda n, make=make, task=task: quality(make(n)(y_tuning[task]), tuning)["psnr"]
            best = max(GRIDS[name], key=score) if name in GRIDS else None
            begin = time.perf_counter()
            images = (make(best) if best else make())(y[task])
            add(task, name, images, time.perf_counter() - begin, **({"setting": best} if best else {}))
    begin = time.perf_counter()
    pixels = np.float32(content["train_images"].reshape(-1, 784) / 127.5 - 1)
    mixture = GaussianMixture(30, reg_covar=1e-3, max_iter=3, random_state=0).fit(pixels)
    fit = time.perf_counter() - begin
    for task in y:
        begin = time.perf_counter()
        images = of_mixture(mixture, task, y[task])
        add(task, "30 Gaussians", images, time.perf_counter() - begin, fit_s=fit)
    for (task, method), draw in ours(model, enlarging, y).items():
        if not re.search(arguments.methods, method):
            continue
        begin = time.perf_counter()
        images = np.asarray(draw(jax.random.key(0)))
        add(task, method, images, time.perf_counter() - begin)
    if arguments.docs:
        for task, parts in shown.items():
            file = arguments.docs / "images" / f"restoration-{task}.png"
            pictures.save_grid(file, np.concatenate([p[:12] for p in parts]), columns=12)


def each_psnr(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    pairs = zip(truth, np.clip(images, -1, 1), strict=True)
    return np.array([peak_signal_noise_ratio(t, i, data_range=2) for t, i in pairs])


def quality(images: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    pairs = [(t[..., 0], i[..., 0]) for t, i in zip(truth, np.clip(images, -1, 1), strict=True)]
    return {
        "psnr": float(each_psnr(images, truth).mean()),
        "ssim": float(np.mean([structural_similarity(t, i, data_range=2) for t, i in pairs])),
    }


def _shown(y: np.ndarray) -> np.ndarray:
    return y.repeat(28 // y.shape[1], 1).repeat(28 // y.shape[2], 2)


if __name__ == "__main__":
    main()
