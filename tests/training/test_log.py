from tensorboardX.proto import event_pb2

from jaxdiff.training.log import Log, read


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
