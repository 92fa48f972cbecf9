"""`sample.py --task` on files, with a model that is exact: standard normal pixels around a grey."""

import inspect
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from jaxdiff import pipelines
from jaxdiff.cli import tasks
from jaxdiff.cli.sample import make_parser
from jaxdiff.config.sampling import Bound
from jaxdiff.errors import InputError
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.schedules import vp
from jaxdiff.modalities.images import low_resolution, pictures
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.types import class_label
from tests.helpers.configs import get_config
from tests.helpers.tasks import MODEL, PATH, SHAPE, bind, held_out, perform, replace_load

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.system
@pytest.mark.parametrize(
    "arguments",
    [
        ["--task=outpaint"],
        ["--task=img2img", "--strength=0.3"],
        ["--task=denoise", "--noise=0.3"],
        ["--task=restore", "--blur=0.7", "--method=pigdm", "--draws=2"],
    ],
    ids=lambda a: a[0],
)
def test_every_task_leaves_arrays_pictures_and_a_comparison(tmp_path, arguments):
    result = perform(tmp_path, *arguments)["images"]
    assert result.shape == (6, *SHAPE)
    assert np.abs(result).max() <= 1 + 1e-6
    out = tmp_path / "samples" / arguments[0].removeprefix("--task=")
    assert {f.name for f in out.iterdir()} == {
        ".lock",
        "images.npz",
        "before_after.png",
        *(f"{i:04d}.png" for i in range(6)),
    }
    with Image.open(out / "0003.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture)[..., None], pictures.to_uint8(result[3]))


@pytest.mark.system
@pytest.mark.parametrize("mask", ["left", "top", "border", "center", "file"])
def test_known_pixels_are_kept_exactly(tmp_path, mask):
    known = np.zeros((8, 8), bool)
    middle = np.s_[2:6, 2:6]
    known[{"left": np.s_[:, :4], "top": np.s_[:4], "file": np.s_[1:3, 5:]}.get(mask, middle)] = True
    known = known ^ (mask == "border")
    Image.fromarray(np.uint8(255 * known)).save(tmp_path / "mask.png")
    asked = str(tmp_path / "mask.png") if mask == "file" else mask
    result = perform(tmp_path, "--task=inpaint", f"--mask={asked}", "--method=replace")["images"]
    np.testing.assert_array_equal(result[:, known], held_out()[:, known])
    assert np.abs(result - held_out())[:, ~known].mean() > 0.1


@pytest.mark.system
def test_degrading_first_tells_how_much_is_won(tmp_path, capsys):
    clean = gaussian_filter(np.random.default_rng(0).normal(size=(6, 8, 8)), (0, 1, 1))
    np.save(tmp_path / "clean.npy", (clean / np.abs(clean).max())[..., None].astype(np.float32))
    for task in (["denoise", "--noise=0.5"], ["super_resolve"]):
        arguments = [f"--task={task[0]}", *task[1:], f"--input={tmp_path / 'clean.npy'}", "--degrade"]
        assert perform(tmp_path, *arguments)["images"].shape == (6, *SHAPE)
        won, before = map(float, re.search(r"PSNR (.*) dB, of the input (.*) dB", capsys.readouterr().out).groups())
        assert np.isfinite(won) if task[0] == "super_resolve" else won > before + 2


@pytest.mark.slow
def test_interpolation_detection_and_pictures_as_input(tmp_path, capsys):
    between = perform(tmp_path, "--task=interpolate")["images"]
    assert between.shape == (9, *SHAPE)
    np.testing.assert_allclose(between[np.array([0, -1])], held_out(2), atol=0.02)
    strange = held_out()
    strange[3] = 1.0
    np.savez(tmp_path / "some.npz", strange)
    scores = perform(tmp_path, "--task=detect", f"--input={tmp_path / 'some.npz'}")["scores"]
    assert np.argmax(scores) == 3
    Image.fromarray(np.full((30, 20, 3), 90, np.uint8)).save(tmp_path / "one.jpg")
    assert perform(tmp_path, "--task=img2img", f"--input={tmp_path / 'one.jpg'}")["images"].shape == (1, *SHAPE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task=paint"], "unknown task 'paint' .*allowed are autoguide, bridge, cascade, class_swap"),
        (["--task=img2img", "--input=nothing.png"], "--input nothing.png: is no picture, folder"),
        (["--task=inpaint", "--mask=half"], "--mask half: is no picture, and none of left, top, border, center"),
        (["--task=class_swap"], "class_swap: give --label, class of the input"),
        (["--task=class_swap", "--label=1"], "class_swap: give --to, class wanted"),
        (["--task=inpaint"], "inpaint: give --mask, what is known"),
        (
            ["--task=img2img", "--degrade"],
            "--degrade: goes with denoise, restore, super_resolve, upscale, not with img2img",
        ),
        (["--task=restore", "--blur=0"], "blur=0.0: must be above 0"),
        (["--task=inpaint", "--strength=0.3"], "--strength: goes with follow, img2img, not with inpaint"),
        (["--mask=left"], "--mask: goes with inpaint, which --task names"),
        (["--task=inpaint", "--mask=left", "--scale=2"], "scale: goes with method 'dps', not with 'repaint'"),
        (["--task=inpaint", "--mask=left", "--noise=0.1"], "noise: method 'repaint' has no use for it"),
        (["--task=outpaint", "--method=dps", "--noise=0.1"], "noise: method 'dps' has no use for it"),
        (["--task=restore", "--operator=downsample"], "unknown operator 'downsample': allowed are blur, grey"),
        (["--task=restore", "--operator=grey", "--blur=2"], "blur: goes with operator blur"),
        (["--task=img2img", "--to=1"], "--to: goes with class_swap, not with img2img"),
        (["--task=denoise", "--noise=1e6"], r"noise level 1000000.0: this model's process has levels .* up to 15"),
        (["--task=detect", "--levels", "0.1", "1e6"], "noise level 1000000.0: this model's process has levels"),
        (
            ["--task=detect", "--method=likelihood", "--levels=1.5"],
            "levels=.*: of method 'likelihood' it is how many",
        ),
        (["--task=outpaint", "--draws=0"], "draws=0: must be a whole number"),
        (
            ["--task=img2img", "--draws=2"],
            "--draws: goes with bridge, extend, inpaint, outpaint, restore, super_resolve, not with img2img",
        ),
        (["--task=outpaint", "--repeats=0"], "repeats=0: must be at least 1"),
        (["--task=upscale"], "this model was not trained to upscale"),
        (["--task=detect", "--false-positives=0.1"], "false_positives: is the share of the images of --normal"),
        (["--task=guide"], "guide: give --classifier, the classifier's run"),
        (["--task=cascade"], "cascade: give --then, the runs that upscale"),
        (["--task=autoguide"], "autoguide: give --worse, the run"),
        (["--task=guide", "--input=x.png"], "--input: goes with .*inpaint, .*, not with guide"),
        (["--task=synthesize", "--per-class=a"], "--per-class a: must be a number, or one for each class"),
        (["--task=synthesize", "--label=1"], "--label: goes with .*, not with synthesize"),
        (["--task=super_resolve", "--factor=3", "--degrade"], "--factor 3: must divide the model's 8x8"),
        (["--task=super_resolve", "--factor=0"], "--factor 0: must divide"),
        (["--task=detect", "--steps=3"], "steps: is for method 'reconstruction', which draws"),
        (["--task=img2img", "--strength=0"], "strength=0.0: must be above 0"),
        (["--task=inpaint", f"--mask={__file__}"], "test_tasks.py: cannot be read as a picture"),
        (["--task=synthesize"], "synthesize: this model knows no classes: take a run of configs/guided.py"),
        (["--task=img2img", "--label=1"], "trained without 'label'"),
        (["--task=img2img", "--strength=2"], "strength=2.0: must be above 0 and at most 1"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        perform(tmp_path, *arguments)
    assert not (tmp_path / "samples").exists()


LATER = [["restore", "--method=ddnm"], ["detect"], ["autoguide", "--worse=run"]]


@pytest.mark.system
@pytest.mark.parametrize("task", [["denoise"], *(pytest.param(task, marks=pytest.mark.slow) for task in LATER)])
def test_what_is_written_does_not_depend_on_the_batch(tmp_path, monkeypatch, task):
    replace_load(monkeypatch, "autoguide", MODEL)
    whole, parts = (perform(tmp_path, f"--task={task[0]}", *task[1:], f"--batch={n}")["images"] for n in (6, 4))
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_arrays_with_noise_beyond_the_range_are_read_as_they_are(tmp_path):
    noisy = held_out() + 0.5 * np.random.default_rng(0).normal(size=(6, *SHAPE)).astype(np.float32)
    assert np.abs(noisy).max() > 1
    np.save(tmp_path / "noisy.npy", noisy)
    path = str(tmp_path / "noisy.npy")
    by_file = perform(tmp_path, "--task=denoise", "--noise=0.5", f"--input={path}")["images"]
    by_array = pipelines.denoise(MODEL, jax.random.key(0), noisy, 0.5, steps=10)
    np.testing.assert_allclose(by_file, by_array, atol=1e-4)
    with pytest.raises(InputError, match="outside the range -1 to 1"):
        perform(tmp_path, "--task=img2img", f"--input={path}")
    with pytest.raises(InputError, match=r"--factor 4: images 8 high are not 8 / 4"):
        perform(tmp_path, "--task=super_resolve", "--factor=4", f"--input={path}")


def test_a_mask_must_be_black_and_white_and_of_the_size_of_the_model(tmp_path):
    for pixels, message in ((np.full((8, 8), 90), "holds greys"), (np.zeros((4, 8)), "is 4x8, and the model's")):
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "mask.png")
        with pytest.raises(InputError, match=message):
            perform(tmp_path, "--task=inpaint", f"--mask={tmp_path / 'mask.png'}")


@pytest.mark.slow
def test_tasks_of_several_runs(tmp_path, monkeypatch):
    """What they draw is tested in tests/test_compose.py; here that runs are read, and batches put together."""
    worse = replace(MODEL)
    replace_load(monkeypatch, "autoguide", worse)
    drawn = perform(tmp_path, "--task=autoguide", "--worse=run@params", "--num=11", "--scale=1.0")["images"]
    assert drawn.shape == (11, *SHAPE)
    flat = Classifier(jnp.zeros(()), lambda params: lambda x, t: jnp.zeros((len(x), 3)), vp(), image_spec(SHAPE), 3)
    replace_load(monkeypatch, "guide", flat, "load_classifier")
    led = perform(tmp_path, "--task=guide", "--classifier=run", "--num=11")["images"]
    np.testing.assert_allclose(led, drawn, atol=1e-5)

    def enlarging(params, condition):
        return bind(params, None)

    large = replace(MODEL, bind=enlarging, upscales=2, conditions=low_resolution.specs(SHAPE))
    small = replace(MODEL, spec=image_spec((4, 4, 1)), bind=tiny)
    replace_load(monkeypatch, "cascade", large)
    stages = perform(tmp_path, "--task=cascade", "--then", "run", "--num=11", model=small)["images"]
    assert stages.shape == (11, *SHAPE)
    with pytest.raises(InputError, match="condition: these models were trained without classes"):
        perform(tmp_path, "--task=cascade", "--then", "run", "--label=1", model=small)
    assert perform(tmp_path, "--task=upscale", "--degrade", model=large)["images"].shape == (6, *SHAPE)


def tiny(params, condition):
    shape = (1, 4, 4, 1)
    return Bound(PATH, gaussian_mixture(vp(), np.ones(1), np.full(shape, -0.3), np.full(shape, 0.6)))


def test_every_flag_means_the_same_kind_of_value_in_all_tasks_and_names_parameters():
    for flag, uses in tasks.flags().items():
        assert len({(one.kind, one.many) for one in uses.values()}) == 1, flag
        for task, one in uses.items():
            parameters = inspect.signature(tasks.PIPELINES[task].run).parameters
            assert one.name in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values()), (task, flag)


def test_a_task_from_outside_declares_its_own_flags(tmp_path, monkeypatch):
    """A file of one's own, with a flag that no task of the library has."""
    (tmp_path / "their_task.py").write_text(
        "import numpy as np\n"
        "from jaxdiff.pipelines.pipeline import Argument, Pipeline\n"
        "def add(model, key, images, by, first=0):\n"
        "    return images + by\n"
        "ADD = Pipeline(add, 'add a number', (Argument('by', 'the number', float, required=True),))\n"
        "NONE = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    args = make_parser("their_task:ADD").parse_args(["--task=their_task:ADD", "--by=0.25", "--num=3"])
    tasks.perform(args, tmp_path / "samples", get_config(), MODEL, {})
    result = np.load(tmp_path / "samples" / "their_task.ADD" / "images.npz")["images"]
    np.testing.assert_array_equal(result, held_out(3) + np.float32(0.25))
    with pytest.raises(InputError, match="by: goes with|give --by, the number"):
        tasks.check(make_parser("their_task:ADD").parse_args(["--task=their_task:ADD"]))
    for name, reason in (("their_task:NONE", "it is a int"), ("their_task:MORE", "MORE"), ("nowhere:X", "nowhere")):
        with pytest.raises(InputError, match=f"task '{name}': .*{reason}.*it must be a jaxdiff.pipelines.pipeline.Pip"):
            make_parser(name)
    with pytest.raises(InputError, match="eta: their_task:ADD draws with no sampler"):
        tasks.check(args, ["eta"])


@pytest.mark.system
def test_pictures_and_masks_of_models_that_are_not_square(tmp_path):
    wide = (8, 12, 1)
    exact = gaussian_mixture(vp(), np.ones(1), np.full((1, *wide), -0.3), np.full((1, *wide), 0.6))
    model = replace(MODEL, spec=image_spec(wide), bind=lambda params, condition: Bound(PATH, exact))
    Image.fromarray(np.full((30, 45), 200, np.uint8)).save(tmp_path / "one.png")
    given = ["--task=inpaint", "--method=replace", f"--input={tmp_path / 'one.png'}"]
    drawn = perform(tmp_path, *given, "--mask=left", model=model)["images"]
    assert drawn.shape == (1, *wide)
    np.testing.assert_allclose(drawn[:, :, :6], 200 / 127.5 - 1, atol=0.01)
    Image.fromarray(np.uint8(np.repeat([[255] * 9 + [0] * 3], 8, 0))).save(tmp_path / "mask.png")
    drawn = perform(tmp_path, *given, f"--mask={tmp_path / 'mask.png'}", model=model)["images"]
    np.testing.assert_allclose(drawn[:, :, :9], 200 / 127.5 - 1, atol=0.01)
    assert np.abs(drawn[:, :, 9:] - 200 / 127.5 + 1).mean() > 0.1


def test_a_class_is_asked_for_by_its_name(tmp_path):
    named = image_spec(SHAPE, classes=("cat", "dog"))
    model = replace(MODEL, spec=named, conditions={"label": class_label(2)}, bind=bind)
    drawn = [perform(tmp_path, "--task=img2img", f"--label={text}", model=model)["images"] for text in ("dog", "1")]
    np.testing.assert_array_equal(*drawn)
    with pytest.raises(InputError, match="unknown class 'dig' .did you mean 'dog'"):
        perform(tmp_path, "--task=img2img", "--label=dig", model=model)
    with pytest.raises(InputError, match="unknown class 'cat': .*numbers"):
        perform(tmp_path, "--task=img2img", "--label=cat")
