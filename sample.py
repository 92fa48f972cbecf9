"""Draw from a trained model, and show how.

    python sample.py --workdir runs/                    the newest run, its own sampler
    python sample.py --workdir runs/ddpm --sampler ddim --steps 50 --num 100

Writes into the run's folder, under samples/: grid.png, samples.npy (float32, (num, height, width, channels), near
[-1, 1]), and the reverse process of the first images as chain.gif and chain.png.
"""

import argparse
import sys
import time

import jax
import numpy as np
from tqdm import tqdm

import jaxdiff
from jaxdiff import pictures, run
from jaxdiff.errors import InputError
from jaxdiff.training.sharding import use_cpu_devices

SHOWN, BATCH, FRAMES, STRIP = 16, 256, 60, 12


def main() -> int:
    """The command line: 0 if all went well, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", default="runs/", help="a run, or a folder of runs, whose newest is taken")
    parser.add_argument("--num", type=int, default=64, help="how many images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampler", help="ancestral or ddim; the run's own by default")
    parser.add_argument("--steps", type=int, help="steps of the sampler; the run's own by default")
    parser.add_argument("--eta", type=float, help="ddim: share of the ancestral noise, 0 to 1")
    parser.add_argument("--variance", help="ancestral: fixed_small or fixed_large")
    parser.add_argument("--temperature", type=float, help="factor on the noise of each step")
    parser.add_argument("--clip", type=float, help="bound on the predicted image; inf for none")
    parser.add_argument("--threshold", type=float, help="quantile for dynamic thresholding, 0 to 1")
    parser.add_argument("--label", type=int, help="class to draw, where the model has classes; all in turn by default")
    try:
        draw(parser.parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def draw(arguments: argparse.Namespace) -> None:
    """Do what the command line says."""
    if arguments.num < 1:
        raise InputError(f"--num {arguments.num}: draw at least one image")
    folder = run.find(arguments.workdir)
    use_cpu_devices(run.read_record(folder).config["train"]["cpu_devices"])
    model = jaxdiff.load(folder)
    optional = ("eta", "variance", "temperature", "clip", "threshold")
    options = {name: value for name in optional if (value := getattr(arguments, name)) is not None}
    steps = model.steps if arguments.steps is None else arguments.steps
    print(f"{folder}: averaged weights, {arguments.sampler or model.sampler['name']}, {steps} steps")

    def condition(first, n):
        if arguments.label is not None:
            return np.full(n, arguments.label)
        return (first + np.arange(n)) % model.num_classes if model.num_classes else None

    key, begin = jax.random.key(arguments.seed), time.perf_counter()
    size = min(arguments.num, BATCH)
    batches = []
    for i in tqdm(range(0, arguments.num, size), unit="batch", disable=arguments.num <= size):
        batch = model.sample(jax.random.fold_in(key, i), size, steps, arguments.sampler, condition(i, size), **options)
        batches.append(np.asarray(batch))
    images = np.concatenate(batches)[: arguments.num]
    seconds = time.perf_counter() - begin

    shown = min(SHOWN, arguments.num)
    _, frames = model.trajectory(
        key, shown, min(FRAMES, steps + 1), steps, arguments.sampler, condition(0, shown), **options
    )
    frames = np.asarray(frames)

    out = folder / "samples"
    try:
        out.mkdir(exist_ok=True)
        np.save(out / "samples.npy", images)
        pictures.save_grid(out / "grid.png", images[:256])
        pictures.save_gif(out / "chain.gif", frames)
        strip = np.round(np.linspace(0, len(frames) - 1, min(STRIP, len(frames)))).astype(int)
        pictures.save_film_strip(out / "chain.png", frames[strip])
    except OSError as error:
        raise InputError(f"cannot write to {str(out)!r}: {error.strerror or error}") from error
    print(f"{arguments.num} images in {seconds:.1f} s; look at {out / 'grid.png'}, chain.gif and chain.png there")


if __name__ == "__main__":
    sys.exit(main())
