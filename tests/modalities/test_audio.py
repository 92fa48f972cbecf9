"""Audio: what is read of .wav and .npz, what is refused, spectrograms, notes, and what is shown and saved."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

import jaxdiff
from jaxdiff.config import build
from jaxdiff.data.source import fingerprint
from jaxdiff.errors import InputError
from jaxdiff.evaluation.sets import of_path
from jaxdiff.modalities import make_codec
from jaxdiff.modalities.audio import audio_spec, given, measured, notes, recordings, show, waves
from jaxdiff.modalities.audio.notes import FREQUENCIES
from jaxdiff.modalities.audio.spectrogram import log_mel, mel_filters, power
from jaxdiff.modalities.audio.wave import read_wave, write_wave
from jaxdiff.types import Batch
from tests.helpers.configs import get_config

RATE = 8000


def tone(frequency, seconds=0.1, rate=RATE, loud=0.5):
    return (loud * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def a_folder(root, count=12):
    """Two classes of two speakers each."""
    for i in range(count):
        place = root / ("high" if i % 2 else "low") / ("ann" if i % 4 < 2 else "bob")
        place.mkdir(parents=True, exist_ok=True)
        write_wave(place / f"{i:02d}.wav", RATE, tone(1000 if i % 2 else 250, 0.1 + 0.01 * i)[:, None])
    return str(root)


@pytest.mark.parametrize(
    ("dtype", "scale"), [("uint8", 128), ("int16", 2**15), ("int32", 2**31), ("float32", 1), ("float64", 1)]
)
def test_a_wave_is_read_by_its_full_scale(tmp_path, dtype, scale):
    wave = tone(440)
    stored = (wave * scale + (128 if dtype == "uint8" else 0)).astype(dtype)
    wavfile.write(tmp_path / "a.wav", RATE, stored)
    rate, read = read_wave(tmp_path / "a.wav")
    assert (rate, read.shape, read.dtype) == (RATE, (800, 1), np.float32)
    np.testing.assert_allclose(read[:, 0], wave, atol=1.01 / min(scale, 2**15) if scale > 1 else 1e-7)


def test_what_is_written_comes_back_and_louder_is_clipped(tmp_path):
    wave = np.stack([tone(440, loud=2.0), tone(200)], 1)
    write_wave(tmp_path / "a.wav", RATE, wave)
    np.testing.assert_allclose(read_wave(tmp_path / "a.wav")[1], wave.clip(-1, 1), atol=2**-15)


def test_a_folder_gives_classes_speakers_and_waves_of_deviation_one(tmp_path):
    source = recordings(a_folder(tmp_path), length=1024, speakers=True)
    assert (source.size, source.spec.shape, source.spec.details["classes"]) == (12, (1024, 1), ["high", "low"])
    batch = source.take(np.arange(12))
    assert batch.x_0.dtype == np.float32
    np.testing.assert_allclose(batch.x_0.std(), 1, rtol=1e-3)
    decoded = make_codec(source.spec).decode(batch.x_0)
    np.testing.assert_allclose(decoded[0, :800, 0], tone(1000)[:800], atol=2**-15)  # high/ann/01.wav
    assert (decoded[0, 880:] == 0).all()
    np.testing.assert_array_equal(batch.condition["label"], [0] * 6 + [1] * 6)
    np.testing.assert_array_equal(batch.condition["speaker"].argmax(1), [0, 0, 0, 1, 1, 1] * 2)
    assert source.conditions["speaker"].shape == (2,)
    assert fingerprint(source) != fingerprint(recordings(str(tmp_path), length=1024))


def test_the_usual_length_holds_three_of_four(tmp_path):
    path = a_folder(tmp_path)  # 800 to 1680 samples, three of four up to 1460
    assert [recordings(path, split=split).spec.shape for split in ("train", "test")] == [(2048, 1)] * 2


def test_splits_part_a_folder_and_windows_cover_a_file(tmp_path):
    path = a_folder(tmp_path)
    parts = [recordings(path, 512, split=split) for split in ("train", "test")]
    assert [part.size for part in parts] == [11, 1]
    windows = recordings(path, 512, hop=400, split="test")
    wave = make_codec(windows.spec).decode(windows.take(np.arange(windows.size)).x_0)
    assert windows.size == 3  # of 960 samples (low/bob/02.wav, the tenth): from 0, 400 and 800, the last with silence
    np.testing.assert_allclose(wave[1, :112], wave[0, 400:], atol=1e-6)
    assert (wave[-1, 160:] == 0).all()
    np.testing.assert_array_equal(windows.take(np.arange(windows.size)).condition["label"], 1)


def damaged(root, case):
    file = root / "bad.wav"
    wave = tone(300)
    if case == "rate":
        wavfile.write(file, 11025, wave)
    elif case == "channels":
        wavfile.write(file, RATE, np.stack([wave, wave], 1))
    elif case == "silent":
        wavfile.write(file, RATE, np.zeros(100, np.int16))
    elif case == "empty":
        wavfile.write(file, RATE, np.zeros(0, np.int16))
    elif case == "nan":
        wavfile.write(file, RATE, np.where(np.arange(800) == 5, np.nan, wave))
    else:
        file.write_bytes(b"RIFF" + bytes(30) if case == "damaged" else b"hello")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("rate", "11025 samples a second, not 8000: .*data.resample=True"),
        ("channels", "2 channels, and data.channels=1"),
        ("silent", "is silent"),
        ("empty", "no samples"),
        ("nan", "not finite"),
        ("damaged", "cannot be read as a .wav"),
        ("text", "cannot be read as a .wav"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path, case, message):
    write_wave(tmp_path / "a.wav", RATE, tone(200)[:, None])
    damaged(tmp_path, case)
    with pytest.raises(InputError, match=rf"bad.wav'.*{message}"):
        recordings(str(tmp_path), 256)


def test_another_rate_is_brought_to_this_one_on_request(tmp_path):
    write_wave(tmp_path / "a.wav", RATE, tone(200)[:, None])
    write_wave(tmp_path / "b.wav", 16000, tone(200, rate=16000)[:, None])
    source = recordings(str(tmp_path), 800, resample=True)
    first, second = make_codec(source.spec).decode(source.take(np.arange(2)).x_0)[..., 0]
    np.testing.assert_allclose(second[50:750], first[50:750], atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "half"}, "unknown split"),
        ({"hop": 100}, "data.hop=100: goes with data.length"),
        ({"speakers": True}, "CLASS/SPEAKER"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, options, message):
    write_wave(tmp_path / "a.wav", RATE, tone(200)[:, None])
    with pytest.raises(InputError, match=message):
        recordings(str(tmp_path), **options)


def test_folders_without_sounds_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        recordings(str(tmp_path / "none"))
    with pytest.raises(InputError, match="nothing to read"):
        recordings(str(tmp_path))


def an_npz(path, **changed):
    arrays = {
        "audio": np.concatenate([np.int16(2**14 * tone(f, s)) for f, s in ((200, 0.1), (400, 0.2), (300, 0.05))]),
        "offsets": np.array([0, 800, 2400, 2800]),
        "label": np.array([1, 0, 1], np.uint8),
        "label_names": np.array(["up", "down"]),
        "take": np.array([9, 3, 7]),
        "rate": np.array(RATE),
    }
    np.savez(path, **{k: v for k, v in (arrays | changed).items() if v is not None})
    return str(path)


KEYS = {"offset_key": "offsets", "label_key": "label", "test_key": "take"}


def test_waves_one_after_the_other_are_parted(tmp_path):
    path = an_npz(tmp_path / "a.npz")
    every = waves(path, **KEYS, length=1600)
    decoded = make_codec(every.spec).decode(every.take(np.arange(3)).x_0)
    np.testing.assert_allclose(decoded[1, :, 0], tone(400, 0.2) / 2, atol=2**-15)
    assert (decoded[2, 400:] == 0).all()
    np.testing.assert_array_equal(every.take(np.arange(3)).condition["label"], [1, 0, 1])
    assert every.spec.details["classes"] == ["up", "down"]
    assert [waves(path, **KEYS, length=64, split=split).size for split in ("train", "test")] == [2, 1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rate": None}, "holds no 'rate'"),
        ({"offsets": np.array([0, 800, 400, 2800])}, "offsets rise"),
        ({"offsets": np.array([0, 800, 2400, 9999])}, "offsets rise"),
        ({"label": np.array([1.0, 0, 1])}, "3 whole numbers"),
        ({"label": np.array([1, 0])}, "3 whole numbers"),
        ({"label": np.array([2, 0, 1])}, "holds 2 names"),
        ({"audio": np.zeros(2800, np.int16)}, "wave 0 is empty, silent"),
        ({"audio": np.zeros(2800, complex)}, "waves of complex128"),
        ({"take": None}, "unknown array"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        waves(an_npz(tmp_path / "a.npz", **changed), **KEYS)


def test_white_noise_has_power_one_at_every_frequency(rng):
    spectrum = power(rng.normal(size=(400, 1024)), 64, 32).mean((0, 1))
    np.testing.assert_allclose(spectrum[1:-1], 1, atol=0.05)
    filters = mel_filters(40, 64, RATE)
    np.testing.assert_allclose(filters.sum(1), 1)
    assert log_mel(rng.normal(size=(3, 1024)), RATE, 20).shape == (3, 7, 20)


def test_a_tone_is_brightest_in_its_band():
    mel = lambda f: 2595 * np.log10(1 + f / 700)
    for frequency in (300, 1000, 2500):
        found = log_mel(tone(frequency, 0.3)[None], RATE, 40).mean((0, 1)).argmax()
        assert abs(found - (mel(frequency) / mel(RATE / 2) * 41 - 1)) < 0.6


def test_notes_have_the_pitch_of_their_class():
    source = notes("test", n=24, length=4096)
    batch = source.take(np.arange(24))
    np.testing.assert_allclose(notes("train", 300).take(np.arange(300)).x_0.std(), 1, rtol=0.15)
    for wave, label in zip(batch.x_0[..., 0], batch.condition["label"], strict=True):
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(4096), 2**16))
        partials = [spectrum[np.round(k * FREQUENCIES * 2**16 / RATE).astype(int)] for k in (1, 2, 3)]
        assert np.sum(partials, 0).argmax() == label


def test_values_tell_sounds_apart_and_are_of_the_right_size(rng):
    spec = audio_spec((2048, 1), RATE, 0.1)
    x = np.float32(0.1 * rng.normal(size=(3, 2048, 1)))
    assert measured.values(spec, x).shape == (3, 128)
    assert not np.isfinite(measured.values(spec, x * np.nan)).any()
    assert np.abs(measured.ROUNDINGS["int16"](x) - x).max() <= 2**-16
    assert measured.beside(spec, x, np.stack([x, x], 1)).dtype == np.uint8


def test_sounds_are_shown_and_saved(tmp_path, rng):
    spec = audio_spec((1024, 1), RATE, 0.1, ["up", "down"])
    batch = Batch(np.float32(0.1 * rng.normal(size=(3, 1024, 1))), {"label": np.array([0, 1, -1])})
    assert show.describe(spec) == "sounds of 0.128 s, 1024 samples at 8000 Hz"
    assert show.preview(spec, batch, batch).std() > 0
    assert show.preview(spec, batch._replace(x_0=batch.x_0 * np.nan), None).std() > 0
    (tmp_path / "waves").mkdir()
    (tmp_path / "waves" / "0009.wav").write_bytes(b"old")
    assert show.save_samples(tmp_path, spec, batch, None, "note") == ["samples.png", "samples.wav", "waves"]
    assert sorted(p.name for p in (tmp_path / "waves").iterdir()) == ["0000-up.wav", "0001-down.wav", "0002.wav"]
    np.testing.assert_allclose(read_wave(tmp_path / "waves" / "0002.wav")[1], batch.x_0[2], atol=2**-15)
    assert read_wave(tmp_path / "samples.wav")[1].shape == (3 * (1024 + 2400), 1)
    assert show.save_chain(tmp_path, spec, rng.normal(size=(4, 2, 1024, 1)), "note") == ["chain.png"]
    with Image.open(tmp_path / "chain.png") as chain:
        assert chain.info["Comment"] == "note"


def test_given_sounds_are_brought_to_the_models_length(tmp_path):
    spec = audio_spec((1000, 1), RATE, 0.1)
    path = a_folder(tmp_path / "f", 2)
    assert given.read(path, spec).shape == (2, 1000, 1)
    np.testing.assert_allclose(given.read(f"{path}/low/ann/00.wav", spec)[0, :800, 0], tone(250), atol=2**-15)
    np.save(tmp_path / "x.npy", np.ones((2, 1200, 1), np.float32))
    assert given.read(str(tmp_path / "x.npy"), spec).shape == (2, 1000, 1)
    with pytest.raises(InputError, match="8000 samples a second, not 16000"):
        given.read(path, audio_spec((1000, 1), 16000, 0.1))
    with pytest.raises(InputError, match="cannot be read"):
        given.read(str(tmp_path / "none.wav"), spec)


def test_a_folder_of_sounds_is_a_reference(tmp_path):
    spec = audio_spec((1000, 1), RATE, 0.1)
    reference = of_path(a_folder(tmp_path, 3), like=spec)
    assert (reference.size, reference.spec) == (3, spec)
    assert [len(batch) for batch in reference.batches(1)] == [2]


def test_held_out_sounds_of_another_rate_are_refused():
    config = get_config("notes", "audio")
    config["data"]["n"] = config["held_out"]["n"] = 12
    spec = build.source(config).spec
    config["held_out"]["rate"] = 16000
    with pytest.raises(InputError, match="16000 samples a second, and the data of training 8000"):
        build.held_out(config, spec)


def test_a_notebook_shows_sounds_with_players_and_videos_that_move(rng):
    shown = jaxdiff.show(rng.normal(size=(2, 1024, 1)), rate=RATE)
    assert shown._repr_html_().count("<audio") == 2
    assert "image/gif" in jaxdiff.show(rng.uniform(-1, 1, (2, 3, 8, 8, 1)), pace=8)._repr_html_()
    with pytest.raises(InputError, match="sounds of int16"):
        jaxdiff.show(np.zeros((2, 100, 1), np.int16), rate=RATE)
    with pytest.raises(InputError, match="videos of float64 and shape"):
        jaxdiff.show(np.zeros((2, 100, 1)), pace=8)
    with pytest.raises(InputError, match="give one of them"):
        jaxdiff.show(np.zeros((2, 100, 1)), pace=8, rate=RATE)


def test_held_out_sounds_of_other_speakers_are_refused(tmp_path):
    some = recordings(a_folder(tmp_path / "some"), speakers=True)
    a_folder(tmp_path / "other")
    for place in (tmp_path / "other").glob("*/ann"):
        place.rename(place.parent / "cid")
    other = recordings(str(tmp_path / "other"), speakers=True)
    with pytest.raises(InputError, match=r"its speakers are \['bob', 'cid'\]"):
        build.rescaled(other, some.spec, "held_out")
