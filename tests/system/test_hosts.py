"""train.py as several processes with jax.distributed, on one machine."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
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


def start(environment, folder, processes, arguments=SMALL, further=None, roots=None, port=None, late=0, missing=()):
    """Start them all, each with `further` arguments and from the code below a root of its own, the last one late."""
    there = [f"--coordinator=127.0.0.1:{port or free_port()}", f"--processes={processes}", "--timeout=60"]
    own, roots = further or [[]] * processes, roots or [ROOT] * processes
    running = []
    for i in set(range(processes)) - set(missing):
        time.sleep(late if i == processes - 1 else 0)
        command = [sys.executable, str(roots[i] / "train.py"), *arguments, f"--workdir={folder}", *there, *own[i]]
        running.append(
            subprocess.Popen(
                [*command, f"--process={i}"],
                env=environment | {"PYTHONPATH": str(roots[i])},
                cwd=roots[i],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return running


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
    killed = time.monotonic()
    codes, ends = finish(running)
    assert time.monotonic() - killed < 60
    assert codes[-1] == -signal.SIGKILL
    assert all(code == 2 for code in codes[:-1]), (codes, ends)
    assert all(err.strip().splitlines()[-1].startswith("error: ") for _, err in ends[:-1]), ends

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


@pytest.mark.parametrize("process", [0, pytest.param(1, marks=pytest.mark.slow)])
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


@pytest.mark.slow
def test_one_that_comes_late_is_waited_for_whatever_calls_at_the_port(environment, tmp_path):
    port, over = free_port(), threading.Event()

    def probe():
        while not over.wait(0.05):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as caller:
                caller.sendall(b"GET / HTTP/1.0\r\n\r\n")

    probing = threading.Thread(target=probe)
    probing.start()
    try:
        codes, ends = finish(start(environment, tmp_path / "run", 4, port=port, late=10))
    finally:
        over.set()
        probing.join()
    assert codes == [0] * 4, ends
    assert len(losses(tmp_path / "run")) == 4


@pytest.mark.slow
def test_one_of_four_that_does_not_come_is_a_line_in_the_others(environment, tmp_path):
    began = time.monotonic()
    running = start(environment, tmp_path / "run", 4, further=[["--timeout=20"]] * 4, missing=[2])
    codes, ends = finish(running)
    assert time.monotonic() - began < 60
    assert codes == [2] * 3, ends
    for i, (_, err) in enumerate(ends):
        assert one_line(i, err).startswith("error: waited 20 s for the other processes at "), err


DIFFERENT = {  # the arguments of the one that differs, and what is said of it
    "configurations": (["--config.optimizer.learning_rate=0.5"], "optimizer.learning_rate (", "0.5 in process {odd}"),
    "code": ([], "the code of jaxdiff (", " in process {odd}"),
    "folders": (["--workdir={folder}-of-its-own"], "--workdir (", "run-of-its-own in process {odd}"),
    "devices": (["--config.train.cpu_devices=2"], "number of devices (1 in process 0", "2 in process {odd}"),
    "data that cannot be read": (
        ["--config.data.path={folder}-none"],
        "process {odd}: ",
        "is not there: give the path of",
    ),
    "data": (["--config.data.path={folder}-b.npy"], "sha256 (", " in process {odd}"),
    "amount of data": (["--config.data.path={folder}-c.npy"], "examples (50 in process 0", "20 in process {odd}"),
}


@pytest.mark.statistical
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k != "data")) for k in DIFFERENT])
def test_what_differs_is_named_on_every_host(environment, tmp_path, kind, processes):
    for name, count in zip("abc", (50, 50, 20), strict=True):
        array = np.random.default_rng(ord(name)).uniform(-1, 1, (count, 8, 8, 1)).astype(np.float32)
        np.save(tmp_path / f"run-{name}.npy", array)
    (arguments, *messages), odd, roots = DIFFERENT[kind], processes // 2, [ROOT] * processes
    if kind == "code":
        (tmp_path / "other").mkdir()
        for name in ("train.py", "jaxdiff", "configs"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tmp_path / "other" / name)
        with (tmp_path / "other" / "jaxdiff" / "types.py").open("a") as file:
            file.write("# of another version")
        roots[odd] = tmp_path / "other"
    data = [f"--config=configs/ddpm.py:arrays={tmp_path / 'run-a.npy'}", *SMALL[1:]]
    further = [[]] * processes
    further[odd] = [argument.format(folder=tmp_path / "run") for argument in arguments]
    began = time.monotonic()
    codes, ends = finish(start(environment, tmp_path / "run", processes, data, further, roots))
    assert time.monotonic() - began < 60
    assert codes == [2] * processes, ends
    for i, (_, err) in enumerate(ends):
        assert all(message.format(odd=odd) in one_line(i, err) for message in messages), err
    assert not list(tmp_path.glob("run*/checkpoints"))


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


def test_a_second_training_in_one_process_is_no_reason_to_warn(monkeypatch, caplog):
    from jaxdiff.training import hosts

    said = [ValueError("coordinator_address should be defined."), RuntimeError("must be called before any JAX calls")]

    def initialize(*_, **__):
        raise said.pop(0)

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    hosts.start.cache_clear()
    for _ in range(2):
        hosts.start(None, None, None, 1)
    hosts.start.cache_clear()
    assert len(said) == 1
    assert not caplog.text
