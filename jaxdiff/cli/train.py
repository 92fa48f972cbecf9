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
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from absl import flags

from jaxdiff.cli import command, fit, output
from jaxdiff.cli.main import text_of
from jaxdiff.cli.setup import Setup, described, prepare
from jaxdiff.config import record as run_record
from jaxdiff.config.budget import Speed, early
from jaxdiff.config.schema import check_fields
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import coded, pictures
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.coder import Coder
from jaxdiff.pipelines.experiment import Trained
from jaxdiff.pipelines.progress import is_shown, make_bar
from jaxdiff.training import feed, hosts, log, sharding, stop
from jaxdiff.training.checkpoints import checkpoint, rollback, stored
from jaxdiff.training.errors import looked_for
from jaxdiff.training.files import place, replacing
from jaxdiff.training.guard import Tally
from jaxdiff.training.step import TrainState

__all__ = ["declared", "main", "program", "train"]

ELSEWHERE = ("data.path", "data.data_dir")
"""Where the same data may lie differently on each host."""
LAST_S, STOP_S = 60, 10
"""How long the last save is tried: at the end of a run, and where a scheduler may give 30 s."""

UNTIMED = 100
"""So few steps are not worth timing."""

LOWER = "lower train.batch_size, raise train.accumulate or train.mesh.fsdp, or set net.remat=full or net.dtype=bfloat16"


def train(config: dict, workdir: Path, speed: Speed | None = None, progress: bool | None = True) -> int:
    """Train to `config["train"]["steps"]`, from the newest intact checkpoint in `workdir` if there is one.

    The speed of a step is timed here, if it is not given. A bar is shown by `progress`, as of `Model.trajectory`.

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
        speed = speed or timed(setup, workdir, end)
        state = checkpoints.restore(setup.first())
        step = start = int(state.step)
        state = state if start else setup.begun(state, config["train"]["init"])
        tally = Tally(start, int(state.health.skipped), guard["spike"])
        journal = log.Log(workdir, start) if hosts.is_writer() else log.Silent()
        clock, pending, reason, complaint, alone = log.Clock(), [], 0, "", jax.process_count() == 1
        show = lambda: stop.aside(
            "a preview", lambda: setup.preview(setup.averages(state), workdir, journal, step), asked
        )

        # ---- what was measured before, and what a signal kept from being measured
        figures = Figures(setup, workdir, start, journal, asked)
        if start and figures.lack(start):
            checkpoints.note(start, figures.of(state))
        end = start if figures.stalled() else end
        shows = announce(workdir, setup, state, range(start, end), speed, config)
        plan = feed.Calls(start, end, setup.length)
        stream = feed.ahead(setup.feed.read, plan, settings["readers"])
        hidden = not journal or output.is_quiet() or not is_shown(progress)
        with make_bar(end, "step", "training", initial=min(start, end), disable=hidden) as bar:
            for first, n in plan:
                # ---- feed
                try:
                    with clock.waiting(idle=bool(pending) and pending[-1]["loss"].is_ready()):
                        along = next(stream)
                except Exception:
                    if alone:  # several save together or not at all
                        checkpoints.save(state)
                    raise

                # ---- step
                state, metrics = setup.step_fn(state, setup.feed.resident, along)
                pending.append(metrics)
                if len(pending) > 2:  # the host runs ahead of the devices, but no more than two calls
                    jax.block_until_ready(pending[-3])
                step = first + n
                last, means = step == end, {}

                # ---- log
                if step % settings["log_every"] == 0 or last:
                    means = log.means(jax.device_get(pending))
                    means |= clock.lap(sum(len(m["loss"]) for m in pending) * settings["batch_size"])
                    journal.scalars(step, means)
                    told = f"{means['examples_per_s']:,.0f} examples/s, {step * settings['batch_size']:,} seen"
                    bar.set_postfix_str(f"loss {means['loss']:.4f}, {told}", refresh=False)  # shown with the step
                    bar.update(step - bar.n)
                    pending = []
                    complaint = tally.count(step, int(means["skipped"]), end=last)
                    if means["skipped_in_row"] >= guard["patience"]:
                        keep = functools.partial(keep_batch, config, workdir, setup.source)
                        state = rollback.roll_back(checkpoints, state, **guard, keep_batch=keep)

                # ---- save
                if alone or step % settings["log_every"] == 0:
                    reason = 0 if last else hosts.of_any(asked())
                due, shown = figures.due(step), shows(step)
                if due or shown or reason:
                    measured = figures.of(state) if due and not reason else {}
                    checkpoints.insist(state, means | measured, LAST_S if last else STOP_S if reason else 0)
                    if figures.stalled():
                        break

                # ---- preview
                if shown and not last and not reason:
                    with clock.stopped(pending):
                        show()
                if reason or (((alone and figures.lack(step)) or stop.abandoned()) and (reason := asked())):
                    break

        if not reason:
            show()
        journal.close()
        checkpoints.wait()
        if hosts.is_writer():
            report(workdir, setup.parts.model, step, reason, figures.stalled() or complaint)
    return stop.exit_code(reason)


class Figures:
    """What is measured at the checkpoints of a run, and by the one figure that counts, `train.keep_best`, when to end.

    Those before the step at which a run goes on are in its log, and that of this step is in its checkpoint.
    """

    def __init__(
        self, setup: Setup, workdir: Path, start: int, journal: log.Log | log.Silent, asked: Callable[[], int]
    ):
        settings = setup.record.config["train"]
        self._setup, self._journal, self._asked = setup, journal, asked
        self._every, self._end = settings["checkpoint_every"], settings["steps"]
        self._best, self._patience = settings["keep_best"], settings.get("patience", 0)
        known = {row["step"]: row[self._best] for row in log.read(workdir) if self._best in row}
        own = stored.metrics_of(workdir / "checkpoints" / str(start))
        known = {n: value for n, value in known.items() if n < start} | (
            {start: own[self._best]} if self._best in own else {}
        )
        self._known = dict(json.loads(hosts.gather(json.dumps([*known.items()]))[0]))

    def due(self, step: int) -> bool:
        """Tell whether a step is measured."""
        return step % self._every == 0 or step == self._end

    def lack(self, step: int) -> bool:
        """Tell whether the figure that counts should be known of a step, and is not."""
        return bool(self._best) and self.due(step) and step not in self._known

    def of(self, state: TrainState) -> dict[str, float]:
        """The figures of a state, which are logged; none if there is a reason to stop meanwhile."""
        params = self._setup.averages(state)[0][1]
        found = stop.aside("the measurement", lambda: self._setup.measure(params), self._asked) or {}
        if found:
            self._journal.scalars(int(state.step), found)
        if self._best in found:
            self._known[int(state.step)] = found[self._best]
        return found

    def stalled(self) -> str:
        """The reason to stop; "" to go on."""
        return stop.stalled(self._best, self._known.values(), self._patience)


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
    if hosts.is_writer():
        coded.keep(record.spec, workdir)
    policy = {name: record.config["train"][name] for name in ("keep", "keep_every", "keep_best", "verify")}
    return held.enter_context(checkpoint.Checkpoints(workdir / "checkpoints", **policy))


def keep_batch(config: dict, workdir: Path, source: Source, step: int) -> Path:
    """Write the batch of a step that went wrong into the run's folder."""
    return rollback.save_batch(workdir, source, config["train"]["batch_size"], config["seed"], step)


def report(workdir: Path, model: Trained, step: int, reason: int, complaint: str) -> None:
    """Say where things are, how to go on, and what there is to complain of."""
    if complaint:
        print(f"warning: {complaint}")
    if reason:
        output.say(f"stopped by {stop.named(reason)} at step {step:,}, saved: the same command goes on from there")
        return
    rows = log.read(workdir)
    names = dict.fromkeys(n for r in rows for n in r if n == "loss" or n.startswith("held_out_"))
    curves = {name: [(r["step"], r[name]) for r in rows if r.get(name)] for name in names}
    follows = f"sample --workdir {workdir}"
    if isinstance(model, Classifier):
        follows = f"sample --workdir runs/RUN --task guide --classifier {workdir} --label 0"
    elif isinstance(model, Coder):
        follows = f"data latents FOLDER --workdir {workdir}"
    with log.surviving("loss.png"), replacing(workdir / "loss.png") as part:
        pictures.save_curves(part, {name: points for name, points in curves.items() if points})
    output.say(f"done: look at {workdir / 'samples.png'} and {workdir / 'loss.png'}; go on with")
    output.say(f"  jaxdiff {follows}")


def timed(setup: Setup, workdir: Path, end: int) -> Speed | None:
    """The speed of a step; None where there are few, or none left."""
    done = (workdir / "checkpoints" / str(end)).exists()
    return fit.measure(setup) if end > UNTIMED and not done else None


def announce(
    workdir: Path, setup: Setup, state: TrainState, steps: range, speed: Speed | None, config: dict
) -> Callable[[int], bool]:
    """Say what is about to happen, on how many devices, and how long it takes by the steps that were timed.

    Returns: `step -> whether to show pictures after it`.
    """
    every, first = config["train"]["sample_every"], frozenset(early(speed, config, setup.length) if speed else ())
    shows = lambda step: step % every == 0 or step in first
    if not hosts.is_writer():
        return shows
    output.say(described(setup, state))
    output.say(
        f"{'continuing' if steps.start else 'training'} in {workdir} from step {steps.start:,} to {steps.stop:,}"
    )
    if speed and steps:
        rate = config["train"]["batch_size"] / speed.step_s
        shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        output.say(
            f"about {in_time(len(steps) * speed.step_s)}: {speed.step_s:.2g} s a step as measured, {shown} examples/s"
        )
        output.say(f"pictures on the way: {workdir / 'samples.png'}")
    return shows


def in_time(seconds: float) -> str:
    """A duration in words: "40 s", "14 min", "3 h 20 min", "12 days"."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours / 24:.0f} days"


def declared() -> flags.FlagValues:
    """The flags beside --config and its fields; none of them is the program's that imports this."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "the run's folder", flag_values=values)
    flags.DEFINE_string("init", "", "a run or a model folder, whose weights to begin with", flag_values=values)
    flags.DEFINE_float("minutes", None, "train for about so long", flag_values=values)
    flags.DEFINE_string("coordinator", None, "of several processes: HOST:PORT of process 0", flag_values=values)
    flags.DEFINE_integer("processes", None, "how many processes there are", flag_values=values)
    flags.DEFINE_integer("process", None, "which of them this is, from 0", flag_values=values)
    flags.DEFINE_integer("timeout", 300, "seconds to wait for the other processes", flag_values=values)
    return values


def main(arguments: list[str] | None = None) -> int:
    """Run the command line: 0 if all went well, 2 for bad input, 128 and its number after a signal."""
    given = sys.argv[1:] if arguments is None else arguments
    if "--help" in given:
        print(text_of("train", given), end="")
        return 0
    try:
        began = time.monotonic()
        values = declared()
        config, workdir, fixed = command.parse([sys.argv[0], *given], values)
        config["train"]["init"] = values["init"].value or config["train"]["init"]
        if values["minutes"].value is not None:
            config["train"]["minutes"] = values["minutes"].value
        check_fields(config)
        sharding.use_cpu_devices(config["train"]["cpu_devices"])
        sharding.use_compilation_cache()
        with hosts.together(LOWER):
            hosts.start(values.coordinator, values.processes, values.process, values.timeout)
            hosts.agree(program(config, workdir))
            settled = fit.settle(config, place(workdir), fixed, began)
            code = train(settled.config, workdir, settled.speed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if stop.abandoned():  # an orderly end would wait for it
        sys.stdout.flush()
        os._exit(code)
    return code
