"""InceptionV3, resizing and rounding, against torch-fidelity and clean-fid with the same perturbed random weights."""

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from jaxdiff.evaluation import features
from jaxdiff.evaluation.features import find_features
from jaxdiff.evaluation.frechet import frechet_distance
from jaxdiff.evaluation.sets import of_path
from jaxdiff.modalities.images.resize import clean, quantized, tensorflow1
from jaxdiff.nets import inception
from tests.helpers.peers import peer

SIZES = [32, 64, 299]


@pytest.fixture
def images(rng):
    """Rough ones, so that antialiasing matters: uint8."""
    make = lambda side, n=2: rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return {side: make(side) for side in (*SIZES, 512)}


def test_the_first_pixels_of_both_grids_lie_upon_each_other():
    row = np.array([0, 100, 200, 250], np.uint8)
    image = np.broadcast_to(row[None, None, :, None], (1, 4, 4, 3))
    expected = [0, 50, 100, 150, 200, 225, 250, 250]
    np.testing.assert_array_equal(tensorflow1(image, 8)[0, 0, :, 0], expected)
    np.testing.assert_array_equal(tensorflow1(image.swapaxes(1, 2), 8)[0, :, 0, 0], expected)


def test_sizes_that_stay_stay(images):
    for resize in (tensorflow1, clean):
        np.testing.assert_array_equal(resize(images[299], 299), images[299])


def test_clean_is_antialiased_and_tensorflow1_is_not():
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    checks = np.repeat(checks[None, ..., None], 3, -1).astype(np.uint8)
    assert np.ptp(clean(checks, 16)[:, 4:-4, 4:-4]) < 16
    assert abs(clean(checks, 16).mean() - 127.5) < 1
    assert np.unique(tensorflow1(checks, 16)).tolist() == [0]


def test_rounding():
    x = np.array([-1.2, -1, -0.001, 0, 0.001, 1, 1.3])
    np.testing.assert_array_equal(quantized(x, "nearest"), [0, 0, 127, 128, 128, 255, 255])
    np.testing.assert_array_equal(quantized(x, "floor"), [0, 0, 127, 128, 128, 255, 255])
    step = (np.arange(256) + 0.75) / 127.5 - 1
    np.testing.assert_array_equal(quantized(step, "nearest")[:-1], np.arange(1, 256))
    np.testing.assert_array_equal(quantized(np.arange(256) / 127.5 - 1, "floor") - np.arange(256.0), 0)


@pytest.fixture(scope="module")
def tensors():
    """Random weights that keep the size of what passes through them, by the names of the PyTorch version."""
    rng, made = np.random.default_rng(0), {}
    like = jax.eval_shape(inception.Inception().init, jax.random.key(0), np.zeros((1, 299, 299, 3), np.float32))
    for path, leaf in jax.tree_util.tree_leaves_with_path(like["params"]):
        names = [key.key for key in path]
        if names[-1] == "kernel":
            fan = np.prod(leaf.shape[:-1])
            value = rng.normal(size=leaf.shape) * np.sqrt(2 / fan)
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            made[".".join([*names[:-1], "weight"])] = value
            if names[-2] == "conv":
                place, width = ".".join([*names[:-2], "bn."]), leaf.shape[-1]
                made[place + "weight"] = 1 + 0.2 * rng.normal(size=width)
                made[place + "bias"] = 0.2 * rng.normal(size=width)
                made[place + "running_mean"] = 0.2 * rng.normal(size=width)
                made[place + "running_var"] = np.exp(0.3 * rng.normal(size=width))
    made["fc.bias"] = rng.normal(size=inception.CLASSES)
    return {name: np.asarray(value, np.float32, order="C") for name, value in made.items()}


@pytest.mark.slow
def test_what_a_file_lacks_is_named(tensors):
    with pytest.raises(KeyError, match="fc.bias"):
        inception.variables({name: value for name, value in tensors.items() if name != "fc.bias"})
    with pytest.raises(ValueError, match="Mixed_6d.branch1x1.conv.weight"):
        inception.variables({**tensors, "Mixed_6d.branch1x1.conv.weight": np.zeros((192, 768, 3, 3))})


@pytest.fixture(scope="module")
def theirs(tensors, tmp_path_factory):
    """torch-fidelity's network, and what its first convolution of Mixed_6d gives."""
    torch = pytest.importorskip("torch")
    extractor = peer("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    file = tmp_path_factory.mktemp("weights") / "weights.pth"
    counts = {name.replace("running_var", "num_batches_tracked"): 0 for name in tensors if "running_var" in name}
    state = {name: torch.tensor(value) for name, value in {**tensors, **counts}.items()}
    torch.save(state, file)
    net = extractor("reference", ["64", "192", "768", "2048", "logits_unbiased", "logits"], str(file))
    kept = []
    net.Mixed_6d.branch1x1.conv.register_forward_hook(lambda module, given, out: kept.append(out))

    def run(pixels):
        with torch.no_grad():
            layers = [x.numpy() for x in net(torch.tensor(pixels.transpose(0, 3, 1, 2)))]
        spatial = kept.pop()[:, :7].permute(0, 2, 3, 1).reshape(len(pixels), -1).numpy()
        return inception.Layers(*layers[:3], spatial, *layers[3:])

    return run


@pytest.mark.parity
@pytest.mark.parametrize("side", SIZES)
def test_every_layer_is_that_of_torch_fidelity(side, images, tensors, theirs):
    apply = jax.jit(inception.Inception().apply)
    ours = apply(inception.variables(tensors), (tensorflow1(images[side], 299) - 128) / 128)
    for name, mine, its in zip(ours._fields, ours, theirs(images[side]), strict=True):
        assert mine.shape == its.shape
        assert np.std(its) > 0.01, name
        np.testing.assert_allclose(mine, its, atol=1e-4 * np.abs(its).max(), err_msg=name)


@pytest.mark.parity
def test_resizes_are_those_of_the_peers_to_the_bit(images):
    torch = pytest.importorskip("torch")
    its = peer("torch_fidelity.interpolate_compat_tensorflow").interpolate_bilinear_2d_like_tensorflow1x
    clean_of = peer("cleanfid.resize").build_resizer("clean")
    for pixels in images.values():
        chw = torch.tensor(pixels.transpose(0, 3, 1, 2)).float()
        expected = its(chw, size=(299, 299), align_corners=False).numpy().transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(tensorflow1(pixels, 299), expected)
        np.testing.assert_array_equal(clean(pixels, 299), np.stack([clean_of(image) for image in pixels]))


FAULTS = {
    "epsilon": lambda patch: patch.setattr(inception, "EPSILON", 1e-5),
    "padding": lambda patch: patch.setattr(
        inception.nn, "avg_pool", lambda x, *given, count_include_pad: AVG_POOL(x, *given, count_include_pad=True)
    ),
    "antialiasing": lambda patch: patch.setattr(features, "RESIZES", {"tensorflow1": clean}),
}
FEW = 8
"""Features, fewer than pictures: of singular covariances the peer's eigenvalues are rounding errors."""
AVG_POOL = inception.nn.avg_pool


@pytest.mark.slow
def test_two_folders_are_as_far_apart_as_torch_fidelity_has_them(rng, tensors, theirs, tmp_path, monkeypatch):
    """From the files to the distance; and each planted fault is larger than the difference that is allowed."""
    save_file(tensors, weights := tmp_path / "inception.safetensors")
    for name, low in (("one", 0), ("two", 60)):
        (tmp_path / name).mkdir()
        for i, pixels in enumerate(rng.integers(low, 256, (12, 400, 400, 3), dtype=np.uint8)):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")

    def ours():
        sets = [of_path(str(tmp_path / name)) for name in ("one", "two")]
        found = find_features("inception", sets[0].spec, weights_file=str(weights))
        return [np.concatenate([found.apply(x)["features"] for x in examples.batches(0)])[:, :FEW] for examples in sets]

    metric = peer("torch_fidelity.metric_fid")
    read = lambda name: np.stack([np.asarray(Image.open(file)) for file in sorted((tmp_path / name).glob("*.png"))])
    torch = pytest.importorskip("torch")
    known = [
        metric.fid_features_to_statistics(torch.tensor(theirs(read(name)).pool3[:, :FEW])) for name in ("one", "two")
    ]
    expected = metric.fid_statistics_to_metric(*known, False)["frechet_inception_distance"]
    np.testing.assert_allclose(frechet_distance(*ours()), expected, rtol=1e-3)
    for plant in FAULTS.values():
        with monkeypatch.context() as patch:
            plant(patch)
            assert abs(frechet_distance(*ours()) / expected - 1) > 3e-3
