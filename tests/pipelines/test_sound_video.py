"""Sound and video from a configuration: trained, drawn, and gone on with, from the command line."""

import dataclasses

import numpy as np
import pytest

import jaxdiff
from jaxdiff.cli import prompts
from jaxdiff.cli.sample import main, make_parser
from jaxdiff.config import build
from jaxdiff.errors import InputError
from jaxdiff.evaluation.features import find_features
from jaxdiff.modalities.audio.spec import audio_spec
from jaxdiff.modalities.audio.wave import write_wave
from jaxdiff.types import ConditionSpec, class_label
from tests.helpers.configs import get_config
from tests.helpers.models import a_model

SMALL = {
    "audio": ("notes", {"channels": 8, "multipliers": (1,), "attention": False}, {"n": 40, "length": 256}),
    "diffwave": ("notes", {"channels": 8, "layers": 2, "cycle": 2, "patch": 8}, {"n": 40, "length": 256}),
    "video": ("digits", {"channels": 8, "multipliers": (1,), "patch": 4}, {"n": 40, "frames": 4}),
}
GIVEN = {"audio": ("0.01", "0.02"), "diffwave": ("0.01", "0.02"), "video": ("2", "3")}


def tiny(file):
    setting, net, data = SMALL[file]
    config = get_config(setting, file)
    config["net"] |= net
    config["data"] |= data
    config["held_out"] |= data
    config["train"] |= {
        "batch_size": 4,
        "steps": 2,
        "log_every": 1,
        "sample_every": 2,
        "checkpoint_every": 2,
    }
    config["sample"]["steps"] = 2
    if file == "diffwave":
        config["sample"]["grid"]["total"] = 50
    return config


@pytest.mark.slow
@pytest.mark.parametrize("file", list(SMALL))
def test_a_run_is_trained_drawn_from_and_goes_on(tmp_path, file, capsys, monkeypatch):
    monkeypatch.setattr("jaxdiff.cli.sample.use_cpu_devices", lambda count: None)  # JAX has begun
    run, (first, last) = str(tmp_path / "run"), GIVEN[file]
    model = jaxdiff.train(tiny(file), workdir=run)
    assert (tmp_path / "run" / "samples.png").is_file()
    assert main(["--workdir", run, "--num", "3", "--label", "1"]) == 0
    kind = "wav" if file != "video" else "gif"
    assert len(list((tmp_path / "run" / "samples").glob(f"*/*.{kind}"))) == 3
    given = build.held_out(tiny(file), model.spec).take(np.arange(2)).x_0
    for task, how in (("extend", ["--given", last]), ("bridge", ["--gap", first, last])):
        assert main(["--workdir", run, "--task", task, *how, "--num", "2", "--method", "replace", "--steps", "2"]) == 0
        with np.load(tmp_path / "run" / "samples" / task / "examples.npz") as arrays:
            np.testing.assert_allclose(arrays["given"], model.codec.decode(given), atol=1e-5)
            same = np.isclose(arrays["examples"], arrays["given"]).reshape(2, model.shape[0], -1).all((0, 2))
        count = round(float(last) * (8000 if file != "video" else 1))
        assert same[:count].all() if task == "extend" else same[count:].all()
        assert not same.all()
    assert main(["--workdir", run, "--task", "inpaint", "--mask", "left"]) == 2
    assert "is for images, and this data is of the modality" in capsys.readouterr().err
    assert main(["--workdir", run, "--task", "extend", "--given", "1000"]) == 2


def asked(words, model):
    """What `sample.py` tells a model of three examples."""
    return prompts.make_told(make_parser().parse_args(words), model)(3)


def told(names, **conditions):
    """A model of sounds that is told the speaker, and what else there is."""
    spec, who = audio_spec((4, 1), 8000, 1.0, speakers=names), {"speaker": ConditionSpec((3,))}
    return dataclasses.replace(a_model(), spec=spec, conditions={**who, **conditions})


def test_the_speaker_is_named_or_numbered(tmp_path):
    model = told(["ann", "bob", "7"], label=class_label(2))
    for word, one in (("bob", 1), ("0", 0), ("7", 2)):
        given = asked(["--speaker", word], model)
        np.testing.assert_array_equal(given["speaker"], np.eye(3)[[one] * 3])
        np.testing.assert_array_equal(given["label"], [0, 1, 0])  # the classes in turn, as without
    parser = make_parser().parse_args(["--speaker", "ann"])
    parser.label = 1
    np.testing.assert_array_equal(prompts.make_told(parser, model)(2)["label"], [1, 1])
    assert asked([], model) is None
    for word, one, message in (
        ("cid", model, "unknown speaker 'cid'"),
        ("9", told([]), "unknown speaker '9'"),
        ("ann", a_model(), "--speaker: this model is told no speaker"),
    ):
        with pytest.raises(InputError, match=message):
            asked(["--speaker", word], one)


def test_speakers_of_a_folder_are_counted_as_they_are_told(tmp_path):
    for name in ("yes/ann/0", "yes/bob/0", "no/ann/0", "no/.x/0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_wave(tmp_path / f"{name}.wav", 8000, np.random.default_rng(0).normal(size=(200, 1)).clip(-1, 1) / 4)
    config = get_config(f"speakers={tmp_path}", "audio")
    assert config["net"]["vectors"] == {"speaker": 2}
    config["data"] |= {"length": 64, "split": "all"}
    source = build.source(config)
    assert source.conditions["speaker"].shape == (2,)
    assert source.spec.details["speakers"] == ["ann", "bob"]


@pytest.mark.slow
def test_a_video_is_drawn_of_a_caption(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxdiff.cli.sample.use_cpu_devices", lambda count: None)  # JAX has begun
    texts = np.array(["it moves left", "it moves right"] * 10)
    np.savez(tmp_path / "v.npz", videos=np.zeros((20, 2, 4, 4), np.uint8), captions=texts)
    config = get_config(f"arrays-text={tmp_path / 'v.npz'}", "video")
    for part in ("data", "held_out"):
        config[part]["key"] = "videos"
    config["net"] |= {"depth": 1, "width": 16, "heads": 2, "text": {"width": 8, "depth": 1, "heads": 2}}
    config["train"] |= {"batch_size": 4, "steps": 1, "log_every": 1, "sample_every": 2, "checkpoint_every": 2}
    model = jaxdiff.train(config, workdir=tmp_path / "run")
    assert model.conditions.keys() == {"text"}
    line = ["--workdir", str(tmp_path / "run"), "--num", "2", "--steps", "2", "--guidance", "2"]
    assert main([*line, "--prompt", "it moves right", "--out", str(tmp_path / "out")]) == 0
    assert np.load(tmp_path / "out" / "samples.npy").shape == (2, 2, 4, 4, 1)


@pytest.mark.slow
def test_a_transformer_of_videos_draws_them_longer_and_larger(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jaxdiff.cli.sample.use_cpu_devices", lambda count: None)  # JAX has begun
    config = get_config("digits-dit", "video")
    config["net"] |= {"depth": 1, "width": 16, "heads": 2}
    for part in ("data", "held_out"):
        config[part] |= {"n": 20, "frames": 4}
    config["train"] |= {"batch_size": 4, "steps": 1, "log_every": 1, "sample_every": 2, "checkpoint_every": 2}
    config["loss"]["name"] = "frames"
    jaxdiff.train(config, workdir=tmp_path / "run")
    line = ["--workdir", str(tmp_path / "run"), "--num", "2", "--steps", "2"]
    assert main([*line, "--length", "6", "--size", "12x20", "--out", str(tmp_path / "out")]) == 0
    assert np.load(tmp_path / "out" / "samples.npy").shape == (2, 6, 12, 20, 1)
    assert "no real data is shown beside" in capsys.readouterr().err
    for more, message in (
        (["--length", "5"], "net.patch_frames=2: does not divide 5 frame"),
        (["--size", "12x"], "--size 12x: must be a side in pixels"),
        (["--task", "extend", "--given", "2", "--length", "6"], "--length: goes with plan, rollout, not with extend"),
        (["--task", "extend", "--given", "2", "--size", "8"], "--size: goes with plain drawing, not with --task"),
    ):
        assert main([*line, *more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "field", "value", "message"),
    [
        ("audio", "augment", 0.1, "train.augment=0.1: is for images"),
        ("video", "downsample", 2, "train.downsample=2: is for images"),
        ("video", "choose", True, "train.choose=True: is for images"),
    ],
)
def test_what_images_alone_have_is_refused(file, field, value, message):
    config = tiny(file)
    config["train"][field] = value
    with pytest.raises(InputError, match=message):
        jaxdiff.train(config)


@pytest.mark.slow
def test_features_of_sounds_learn_their_classes(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(80):
        place = tmp_path / ("low" if i % 2 else "high")
        place.mkdir(exist_ok=True)
        time = np.arange(2048) / 8000 + rng.uniform()
        write_wave(place / f"{i}.wav", 8000, 0.3 * np.sin(2 * np.pi * (300 if i % 2 else 1500) * time)[:, None])
    spec = build.source(get_config("notes", "audio")).spec
    features = find_features(str(tmp_path), spec)
    assert features.told["accuracy_on_unseen"] == 1
    low, high = (0.3 * np.sin(2 * np.pi * f * np.arange(2048) / 8000)[None, :, None] for f in (300, 1500))
    made = features.apply(np.concatenate([low, high]))
    assert made["logits"].argmax(1).tolist() == [1, 0]
    assert made["features"].shape == (2, 32)
    assert find_features("log_mel", spec).apply(low)["features"].shape == (1, 128)
