import logging
import os
import time

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from jaxdiff.training.log import Clock, Log, means, read


def test_what_came_after_the_checkpoint_is_dropped_and_a_cut_line_forgiven(tmp_path):
    journal = Log(tmp_path, 0)
    for step in (10, 20, 30):
        journal.scalars(step, {"loss": 1 / step})
    journal.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    assert [row["step"] for row in read(tmp_path)] == [10, 20, 30]
    journal = Log(tmp_path, 20)
    journal.scalars(30, {"loss": 7.0})
    journal.close()
    assert read(tmp_path) == [{"step": 10, "loss": 0.1}, {"step": 20, "loss": 0.05}, {"step": 30, "loss": 7.0}]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    journal = Log(tmp_path, 0)
    journal.scalars(3, {"loss": 0.25})
    journal.close()
    written = {}
    for file in (tmp_path / "tensorboard").iterdir():
        content, at = file.read_bytes(), 0
        while at < len(content):  # TFRecord: length, its checksum, the event, its checksum
            length = int.from_bytes(content[at : at + 8], "little")
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            written |= {value.tag: (event.step, value.simple_value) for value in event.summary.value}
            at += length + 16
    assert written == {"loss": (3, 0.25)}


def test_what_could_not_be_written_is_written_later(tmp_path, caplog):
    folder = tmp_path / "run"
    folder.mkdir()
    journal = Log(folder, 0)
    journal.scalars(1, {"loss": 1.0})
    folder.rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        journal.scalars(2, {"loss": 2.0})
    assert "metrics.jsonl could not be written: No such file or directory; training goes on" in caplog.text
    (tmp_path / "away").rename(folder)
    journal.scalars(3, {"loss": 3.0})
    journal.close()
    assert [row["step"] for row in read(folder)] == [1, 2, 3]


def test_means_leave_out_what_is_not_finite_and_counts_are_the_last():
    calls = [
        {"loss": np.array([1.0, np.nan]), "skipped": np.array([4, 5])},
        {"loss": np.array([2.0]), "skipped": np.array([6])},
    ]
    assert means(calls) == {"loss": 1.5, "skipped": 6}
    assert np.isnan(means([{"loss": np.array([np.nan])}])["loss"])


def test_a_number_that_is_none_is_null(tmp_path):
    journal = Log(tmp_path, 0)
    journal.scalars(1, {"loss": float("nan")})
    journal.close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": null}\n'


def test_waiting_for_data_is_told(caplog):
    clock = Clock()
    with clock.waiting(idle=False):
        time.sleep(0.03)
    assert clock.lap(10)["waited_for_data"] == 0
    with clock.waiting(idle=True):
        time.sleep(0.03)
    with caplog.at_level(logging.WARNING):
        lap = clock.lap(10)
    assert 0.5 < lap["waited_for_data"] <= 1
    assert 0 < lap["examples_per_s"] < 10 / 0.03
    assert "of the time the devices wait for data" in caplog.text


def test_what_is_no_training_does_not_count():
    clock = Clock()
    time.sleep(0.01)
    with clock.stopped():
        time.sleep(0.2)
    assert 10 / 0.2 < clock.lap(10)["examples_per_s"] < 10 / 0.01


ODD = {
    "an empty row": b"{}",
    "a number": b"5",
    "null": b"null",
    "a list": b"[1]",
    "a step that is a text": b'{"step": "x"}',
    "a step that is none": b'{"step": null}',
    "a value that is a text": b'{"step": 1, "loss": "x"}',
    "no UTF-8": b'{"step": 1, "\xff": 1}',
    "5000 digits": b'{"step": ' + b"1" * 5000 + b"}",
    "brackets": b"[" * 10**5,
    "zeros": bytes(100),
}


@pytest.mark.parametrize("kind", ODD)
def test_rows_that_are_none_are_dropped(tmp_path, kind):
    good = b'{"step": 1, "loss": 0.5}\n'
    (tmp_path / "metrics.jsonl").write_bytes(good + ODD[kind] + b"\n" + good.replace(b"1", b"2"))
    Log(tmp_path, 2).close()
    assert [row["step"] for row in read(tmp_path)] == [1, 2]


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.part", "tensorboard"])
@pytest.mark.parametrize("kind", ["a link", "a folder", "a pipe"])
def test_what_is_in_place_of_the_log_is_set_aside(tmp_path, name, kind):
    other = tmp_path / "other"
    other.write_text("kept")
    place = tmp_path / name
    {"a link": lambda: place.symlink_to(other), "a folder": place.mkdir, "a pipe": lambda: os.mkfifo(place)}[kind]()
    journal = Log(tmp_path, 0)
    journal.scalars(1, {"loss": 0.5})
    journal.picture(1, "five channels", np.zeros((2, 2, 5), np.uint8))
    journal.close()
    assert other.read_text() == "kept"
    assert read(tmp_path) == [{"step": 1, "loss": 0.5}]


def test_tensorboard_has_one_file_however_often_it_fails(tmp_path, monkeypatch):
    journal = Log(tmp_path, 0)
    with monkeypatch.context() as full:
        full.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        for step in range(20):
            journal.scalars(step, {"loss": 0.5})
    journal.close()
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert len(read(tmp_path)) == 20
