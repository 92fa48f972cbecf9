"""Adapters: what they make of a picture, where it goes in a U-Net, and what does not fit (tests/interop has parity)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop.adapters import adapter_config, adapter_of
from jaxdiff.interop.latent import read_control
from jaxdiff.interop.settings import write_json
from jaxdiff.nets.adapter import Adapter, _squares
from jaxdiff.nets.conditional_unet import ConditionalUNet
from jaxdiff.nets.control import Controlled
from jaxdiff.types import Spec
from tests.helpers import latent_folder as tiny
from tests.helpers.cases import refused

UNET = ConditionalUNet(**tiny.LEVELS, up_depths=(0, 1), outputs=4)
ADAPTER = Adapter(widths=(8, 16), halved=(False, True), blocks=1, patch=2)
XL = {"channels": [8, 16, 24, 24], "downscale_factor": 4, "adapter_type": "full_adapter_xl"}


def test_squares_have_the_pixels_of_a_channel_side_by_side():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    y = _squares(x, 2)
    for i, j, channel in np.ndindex(2, 2, 3):
        np.testing.assert_array_equal(y[..., 4 * channel + 2 * i + j], x[:, i::2, j::2, channel])


def told(*adapters, side=16):
    picture, strength = np.zeros((2, side, side, 3)), np.ones(2)
    pictures = {f"control{i}": picture for i in range(len(adapters))}
    return {"context": np.zeros((2, 7, 12))} | pictures | {f"strength{i}": strength for i in range(len(adapters))}


def shape_of(*adapters, unet=UNET):
    net = Controlled(unet, adapters)
    start = lambda key: net.init_with_output(key, jnp.zeros((2, 8, 8, 4)), jnp.zeros(2), told(*adapters))[0]
    return jax.eval_shape(start, jax.random.key(0)).shape


def test_it_is_told_of_pictures_as_large_as_the_models():
    """XL's meets a first level that is already halved."""
    spec, xl = Spec((8, 8, 4), "images"), ADAPTER.clone(patch=4, halved=(False, False))
    assert Controlled(UNET, (ADAPTER,)).condition_spec(spec)["control0"].shape == (16, 16, 3)
    unet = UNET.clone(depths=(0, 1))
    assert Controlled(unet, (xl,)).condition_spec(spec)["control0"].shape == (16, 16, 3)
    assert shape_of(ADAPTER, ADAPTER) == shape_of(xl, unet=unet) == (2, 8, 8, 4)


@pytest.mark.parametrize(
    ("adapters", "said"),
    [
        ([ADAPTER.clone(widths=(8, 8))], r"level 1 makes \(4, 4, 8\).* \(4, 4, 16\)"),
        ([ADAPTER.clone(patch=4)], r"level 0 makes \(4, 4, 8\).* \(8, 8, 8\)"),
        ([ADAPTER, ADAPTER.clone(widths=(8,), halved=(False,))], "must be of one kind"),
        ([ADAPTER.clone(widths=(8, 16, 16, 16), halved=(False, True, True, True))], "an adapter of 4 levels"),
        ([ADAPTER.clone(patch=32)], "multiples of 64"),
    ],
)
def test_an_adapter_of_another_network(adapters, said):
    with refused(said):
        shape_of(*adapters)


def test_what_is_seen_once_is_what_would_be_seen_at_every_step():
    net = Controlled(UNET, (ADAPTER,))
    given = told(ADAPTER) | {"control0": np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype(np.float32)}
    params = {"controls_0": tiny.random(tiny.shapes(ADAPTER, given["control0"]))}
    seen = net.apply({"params": params}, given, method="look")
    assert sorted(seen) == ["context", "features0", "features1"]
    again = net.apply({"params": params}, seen, method="look")
    assert all(np.array_equal(seen[name], again[name]) for name in seen)
    nothing = net.apply({"params": params}, given | {"strength0": np.zeros(2)}, method="look")
    assert not nothing["features0"].any()
    assert seen["features0"].any()


@pytest.mark.parametrize("given", [{}, XL, {"adapter_type": "light_adapter", "channels": [8, 16]}])
def test_configurations_go_both_ways(given):
    net = adapter_of(given)
    assert adapter_of(adapter_config(net)) == net


def test_other_classes_and_fields(tmp_path):
    with refused("full_adapter_2"):
        adapter_of({"adapter_type": "full_adapter_2"})
    with refused("not written for diffusers"):
        adapter_config(ADAPTER.clone(halved=(True, False)))
    write_json(tmp_path / "config.json", {"_class_name": "MultiAdapter"})
    with refused("holds a MultiAdapter: what controls a model is a ControlNetModel or a T2IAdapter"):
        read_control(tmp_path, (8, 8, 4))
