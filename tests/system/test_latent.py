"""An autoencoder is trained, its latents are written, a model of them draws pictures, and is mailed."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff
from jaxdiff.cli.data import main as data
from jaxdiff.cli.train import train
from jaxdiff.config.build import build_core, source
from jaxdiff.errors import InputError
from jaxdiff.evaluation import train_features
from jaxdiff.modalities import make_codec
from jaxdiff.modalities.images import coded, digits
from jaxdiff.modalities.images import latents as open_latents
from jaxdiff.pipelines.coder import Coder, psnr, write_latents
from jaxdiff.pipelines.experiment import build
from jaxdiff.pipelines.latents import edit, fill
from jaxdiff.pipelines.load import load_coder
from jaxdiff.types import Spec
from tests.helpers.cases import refused
from tests.helpers.configs import SPEC, get_config, with_field


def small(file, setting):
    config = get_config(setting, file)
    config["train"] |= {"steps": 4, "batch_size": 16, "log_every": 2, "checkpoint_every": 2, "sample_every": 4}
    return config


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    """The run of an autoencoder."""
    run, config = tmp_path_factory.mktemp("runs") / "autoencoder", small("autoencoder", "digits")
    config["net"] |= {"widths": (16, 16)}
    train(config, run)
    return run


@pytest.fixture(scope="module")
def folder(autoencoder):
    """Its latents."""
    place = autoencoder.parent / "latents"
    assert data(["latents", str(place), "--workdir", str(autoencoder)]) == 0
    return place


@pytest.fixture(scope="module")
def run(folder):
    """The run of a model of them."""
    place, config = folder.parent / "latent", small("latent", str(folder))
    config["net"] |= {"multipliers": [1], "attention": []}
    config["sample"]["steps"] = 2
    train(config, place)
    return place


def test_latents_are_standardized_means_with_all_that_is_known_of_the_images(autoencoder, folder):
    there, images, coder = open_latents(str(folder)), digits("train"), load_coder(autoencoder)
    x = there.take(np.arange(there.size))
    np.testing.assert_allclose(x.x_0.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.x_0.std((0, 1, 2)), 1, atol=1e-5)
    some = np.array([3, 700, 1400])
    means = np.asarray(coder.encode(images.take(some).x_0))
    net = there.spec.details["autoencoder"]["net"]
    np.testing.assert_allclose(x.x_0[some] / net["scale"] + net["shift"], means, atol=1e-5)
    np.testing.assert_array_equal(x.condition["label"], images.take(np.arange(images.size)).condition["label"])
    assert there.conditions["label"].values == 10
    assert open_latents(str(folder), "held_out").size == digits("test").size


def test_the_codec_of_a_specification_is_the_autoencoder(autoencoder, folder):
    there, coder, x = open_latents(str(folder)), load_coder(autoencoder), digits("train").take(np.arange(5)).x_0
    codec = make_codec(there.spec)
    np.testing.assert_allclose(codec.encode(x), there.take(np.arange(5)).x_0, atol=1e-5)
    np.testing.assert_allclose(codec.decode(codec.encode(x)), coder.decode(coder.encode(x)), atol=1e-5)
    assert coded.pictures_of(there.spec) == SPEC
    assert Spec(**json.loads(json.dumps(there.spec._asdict()))).details == there.spec.details


def test_a_model_of_latents_draws_images_and_goes_on_where_it_was(folder, run):
    model = jaxdiff.load(run)
    assert model.shape == (4, 4, 2)
    key = jax.random.key(0)
    images = np.asarray(model.sample(key, 3))
    assert images.shape == (3, 8, 8, 1)
    latents = model.trajectory(key, 3, 0)[0]
    np.testing.assert_allclose(images, make_codec(model.spec).decode(latents), atol=1e-6)
    config = small("latent", str(folder))
    config["net"] |= {"multipliers": [1], "attention": []}
    config["sample"]["steps"] = 2
    config["train"]["steps"] = 6
    train(config, run)
    assert "step 6" in jaxdiff.load(run).weights


def test_what_is_known_of_a_picture_comes_back_as_it_is_coded(run):
    model, images = jaxdiff.load(run), digits("test").take(np.arange(3)).x_0
    told, again = {"label": np.arange(3)}, model.codec.decode(model.codec.encode(images))
    kept = fill(model, jax.random.key(0), images, np.ones((3, 8, 8, 1), np.float32), told)
    np.testing.assert_allclose(kept, again, atol=1e-5)
    assert np.abs(np.asarray(edit(model, jax.random.key(0), images, told, strength=1.0)) - again).max() > 1e-3


def test_a_mailed_model_brings_its_autoencoder(run, tmp_path, monkeypatch):
    drawn = np.asarray(jaxdiff.load(run).sample(jax.random.key(1), 2))
    jaxdiff.load(run).save(tmp_path / "mailed")
    monkeypatch.setattr(coded, "_known", {})
    np.testing.assert_allclose(jaxdiff.load(tmp_path / "mailed").sample(jax.random.key(1), 2), drawn, atol=1e-6)
    assert jaxdiff.load(tmp_path / "mailed").save(tmp_path / "mailed").exists()
    monkeypatch.setattr(coded, "_known", {})
    (tmp_path / "mailed" / coded.WEIGHTS).unlink()
    with pytest.raises(InputError, match=coded.WEIGHTS):
        jaxdiff.load(tmp_path / "mailed")


def test_the_autoencoder_of_others_is_refused(autoencoder, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(coded, "_known", {})
    shutil.copytree(folder, tmp_path / "latents")
    coder = load_coder(autoencoder)
    other = Coder(jax.tree.map(lambda p: p + 0.01, coder.params), coder.net, coder.spec)
    write_latents(other, tmp_path / "others", {"train": digits("test")})
    shutil.copy(tmp_path / "others" / coded.WEIGHTS, tmp_path / "latents" / coded.WEIGHTS)
    with pytest.raises(InputError, match="not the autoencoder of these latents"):
        open_latents(str(tmp_path / "latents"))
    with pytest.raises(InputError, match="has something in it"):
        write_latents(other, tmp_path / "others", {"train": digits("test")})


def test_latents_hold_mirrored_pictures_too_where_training_may_mirror(autoencoder, tmp_path):
    coder, some = load_coder(autoencoder), digits("test")
    write_latents(coder, tmp_path / "both", {"train": some._replace(flip=True), "held_out": some._replace(flip=True)})
    stored, held_out = (np.load(tmp_path / "both" / f"{split}.npz") for split in ("train", "held_out"))
    n, x = some.size, some.take(np.arange(5)).x_0
    assert len(held_out["x"]) == n
    np.testing.assert_array_equal(stored["label"], np.tile(held_out["label"], 2))
    np.testing.assert_allclose(stored["x"][n : n + 5], coder.encode(np.flip(x, 2)), atol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("train.augment", 0.1, "train.augment"),
        ("train.upscale", 2, "train.upscale"),
        ("train.downsample", 2, "train.downsample"),
        ("sample.clip", 1.0, "sample.clip"),
        ("loss.name", "reconstruction", "autoencoder"),
    ],
)
def test_what_is_for_pixels_is_refused_of_latents(folder, field, value, named):
    config = with_field(get_config(str(folder), "latent"), field, value)
    if field == "loss.name":
        config["loss"] = {"name": value}
    with pytest.raises(InputError, match=named):
        build(config, source(config).spec)


def test_an_autoencoder_is_no_denoiser_and_draws_nothing(autoencoder, tmp_path, capsys):
    config = get_config()
    config["net"] = {"name": "autoencoder", "widths": (16, 16), "groups": 16}
    with pytest.raises(InputError, match="loss reconstruction"):
        build_core(config, SPEC)
    with pytest.raises(InputError, match="jaxdiff data latents"):
        jaxdiff.load(autoencoder)
    assert data(["latents", str(tmp_path / "x"), "--workdir", str(tmp_path)]) == 2
    assert "no run" in capsys.readouterr().err


def test_psnr_is_that_of_each_image():
    class Half:
        """Codes by halving, and forgets the first image."""

        def apply(self, variables, x, method):
            return (
                (x, None) if method == "moments" else jnp.where(jnp.arange(len(x))[:, None, None, None] == 0, 0, x / 2)
            )

    x = np.random.default_rng(0).uniform(-1, 1, (4, 2, 2, 1)).astype(np.float32)
    power = np.mean(np.float64(x) ** 2, (1, 2, 3))
    each = 10 * np.log10(4 / (power * np.array([1, 0.25, 0.25, 0.25])))
    np.testing.assert_allclose(psnr(Coder({}, Half(), SPEC), x), each.mean(), rtol=1e-5)


def against_a_critic(features="", **fields):
    """The configuration of a short training whose critic enters after two of its four steps."""
    config = small("autoencoder", "digits-gan")
    config["net"] |= {"widths": (16, 16)}
    config["loss"] |= {"critic": {"name": "patches", "width": 8, "layers": 1}, "start": 32}
    if features:
        config["loss"] |= {"perceptual": 0.5, "features": {"name": "learned", "path": features}}
    config["train"] |= {"log_every": 1} | fields
    return config


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """The file of a feature network, trained for a step."""
    recipe = train_features.RECIPE | {"epochs": 1, "batch": 512}
    return str(train_features.trained("digits", digits("train"), tmp_path_factory.mktemp("features"), recipe).file)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_both_players_are_kept_and_gone_on_with_bit_for_bit(features, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(against_a_critic(features), whole)
    for steps in (3, 4):
        train(against_a_critic(features, steps=steps), parts)
    for weights in ("params", ""):
        one, other = load_coder(whole, weights).params, load_coder(parts, weights).params
        assert set(one) == {"generator", "critic"}
        jax.tree.map(np.testing.assert_array_equal, one, other)
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    losses = {row["step"]: row for row in rows if "loss" in row}
    told = {"psnr", "kl", "perceptual", "critic", "fooled", "balance"}
    assert all(told <= row.keys() for row in losses.values())
    assert losses[4]["balance"] > 0
    assert 0 < next(row["psnr_ema_0.998"] for row in rows if "psnr_ema_0.998" in row) < 50
    assert data(["latents", str(tmp_path / "latents"), "--workdir", str(whole)]) == 0
    decoded = make_codec(open_latents(str(tmp_path / "latents")).spec).decode
    z = open_latents(str(tmp_path / "latents")).take(np.arange(2)).x_0
    x = digits("train").take(np.arange(2)).x_0
    coder = load_coder(whole)
    np.testing.assert_allclose(decoded(z), coder.decode(coder.encode(x)), atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_before_the_critic_enters_a_run_is_one_without_it(tmp_path):
    """It ends where the critic would enter, and begins with the autoencoder of a run with a critic."""
    train(against_a_critic(steps=1), tmp_path / "first")
    for name in ("with", "without"):
        config = against_a_critic(steps=2, init=str(tmp_path / "first"))
        if name == "without":
            config["loss"] = {"name": "reconstruction", "kl": 1e-6}
        train(config, tmp_path / name)
    first, one, other = (load_coder(tmp_path / name, "params") for name in ("first", "with", "without"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one.own, other.params)
    jax.tree.map(np.testing.assert_array_equal, one.params["critic"], first.params["critic"])


def test_features_of_other_images_and_a_critic_that_is_missing_are_refused(features, tmp_path):
    train_spec = digits("train").spec
    config = against_a_critic(features)
    with refused("are of images of 1 channels, and these have 3"):
        build(config, train_spec._replace(shape=(8, 8, 3)))
    (tmp_path / "none.safetensors").write_bytes(b"x" * 64)
    for path in (tmp_path / "none.safetensors", tmp_path / "absent.safetensors"):
        with refused("is no file of such a network"):
            build(against_a_critic(str(path)), train_spec)
    config = against_a_critic()
    del config["loss"]["critic"]
    with refused("set loss.critic.name, such as patches"):
        build(config, train_spec)
    config = against_a_critic()
    config["loss"]["critic"]["layers"] = 2
    with refused("pictures of 12x12 at least, and these are 8x8"):
        build(config, train_spec)
    with refused("loss.last='decoder/out/kernel'"):
        build(with_field(against_a_critic(), "loss.last", "decoder/out/kernel"), train_spec)
