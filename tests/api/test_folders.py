"""Models as folders, and what is shown of them."""

import dataclasses
import json

import chex
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jaxdiff
from jaxdiff.errors import InputError
from tests.helpers.api import IMAGES, KEY, UNET, Small, draw


@pytest.mark.system
def test_a_saved_model_draws_the_same(model, saved):
    loaded = jaxdiff.load(saved, net=Small(3))
    np.testing.assert_array_equal(draw(loaded), draw(model))
    assert loaded.weights == model.weights
    assert len({file.stat().st_mode for file in saved.iterdir()}) == 1
    assert "MIT" in (saved / "README.md").read_text()
    assert "small" in (saved / "README.md").read_text()


@pytest.mark.system
def test_arrays_in_the_order_of_fortran_are_saved_as_they_are(model, tmp_path):
    """As those that come transposed from other libraries are: safetensors alone would mix up their numbers."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, order="F"), model.params)
    folder = dataclasses.replace(model, params=params).save(tmp_path / "other", picture=False)
    chex.assert_trees_all_equal(jaxdiff.load(folder, net=Small(3)).params, model.params)


@pytest.mark.system
def test_a_model_is_saved_as_it_draws_now(model, tmp_path):
    changed = {"steps": 2, "sampler": {"name": "ddim", "eta": 0.5}, "options": {"clip": 0.5, "noise_scale": 0.9}}
    other = dataclasses.replace(model, **changed)
    loaded = jaxdiff.load(other.save(tmp_path / "other", picture=False), net=Small(3))
    np.testing.assert_array_equal(loaded.sample(KEY, 4), other.sample(KEY, 4))


@pytest.mark.system
def test_half_precision_is_half_the_size(model, saved, tmp_path):
    half = model.save(tmp_path / "half", "float16", picture=False)
    assert {array.dtype.name for array in load_file(half / "model.safetensors").values()} == {"float16"}
    chex.assert_trees_all_close(jaxdiff.load(half, net=Small(3)).params, model.params, rtol=1e-3, atol=1e-6)


def test_a_model_says_what_it_is_and_pictures_are_shown_inline(model):
    assert repr(model).startswith("Model: images of 8x8, 1 channel, told label; ")
    assert "draws with dpmpp_2m in 50 steps" in repr(model)
    assert jaxdiff.show(IMAGES[:1])._repr_png_()[:4] == b"\x89PNG"


def test_pictures():
    one = jaxdiff.show(IMAGES[0])
    assert one.size == (68, 68)
    assert jaxdiff.show(IMAGES[:5], columns=5).size == (5 * 66 + 2, 68)
    assert jaxdiff.show(np.zeros((3, 2, 8, 8, 3), np.uint8)).size == (3 * 66 + 2, 2 * 66 + 2)
    pixels = np.asarray(jaxdiff.show(np.full((1, 8, 8, 3), 255, np.uint8)))
    assert (pixels == 255).all()


@pytest.mark.system
def test_a_file_that_does_not_fit_is_refused(saved, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    arrays = load_file(saved / "model.safetensors")
    load = lambda: jaxdiff.load(folder, net=Small(3))
    save_file(arrays | {"Conv_0/kernel": np.zeros((1, 1, 1, 4), np.float32)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"'Conv_0/kernel' has the shape \(1, 1, 1, 4\) there, and \(3, 3, 1, 4\)"):
        load()
    save_file({k: v for k, v in arrays.items() if k != "Dense_0/bias"}, folder / "model.safetensors")
    with pytest.raises(InputError, match="'Dense_0/bias' has the shape none there"):
        load()
    (folder / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read"):
        load()
    record = (saved / "config.json").read_text()
    (folder / "config.json").write_text(record.replace('"format": 1', '"format": 2'))
    with pytest.raises(InputError, match="update it"):
        load()
    save = jaxdiff.train(IMAGES, 0, net=Small(), progress=False).save
    with pytest.raises(InputError, match="something else than a model"):
        save(tmp_path)
    (folder / "samples").mkdir()
    with pytest.raises(InputError, match="something else than a model"):
        save(folder, picture=False)
    (folder / "samples").rmdir()
    save(folder, picture=False)
    assert jaxdiff.load(folder, net=Small()).num_classes == 0


@pytest.mark.slow
def test_a_folder_that_would_take_minutes_to_trace_is_refused(tmp_path):
    folder = jaxdiff.train(IMAGES, 0, net=UNET, progress=False).save(tmp_path / "deep", picture=False)
    record = json.loads((folder / "config.json").read_text())
    del record["sha256"]
    record["config"]["net"]["blocks"] = 1000
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="net.blocks=1000 .* arrays in it"):
        jaxdiff.load(folder)
