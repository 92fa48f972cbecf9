"""Train a diffusion model, or go on with one.

    python train.py --config=configs/ddpm.py
    python train.py --config=configs/ddpm.py:cifar10 --config.train.batch_size=256 --workdir=runs/mine

The same command again continues where the run stopped, also on another number of devices. A run's folder is described
in `jaxdiff/run.py`. On several machines give each the same command, with a --workdir that all of them see; but for TPU
pods and Slurm, where they find each other, also --coordinator=HOST:PORT --processes=N --process=I.
"""

import contextlib
import math
import sys
from pathlib import Path

import jax
from absl import flags
from jax.sharding import Mesh
from tqdm import tqdm

from jaxdiff.cli import command
from jaxdiff.cli import preview as watch
from jaxdiff.cli.settings import page
from jaxdiff.config import build
from jaxdiff.config import record as run_record
from jaxdiff.config import schema as fields
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import pictures
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.model import Model
from jaxdiff.training import feed, hosts, log, sharding, stop
from jaxdiff.training.checkpoints import checkpoint, rollback
from jaxdiff.training.errors import looked_for
from jaxdiff.training.guard import Tally
from jaxdiff.training.step import TrainState, in_calls, init_state, make_train_step

flags.DEFINE_string("workdir", None, "The run's folder; by default one of its own under runs/.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "Of several processes: HOST:PORT of process 0.")
PROCESSES = flags.DEFINE_integer("processes", None, "How many processes there are; found by itself on TPU and Slurm.")
PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0.")
TIMEOUT = flags.DEFINE_integer("timeout", 300, "Seconds to wait for the other processes.")
LOWER = "lower train.batch_size, raise train.accumulate or train.mesh.fsdp, or set net.remat=full or net.dtype=bfloat16"


def train(config: dict, workdir: Path) -> int:
    """Train to `config["train"]["steps"]`, from the newest intact checkpoint in `workdir` if there is one.

    Returns: the program's exit code: 0, or that of the signal which ended training early.
    """
    fields.check_fields(config)
    settings = config["train"]
    sharding.use_cpu_devices(settings["cpu_devices"])
    sharding.use_compilation_cache()
    hosts.start(COORDINATOR.value, PROCESSES.value, PROCESS.value, TIMEOUT.value)
    mesh = sharding.make_mesh(**settings["mesh"])
    batch_size, end = settings["batch_size"], settings["steps"]
    sharding.check_batch(batch_size, settings["accumulate"], sharding.batch_shards(mesh))

    source = build.source(config)
    parts = experiment.build(config, source.shape, mesh)
    init_key, train_key, preview_key = jax.random.split(jax.random.key(config["seed"]), 3)
    every = {f"train.{k}": settings[k] for k in ("log_every", "sample_every", "checkpoint_every")}
    length = feed.steps_per_call(settings["steps_per_call"], every, 4 * batch_size * math.prod(source.shape))
    food = feed.make_feed(source, mesh, batch_size, config["seed"], settings["device_data"])

    initial = lambda key: init_state(parts.init(key), parts.optimiser, parts.ema, parts.loss_fn)  # noqa: E731
    averages = lambda state: [(name, state.ema[name]) for name in parts.ema]  # noqa: E731
    measure = watch.monitor(config, parts.model)
    preview = watch.make_preview(config, parts.model, source, preview_key)
    placed = sharding.shard(mesh, jax.eval_shape(initial, init_key), parts.tensor_axis)
    guard, (nans, infs) = settings["guard"], looked_for(config["debug"]["nans"])
    rollback.check(**guard)
    keep_batch = lambda step: rollback.save_batch(workdir, source, batch_size, config["seed"], step)  # noqa: E731
    step_fn = make_train_step(
        parts.loss_fn, parts.optimiser, parts.ema, train_key, settings["accumulate"], guard["spike"]
    )
    step_fn = in_calls(step_fn, feed.examples)
    # Looking for NaNs JAX computes a call again, from the state that it would have given away.
    donated = () if nans or infs else (0,)
    step_fn = jax.jit(step_fn, donate_argnums=donated, out_shardings=(placed, sharding.replicated(mesh)))

    with contextlib.ExitStack() as held, hosts.together(LOWER):
        if hosts.is_writer():
            held.enter_context(run_record.locked(workdir))
        run_record.write_record(workdir, run_record.Record(config, source.shape), write=hosts.is_writer())
        policy = {name: settings[name] for name in ("keep", "keep_every", "keep_best", "verify")}
        checkpoints = held.enter_context(checkpoint.Checkpoints(workdir / "checkpoints", **policy))
        held.enter_context(jax.debug_nans(nans))
        held.enter_context(jax.debug_infs(infs))
        asked = held.enter_context(stop.stopping(settings["max_hours"]))
        state = checkpoints.restore(jax.jit(initial, out_shardings=placed)(init_key))
        step = start = int(state.step)
        tally = Tally(start, int(state.health.skipped), guard["spike"])
        announce(workdir, source, state, mesh, start, end)
        journal = log.Log(workdir, start) if hosts.is_writer() else log.Silent()
        plan = list(feed.calls(start, end, length))
        stream = feed.ahead(food.read, plan, settings["readers"])
        clock, pending, means, reason, complaint = log.Clock(), [], {}, 0, ""

        with tqdm(total=end, initial=min(start, end), unit="step", dynamic_ncols=True, disable=not journal) as bar:
            for first, n in plan:
                try:
                    with clock.waiting(idle=bool(pending) and pending[-1]["loss"].is_ready()):
                        along = next(stream)
                except InputError:
                    if jax.process_count() == 1:  # several save together or not at all
                        checkpoints.save(state)
                    raise
                state, metrics = step_fn(state, food.resident, along)
                pending.append(metrics)
                if len(pending) > 2:  # the host runs ahead of the devices, but no more than two calls
                    jax.block_until_ready(pending[-3])
                step = first + n
                last = step == end

                if step % settings["log_every"] == 0 or last:
                    means = log.means(jax.device_get(pending))
                    means |= clock.lap(len(pending) * n * batch_size)
                    journal.scalars(step, means)
                    bar.update(step - bar.n)
                    bar.set_postfix_str(f"loss {means['loss']:.4f}, {means['images_per_s']:,.0f} images/s")
                    pending = []
                    complaint = tally.count(step, int(means["skipped"]), end=last)
                    if means["skipped_in_row"] >= guard["patience"]:
                        state = rollback.roll_back(checkpoints, state, **guard, keep_batch=keep_batch)
                if step % settings["sample_every"] == 0 and not last:
                    preview(averages(state), workdir, journal, step)
                    clock = log.Clock()
                if jax.process_count() == 1 or step % settings["log_every"] == 0:
                    reason = 0 if last else hosts.of_any(asked())
                if step % settings["checkpoint_every"] == 0 or last or reason:
                    measured = measure(averages(state)[0][1])
                    if measured:
                        journal.scalars(step, measured)
                    checkpoints.save(state, means | measured)
                if reason:
                    break

        if not reason:
            preview(averages(state), workdir, journal, end)
        journal.close()
        checkpoints.wait()
        if hosts.is_writer():
            report(workdir, parts.model, step, reason, complaint)
    return stop.exit_code(reason)


def report(workdir: Path, model: Model | Classifier, step: int, reason: int, complaint: str) -> None:
    """Say where things are, how to go on, and what there is to complain of."""
    if complaint:
        print(f"warning: {complaint}")
    if reason:
        print(f"stopped by {stop.named(reason)} at step {step:,}, saved: the same command goes on from there")
        return
    curves = {
        name: [(r["step"], r[name]) for r in log.read(workdir) if r.get(name)] for name in ("loss", "held_out_mse")
    }
    guides = isinstance(model, Classifier)
    follows = f"runs/RUN --task guide --classifier {workdir} --label 0" if guides else workdir
    with log.surviving("loss.png"):
        pictures.save_curves(workdir / "loss.png", {name: points for name, points in curves.items() if points})
    print(f"done: look at {workdir / 'samples.png'} and {workdir / 'loss.png'}; go on with")
    print(f"  python sample.py --workdir {follows}")


def announce(workdir: Path, source: Source, state: TrainState, mesh: Mesh, start: int, end: int) -> None:
    """Say what is about to happen, and on how many devices."""
    if not hosts.is_writer():
        return
    count = sum(p.size for p in jax.tree.leaves(state.params))
    devices = f"{mesh.size} {jax.default_backend()} device(s)"
    shape = ", ".join(f"{axis}={size}" for axis, size in mesh.shape.items() if size > 1)
    of = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    devices += of + (f" ({shape})" if shape else "")
    print(f"{source.size:,} images of {source.shape}, {count:,} parameters, {devices}")
    print(f"{'continuing' if start else 'training'} in {workdir} from step {start:,} to {end:,}", flush=True)


def main() -> int:
    """The command line: 0 if all went well, 2 for bad input, 128 and its number after a signal."""
    if "--help" in sys.argv[1:]:
        print(__doc__, page(), sep="\n")
        return 0
    try:
        with hosts.together(LOWER):
            return train(*command.parse(sys.argv))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
