"""Train a diffusion model, or go on with one.

    python train.py --config=configs/ddpm.py
    python train.py --config=configs/ddpm.py:cifar10 --config.train.batch_size=256 --workdir=runs/mine

The same command again continues where the run stopped, also on another number of devices. A run's folder is described
in `jaxdiff/config/record.py`. On several machines give each the same command, with a --workdir that all of them see;
but where JAX finds the others by itself (TPU pods, Slurm, Open MPI, Kubernetes), also --coordinator=HOST:PORT
--processes=N --process=I.
"""

import contextlib
import functools
import hashlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from jax.sharding import Mesh
from tqdm import tqdm

from jaxdiff.cli import command, output
from jaxdiff.cli import preview as watch
from jaxdiff.cli.settings import page
from jaxdiff.config import build
from jaxdiff.config import record as run_record
from jaxdiff.config.schema import check_fields
from jaxdiff.data.source import Source, fingerprint
from jaxdiff.errors import InputError
from jaxdiff.modalities import find
from jaxdiff.modalities.images import pictures
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.load import load_any
from jaxdiff.pipelines.model import Model
from jaxdiff.training import feed, hosts, log, sharding, stop
from jaxdiff.training.checkpoints import checkpoint, rollback
from jaxdiff.training.errors import looked_for
from jaxdiff.training.files import place, replacing
from jaxdiff.training.guard import Tally
from jaxdiff.training.step import TrainState, in_calls, init_state, make_train_step
from jaxdiff.types import Key, Params

__all__ = ["Setup", "main", "prepare", "program", "train", "train_model"]

flags.DEFINE_string("workdir", None, "The run's folder; by default one of its own under runs/.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "Of several processes: HOST:PORT of process 0.")
PROCESSES = flags.DEFINE_integer("processes", None, "How many processes there are; found by itself on a cluster.")
PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0.")
TIMEOUT = flags.DEFINE_integer("timeout", 300, "Seconds to wait for the other processes.")
ELSEWHERE = ("data.path", "data.data_dir")
"""Where the same data may lie differently on each host."""
LAST_S, STOP_S = 60, 10
"""How long the last save is tried: at the end of a run, and where a scheduler may give 30 s."""

LOWER = "lower train.batch_size, raise train.accumulate or train.mesh.fsdp, or set net.remat=full or net.dtype=bfloat16"


class Setup(NamedTuple):
    """All that a training needs before its first step.

    Attributes:
      record: what the run's folder will hold of the configuration and the data.
      initial: `key -> state` before the first step, and `init_key`, its key.
      placed: where on the mesh each array of a state lies.
      step_fn: `(state, resident, along) -> (state, metrics)`, compiled.
      feed: what the steps are fed, `length` of them in one call.
      measure: `params -> figures`, at each checkpoint.
      preview: `(averages, workdir, journal, step)`, pictures of what was learned.
    """

    record: run_record.Record
    source: Source
    parts: experiment.Experiment
    mesh: Mesh
    initial: Callable[[Key], TrainState]
    init_key: Key
    placed: Any
    step_fn: Callable[..., tuple[TrainState, dict[str, Any]]]
    feed: feed.Feed
    length: int
    measure: Callable[[Params], dict[str, float]]
    preview: Callable[..., None]

    def averages(self, state: TrainState) -> list[tuple[str, Params]]:
        """The averages of a state by name; the first is the one to sample with."""
        return [(name, state.ema[name]) for name in self.parts.ema]


def prepare(config: dict) -> Setup:
    """Build all parts of a training, and refuse what does not fit, before anything is computed or written.

    Raises:
      InputError: a field, name or argument that does not fit, or data that cannot be read.
    """
    check_fields(config)
    settings = config["train"]
    mesh = sharding.make_mesh(**settings["mesh"])
    batch_size = settings["batch_size"]
    sharding.check_batch(batch_size, settings["accumulate"], sharding.batch_shards(mesh))

    source = build.source(config)
    parts = experiment.build(config, source.spec, mesh)
    if isinstance(parts.model, Model):
        build.check_conditions(source, parts.model.conditions)
    init_key, train_key, preview_key = jax.random.split(jax.random.key(config["seed"]), 3)
    every = {f"train.{k}": settings[k] for k in ("log_every", "sample_every", "checkpoint_every")}
    length = feed.steps_per_call(settings["steps_per_call"], every, 4 * batch_size * math.prod(source.spec.shape))
    food = feed.make_feed(source, mesh, batch_size, config["seed"], settings["device_data"])
    rollback.check(**settings["guard"])

    initial = lambda key: init_state(parts.init(key), parts.optimizer, parts.ema, parts.loss_fn)
    placed = sharding.shard(mesh, jax.eval_shape(initial, init_key), parts.tensor_axis)
    step_fn = make_train_step(
        parts.loss_fn,
        parts.optimizer,
        parts.ema,
        train_key,
        settings["accumulate"],
        settings["guard"]["spike"],
        parts.transforms,
    )
    # jax_debug_nans runs the step again, so its inputs must not be donated.
    donated = () if any(looked_for(config["debug"]["nans"])) else (0,)
    out = (placed, sharding.replicated(mesh))
    step_fn = jax.jit(in_calls(step_fn, feed.examples), donate_argnums=donated, out_shardings=out)

    measure = watch.monitor(config, parts.model)
    preview = watch.make_preview(config, parts.model, source, preview_key)
    record = run_record.Record(config, source.spec, {"examples": source.size, "sha256": fingerprint(source)})
    return Setup(record, source, parts, mesh, initial, init_key, placed, step_fn, food, length, measure, preview)


def train(config: dict, workdir: Path) -> int:
    """Train to `config["train"]["steps"]`, from the newest intact checkpoint in `workdir` if there is one.

    Returns: 0, or the number of the signal that ended training early, as a program's exit code.
    """
    workdir = place(workdir)
    with contextlib.ExitStack() as held, hosts.together(LOWER):
        hosts.agree(program(config, workdir))
        setup = hosts.as_one(lambda: prepare(config))
        hosts.agree({"the data": setup.record.spec, **setup.record.data})
        settings, guard, end = config["train"], config["train"]["guard"], config["train"]["steps"]
        nans, infs = looked_for(config["debug"]["nans"])

        # ---- the run's folder
        checkpoints = hosts.as_one(lambda: enter(workdir, setup.record, held))
        hosts.check_shared(workdir)
        held.enter_context(jax.debug_nans(nans))
        held.enter_context(jax.debug_infs(infs))
        asked = held.enter_context(stop.stopping(settings["max_hours"]))

        # ---- restore
        state = checkpoints.restore(jax.jit(setup.initial, out_shardings=setup.placed)(setup.init_key))
        step = start = int(state.step)
        tally = Tally(start, int(state.health.skipped), guard["spike"])
        announce(workdir, setup, state, start, end)
        journal = log.Log(workdir, start) if hosts.is_writer() else log.Silent()
        plan = feed.Calls(start, end, setup.length)
        stream = feed.ahead(setup.feed.read, plan, settings["readers"])
        clock, pending, means, reason, complaint = log.Clock(), [], {}, 0, ""
        measure = lambda: stop.aside("the measurement", lambda: setup.measure(setup.averages(state)[0][1]), asked) or {}
        show = lambda: stop.aside(
            "a preview", lambda: setup.preview(setup.averages(state), workdir, journal, step), asked
        )

        with tqdm(total=end, initial=min(start, end), unit="step", dynamic_ncols=True, disable=not journal) as bar:
            for first, n in plan:
                # ---- feed
                try:
                    with clock.waiting(idle=bool(pending) and pending[-1]["loss"].is_ready()):
                        along = next(stream)
                except Exception:
                    if jax.process_count() == 1:  # several save together or not at all
                        checkpoints.save(state)
                    raise

                # ---- step
                state, metrics = setup.step_fn(state, setup.feed.resident, along)
                pending.append(metrics)
                if len(pending) > 2:  # the host runs ahead of the devices, but no more than two calls
                    jax.block_until_ready(pending[-3])
                step = first + n
                last = step == end

                # ---- log
                if step % settings["log_every"] == 0 or last:
                    means = log.means(jax.device_get(pending))
                    means |= clock.lap(len(pending) * n * settings["batch_size"])
                    journal.scalars(step, means)
                    bar.update(step - bar.n)
                    bar.set_postfix_str(f"loss {means['loss']:.4f}, {means['examples_per_s']:,.0f} examples/s")
                    pending = []
                    complaint = tally.count(step, int(means["skipped"]), end=last)
                    if means["skipped_in_row"] >= guard["patience"]:
                        keep = functools.partial(keep_batch, config, workdir, setup.source)
                        state = rollback.roll_back(checkpoints, state, **guard, keep_batch=keep)

                # ---- save
                if jax.process_count() == 1 or step % settings["log_every"] == 0:
                    reason = 0 if last else hosts.of_any(asked())
                due, shown = step % settings["checkpoint_every"] == 0 or last, step % settings["sample_every"] == 0
                if due or shown or reason:
                    measured = measure() if due and not reason else {}
                    if measured:
                        journal.scalars(step, measured)
                    checkpoints.insist(state, means | measured, LAST_S if last else STOP_S if reason else 0)

                # ---- preview
                if shown and not last and not reason:
                    show()
                    clock = log.Clock()
                if reason or (stop.abandoned() and (reason := asked())):
                    break

        if not reason:
            show()
        journal.close()
        checkpoints.wait()
        if hosts.is_writer():
            report(workdir, setup.parts.model, step, reason, complaint)
    return stop.exit_code(reason)


def program(config: dict, workdir: Path) -> dict[str, Any]:
    """What must be the same in all processes of a run, by name."""
    if jax.process_count() == 1:
        return {}
    code = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        code.update(file.read_bytes())
    parts = {"the code of jaxdiff": code.hexdigest()[:12], "the version of JAX": jax.__version__}
    fields = {name: value for name, value in run_record.flat(config).items() if name not in ELSEWHERE}
    return {**parts, "--workdir": str(workdir.absolute()), **fields}


def enter(workdir: Path, record: run_record.Record, held: contextlib.ExitStack) -> checkpoint.Checkpoints:
    """Lock the run's folder, write its record, and open its checkpoints, until `held` is left.

    Raises:
      InputError: the folder cannot be written, or holds another run.
    """
    if hosts.is_writer():
        held.enter_context(run_record.locked(workdir))
    run_record.write_record(workdir, record, write=hosts.is_writer())
    policy = {name: record.config["train"][name] for name in ("keep", "keep_every", "keep_best", "verify")}
    return held.enter_context(checkpoint.Checkpoints(workdir / "checkpoints", **policy))


def train_model(config: Mapping[str, Any], workdir: str | Path) -> Model | Classifier:
    """Train as `python train.py` does, or go on with what is in `workdir`, and return what was trained.

    Args:
      config: plain data, such as `get_config().to_dict()` of a file in configs/.
      workdir: the run's folder.

    Raises:
      InputError: a configuration that does not fit, or a folder that holds another run.
    """
    train(dict(config), place(workdir))
    return load_any(workdir)


def keep_batch(config: dict, workdir: Path, source: Source, step: int) -> Path:
    """Write the batch of a step that went wrong into the run's folder."""
    return rollback.save_batch(workdir, source, config["train"]["batch_size"], config["seed"], step)


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
    with log.surviving("loss.png"), replacing(workdir / "loss.png") as part:
        pictures.save_curves(part, {name: points for name, points in curves.items() if points})
    print(f"done: look at {workdir / 'samples.png'} and {workdir / 'loss.png'}; go on with")
    print(f"  python sample.py --workdir {follows}")


def announce(workdir: Path, setup: Setup, state: TrainState, start: int, end: int) -> None:
    """Say what is about to happen, and on how many devices."""
    if not hosts.is_writer():
        return
    source, mesh = setup.source, setup.mesh
    count = sum(p.size for p in jax.tree.leaves(state.params))
    devices = f"{mesh.size} {jax.default_backend()} device(s)"
    shape = ", ".join(f"{axis}={size}" for axis, size in mesh.shape.items() if size > 1)
    of = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    devices += of + (f" ({shape})" if shape else "")
    print(
        f"{source.size:,} {find(source.spec.modality, 'show').describe(source.spec)}, {count:,} parameters, {devices}"
    )
    print(f"{'continuing' if start else 'training'} in {workdir} from step {start:,} to {end:,}", flush=True)


def main() -> int:
    """Run the command line: 0 if all went well, 2 for bad input, 128 and its number after a signal."""
    output.never_fail()
    if "--help" in sys.argv[1:]:
        print(__doc__, page(), sep="\n")
        return 0
    try:
        config, workdir = command.parse(sys.argv)
        check_fields(config)
        sharding.use_cpu_devices(config["train"]["cpu_devices"])
        sharding.use_compilation_cache()
        with hosts.together(LOWER):
            hosts.start(COORDINATOR.value, PROCESSES.value, PROCESS.value, TIMEOUT.value)
            code = train(config, workdir)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if stop.abandoned():  # an orderly end would wait for it
        sys.stdout.flush()
        os._exit(code)
    return code
