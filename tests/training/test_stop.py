import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxdiff.errors import InputError
from jaxdiff.training.stop import SIGNALS, abandoned, aside, exit_code, named, stalled, stopping


@pytest.mark.parametrize("number", SIGNALS, ids=named)
def test_the_first_signal_is_the_reason_and_no_further_one_acts(number, capfd):
    came = []
    before = signal.signal(number, lambda *_: came.append(1))
    try:
        with stopping() as asked:
            assert asked() == 0
            for again in (number, number, *SIGNALS, number):
                os.kill(os.getpid(), again)
            assert asked() == number
            assert exit_code(asked()) == 128 + number
            assert not came
        os.kill(os.getpid(), number)
        assert len(came) == 1
    finally:
        signal.signal(number, before)
    assert f"{named(number)}: saving, then ending" in capfd.readouterr().err


def test_what_ends_programs_is_heeded():
    assert {named(number) for number in SIGNALS} == {"SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"}


def test_a_signal_that_is_ignored_stays_so():
    """As `nohup` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_time_is_up():
    with stopping(max_hours=0.05 / 3600) as asked:
        assert asked() == 0
        time.sleep(0.06)
        assert (named(asked()), exit_code(asked())) == ("train.max_hours", 0)
    with pytest.raises(InputError, match="train.max_hours=-1"), stopping(-1):
        pass


def test_what_is_aside_may_fail_and_gives_way(caplog):
    assert aside("a sum", lambda: 1 + 1, lambda: 0) == 2
    for error in (ValueError("no\nroom"), MemoryError(), InputError("bad"), TypeError("five channels")):

        def fail(error=error):
            raise error

        with caplog.at_level(logging.WARNING):
            assert aside("a preview", fail, lambda: 0) is None
    assert "a preview failed: ValueError: no room; training goes on" in caplog.text
    assert not abandoned()
    end, came, sent = threading.Event(), [], time.monotonic()
    assert aside("a long preview", lambda: end.wait(60), lambda: came or came.append(15)) is None
    assert time.monotonic() - sent < 5
    assert abandoned()
    end.set()
    assert aside("another", lambda: 1, lambda: 15) is None  # is not begun


OUTPUTS = {
    "closed": "exec 1>&- 2>&-; {program}",
    "full": "{program} >/dev/full 2>/dev/full",
    "a closed pipe": "{program} 2>&1 | true; exit ${{PIPESTATUS[0]}}",
    "read only": "{program} 1</dev/null 2</dev/null",
    "ASCII": "PYTHONIOENCODING=ascii {program}",
}
PRINTS = """
import os, sys, time
from jaxdiff.cli import output
output.never_fail()
from tqdm import tqdm
time.sleep(0.2)
for i in tqdm(range(3), desc="é"):
    print("é \\udc80" * 5000, flush=True)
print("last", file=sys.stderr)
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
assert file > 2
"""


@pytest.mark.parametrize("kind", OUTPUTS)
def test_what_is_printed_ends_nothing(tmp_path, kind):
    (tmp_path / "prints.py").write_text(PRINTS)
    program = f"{sys.executable} {tmp_path / 'prints.py'} {tmp_path / 'made'}"
    done = subprocess.run(["bash", "-c", OUTPUTS[kind].format(program=program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made").read_bytes() == b""
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_patience_counts_from_the_best():
    said = lambda patience, *figures: stalled("fd_pixels", figures, patience)
    assert not any(said(2, *figures) for figures in ([], [5.0], [5.0, 4.0, 4.5], [5.0, 6.0, 4.0, 4.1, 3.9, 4.0]))
    for last in (float("nan"), None, 4.0):
        assert "no better fd_pixels in 2 checkpoints" in said(2, 5.0, 4.0, 4.5, last)
    assert not said(0, *[1.0] * 5)
