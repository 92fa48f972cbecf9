"""How well a model draws what captions say, as the judge of scenes reads it, beside real scenes read by the same.

    python benchmarks/scenes.py --json benchmarks/results/scenes_cpu.json                      real scenes alone
    python benchmarks/scenes.py --model runs/text --num 1000 --guidance 1 2 3 --json FILE      and a model

`test` asks for what training shows, `pairs` and `relations` for what it never does. Three rows are chance: real scenes
whose captions are shuffled, a model that is told the empty caption, and one that is told another one than the judge.
With `--failures FILE` the first of `relations` that were read wrong, each above its caption and what the judge read.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np
from measure import surroundings

import jaxdiff
from jaxdiff.evaluation.scenes import fulfills, in_words, judge, read_scenes
from jaxdiff.modalities.images import scenes
from jaxdiff.modalities.images.pictures import save_sheet

SPLITS = ("test", "pairs", "relations")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=3000, help="scenes of each set")
    parser.add_argument("--model", help="a run, a model folder or a released model that reads captions")
    parser.add_argument("--guidance", type=float, nargs="+", default=[3.0])
    parser.add_argument("--steps", type=int, help="of the sampler; by default the model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=Path, help="write a sheet of what was read wrong here")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()

    rows, asked = {}, {}
    for split in SPLITS:
        source = scenes(split, arguments.num)
        images, captions = source.take(np.arange(arguments.num)).x_0, source.captions
        asked[split] = captions
        show(rows, split, judge(images, captions))
        if split == "test":
            show(rows, "test, captions shuffled", judge(images, captions[1:] + captions[:1]))
    if arguments.model:
        of_model(arguments, rows, asked)
    if arguments.json:
        content = surroundings() | {"num": arguments.num, "seed": arguments.seed, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=2, default=float) + "\n")


def of_model(arguments: argparse.Namespace, rows: dict, asked: dict[str, list[str]]) -> None:
    """Add the rows of a model, by scale of guidance."""
    model = jaxdiff.load(arguments.model)
    key, steps = jax.random.key(arguments.seed), {"steps": arguments.steps} if arguments.steps else {}

    def drawn(prompts: list[str], **options) -> np.ndarray:
        return np.asarray(model.sample(key, len(prompts), prompt=prompts, **steps, **options))

    test = asked["test"]
    show(rows, "model, test, told nothing", judge(drawn([""] * len(test)), test))
    show(rows, "model, test, captions shuffled", judge(drawn(test[1:] + test[:1]), test))
    for scale in arguments.guidance:
        for split, captions in asked.items():
            begin = time.perf_counter()
            images = drawn(captions, **({} if scale == 1 else {"guidance": scale}))
            took = {"seconds": time.perf_counter() - begin}
            show(rows, f"model, {split}, guidance {scale:g}", judge(images, captions) | took)
            if arguments.failures and split == "relations":
                save_failures(arguments.failures, images, captions)


def save_failures(path: Path, images: np.ndarray, captions: list[str], most: int = 16) -> None:
    """A sheet of pictures that do not show what they should, with what was asked for, and what the judge read."""
    readings = read_scenes(images)
    wrong = [i for i, reading in enumerate(readings) if not fulfills(reading, captions[i])][:most]
    if not wrong:
        return
    said = [f"asked for: {captions[i]}; read: {in_words(readings[i])}" for i in wrong]
    save_sheet(path, images[wrong], said)


def show(rows: dict, name: str, row: dict) -> None:
    """Keep a row, and print it."""
    rows[name] = row
    print(name, {k: round(float(v), 3) for k, v in row.items()}, flush=True)


if __name__ == "__main__":
    main()
