"""Detection and synthesis on files, with a model that is exact."""

import re
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.config.sampling import Bound
from jaxdiff.errors import InputError
from jaxdiff.modalities import images
from jaxdiff.modalities.images import pictures
from jaxdiff.types import class_label
from tests.helpers.tasks import MODEL, PATH, SHAPE, held_out, perform

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.slow
def test_detection_rates_normal_images_under_the_label_of_the_others_and_in_batches(tmp_path, capsys):
    def bind(params, condition):
        label = condition["label"]
        means = jnp.array([-0.3, 0.9, 0.3])[label].reshape(-1, 1, 1, 1)
        chain = PATH

        def denoise(x_t, t):
            alpha, sigma = chain.alpha(t), chain.sigma(t)
            alpha, sigma = (jnp.broadcast_to(c, label.shape).reshape(-1, 1, 1, 1) for c in (alpha, sigma))
            return means + 0.36 * alpha * (x_t - alpha * means) / (0.36 * alpha**2 + sigma**2)

        return Bound(chain, denoise)

    model = replace(MODEL, conditions={"label": class_label(2)}, bind=bind, guidable=False)
    np.save(tmp_path / "a.npy", np.clip(np.random.default_rng(0).normal(0.9, 0.05, (20, *SHAPE)), -1, 1))
    same = [f"--input={tmp_path / 'a.npy'}", f"--normal={tmp_path / 'a.npy'}", "--false-positives=0.2", "--num=20"]
    for method in ("denoising_error", "msma"):
        perform(tmp_path, "--task=detect", "--label=1", f"--method={method}", *same, model=model)
        out = capsys.readouterr().out
        above = int(re.search(r"normal images, (\d+) of the input", out)[1])
        assert 1 <= above <= 12, out
    maps = np.load(tmp_path / "samples" / "detect" / "images.npz")
    assert maps["images"].max() == 1
    assert maps["maps"].shape == (20, *SHAPE)
    with pytest.raises(InputError, match="never trained without its 'label'"):
        perform(tmp_path, "--task=detect", *same, model=model)


@pytest.mark.system
def test_synthesized_images_are_a_data_set_that_is_read_back(tmp_path):
    result = perform(
        tmp_path, "--task=synthesize", "--per-class=4", model=replace(MODEL, conditions={"label": class_label(3)})
    )
    source = images.arrays(str(tmp_path / "samples" / "synthesize" / "images.npz"), "images", "labels")
    batch = source.take(np.arange(12))
    np.testing.assert_array_equal(batch.condition["label"], np.repeat([0, 1, 2], 4))
    np.testing.assert_array_equal(pictures.to_uint8(batch.x_0), result["images"])


@pytest.mark.system
def test_synthesis_in_given_proportions(tmp_path):
    result = perform(
        tmp_path, "--task=synthesize", "--per-class=1,0,3", model=replace(MODEL, conditions={"label": class_label(3)})
    )
    np.testing.assert_array_equal(result["labels"], [0, 2, 2, 2])


@pytest.mark.system
def test_detection_reports_what_labels_and_normal_images_tell(tmp_path, capsys):
    images = held_out(6)
    images[:2] = 1.0
    np.savez(tmp_path / "some.npz", images=images, labels=np.array([1, 1, 0, 0, 0, 0]))
    arguments = ["--task=detect", f"--input={tmp_path / 'some.npz'}", "--normal=held_out", "--false-positives=0.2"]
    for method in ("denoising_error", "likelihood"):
        perform(tmp_path, *arguments, f"--method={method}")
        out = capsys.readouterr().out
        assert "2 of 6 are strange: ROC-AUC 1.000, average precision 1.000" in out
        assert "above are 20.0% of 6 normal images" in out
        assert "of the strange ones 100.0%" in out
        assert (tmp_path / "samples" / "detect" / "roc.png").exists()
