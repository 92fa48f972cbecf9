"""Sounds that a model draws beside real ones, judged by a classifier of log-mel spectrograms and by Fréchet distances.

    python benchmarks/audio.py --workdir runs/digits --json benchmarks/results/audio_cpu.json

The classifier learns the classes of the training split (`jaxdiff.evaluation.features.of_sounds`); its accuracy on the
held-out split is the bar for what is drawn: as many sounds, of the same classes and speakers. Both are compared with
the training split by the Fréchet distance of log-mel power and of the classifier's features. Beside them, noise: white
noise through the all-pole filter of order 32 (linear prediction) of a training sound of the class, as long and as loud.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np
import scipy.linalg
import scipy.signal
from measure import surroundings

import jaxdiff
from jaxdiff.config import build
from jaxdiff.config.record import read_record
from jaxdiff.evaluation.features import find_features, of_sounds
from jaxdiff.evaluation.frechet import distance
from jaxdiff.evaluation.measures import moments_of
from jaxdiff.modalities.audio.show import save_samples
from jaxdiff.types import Batch

ORDER = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True, help="a run of configs/audio.py with classes")
    parser.add_argument("--steps", type=int, help="of the sampler")
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--weights", default="", help="an average of the run by name, or params")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write sounds and spectrograms here")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    model, config = jaxdiff.load(arguments.workdir, arguments.weights), read_record(arguments.workdir).config
    train, test = build.rescaled(build.source(config), model.spec, "data"), build.held_out(config, model.spec)
    known, real = (source.take(np.arange(source.size)) for source in (train, test))
    labels = {"train": np.asarray(known.condition["label"]), "test": np.asarray(real.condition["label"])}
    kinds = {"log_mel": find_features("log_mel", model.spec), "classifier": of_sounds("sounds", train, model.spec)}

    begun = time.monotonic()
    own = {name: np.asarray(value) for name, value in real.condition.items() if name in model.conditions}
    further = {"guidance": arguments.guidance} if arguments.guidance != 1 else {}
    key = jax.random.key(arguments.seed)
    drawn = np.concatenate(list(model.stream(key, len(real.x_0), 60, arguments.steps, condition=own, **further)))
    seconds = time.monotonic() - begun
    decode = model.codec.decode
    noise = predicted(np.random.default_rng(arguments.seed), known.x_0, labels["train"], labels["test"])
    sets = {"real, held out": decode(real.x_0), "drawn": drawn, "noise of linear prediction": decode(noise)}
    reference = {name: kind.apply(decode(known.x_0)) for name, kind in kinds.items()}
    rows = []
    for name, x in sets.items():
        made = {kind: features.apply(np.asarray(x, np.float32)) for kind, features in kinds.items()}
        row = {"name": name, "n": len(x), "accuracy": accuracy(made["classifier"]["logits"], labels["test"])}
        for kind, parts in made.items():
            row[f"fd_{kind}"] = distance(moments_of(parts["features"]), moments_of(reference[kind]["features"]))
        rows.append(row)
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        at = np.arange(0, len(drawn), max(1, len(drawn) // 16))[:16]
        told = lambda x: Batch(x[at], {"label": labels["test"][at]})
        save_samples(arguments.out, model.spec, told(drawn), told(sets["real, held out"]), model.weights)
    if arguments.json:
        content = surroundings() | {
            "weights": model.weights,
            "seconds_of_drawing": seconds,
            "seed": arguments.seed,
            "guidance": arguments.guidance,
            "training": trained(arguments.workdir),
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(content, indent=2, default=float) + "\n")


def trained(workdir: Path) -> dict:
    """The last row of the log of a run."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1]) if lines else {}


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of logits (n, classes) whose largest is that of the label."""
    return float((np.argmax(logits, 1) == labels).mean())


def predicted(rng: np.random.Generator, waves: np.ndarray, classes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """White noise through the all-pole filter of a wave of each wanted class, as long and as loud as that one."""
    made = np.zeros((len(wanted), *waves.shape[1:]))
    for i, label in enumerate(wanted):
        wave = np.asarray(waves[rng.choice(np.flatnonzero(classes == label))][:, 0], np.float64)
        length = int(np.flatnonzero(wave)[-1]) + 1
        full = scipy.signal.correlate(wave[:length], wave[:length], method="fft")[length - 1 : length + ORDER]
        full[0] *= 1 + 1e-6
        filtering = np.concatenate([[1], -scipy.linalg.solve_toeplitz(full[:ORDER], full[1 : ORDER + 1])])
        sound = scipy.signal.lfilter([1], filtering, rng.normal(size=length))
        made[i, :length, 0] = sound * wave[:length].std() / max(sound.std(), 1e-9)
    return made.astype(np.float32)


if __name__ == "__main__":
    main()
