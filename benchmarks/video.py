"""Moving digits that a model draws, and what it makes of the first four frames of others.

    python benchmarks/video.py --workdir runs/video --json benchmarks/results/video_cpu.json

Drawn videos are judged by `jaxdiff.evaluation.moving`: whether a digit stays the one that it is, whether it is the one
that was asked for, and how far its places are from a straight way with bounces; real held-out videos, and frames drawn
each for itself (the same network without its layers over time), stand beside them. Given four frames of held-out
videos, the PSNR of the twelve that follow is that of all pixels; beside the model, the last frame again, that frame
moved on at the speed of the first four, without bounces, and the frames that are drawn each for itself.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
import scipy.ndimage
from audio import trained
from measure import surroundings

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.config import build
from jaxdiff.config.record import read_record
from jaxdiff.evaluation.moving import judge, places_of, psnr
from jaxdiff.modalities.video.file import write_clip
from jaxdiff.modalities.video.show import sheets

GIVEN = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True, help="a run of configs/video.py")
    parser.add_argument("--num", type=int, default=60, help="videos of each set")
    parser.add_argument("--steps", type=int, default=30, help="of the sampler")
    parser.add_argument("--methods", nargs="+", default=["replace", "repaint", "moment_matching"])
    parser.add_argument("--weights", default="", help="an average of the run by name, or params")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gif", type=Path, help="write drawn videos here")
    parser.add_argument("--continued", type=Path, help="write real videos above those that go on from their beginning")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    model, config = jaxdiff.load(arguments.workdir, arguments.weights), read_record(arguments.workdir).config
    batch = build.held_out(config, model.spec).take(np.arange(arguments.num))
    real, labels = np.asarray(batch.x_0), np.asarray(batch.condition["label"])
    key, begun = jax.random.key(arguments.seed), time.monotonic()
    sets = {"real, held out": real}
    for name, one in (("drawn", model), ("drawn, each frame for itself", frame_by_frame(model))):
        sets[name] = np.asarray(one.sample(key, arguments.num, arguments.steps, condition=labels))
    drawing = [{"name": name, **judge(x, labels)._asdict()} for name, x in sets.items()]
    show(drawing)

    made = {"last frame": np.repeat(real[:, GIVEN - 1 : GIVEN], real.shape[1] - GIVEN, 1), "moved on": moved_on(real)}
    told = {"given": GIVEN, "condition": labels}
    for method in arguments.methods:
        steps = {"steps": arguments.steps} if method != "moment_matching" else {}
        made[method] = pipelines.extend(model, key, real, method=method, **told, **steps)[:, GIVEN:]
    alone = pipelines.extend(frame_by_frame(model), key, real, method="replace", steps=arguments.steps, **told)
    made["each frame for itself"] = alone[:, GIVEN:]
    going = [
        {"name": name, "psnr": psnr(x, real[:, GIVEN:]), "psnr_next": psnr(x[:, :1], real[:, GIVEN : GIVEN + 1])}
        for name, x in made.items()
    ]
    show(going)
    if arguments.gif:
        write_clip(arguments.gif, sheets(sets["drawn"][:16]), 8)
    if arguments.continued:
        best = np.concatenate([real[:, :GIVEN], made[arguments.methods[-1]]], 1)
        write_clip(arguments.continued, sheets(np.concatenate([real[:8], best[:8]])), 8)
    if arguments.json:
        content = surroundings() | {
            "weights": model.weights,
            "seed": arguments.seed,
            "num": arguments.num,
            "steps": arguments.steps,
            "seconds_of_drawing": time.monotonic() - begun,
            "training": trained(arguments.workdir),
            "drawn": drawing,
            "given four frames": going,
        }
        arguments.json.write_text(json.dumps(content, indent=2, default=float) + "\n")


def show(rows: list[dict]) -> None:
    for row in rows:
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)


def frame_by_frame(model):
    """The model without its layers over time, whose last ones are set to zero: it draws each frame for itself."""
    zero = lambda path, a: a * 0 if path[0].key.endswith("_time") and path[1].key in ("conv", "out") else a
    return dataclasses.replace(model, params=jax.tree_util.tree_map_with_path(zero, model.params))


def moved_on(real: np.ndarray) -> np.ndarray:
    """The fourth frame, moved on at the mean speed of the ink of the first four."""
    ink = (real[..., 0] + 1) / 2
    places = places_of(ink[:, :GIVEN])
    speed = (places[:, -1] - places[:, 0]) / (GIVEN - 1)
    frames = [
        np.stack([scipy.ndimage.shift(one, v * k, order=1) for one, v in zip(ink[:, GIVEN - 1], speed, strict=True)])
        for k in range(1, real.shape[1] - GIVEN + 1)
    ]
    return 2 * np.stack(frames, 1)[..., None] - 1


if __name__ == "__main__":
    main()
