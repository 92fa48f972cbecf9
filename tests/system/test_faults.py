"""What happens to runs: signals, second trainers, damage, full and vanished disks, numbers that overflow."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from filelock import FileLock

from tests.helpers.processes import ROOT, TINY, rows, state_of

pytestmark = pytest.mark.usefixtures("quick_compilation")


def start(environment, folder, *arguments, config=TINY[0]):
    command = [sys.executable, str(ROOT / "train.py"), config, *TINY[1:], *arguments, f"--workdir={folder}"]
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(running, happened):
    while not happened():
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)


def same(one, other):
    chex.assert_trees_all_equal(state_of(one), state_of(other))


OUTPUTS = {
    "a file": "{program} > {folder}.out 2>&1",
    "a closed pipe": "{program} 2>&1 | head -c 1; exit ${{PIPESTATUS[0]}}",
    "full": "{program} >/dev/full 2>&1",
    "closed": "exec 1>&- 2>&-; {program}",
    "ASCII": "export LC_ALL=C PYTHONUTF8=0 PYTHONIOENCODING=ascii; {program}",
}
ENDINGS = {  # the signals, in this order, the output, and the folder's name
    "TERM twice": ("TERM TERM", "a file", "run"),
    "INT twice": ("INT INT", "a closed pipe", "lr[1e-4]"),
    "HUP": ("HUP", "full", "a**b"),
    "USR1": ("USR1 TERM", "closed", "a\\b"),
    "USR2": ("USR2", "ASCII", "é"),
    "XCPU": ("XCPU INT TERM", "full", "x"),
}


@pytest.mark.statistical
@pytest.mark.parametrize("ending", [pytest.param(k, marks=[pytest.mark.slow] * (k != "INT twice")) for k in ENDINGS])
def test_every_ending_saves_whatever_the_output_and_the_path(environment, call, finished, tmp_path, ending):
    signals, output, name = ENDINGS[ending]
    folder = tmp_path / name
    arguments = [*TINY, "--config.train.checkpoint_every=1000", f"--workdir={folder}"]
    program = shlex.join([sys.executable, str(ROOT / "train.py"), *arguments])
    script = OUTPUTS[output].format(program=f"(echo $BASHPID > {tmp_path}/pid; exec {program})", folder=tmp_path / "x")
    running = subprocess.Popen(["bash", "-c", script], env=environment, cwd=ROOT)
    until(running, lambda: len(rows(folder)) > 1 if (folder / "metrics.jsonl").exists() else False)
    sent = time.monotonic()
    for number in signals.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), getattr(signal, f"SIG{number}"))
        time.sleep(0.1)
    code = running.wait(timeout=60)
    assert time.monotonic() - sent < 30  # which is what Slurm and Kubernetes give
    assert code == 128 + getattr(signal, f"SIG{signals.split()[0]}")
    (step,) = (int(f.name) for f in (folder / "checkpoints").iterdir())
    assert 10 <= step < 40
    call("train.py", *TINY, f"--workdir={folder}")
    same(finished, folder)


@pytest.mark.slow
def test_a_long_preview_gives_way(environment, tmp_path):
    """What it would take a minute to draw is left, and the state was saved before."""
    long = ["--config.sample.steps=1000", "--config.sample.grid.name=leading", "--config.train.sample_every=5"]
    running = start(environment, tmp_path, *long, "--config.train.checkpoint_every=1000", "--config.net.channels=128")
    until(running, (tmp_path / "checkpoints" / "5").exists)
    time.sleep(1)
    sent = time.monotonic()
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert time.monotonic() - sent < 5
    assert running.returncode == 143, err


BROKEN = """
import sys
from jaxdiff.cli import preview, train

def fail(*_):
    raise {error}

preview.make_preview = lambda *_: fail
preview.monitor = lambda *_: fail
sys.exit(train.main())
"""


@pytest.mark.statistical
@pytest.mark.parametrize("error", ["TypeError('five channels')"])
def test_a_preview_and_a_measurement_that_fail_end_nothing(environment, finished, tmp_path, error):
    (tmp_path / "broken.py").write_text(BROKEN.format(error=error))
    command = [sys.executable, str(tmp_path / "broken.py"), *TINY, f"--workdir={tmp_path / 'run'}"]
    paths = environment | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=paths, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "a preview failed: TypeError: five channels; training goes on" in done.stderr
    assert "the measurement failed" in done.stderr
    same(finished, tmp_path / "run")


@pytest.mark.slow
def test_a_run_ends_when_its_time_is_over(call, tmp_path):
    out, _ = call("train.py", *TINY, "--config.train.max_hours=0.00001", f"--workdir={tmp_path}")
    assert "stopped by train.max_hours at step 1, saved" in out
    assert [f.name for f in (tmp_path / "checkpoints").iterdir()] == ["1"]


def test_a_second_trainer_is_refused_and_a_lock_left_behind_is_not_in_the_way(refuse, call, finished):
    with FileLock(finished / "lock"):
        assert f"another process is training in '{finished}'" in refuse("train.py", *TINY, f"--workdir={finished}")
    (finished / "lock").touch()
    call("train.py", *TINY, f"--workdir={finished}")


@pytest.mark.slow
def test_it_goes_back_to_the_newest_intact_checkpoint(call, refuse, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    data = next((folder / "checkpoints" / "40" / "ema_0.998" / "d").iterdir())
    data.write_bytes(data.read_bytes()[:-1] + b"\0\0")
    out, err = call("sample.py", f"--workdir={folder}", "--num=1", "--steps=2")
    assert "is damaged: ema_0.998/d/" in err
    out, err = call("train.py", *TINY, f"--workdir={folder}")
    assert "has changed; going back to step 30" in err
    assert "from step 30 to 40" in out
    same(finished, folder)
    assert {f.name for f in (folder / "checkpoints").iterdir()} == {"30", "40", "damaged-40"}

    for step in ("30", "40"):
        (folder / "checkpoints" / step / "rest" / "_METADATA").unlink()
    before = {f: f.read_bytes() for f in (folder / "checkpoints").rglob("*") if f.is_file()}
    assert "no intact one is left; nothing was changed" in refuse("train.py", *TINY, f"--workdir={folder}")
    assert {f: f.read_bytes() for f in (folder / "checkpoints").rglob("*") if f.is_file()} == before


def test_a_folder_that_cannot_be_written_is_refused(refuse, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot write the run's folder" in refuse("train.py", *TINY, f"--workdir={tmp_path / 'file' / 'run'}")
    assert "cannot write the run's folder" in refuse("train.py", *TINY, "--workdir=/proc/run")


@pytest.mark.slow
def test_a_folder_that_vanishes_and_comes_back(environment, call, finished, tmp_path):
    folder, away = tmp_path / "run", tmp_path / "away"
    many = ["--config.train.steps=400", "--config.train.sample_every=1000", "--config.train.checkpoint_every=20"]
    running = start(environment, folder, *many)
    until(running, (folder / "checkpoints" / "20").exists)
    folder.rename(away)
    time.sleep(6)
    assert running.poll() is None
    assert not folder.exists()
    away.rename(folder)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert "could not be written" in err
    assert "the run's folder is gone" in err
    assert "Traceback" not in err
    assert [row["step"] for row in rows(folder)] == list(range(5, 401, 5))
    assert int(state_of(folder).step) == 400


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 24 MB in a mount namespace of its own: `small_disk(command) -> finished process`, run inside it."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def run(environment, script):
        inside = f"mount -t tmpfs -o size=24m none {disk} && {script}"
        return subprocess.run(
            ["unshare", "-rm", "sh", "-c", inside], env=environment, cwd=ROOT, capture_output=True, text=True
        )

    if shutil.which("unshare") is None or run(None, "true").returncode:
        pytest.skip("this system gives no user a mount namespace")
    return disk, run


@pytest.mark.slow
def test_a_disk_that_is_read_only_is_refused(environment, small_disk):
    disk, run = small_disk
    arguments = " ".join(f"'{a}'" for a in TINY)
    done = run(environment, f"mount -o remount,ro {disk} && {sys.executable} train.py {arguments} --workdir={disk}/run")
    assert done.returncode == 2
    assert done.stderr == f"error: cannot write the run's folder '{disk}/run': Read-only file system\n"


@pytest.mark.slow
def test_a_full_disk_costs_checkpoints_and_not_the_training(environment, finished, small_disk, tmp_path):
    """The disk is full for three seconds of the training, which ends as if nothing had been."""
    disk, run = small_disk
    arguments = " ".join(f"'{a}'" for a in TINY)
    script = f"""
    {sys.executable} train.py {arguments} --config.train.steps=400 --workdir={disk}/run &
    until [ -e {disk}/run/checkpoints/20 ]; do sleep 0.01; done
    cat /dev/zero > {disk}/filler
    sleep 3; rm {disk}/filler
    wait $!; code=$?
    cp -r {disk}/run {tmp_path}/run; exit $code
    """
    done = run(environment, script)
    assert done.returncode == 0, done.stderr
    assert "could not be written: no space left on device" in done.stderr.lower()
    assert int(state_of(tmp_path / "run").step) == 400
    assert [row["step"] for row in rows(tmp_path / "run")] == list(range(5, 401, 5))


@pytest.mark.slow
def test_ten_kills_a_closed_pipe_brackets_and_a_disk_that_fills_and_empties(environment, small_disk, tmp_path):
    """All at once, and the run ends with the same bits as one that nothing happened to."""
    disk, run = small_disk
    many, whole = ["--config.train.steps=400", "--config.train.sample_every=150"], tmp_path / "whole"
    began = time.monotonic()
    running = start(environment, whole, *many)
    until(running, (whole / "metrics.jsonl").exists)
    startup = time.monotonic() - began
    running.communicate()
    assert running.returncode == 0
    seconds = time.monotonic() - began - startup
    program = [sys.executable, "-m", "tests.helpers.torment", f"{disk}/run[x]", startup, seconds, *TINY, *many]
    script = f"{shlex.join(map(str, program))} && cp -r {disk}/run* {tmp_path}/run"
    done = run(environment | {"PYTHONPATH": str(ROOT)}, script)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"{startup:.0f} and {seconds:.0f} s undisturbed; {told}")
    assert [code for code, _ in told["ends"]].count(-signal.SIGKILL) == 10
    assert told["last"] == 0
    assert told["filled"]
    assert not any(told["filled"])  # no block was free
    same(whole, tmp_path / "run")
    losses = {row["step"]: row["loss"] for row in rows(whole)}
    kept = [row["step"] for row in rows(tmp_path / "run")]
    assert kept == sorted(set(kept))
    assert all(losses[row["step"]] == row["loss"] for row in rows(tmp_path / "run"))


@pytest.mark.slow
def test_twenty_thousand_steps_and_two_hundred_saves_leave_no_trace(environment, tmp_path):
    """Memory has settled by half of the way; open files and disk at the end are those of a quarter."""
    many = ["--config.train.steps=20000", "--config.train.log_every=100", "--config.train.sample_every=5000"]
    command = [sys.executable, "train.py", *TINY, *many, "--config.train.checkpoint_every=100"]
    with (tmp_path / "output").open("w") as output:
        command.append(f"--workdir={tmp_path / 'run'}")
        running = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
    seen = []
    while running.poll() is None:
        checkpoints = list((tmp_path / "run" / "checkpoints").glob("*"))
        step = max((int(f.name) for f in checkpoints if f.name.isdigit()), default=0)
        with contextlib.suppress(OSError):
            resident = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            seen.append((step, resident, len(os.listdir(f"/proc/{running.pid}/fd")), len(checkpoints)))
        time.sleep(0.5)
    assert running.wait() == 0
    step, resident, files, folders = np.array(seen, float).T
    early, late = (step >= 5000) & (step < 10000), step >= 15000
    settled = (step >= 10000) & (step < 15000)
    print("resident, MB:", *(np.median(resident[part]) // 1e6 for part in (early, settled, late)))
    assert np.median(resident[late]) < 1.01 * np.median(resident[settled])
    assert np.max(files[late]) <= np.max(files[early])
    assert np.max(folders) <= 5  # two kept, the best, one being written, one being deleted
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1


@pytest.mark.slow
def test_the_same_data_elsewhere_go_on_and_others_are_refused(call, refuse, tmp_path):
    rng, run = np.random.default_rng(0), tmp_path / "run"
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", rng.integers(0, 256, (50, 8, 8, 1), np.uint8))
    of = lambda name: [
        f"--config=configs/ddpm.py:arrays={tmp_path}/{name}.npy",
        *TINY[1:],
        "--config.train.device_data=never",
    ]
    call("train.py", *of("a"), "--config.train.steps=10", f"--workdir={run}")
    call("train.py", *of("a"), f"--workdir={tmp_path / 'whole'}")
    (tmp_path / "a.npy").rename(tmp_path / "c.npy")
    (tmp_path / "b.npy").rename(tmp_path / "a.npy")
    said = f"'{run}' was trained on other data (50 examples, as many, but others): name those, wherever they lie"
    assert said in refuse("train.py", *of("a"), f"--workdir={run}")
    out, _ = call("train.py", *of("c"), f"--workdir={run}")
    assert "from step 10 to 40" in out
    same(tmp_path / "whole", run)


@pytest.mark.slow
def test_data_that_are_cut_short_under_a_run_end_it_saved_and_in_one_line(environment, tmp_path):
    file, run = tmp_path / "a.npy", tmp_path / "run"
    np.save(file, np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8))
    whole, config = file.read_bytes(), f"--config=configs/ddpm.py:arrays={file}"
    many = ["--config.train.steps=100000", "--config.train.device_data=never", "--config.train.checkpoint_every=100000"]
    running = start(environment, run, *many, config=config)
    until(running, lambda: (run / "metrics.jsonl").exists() and len(rows(run)) > 1)
    os.truncate(file, 1000)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 2, err
    assert err.strip().splitlines()[-1].startswith(f"error: '{file}' was written again while it was in use")
    file.write_bytes(whole)
    (step,) = (int(f.name) for f in (run / "checkpoints").iterdir())
    more = [f"--config.train.steps={step + 5}", *many[1:]]
    running = start(environment, run, *more, config=config)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert f"from step {step:,} to {step + 5:,}" in out


DIVERGING = [*TINY, "--config.optimizer.learning_rate=1e30", "--config.optimizer.warmup=1"]


@pytest.mark.slow
def test_numbers_that_overflow_end_in_one_line_with_the_batch(call, tmp_path):
    _, err = call("train.py", *DIVERGING, "--config.train.guard.patience=3", f"--workdir={tmp_path}", code=2)
    message = err.strip().splitlines()[-1]
    assert message.startswith("error: the loss or its gradient is not finite at step")
    assert "after 0 return(s) to a checkpoint" in message
    (file,) = tmp_path.glob("failed-*.npz")
    assert str(file) in message
    assert np.load(file)["x_0"].shape == (16, 8, 8, 1)


@pytest.mark.slow
def test_a_run_that_spikes_goes_back_to_its_checkpoint(call, tmp_path):
    guard = [f"--config.train.guard.{field}" for field in ("patience=1", "rollbacks=1", "spike=1.001")]
    # The gradients of two examples vary so much that many are above the usual.
    longer = ["--config.train.steps=200", "--config.train.log_every=1", "--config.train.sample_every=1000"]
    longer.append("--config.train.batch_size=2")
    _, err = call("train.py", *TINY, *longer, *guard, f"--workdir={tmp_path}", code=2)
    assert "or above 1.001 times the usual" in err.strip().splitlines()[-1]
    assert "after 1 return(s) to a checkpoint" in err.strip().splitlines()[-1]
    assert "1 or more steps in a row skipped: going on with the weights of step" in err
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state_of(tmp_path).params))


@pytest.mark.slow
def test_the_first_bad_operation_is_found(call, tmp_path):
    _, err = call("train.py", *DIVERGING, "--config.debug.nans=True", f"--workdir={tmp_path}", code=2)
    message = err.strip().splitlines()[-1]
    assert message.startswith("error: the first value that is not finite comes from ")
    assert "jaxdiff/" in message
    assert os.path.isfile(message.split(" comes from ")[1].split(":")[0])


@pytest.mark.slow
def test_the_users_own_search_for_nans_is_kept(environment, tmp_path):
    """JAX reads its variables when it is imported, so this takes a process of its own."""
    command = [sys.executable, "train.py", *DIVERGING, f"--workdir={tmp_path}"]
    done = subprocess.run(command, env=environment | {"JAX_DEBUG_NANS": "1"}, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: the first value that is not finite comes from ")


@pytest.mark.slow
def test_a_guard_that_skips_much_says_so(call, tmp_path):
    out, err = call("train.py", *DIVERGING, "--config.train.guard.patience=1000", f"--workdir={tmp_path}")
    lost = rows(tmp_path)[-1]["skipped"]
    assert lost > 30
    said = f"{lost:.0f} of 40 steps were skipped, {lost / 40:.1%}: their loss or gradient was not finite. Likely"
    assert err.count(said) == 1
    assert f"warning: {said}" in out
    assert "--config.debug.nans=True names the first bad operation" in out
