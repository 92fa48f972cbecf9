from collections import Counter

import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.evaluation.scenes import asked_for, fulfills, in_words, judge, read_scenes
from jaxdiff.modalities.images.scenes import COLORS, DIGITS, HELD_OUT, HELD_OUT_RELATIONS, PLACES, SPLITS, scenes

RED_SEVEN, GREEN_THREE = (7, 0), (3, 1)


@pytest.fixture(scope="module")
def sets():
    return {split: scenes(split, 1500) for split in SPLITS}


def pictures(source):
    return source.take(np.arange(source.size)).x_0


@pytest.mark.system
def test_the_same_seed_gives_the_same_scenes_and_another_others(sets):
    again, other = scenes("test", 50), scenes("test", 50, seed=1)
    assert again.captions == sets["test"].captions[:50]
    assert other.captions != again.captions
    np.testing.assert_array_equal(pictures(again), pictures(scenes("test", 50)))


@pytest.mark.system
def test_pictures_are_digits_of_scikit_learn_in_one_color_a_cell(sets):
    x = pictures(sets["train"])
    assert (x.shape, x.dtype, x.min(), x.max()) == ((1500, 16, 16, 3), np.float32, -1, 1)
    cells = ((x + 1) / 2).reshape(-1, 2, 8, 2, 8, 3).swapaxes(2, 3).reshape(-1, 64, 3)
    hues = {tuple(np.sign(cell.max(0)).astype(int)) for cell in cells}
    assert hues == {*COLORS.values(), (0, 0, 0)}
    assert set(np.unique(cells * 16)) == set(range(17))


@pytest.mark.system
def test_training_shows_neither_held_out_pairs_nor_relations(sets):
    """12 of the 60 pairs, two of each color; and the other sets show them in every scene."""
    assert len(HELD_OUT) == 12
    assert set(Counter(color for _, color in HELD_OUT).values()) == {2}
    objects = {split: [asked_for(c).objects for c in source.captions] for split, source in sets.items()}
    for split in ("train", "test", "relations"):
        assert not HELD_OUT & {one for scene in objects[split] for one in scene}
    assert all(HELD_OUT & set(scene) for scene in objects["pairs"])
    assert len({one for scene in objects["train"] for one in scene}) == 48
    held = [f"{relation} " for relation, _ in HELD_OUT_RELATIONS]
    assert all(any(h in c for h in held) for c in sets["relations"].captions)
    for split in ("train", "test", "pairs"):
        for relation, side in HELD_OUT_RELATIONS:
            assert not any(relation in c and c.endswith(side) for c in sets[split].captions)


def test_each_number_of_objects_is_as_frequent(sets):
    counts = Counter(len(asked_for(c).objects) for c in sets["train"].captions)
    assert all(abs(counts[n] / 1500 - 0.25) < 0.05 for n in range(1, 5))
    few = Counter(len(asked_for(c).objects) for c in scenes("train", 200, objects=2).captions)
    assert set(few) == {1, 2}


@pytest.mark.system
@pytest.mark.parametrize("split", SPLITS)
def test_the_judge_reads_real_scenes(sets, split):
    """All of those whose digits it was trained on, 0.93 and more of the others, with noise of 5 %, too."""
    x, captions = pictures(sets[split]), sets[split].captions
    noisy = x + 0.1 * np.random.default_rng(0).normal(size=x.shape)
    for images in (x, noisy):
        figures = judge(images, captions)
        assert figures["exact"] >= (0.999 if split == "train" else 0.93)
        assert figures["color"] == figures["count"] == 1
        assert figures["class"] > 0.97


@pytest.mark.system
def test_the_judge_is_at_chance_with_captions_of_other_pictures(sets):
    x, captions = pictures(sets["test"]), sets["test"].captions
    assert judge(x, captions[1:] + captions[:1])["exact"] < 0.01
    nothing = judge(np.full_like(x, -1), captions)
    assert (nothing["exact"], nothing["color"], nothing["class"], nothing["count"]) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("caption", "cells", "right"),
    [
        ("a red seven", {2: RED_SEVEN}, True),
        ("a red seven", {2: (7, 1)}, False),
        ("a red seven", {2: (8, 0)}, False),
        ("a red seven", {2: RED_SEVEN, 0: GREEN_THREE}, False),
        ("one red seven at the top left", {0: RED_SEVEN}, True),
        ("a red seven top left", {1: RED_SEVEN}, False),
        ("a red seven above a green three", {0: RED_SEVEN, 2: GREEN_THREE}, True),
        ("a red seven above a green three", {1: RED_SEVEN, 3: GREEN_THREE}, True),
        ("a red seven above a green three", {2: RED_SEVEN, 0: GREEN_THREE}, False),
        ("a red seven above a green three", {0: RED_SEVEN, 3: GREEN_THREE}, False),
        ("a red seven above a green three, on the right", {0: RED_SEVEN, 2: GREEN_THREE}, False),
        ("a red seven below a green three, on the right", {3: RED_SEVEN, 1: GREEN_THREE}, True),
        ("a red seven to the left of a green three", {2: RED_SEVEN, 3: GREEN_THREE}, True),
        ("a red seven to the right of a green three, at the top", {1: RED_SEVEN, 0: GREEN_THREE}, True),
        ("a red seven to the right of a green three, at the top", {3: RED_SEVEN, 2: GREEN_THREE}, False),
        ("a red seven above a green seven", {0: (7, 1), 2: RED_SEVEN}, False),
        ("a red seven above a red seven", {0: RED_SEVEN, 2: RED_SEVEN}, True),
        ("a red seven at the top left and a red seven bottom right", {0: RED_SEVEN, 3: RED_SEVEN}, True),
        ("a red seven at the top left and a green three bottom right", {3: RED_SEVEN, 0: GREEN_THREE}, False),
    ],
)
def test_what_a_caption_asks_for(caption, cells, right):
    assert fulfills(tuple(cells.get(i) for i in range(4)), caption) == right


def test_the_judge_knows_every_caption_that_there_is(sets):
    """Independently of how they are made: its reading of a training picture, in words, names what the caption names."""
    source = sets["train"]
    for reading, caption in zip(read_scenes(pictures(source)[:300]), source.captions, strict=False):
        named = in_words(reading)
        for digit, color in asked_for(caption).objects:
            assert f"{list(COLORS)[color]} {DIGITS[digit]}" in named
    assert in_words((None, RED_SEVEN, None, None)) == f"red seven {PLACES[1]}"
    assert in_words((None,) * 4) == "nothing"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scenes("trian"), r"unknown split of the scenes 'trian' \(did you mean 'train'"),
        (lambda: scenes(objects=5), "objects=5, n=20000: scenes have 1 to 4 objects"),
        (lambda: asked_for("a cat"), "caption 'a cat' names no colored digit, such as 'a red seven'"),
        (lambda: judge(np.zeros((2, 16, 16, 3)), ["a red one"]), "1 captions for 2 pictures: give one for each"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
