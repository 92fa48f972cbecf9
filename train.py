"""Train a diffusion model, or go on with one.

    python train.py --config=configs/ddpm.py
    python train.py --config=configs/ddpm.py:cifar10 --config.train.batch_size=256 --workdir=runs/mine

The same command again continues where the run stopped. A run's folder is described in `jaxdiff/run.py`.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from jaxdiff import experiment, pictures, run
from jaxdiff.data import batches
from jaxdiff.errors import InputError, unknown
from jaxdiff.training import checkpoint, log, sharding
from jaxdiff.training.step import init_state, make_train_step

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment: a file of configs/, or file.py:setting.")
WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder; by default one of its own under runs/.")
PREVIEW = 64


def train(config: dict, workdir: Path) -> None:
    """Train to `config["train"]["steps"]`, from the newest checkpoint in `workdir` if there is one."""
    settings = config["train"]
    sharding.use_cpu_devices(settings["cpu_devices"])
    mesh = sharding.data_mesh()
    sharding.check_batch(settings["batch_size"], settings["accumulate"], mesh.size)

    source = experiment.source(config)
    parts = experiment.build(config, source.shape)
    init_key, train_key, preview_key = jax.random.split(jax.random.key(config["seed"]), 3)
    run.write_record(workdir, run.Record(config, source.shape))

    fresh = jax.jit(
        lambda key: init_state(parts.init(key), parts.optimiser, parts.loss_fn), out_shardings=sharding.replicated(mesh)
    )
    step_fn = make_train_step(parts.loss_fn, parts.optimiser, parts.ema, train_key, settings["accumulate"])
    step_fn = jax.jit(step_fn, donate_argnums=0)

    with checkpoint.open_checkpoints(workdir / "checkpoints", settings["keep"]) as checkpoints:
        state = checkpoint.restore(checkpoints, fresh(init_key))
        start = int(state.step)
        count = sum(p.size for p in jax.tree.leaves(state.params))
        print(
            f"{source.size:,} images of {source.shape}, {count:,} parameters, "
            f"{mesh.size} {jax.default_backend()} device(s)"
        )
        print(f"{'continuing' if start else 'training'} in {workdir} from step {start:,} to {settings['steps']:,}")
        journal = log.Log(workdir, start)
        stream = batches(source, settings["batch_size"], config["seed"], start)
        pending, since = [], time.perf_counter()

        with tqdm(
            total=settings["steps"], initial=min(start, settings["steps"]), unit="step", dynamic_ncols=True
        ) as bar:
            for step in range(start + 1, settings["steps"] + 1):
                try:
                    batch = jax.device_put(next(stream), sharding.split(mesh))
                except InputError:
                    checkpoint.save(checkpoints, state)
                    raise
                state, metrics = step_fn(state, batch)
                pending.append(metrics)
                last = step == settings["steps"]

                if step % settings["log_every"] == 0 or last:
                    means = {k: float(np.mean([m[k] for m in jax.device_get(pending)])) for k in metrics}
                    means["images_per_s"] = len(pending) * settings["batch_size"] / (time.perf_counter() - since)
                    journal.scalars(step, means)
                    bar.update(step - bar.n)
                    bar.set_postfix_str(f"loss {means['loss']:.4f}, {means['images_per_s']:,.0f} images/s")
                    pending, since = [], time.perf_counter()
                if step % settings["sample_every"] == 0 and not last:
                    preview(parts.model, state.ema, preview_key, workdir, journal, step)
                    since = time.perf_counter()
                if step % settings["checkpoint_every"] == 0 or last:
                    checkpoint.save(checkpoints, state)

        preview(parts.model, state.ema, preview_key, workdir, journal, settings["steps"])
        journal.close()
    rows = log.read(workdir)
    pictures.save_loss_curve(workdir / "loss.png", [int(r["step"]) for r in rows], [r["loss"] for r in rows])
    print(f"done: look at {workdir / 'samples.png'} and {workdir / 'loss.png'}; draw more with")
    print(f"  python sample.py --workdir {workdir}")


def preview(model, ema, key, workdir: Path, journal: log.Log, step: int) -> None:
    """Draw a grid from the averaged weights, always from the same noise."""
    images = np.asarray(replace(model, params=ema).sample(key, PREVIEW))
    pictures.save_grid(workdir / "samples.png", images)
    journal.picture(step, "samples", pictures.grid(images))


def default_workdir(config_file: str) -> Path:
    """`runs/ddpm` for configs/ddpm.py, `runs/ddpm-cifar10` for configs/ddpm.py:cifar10, ..."""
    file, _, setting = config_file.partition(":")
    name, _, path = setting.partition("=")
    return Path("runs") / "-".join(part for part in (Path(file).stem, name, Path(path).stem) if part)


def parse(argv: list[str]) -> tuple[dict, Path]:
    """The configuration and the run's folder that the command line asks for."""
    try:
        check_fields(argv)
        rest = flags.FLAGS(argv)[1:]
        config = CONFIG.value and CONFIG.value.to_dict()
    except InputError:
        raise
    except Exception as error:  # absl and ml_collections raise all kinds, and a config file may raise any
        reason = str(error).partition("Traceback")
        raise InputError(" ".join((reason[2].strip().splitlines()[-1] if reason[1] else reason[0]).split())) from error
    if not config or rest:
        raise InputError(f"give --config=configs/ddpm.py or another file of configs/, and flags alone, not {rest}")
    file = config_flags.get_config_filename(flags.FLAGS["config"])
    return config, Path(WORKDIR.value or default_workdir(file))


def check_fields(argv: list[str]) -> None:
    """Refuse `--config.a.b=...` where the configuration has no such field, naming those it has."""
    plain = flags.FlagValues()
    bare = [arg for arg in argv if not arg.startswith("--config.")]
    config_flags.DEFINE_config_file("config", None, flag_values=plain, sys_argv=bare)
    plain(bare, known_only=True)
    if not isinstance(plain["config"].value, ConfigDict):
        return  # there is no such file, and the flags themselves say so
    for arg in argv:
        if not arg.startswith("--config."):
            continue
        field = arg.partition("=")[0]
        part: Any = plain["config"].value
        for name in field.split(".")[1:]:
            allowed = part.keys() if isinstance(part, ConfigDict) else ()
            if name not in allowed:
                raise unknown(f"field {field!r}:", name, allowed)
            part = part[name]


def main() -> int:
    """The command line: 0 if all went well, 2 for bad input."""
    try:
        train(*parse(sys.argv))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
