"""Baselines: what a Gaussian, 30 Gaussians and nearest neighbors reach on the same images, beside a run.

    python benchmarks/baselines.py                                  the embedded digits, baselines alone
    python benchmarks/baselines.py --workdir runs/ddpm              and a run of them
    python benchmarks/baselines.py --data fashion_mnist.npz --workdir runs/fashion --json rows.json

Quality: as many draws as there are held-out images, over --seeds seeds, each against as many training images, by the
measures of `jaxdiff.evaluation`, of 8 bits a pixel; "real images" are the held-out ones, and nearest neighbors are
training images that are not in the reference. Restoration: held-out images lose their middle, are downsampled by 2,
blurred with noise 0.05, or get noise 0.5; the figure is the mean PSNR in dB, of values in [-1, 1]. Mixtures give the
posterior mean exactly; of the run it is the mean of 8 draws by moment matching, and for noise the denoiser's. A .npz
holds "train_images" and "test_images". --mixtures keeps what was fitted in a file, and takes it from there.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from measure import surroundings

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.config.record import find, read_record
from jaxdiff.evaluation import baselines
from jaxdiff.evaluation.measures import figures
from jaxdiff.modalities.images import digits, operators
from jaxdiff.modalities.images.resize import quantized
from jaxdiff.training.sharding import use_cpu_devices

SHOWN = ("fd", "kid", "swd", "precision", "recall", "coverage")
MIXTURES = {"a Gaussian": 1, "30 Gaussians": 30}
DRAWS, STEPS = 8, 20
KERNEL = operators.gaussian_kernel(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help='"digits", or a .npz')
    parser.add_argument("--workdir", default="", help="a run that was trained on the same images")
    parser.add_argument("--num", type=int, default=1000, help="held-out images at most (1000)")
    parser.add_argument("--seeds", type=int, default=5)
    fitting(parser)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    arguments = parser.parse_args()
    if arguments.workdir:
        use_cpu_devices(read_record(find(arguments.workdir)).config["train"]["cpu_devices"])
    training, held_out, shape = images_of(arguments.data, arguments.num)
    model = jaxdiff.load(arguments.workdir) if arguments.workdir else None
    begin = time.perf_counter()
    mixtures = mixtures_of(training, arguments)
    fitted = time.perf_counter() - begin
    rows = [
        *quality(training, held_out, mixtures, model, arguments.seeds),
        *restoration(training, held_out, shape, mixtures, model),
    ]
    if arguments.json:
        told = {"data": arguments.data, "run": model.weights if model else "", "fit_s": fitted, "rows": rows}
        arguments.json.write_text(json.dumps(surroundings() | told, indent=2) + "\n")


def fitting(parser: argparse.ArgumentParser) -> None:
    """The options by which mixtures are fitted."""
    parser.add_argument("--iterations", type=int, default=20, help="of EM (20)")
    parser.add_argument("--fitted", type=int, default=10**9, help="training images that mixtures are fitted to (all)")
    parser.add_argument("--mixtures", type=Path, help="a .npz that keeps them")


def mixtures_of(training: np.ndarray, arguments: argparse.Namespace) -> dict[str, baselines.Mixture]:
    """A Gaussian, and a mixture; from the file, if it is there."""
    file, some = arguments.mixtures, training[: arguments.fitted]
    if file and file.exists():
        with np.load(file) as kept:
            parts = {name: [kept[f"{name}.{field}"] for field in baselines.Mixture._fields] for name in MIXTURES}
        return {name: baselines.Mixture(*values) for name, values in parts.items()}
    made = {name: baselines.fit(some, count, arguments.iterations) for name, count in MIXTURES.items()}
    if file:
        np.savez(file, **{f"{name}.{k}": v for name, of in made.items() for k, v in of._asdict().items()})
    return made


def images_of(data: str, num: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Training and held-out images, (n, pixels) in [-1, 1], and the shape of one."""
    if data == "digits":
        sources = [digits(split) for split in ("train", "test")]
        training, held_out = (source.take(np.arange(source.size)).x_0 for source in sources)
    else:
        with np.load(data) as content:
            training, held_out = (content[f"{part}_images"] / 127.5 - 1 for part in ("train", "test"))
    shape = (*training.shape[1:], 1)[:3]
    flat = lambda x: np.asarray(x, np.float64).reshape(len(x), -1)
    return flat(training), flat(held_out)[:num], shape


def quality(training, held_out, mixtures, model, seeds: int) -> list[dict]:
    """Rows of the measures, mean and spread over seeds."""
    draws = baseline_draws(training, held_out, mixtures)
    n = size_of(training, held_out)
    if model:
        draws["jaxdiff"] = lambda seed: np.asarray(model.sample(jax.random.key(seed), n)).reshape(n, -1)
    rows = []
    print(f"{n} images\n{'':20}" + "".join(f"{name:>18}" for name in SHOWN), flush=True)
    for name, draw in draws.items():
        row = summary([against(draw(seed), training, seed, {"pixels": lambda x: x}) for seed in range(seeds)])
        rows.append({"table": "quality", "name": name, "n": n, **row})
        shown = (row[f"{f}_pixels"] for f in SHOWN)
        print(f"{name:20}" + "".join(f"{each['mean']:10.4g} ± {each['spread']:5.2g}" for each in shown), flush=True)
    return rows


def size_of(training: np.ndarray, held_out: np.ndarray) -> int:
    """How many images are compared with as many."""
    return min(len(held_out), len(training) // 2)


def baseline_draws(training, held_out, mixtures) -> dict[str, Callable[[int], np.ndarray]]:
    """`seed -> images` of real images and of the baselines, as many as are compared, (n, pixels)."""
    n = size_of(training, held_out)
    return {
        "real images": lambda seed: held_out[:n],
        "nearest neighbors": lambda seed: training[order(training, seed)[n : 2 * n]],
        **{
            name: lambda seed, of=of: baselines.drawn(of, np.random.default_rng(seed), n)
            for name, of in mixtures.items()
        },
    }


def order(training: np.ndarray, seed: int) -> np.ndarray:
    """In which training images are taken; the first are the reference."""
    return np.random.default_rng(seed).permutation(len(training))


def against(images, training, seed: int, features: Mapping[str, Callable[[np.ndarray], np.ndarray]]) -> dict:
    """Figures of images (n, pixels) against as many training images, by keys such as "fd_pixels"."""
    rounded = [quantized(x, "nearest") / 127.5 - 1 for x in (images, training[order(training, seed)[: len(images)]])]
    found = {}
    for name, make in features.items():
        each = figures(*map(make, rounded), np.random.default_rng(seed))
        found |= {f"{figure}_{name}": each[figure] for figure in SHOWN}
    return found


def summary(each: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each figure."""
    columns = {name: [one[name] for one in each] for name in each[0]}
    spread = lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {name: {"mean": float(np.mean(values)), "spread": spread(values)} for name, values in columns.items()}


def tasks(shape: tuple[int, ...]) -> dict[str, tuple[Callable, float]]:
    """The operator and the noise of each task."""
    height, width, _ = shape
    mask = np.ones(shape)
    mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = 0
    return {
        "inpainting": (lambda x: x[:, mask > 0], 0.01),
        "super-resolution": (operators.downsampled(2), 0.01),
        "deblurring": (operators.blurred(jnp.asarray(KERNEL)), 0.05),
        "denoising": (lambda x: x, 0.5),
    }


def restoration(training, held_out, shape, mixtures, model) -> list[dict]:
    """Rows of the mean PSNR."""
    rows = []
    print(f"\nmean PSNR of {len(held_out)} images, dB", flush=True)
    for task, (operator, noise) in tasks(shape).items():
        A = baselines.operator_matrix(lambda x, f=operator: f(jnp.asarray(x)), shape)
        y = held_out @ A.T + noise * np.random.default_rng(0).normal(size=(len(held_out), len(A)))
        made = {
            "nearest neighbors": baselines.nearest_restored(training, A, y),
            **{name: baselines.restored(mixture, A, y, noise) for name, mixture in mixtures.items()},
        }
        if model:
            made["jaxdiff"] = by_model(model, task, y, shape, noise)
        for name, images in made.items():
            errors = ((images.clip(-1, 1) - held_out) ** 2).mean(1)
            psnr = float((10 * np.log10(4 / np.maximum(errors, 1e-12))).mean())
            rows.append({"table": "restoration", "task": task, "name": name, "psnr": psnr})
            print(f"{task:18} {name:20} {psnr:6.2f}", flush=True)
    return rows


def by_model(model, task: str, y: np.ndarray, shape: tuple[int, ...], noise: float) -> np.ndarray:
    """What the run makes of measurements, (n, pixels)."""
    key, n = jax.random.key(0), len(y)
    height, width, channels = shape
    if task == "denoising":
        out = pipelines.denoise(model, key, np.float32(y.reshape(n, *shape)), noise, sampler="ddim", steps=1)
    elif task == "inpainting":
        mask = np.ones((1, *shape))
        mask[:, height // 4 : height - height // 4, width // 4 : width - width // 4] = 0
        given = np.zeros((n, *shape), np.float32)
        given[:, mask[0] > 0] = y
        out = pipelines.inpaint(model, key, given, mask, "moment_matching", draws=DRAWS, steps=STEPS)
    else:
        more = {"kernel": KERNEL} if task == "deblurring" else {}
        small = (height, width, channels) if task == "deblurring" else (height // 2, width // 2, channels)
        name, given = ("blur" if more else "downsample"), np.float32(y.reshape(n, *small))
        out = pipelines.restore(
            model, key, given, name, noise, method="moment_matching", draws=DRAWS, steps=STEPS, **more
        )
    return np.asarray(out, np.float64).reshape(n, -1)


if __name__ == "__main__":
    main()
