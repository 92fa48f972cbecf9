"""Video: digits that move by exact physics, clips and arrays, what is refused, and what is shown and saved."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdiff.errors import InputError
from jaxdiff.modalities.video import clips, given, measured, moving_digits, show, video_arrays, video_spec
from jaxdiff.modalities.video.file import read_clip, write_clip
from jaxdiff.modalities.video.moving import fold, rendered
from jaxdiff.types import Batch


def a_clip(frames=6, size=(10, 8), shade=0):
    """Frame i is of the grey `shade + 20 i`."""
    return np.stack([np.full((*size, 1), shade + 20 * i, np.uint8) for i in range(frames)])


def save_frames(folder, frames):
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame[..., 0]).save(folder / f"{i:03d}.png")


def test_a_digit_keeps_its_ink_moves_straight_on_and_bounces():
    source = moving_digits(n=20, frames=32, speed=2.0)
    batch = source.take(np.arange(20))
    assert (source.spec.shape, source.size, batch.x_0.dtype) == ((32, 16, 16, 1), 20, np.float32)
    ink = (batch.x_0 + 1) / 2
    np.testing.assert_allclose(ink.sum((2, 3)) / ink[:, :1].sum((2, 3)), 1, rtol=1e-4)
    rows, columns = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
    center = np.stack([(ink[..., 0] * axis).sum((2, 3)) / ink[..., 0].sum((2, 3)) for axis in (rows, columns)], -1)
    moved = np.diff(center, axis=1)
    still = np.abs(np.abs(moved) - np.median(np.abs(moved), axis=1, keepdims=True)) < 1e-3
    assert still.mean() > 0.7  # but in frames where it bounces
    assert (np.abs(moved) <= 2.0 + 1e-3).all()
    turned = np.sign(moved[:, :-1]) != np.sign(moved[:, 1:])
    assert turned.any((1,)).all()


def test_positions_are_mirrored_at_the_walls():
    np.testing.assert_allclose(fold(np.array([-1.0, 0, 3, 8, 9.5, 16, 17]), 8), [1, 0, 3, 8, 6.5, 0, 1])


def test_a_digit_at_a_whole_place_is_the_digit(rng):
    ink = rng.uniform(size=(1, 8, 8)).astype(np.float32)
    made = rendered(ink, np.array([[[3.0, 8.0], [0.0, 0.5]]]), 16)
    np.testing.assert_allclose(made[0, 0, 3:11, 8:], ink[0], atol=1e-6)
    np.testing.assert_allclose(made[0, 1, :8, 1:8], (ink[0, :, :-1] + ink[0, :, 1:]) / 2, atol=1e-6)


def test_splits_have_other_handwritings_and_seeds_other_ways():
    first, same, other = (moving_digits(n=3, seed=seed).take(np.arange(3)).x_0 for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, moving_digits("test", n=3).take(np.arange(3)).x_0)


def test_the_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path):
    for i in range(1, 13):
        Image.fromarray(np.full((4, 4), 20 * i, np.uint8)).save(tmp_path / f"frame {i}.png")
    assert read_clip(tmp_path, (4, 4, 1))[:, 0, 0, 0].tolist() == [20 * i for i in range(1, 13)]


def test_frames_are_read_as_pictures_are(tmp_path):
    """Of 16 bits by the upper 8, on white where transparent, and upright."""
    grey, clear, turned = (np.arange(24).reshape(4, 6) * 10 for _ in range(3))
    turned_upright = Image.Exif()
    turned_upright[0x0112] = 3
    for name, stored, options in (
        ("deep", Image.fromarray((grey * 256 + 7).astype(np.uint16)), {}),
        ("clear", Image.merge("LA", [Image.fromarray(a.astype(np.uint8)) for a in (clear, 0 * clear)]), {}),
        ("turned", Image.fromarray(turned[::-1, ::-1].astype(np.uint8)), {"exif": turned_upright}),
    ):
        for i in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            stored.save(tmp_path / name / f"{i}.png", **options)
    for name, frame in (("deep", grey), ("clear", 0 * clear + 255), ("turned", turned)):
        np.testing.assert_array_equal(read_clip(tmp_path / name, (4, 6, 1))[1, ..., 0], frame, name)


@pytest.mark.parametrize("pace", [8, 24, 300])
def test_frames_that_are_alike_come_back_from_a_gif(tmp_path, pace):
    frames = a_clip()[[0, 0, 0, 1, 2, 2, *[3] * 40, 4]]
    write_clip(tmp_path / "a.gif", frames, pace)
    np.testing.assert_array_equal(read_clip(tmp_path / "a.gif", frames.shape[1:]), frames)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"split": "half"}, "unknown split"), ({"size": 8}, "more than 8 pixels"), ({"frames": 1}, "two frames at least")],
)
def test_digits_that_cannot_move_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        moving_digits(**options)


def test_a_folder_of_clips_gives_classes_and_windows(tmp_path):
    for i in range(10):
        place = tmp_path / ("cats" if i % 2 else "dogs")
        place.mkdir(exist_ok=True)
        if i < 5:
            write_clip(place / f"{i}.gif", a_clip(shade=i), 10)
        else:
            save_frames(place / f"{i}", a_clip(shade=i))
    source = clips(str(tmp_path), frames=4, size=10, width=8, channels=1)
    assert (source.size, source.spec.shape, source.spec.details["classes"]) == (10, (4, 10, 8, 1), ["cats", "dogs"])
    batch = source.take(np.arange(10))
    np.testing.assert_array_equal(batch.condition["label"], [0] * 5 + [1] * 5)
    np.testing.assert_allclose((batch.x_0[0] + 1) * 127.5, a_clip(4, shade=1), atol=0.01)  # cats/1.gif
    np.testing.assert_allclose((batch.x_0[2] + 1) * 127.5, a_clip(4, shade=5), atol=0.01)  # cats/5/, of frames
    assert [clips(str(tmp_path), 4, 10, 8, 1, split=s).size for s in ("train", "test")] == [9, 1]
    slow = clips(str(tmp_path), frames=2, size=10, width=8, channels=1, every=2, hop=1)
    assert slow.size == 20
    np.testing.assert_allclose((slow.take(np.array([1])).x_0[0, :, 0, 0, 0] + 1) * 127.5, [41, 81], atol=0.01)
    assert given.read(str(tmp_path / "cats"), source.spec).shape == (5, 4, 10, 8, 1)


def test_what_a_task_is_given_is_read_as_training_read_it(tmp_path):
    """The same frames of the same file, and a clip that is too short for them is named."""
    write_clip(tmp_path / "0.gif", a_clip(9), 10)
    source = clips(str(tmp_path), frames=4, size=10, width=8, channels=1, every=2)
    np.testing.assert_array_equal(given.read(str(tmp_path / "0.gif"), source.spec), source.take(np.arange(1)).x_0)
    write_clip(tmp_path / "0.gif", a_clip(6), 10)
    with pytest.raises(InputError, match=r"has 3 frame\(s\) \(one of 2 is taken\), and 4 are needed"):
        given.read(str(tmp_path / "0.gif"), source.spec)
    write_clip(tmp_path / "0.gif", a_clip(4), 10)  # as many as an example has: of those that a model drew
    read = given.read(str(tmp_path / "0.gif"), source.spec)
    np.testing.assert_allclose((read[0] + 1) * 127.5, a_clip(4), atol=0.01)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("one frame", "has 1 frame"),
        ("short", "6 frame\\(s\\), and 16 are needed"),
        ("sizes", "frames of 10x8 and of 12x8"),
        ("damaged", "cannot be read as a clip"),
        ("pictures", "holds pictures itself"),
        ("empty", "nothing to read"),
    ],
)
def test_clips_that_do_not_fit_are_named(tmp_path, case, message):
    frames = 2 if case == "one frame" else 16 if case == "short" else 4
    if case == "one frame":
        Image.fromarray(a_clip()[0, ..., 0]).save(tmp_path / "bad.gif")
    elif case == "short":
        write_clip(tmp_path / "bad.gif", a_clip(), 8)
    elif case == "sizes":
        save_frames(tmp_path / "bad", [*a_clip(4, (8, 10)), a_clip(1, (8, 12))[0]])
    elif case == "damaged":
        (tmp_path / "bad.gif").write_bytes(b"GIF89a" + bytes(20))
    elif case == "pictures":
        save_frames(tmp_path, a_clip())
    with pytest.raises(InputError, match=message):
        clips(str(tmp_path), frames=frames, size=8)


def captioned_clips(root):
    """Three clips, a .gif, a folder of frames and one with a dot in its name, and what is to be said of each."""
    write_clip(root / "a.gif", a_clip(shade=10), 8)
    save_frames(root / "b", a_clip(shade=100))
    save_frames(root / "c.v2", a_clip(8, shade=5))
    return {"a.gif": "dark", "b": "bright", "c.v2": "darker, and longer"}


@pytest.mark.parametrize("layout", ["txt", "metadata.jsonl"])
def test_clips_have_captions_beside_them_or_in_a_list(tmp_path, layout):
    said = captioned_clips(tmp_path)
    if layout == "txt":
        for name, text in said.items():
            (tmp_path / f"{name.removesuffix('.gif')}.txt").write_text(text + "\n")
    else:
        lines = [json.dumps({"file_name": name, "text": text}) for name, text in said.items()]
        (tmp_path / layout).write_text("\n".join(lines))
    options = {"frames": 4, "size": 8, "channels": 1, "captions": "auto"}
    source = clips(str(tmp_path), hop=3, **options)
    assert source.captions == ("dark", "bright", "darker, and longer", "darker, and longer")
    first = np.round((source.take(np.arange(4)).x_0[:, 0, 0, 0, 0] + 1) * 127.5)
    np.testing.assert_array_equal(first, [10, 100, 5, 65])
    assert clips(str(tmp_path), **{**options, "captions": ""}).captions == ()
    save_frames(tmp_path / "d", a_clip())
    with pytest.raises(InputError, match=r"1 clip\(s\) lack a .*d"):
        clips(str(tmp_path), **options)


def test_arrays_of_videos_have_captions(tmp_path, rng):
    texts = np.array([f"number {i}" for i in range(10)])
    np.savez(tmp_path / "v.npz", videos=rng.integers(0, 256, (10, 3, 4, 4), np.uint8), said=texts, n=np.arange(10))
    read = lambda key, **options: video_arrays(str(tmp_path / "v.npz"), key="videos", caption_key=key, **options)
    assert read("said").captions == tuple(texts)
    assert read("said", split="test").captions == ("number 9",)
    with pytest.raises(InputError, match="'n' in .* must hold one text for each"):
        read("n")
    np.savez(tmp_path / "v.npz", videos=np.zeros((10, 3, 4, 4), np.uint8), said=texts[:9])
    with pytest.raises(InputError, match="'said' in .* has shape .9,. for 10 videos"):
        read("said")


def test_one_frame_is_no_video(tmp_path):
    with pytest.raises(InputError, match="data.frames=1: a video has two frames at least"):
        clips(str(tmp_path), frames=1)


def test_arrays_are_videos(tmp_path, rng):
    videos = rng.integers(0, 256, (20, 3, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", videos=videos, labels=np.arange(20) % 2)
    source = video_arrays(str(tmp_path / "a.npz"), "videos", "labels", split="test")
    batch = source.take(np.arange(2))
    np.testing.assert_allclose((batch.x_0[..., 0] + 1) * 127.5, videos[[9, 19]], atol=0.01)
    np.testing.assert_array_equal(batch.condition["label"], [1, 1])
    np.save(tmp_path / "b.npy", rng.uniform(0, 1, (5, 3, 4, 4, 3)).astype(np.float32))
    assert video_arrays(str(tmp_path / "b.npy"), low=0.0, high=1.0).take(np.arange(5)).x_0.min() < -0.9


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 1, 4, 4), np.uint8), "2 frames or more"),
        (np.zeros((5, 4, 4), np.uint8), "videos are \\(n, frames"),
        (np.zeros((5, 3, 4, 4), np.int32), "holds int32"),
        (np.full((5, 3, 4, 4), 2.0), "set data.low and data.high"),
        (np.full((5, 3, 4, 4), np.nan), "set data.low and data.high"),
    ],
)
def test_arrays_that_are_no_videos_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=message):
        video_arrays(str(tmp_path / "a.npy"))


def test_videos_are_shown_and_saved(tmp_path, rng):
    spec = video_spec((5, 4, 6, 1))
    x = rng.uniform(-1, 1, (3, 5, 4, 6, 1)).astype(np.float32)
    assert show.describe(spec) == "videos of 5 frames of 4x6, 1 channel"
    assert show.preview(spec, Batch(x), Batch(x)).shape == (6 * (5 * 4 + 2), 5 * (5 * 6 + 2), 1)
    assert show.preview(spec, Batch(x * np.nan), None).std() > 0
    assert show.save_samples(tmp_path, spec, Batch(x), None, "note") == ["samples.gif", "samples.png", "clips"]
    with Image.open(tmp_path / "samples.gif") as gif:
        assert (gif.n_frames, gif.info["comment"]) == (5, b"note")
    back = read_clip(tmp_path / "clips" / "0002.gif", (22, 32, 1))
    assert back.shape == (5, 22, 32, 1)
    np.testing.assert_allclose(back[:, 3, 3, 0], (x[2, :, 0, 0, 0] + 1) * 127.5, atol=4)  # of 256 colors
    assert show.save_chain(tmp_path, spec, rng.normal(size=(4, 1, 5, 4, 6, 1)), "note") == ["chain.png"]
    assert measured.beside(spec, x, np.stack([x, x], 1)).dtype == np.uint8


def test_a_clip_is_written_as_gif_or_mp4_alone(tmp_path):
    with pytest.raises(InputError, match="written as .gif or .mp4"):
        write_clip(tmp_path / "a.avi", a_clip(), 8)


@pytest.mark.slow
def test_an_mp4_comes_back(tmp_path):
    """In a process of its own: imageio-ffmpeg leaves pipes open, which Python warns of at any later moment."""
    pytest.importorskip("imageio_ffmpeg")
    np.save(tmp_path / "a.npy", a_clip(6, (32, 32), 40))
    run = (
        "import numpy as np; from pathlib import Path; from jaxdiff.modalities.video.file import read_clip, write_clip;"
        "write_clip(Path('a.mp4'), np.load('a.npy'), 8); np.save('b.npy', read_clip(Path('a.mp4'), (32, 32, 1)))"
    )
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", run], check=True, cwd=tmp_path, env={**os.environ, **path})
    back = np.load(tmp_path / "b.npy")
    assert back.shape == (6, 32, 32, 1)
    np.testing.assert_allclose(back.mean((1, 2, 3)), a_clip(6, (32, 32), 40).mean((1, 2, 3)), atol=8)
