"""train.py as several processes with jax.distributed, on one machine."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time

import chex
import numpy as np
import pytest

from tests.helpers.processes import ROOT, TINY, state_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = [*TINY, "--config.train.steps=20", "--config.train.cpu_devices=1"]


def free_port():
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def start(environment, folder, processes, arguments=SMALL, further=None):
    there = [f"--coordinator=127.0.0.1:{free_port()}", f"--processes={processes}", "--timeout=60"]
    own = further or [[]] * processes
    return [
        subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "train.py"),
                *arguments,
                f"--workdir={folder}",
                *there,
                *own[i],
                f"--process={i}",
            ],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]


def finish(running, timeout=120):
    ends = [process.communicate(timeout=timeout) for process in running]
    return [process.returncode for process in running], ends


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def check_one_killed(environment, folder, processes):
    """Train; train again with one process killed when a checkpoint appears, then start all: the same bits."""
    codes, ends = finish(start(environment, folder / "whole", processes))
    assert codes == [0] * processes, ends
    assert f"of {processes} processes" in ends[0][0]
    assert "done: look at" in ends[0][0]
    assert all("done" not in out for out, _ in ends[1:])

    running = start(environment, folder / "killed", processes)
    while running[0].poll() is None and not list((folder / "killed" / "checkpoints").glob("10*")):
        time.sleep(0.01)
    running[-1].send_signal(signal.SIGKILL)
    codes, ends = finish(running)
    assert codes[-1] == -signal.SIGKILL
    assert all(code != 0 for code in codes[:-1]), (codes, ends)

    codes, ends = finish(start(environment, folder / "killed", processes))
    assert codes == [0] * processes, ends
    chex.assert_trees_all_equal(state_of(folder / "whole"), state_of(folder / "killed"))
    return ends


@pytest.mark.slow
def test_two_processes_one_killed_and_started_again_end_with_the_same_bits(environment, call, tmp_path):
    check_one_killed(environment, tmp_path, 2)
    # One process with as many devices has the same losses, and goes on where two stopped.
    alone = [*TINY, "--config.train.steps=20", "--config.train.cpu_devices=2"]
    call("train.py", *alone, f"--workdir={tmp_path / 'alone'}")
    np.testing.assert_allclose(losses(tmp_path / "alone"), losses(tmp_path / "whole"), rtol=1e-6)


@pytest.mark.slow
def test_four_processes_one_killed_and_started_again_end_with_the_same_bits(environment, tmp_path):
    check_one_killed(environment, tmp_path, 4)


def one_line(process, text):
    """What a process said last, which is one line; before it at most JAX's word of whom it met."""
    lines = [line for line in text.strip().splitlines() if not line.startswith("[Gloo]")]
    assert len(lines) == 1, f"{process}: {text}"
    return lines[0]


@pytest.mark.parametrize("process", [0, 1])
def test_a_missing_process_is_a_line_with_the_address_whatever_else_calls_there(environment, tmp_path, process):
    port = free_port()
    there = [f"--coordinator=127.0.0.1:{port}", "--processes=2", f"--process={process}", "--timeout=2"]
    running = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *SMALL, f"--workdir={tmp_path / 'run'}", *there],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while running.poll() is None:  # a prober, a health check, something that says a number
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.sendall(b"1" if time.time() % 2 else b"")
        time.sleep(0.1)
    line = one_line(process, running.communicate()[1])
    assert running.returncode == 2
    assert line.startswith(f"error: waited 2 s for the other processes at 127.0.0.1:{port}, as process {process} of 2")
    assert not (tmp_path / "run").exists()


DIFFERENT = {
    "configurations": (
        ["--config.optimizer.learning_rate=0.5"],
        "optimizer.learning_rate (0.0002 in process 0, 0.5 in",
    ),
    "folders": (["--workdir={folder}-of-its-own"], "--workdir ("),
    "devices": (["--config.train.cpu_devices=2"], "number of devices (1 in process 0, 2 in process 1)"),
    "data that cannot be read": (["--config.data.path={folder}-none"], "process 1: "),
    "data": (["--config.data.path={folder}-b.npy"], "the examples ("),
}


@pytest.mark.statistical
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k != "data")) for k in DIFFERENT])
def test_what_differs_is_named_on_every_host(environment, tmp_path, kind):
    for name in "ab":
        array = np.random.default_rng(ord(name)).uniform(-1, 1, (50, 8, 8, 1)).astype(np.float32)
        np.save(tmp_path / f"run-{name}.npy", array)
    arguments, message = DIFFERENT[kind]
    data = [f"--config=configs/ddpm.py:arrays={tmp_path / 'run-a.npy'}", *SMALL[1:]]
    further = [argument.format(folder=tmp_path / "run") for argument in arguments]
    codes, ends = finish(start(environment, tmp_path / "run", 2, data, [[], further]))
    assert codes == [2, 2], ends
    for i, (_, err) in enumerate(ends):
        assert message in one_line(i, err)
    assert not list(tmp_path.rglob("checkpoints"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--processes=2"], "need --coordinator"),
        (["--coordinator=nowhere"], "must be HOST:PORT"),
        (["--coordinator=127.0.0.1:9", "--processes=2", "--process=2"], "which of them this is, from 0 (now 2)"),
        (["--coordinator=127.0.0.1:9"], "needs --processes"),
    ],
)
def test_incomplete_addresses(monkeypatch, arguments, message):
    from jaxdiff.errors import InputError
    from jaxdiff.training import hosts

    given = dict(a.removeprefix("--").split("=") for a in arguments)
    numbers = [int(given[k]) if k in given else None for k in ("processes", "process")]
    with pytest.raises(InputError) as caught:
        hosts.start(given.get("coordinator"), *numbers, timeout_s=1)
    assert message in str(caught.value)
