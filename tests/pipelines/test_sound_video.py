"""Sound and video from a configuration: trained, drawn, and gone on with, from the command line."""

import numpy as np
import pytest

import jaxdiff
from jaxdiff.cli.sample import main
from jaxdiff.config import build
from jaxdiff.errors import InputError
from jaxdiff.evaluation.features import find_features
from jaxdiff.modalities.audio.wave import write_wave
from tests.helpers.configs import get_config

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
