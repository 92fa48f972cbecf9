"""What the page of `jaxdiff demo` does with a model, without Gradio: what is drawn, and what is compiled for it."""

import contextlib
import dataclasses
import sys

import numpy as np
import pytest
from PIL import Image

from jaxdiff.cli import demo, page
from jaxdiff.cli import studio as studios
from jaxdiff.cli.studio import IN_TURN, UNKNOWN, How, counting, known_where, sheet
from jaxdiff.config.sampling import SAMPLERS
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines.ends import Ends
from jaxdiff.types import Batch, Codec, Spec
from tests.helpers.cases import tiers
from tests.helpers.configs import changed
from tests.helpers.models import MEANS, SHAPE, a_model, conditional, images

pytestmark = pytest.mark.usefixtures("quick_compilation")
HOW = How("ddim", 5)
PICTURE, KNOWN = np.float32(MEANS[0]), np.array([[True, False], [True, False]])


@pytest.fixture(scope="module")
def studio():
    return counting(a_model(classes=2), num=6)


def with_pictures(model, num=6):
    return counting(model, Source(4, model.spec, lambda index: Batch(images(4)[index])), num)


ACTS = {
    "draw": lambda studio, how: studio.draw(how),
    "inpaint": lambda studio, how: studio.inpaint(how, PICTURE, KNOWN),
    "translate": lambda studio, how: studio.translate(how, PICTURE, 0.5),
}
FREE = {
    "seed": lambda act, studio: act(studio, HOW._replace(seed=7)),
    "class": lambda act, studio: act(studio, HOW._replace(label=1)),
    "class not told": lambda act, studio: act(studio, HOW._replace(label=UNKNOWN)),
    "guidance": lambda act, studio: act(studio, HOW._replace(guidance=3.5)),
}


@pytest.mark.system
@pytest.mark.parametrize("act", tiers(ACTS, ["inpaint"]))
@pytest.mark.parametrize("change", FREE)
def test_seed_class_and_guidance_compile_nothing(studio, act, change):
    before = ACTS[act](studio, HOW)
    after = FREE[change](ACTS[act], studio)
    assert after.traces == 0
    assert not np.array_equal(after.frames[-1], before.frames[-1])


@pytest.mark.system
@pytest.mark.parametrize(
    "other",
    {
        "strength": lambda studio: studio.translate(HOW, PICTURE, 0.9),
        "another picture to translate": lambda studio: studio.translate(HOW, -PICTURE, 0.5),
        "repeats": lambda studio: studio.inpaint(HOW, PICTURE, KNOWN, 2),
        "mask": lambda studio: studio.inpaint(HOW, PICTURE, ~KNOWN),
        "another picture to inpaint": lambda studio: studio.inpaint(HOW, -PICTURE, KNOWN),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_edited_compiles_nothing(studio, other):
    studio.translate(HOW, PICTURE, 0.5)
    studio.inpaint(HOW, PICTURE, KNOWN)
    assert other[1](studio).traces == 0


@pytest.mark.system
@pytest.mark.parametrize("act", tiers(ACTS, ["draw"]))
def test_sampler_and_steps_compile_once_each(act):
    studio = counting(a_model(classes=2), num=6)
    for how in (HOW, HOW._replace(steps=6), HOW._replace(sampler="heun")):
        assert ACTS[act](studio, how).traces > 0
        assert ACTS[act](studio, how).traces == 0


def test_a_page_of_a_student_begins_as_it_draws_and_with_a_scale_that_it_has_learned():
    told = {"sampler": {"name": "renoise"}, "samplers": ("renoise",), "scales": (2.0, 4.0), "steps": 2}
    studio = counting(dataclasses.replace(a_model(classes=2), guidable=False, **told), num=2)
    assert studio.samplers == ["renoise"]
    assert studio.first == How("renoise", 2, guidance=2.0)
    assert studio.scales == (2.0, 4.0)
    assert UNKNOWN not in dict(studio.classes).values()
    assert np.isfinite(studio.draw(studio.first).frames).all()


@pytest.mark.system
def test_a_chain_begins_with_noise_and_ends_with_the_images(studio):
    drawn = studio.draw(How("ddim", 40, seed=3, label=0))
    assert drawn.frames.shape == (studios.FRAMES, 6, *SHAPE)
    assert abs(drawn.frames[0].std() - 1) < 0.4
    np.testing.assert_allclose(drawn.frames[-1].mean(0), MEANS[0], atol=0.4)
    assert len(studio.draw(HOW).frames) == HOW.steps + 1


@pytest.mark.system
@pytest.mark.system
def test_latents_are_shown_as_pictures_and_none_is_offered_to_be_edited(monkeypatch, tmp_path):
    coded = Ends(codec=Codec(lambda x: x / 2, lambda z: 2 * z), pictures=image_spec(SHAPE))
    model = dataclasses.replace(a_model(), ends=coded)
    monkeypatch.setattr(studios, "opened", lambda workdir: (tmp_path, {}))
    monkeypatch.setattr(studios, "load", lambda folder, weights: model)
    studio, how = studios.open_studio("", num=2), How("ddim", 2)
    np.testing.assert_allclose(studio.draw(how).frames, 2 * counting(a_model(), num=2).draw(how).frames, atol=1e-5)
    assert studio.pictures is None
    assert "draws latents" in studio.missing


def test_classes_come_in_turn_or_as_they_are_chosen(studio):
    nearest = lambda label: np.argmin(
        [((studio.draw(How("ddim", 40, label=label)).frames[-1] - m) ** 2).mean((1, 2, 3)) for m in MEANS], 0
    )
    assert nearest(IN_TURN).tolist() == [0, 1, 0, 1, 0, 1]
    assert nearest(1).tolist() == [1] * 6


def test_classes_have_their_names():
    model = a_model(classes=2)
    assert counting(model).classes == [("in turn", -2), ("not told", -1), ("0", 0), ("1", 1)]
    named = dataclasses.replace(model, spec=model.spec._replace(details={"classes": ["cat", "dog"]}), guidable=False)
    assert counting(named).classes == [("in turn", -2), ("cat", 0), ("dog", 1)]


@pytest.mark.slow
def test_a_model_without_classes_is_told_none():
    studio = counting(a_model(), num=3)
    assert not studio.classes
    assert not studio.guided
    for act in ACTS.values():
        assert act(studio, HOW._replace(label=1, guidance=4.0)).frames.shape[1:] == (3, *SHAPE)


@pytest.mark.system
def test_a_model_that_enlarges_is_shown_examples_or_the_picture():
    studio = with_pictures(conditional())
    drawn = studio.draw(How("ddim", 30)).frames[-1]
    small = images(4).mean((1, 2))[[0, 1, 2, 3, 0, 1]]
    assert abs(drawn.mean((1, 2)) - small).max() < 0.2
    of_one = studio.translate(How("ddim", 30), PICTURE, 1.0).frames[-1]
    assert abs(of_one.mean((1, 2)) - PICTURE.mean((0, 1))).max() < 0.2


@pytest.mark.system
def test_inpainting_keeps_what_is_known_to_the_bit(studio):
    drawn = studio.inpaint(HOW, PICTURE, KNOWN).frames[-1]
    np.testing.assert_array_equal(drawn[:, KNOWN], np.repeat(PICTURE[None], 6, 0)[:, KNOWN])
    assert drawn[:, ~KNOWN].std(0).min() > 0.01


@pytest.mark.system
def test_little_strength_leaves_a_picture_as_it_is(studio):
    change = {s: abs(studio.translate(How("ddim", 20), PICTURE, s).frames[-1] - PICTURE).mean() for s in (0.02, 1.0)}
    assert change[0.02] < 0.3 * change[1.0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda s: s.inpaint(HOW, PICTURE, np.ones((2, 2), bool)), "nothing is painted over"),
        (lambda s: s.inpaint(HOW._replace(sampler="dpmpp_2m"), PICTURE, KNOWN), "take ddim, ancestral, heun, dpmpp_2s"),
        (lambda s: s.translate(HOW, PICTURE, 0.0), "strength=0.0"),
        (lambda s: s.draw(HOW._replace(steps=0)), "number of steps must be from 1"),
        (lambda s: s.draw(HOW._replace(seed=-1)), "seed=-1"),
        (lambda s: s.draw(HOW._replace(sampler="dimm")), "did you mean 'ddim'"),
        (lambda s: s.draw(HOW._replace(label=9)), "from 0 to 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_one_line(studio, wrong, said):
    with pytest.raises(InputError, match=said) as refused:
        wrong(studio)
    assert "\n" not in str(refused.value)


def test_paint_hides_a_pixel_where_it_covers_half_of_it():
    painted = np.zeros((64, 64))
    painted[:32, 30:] = 255
    painted[40:50, 0:20] = 255
    assert known_where(painted, SHAPE).tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [8, 64, 300])
def test_small_pictures_are_enlarged_without_smoothing(side, channels):
    values = np.random.default_rng(0).uniform(-1, 1, (4, side, side, channels))
    made = sheet(values)
    assert made.dtype == np.uint8
    assert made.shape[2] == 3
    assert made.shape[0] > 250
    assert set(np.unique(made)) <= {*np.unique(studios.pictures.to_uint8(values)), 0, 255}


def test_a_picture_from_outside_is_cropped_to_the_model(studio, tmp_path):
    Image.new("RGB", (90, 40), (255, 0, 0)).save(file := tmp_path / "red.png")
    read = studio.read(str(file))
    assert read.shape == SHAPE
    np.testing.assert_allclose(read, 76 / 127.5 - 1, atol=0.01)
    assert with_pictures(a_model()).example(5).tolist() == images(4)[1].tolist()
    assert studio.example(0) is None


@pytest.mark.system
def test_the_page_offers_only_samplers_that_apply():
    model = a_model()
    offered = counting(model).samplers
    assert {"ddim", "dpmpp_2m", "ancestral", "euler"} <= set(offered) <= set(SAMPLERS)
    assert offered == sorted(offered)
    assert "annealed_langevin" not in offered  # this process shrinks the data
    to_zero = dataclasses.replace(model, grid=lambda n: np.linspace(1, 0, n + 1, dtype=np.float32))
    assert set(offered) - set(counting(to_zero).samplers) >= {"dopri5"}
    own = dataclasses.replace(model, sampler={"name": "tests.helpers.models:mine"})
    assert counting(own).samplers == ["tests.helpers.models:mine", *offered]


@pytest.mark.statistical
@pytest.mark.parametrize("name", counting(a_model()).samplers)
def test_every_sampler_that_the_page_offers_draws(name):
    studio = counting(a_model(classes=2), num=4)
    for act in ACTS.values():
        with contextlib.suppress(InputError):  # of those that inpainting does not take
            assert np.isfinite(act(studio, How(name, 20)).frames).all()


def test_another_modality_is_refused_in_one_line(tmp_path, monkeypatch):
    spec = Spec((3,), "tables")
    monkeypatch.setattr(studios, "opened", lambda workdir: (tmp_path, {}))
    monkeypatch.setattr(studios, "load", lambda folder, weights: dataclasses.replace(a_model(), spec=spec))
    with pytest.raises(InputError, match="jaxdiff demo: is for images, and this data is of the modality 'tables'"):
        studios.open_studio("runs/table")


@pytest.mark.system
def test_the_page_can_be_opened_where_the_data_is_gone(tmp_path, monkeypatch):
    gone = {"name": "arrays", "path": str(tmp_path / "gone.npy")}
    monkeypatch.setattr(studios, "opened", lambda workdir: (tmp_path, changed("held_out", gone)))
    monkeypatch.setattr(studios, "load", lambda folder, weights: a_model())
    studio = studios.open_studio("runs/one", num=2)
    assert studio.pictures is None
    assert "gone" in studio.missing
    assert len(studio.draw(HOW).frames[-1]) == 2


def test_without_gradio_one_line_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert demo.main(["--workdir", "runs/none"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'jaxdiff[demo]'" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "number"), [((1, 1), 0), ((511, 1), 2), ((300, 300), 4), ((511, 511), 6), ((-5, 900), 6)]
)
def test_a_click_tells_the_image(place, number):
    assert page.tile(place, (512, 512, 3), 7) == number


def test_paint_is_that_of_all_layers():
    layers = [np.zeros((4, 4, 4), np.uint8) for _ in range(2)]
    layers[0][0, 0, 3], layers[1][3, 3, 3] = 255, 9
    assert page.paint({"layers": layers})[[0, 3, 1], [0, 3, 1]].tolist() == [255, 9, 0]
    assert not page.paint(None).any()
    assert not page.paint({"layers": []}).any()
