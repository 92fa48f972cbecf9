"""Networks give diffusers' numbers with diffusers' weights: live under `-m parity`, and from fixtures under `-m slow`.

Every tensor has numbers of its own, so that each name and each layout counts.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.interop import names
from jaxdiff.interop import weights as tensors
from jaxdiff.interop.adapters import adapter_of
from jaxdiff.interop.autoencoders import autoencoder_of
from jaxdiff.interop.conditional import conditional_of, control_of
from jaxdiff.interop.unet2d import unet2d_of
from jaxdiff.nets import conditional_unet
from jaxdiff.types import path_name
from tests.helpers import interop_reference as theirs

TOLERANCE = 1e-5
FIXTURES, LIVE = (
    pytest.param(name, marks=getattr(pytest.mark, mark)) for name, mark in (("fixtures", "slow"), ("live", "parity"))
)


@pytest.fixture(scope="module", params=[FIXTURES, LIVE])
def reference(request):
    return dict(np.load(theirs.FIXTURES)) if request.param == "fixtures" else theirs.reference()


def ours(case):
    """Our network of a case, its table, and `params -> outputs` by their names there."""
    cls, config = theirs.CASES[case]
    given = {name: jnp.asarray(value) for name, value in theirs.inputs(case).items()}
    x = given.pop("x")
    if cls.startswith("Autoencoder"):
        net, table = autoencoder_of(config | {"_class_name": cls})
        call = lambda params, method, x: net.apply({"params": params}, x, method=method)

        def run(params):
            z = call(params, "decode", (given["z"] - net.shift) * net.scale)
            if case == "tiny":
                return {"z": call(params, "encode", x), "x": z}
            return dict(zip(("mean", "logvar"), call(params, "moments", x), strict=True)) | {"x": z}

        return net, table, run, (x,)
    if cls == "T2IAdapter":
        net, table = adapter_of(config), names.ADAPTER

        def look(params):
            return {f"features{i}": one for i, one in enumerate(net.apply({"params": params}, x))}

        return net, table, look, (x,)
    t = given.pop("t")
    if cls == "UNet2DModel":
        net, table = unet2d_of(config), names.UNET2D
        return net, table, lambda params: {"out": net.apply({"params": params}, x, t, given)}, (x, t, given)
    if cls == "ControlNetModel":
        net, table, picture = control_of(config), names.CONTROL, given.pop("control")

        def run(params):
            added = net.apply({"params": params}, x, t, given, picture)
            return {f"added{i}": 0.7 * one for i, one in enumerate(added)}

        return net, table, run, (x, t, given, picture)
    net, table, place = conditional_of(config), names.CONDITIONAL, 4
    for name, channels in net.beside:
        given[name], place = x[..., place : place + channels], place + channels
    x = x[..., :4]
    return net, table, lambda params: {"out": net.apply({"params": params}, x, t, given)}, (x, t, given)


def weights(net, table, arguments):
    """Our parameters, of the numbers that belong to their names there."""
    like = jax.eval_shape(lambda key: net.init(key, *arguments), jax.random.key(0))["params"]
    name_of = names.by_table(table)
    squared = names.projections if getattr(net, "middle_depth", 0) else names.squared

    def made(path, leaf):
        ours = path_name(path)
        shape = tensors.their_shapes(ours, leaf.shape)
        shape = shape[-1] if squared(ours) else shape[0]
        return jnp.asarray(tensors.turned(theirs.tensor(name_of(ours), shape), ours).reshape(leaf.shape))

    return jax.tree_util.tree_map_with_path(made, like)


def difference(case, reference, net=None):
    """The largest error of any output, relative to its standard deviation."""
    made, table, run, arguments = ours(case)
    params = weights(made, table, arguments)
    changed = lambda params: {"out": net.apply({"params": params}, *arguments)}
    out = jax.jit(run if net is None else changed)(params)
    errors = {name: np.abs(one - reference[f"{case}/{name}"]).max() for name, one in out.items()}
    return max(errors[name] / reference[f"{case}/{name}"].std() for name in errors)


@pytest.mark.parametrize("case", theirs.CASES)
def test_outputs(reference, case):
    assert difference(case, reference) < TOLERANCE


FAULTS = {
    "windows elsewhere": ("sd1", {"centered": False}),
    "another epsilon": ("sd1", {"epsilon": 1e-6}),
    "sines first": ("sd1", {"cosine_first": False}),
    "other frequencies": ("sd1", {"shift": 1.0}),
    "widths of heads taken for their number": ("sd1", {"heads": (4, 8)}),
    "heads the other way round": ("sdxl", {"heads": (4, 2)}),
    "sizes in other frequencies": ("sdxl", {"shift": 1.0}),
    "windows elsewhere, of DDPM": ("unet2d_ddpm", {"centered": True}),
    "number of heads": ("unet2d", {"head_channels": 0}),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_shows(fault):
    case, change = FAULTS[fault]
    fixtures = dict(np.load(theirs.FIXTURES))
    net = ours(case)[0].clone(**change)
    assert difference(case, fixtures, net) > 10 * TOLERANCE


@pytest.mark.slow
def test_gelu_of_the_gate(monkeypatch):
    """The gate is the second half, and its GELU the exact one."""
    fixtures = dict(np.load(theirs.FIXTURES))
    exact = jax.nn.gelu
    for wrong in (lambda x, approximate: exact(x, approximate=True), lambda x, approximate: x):
        monkeypatch.setattr("flax.linen.gelu", wrong)
        assert difference("sd1", fixtures) > 10 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("case", theirs.CASES)
def test_gradients(case):
    """By every parameter, against torch's; that of a key's bias is 0, and rounding alone."""
    net, table, run, arguments = ours(case)
    params = weights(net, table, arguments)
    there, name_of = theirs.gradients(case), names.by_table(table)
    rounding = 1e-3 * max(np.abs(g).max() for g in there.values())
    got = jax.jit(jax.grad(lambda params: sum((one**2).sum() for one in run(params).values())))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(got):
        want = tensors.turned(there.pop(name_of(path_name(path))), path_name(path)).reshape(leaf.shape)
        assert np.abs(leaf - want).max() < 1e-4 * (np.abs(want).max() + rounding), path_name(path)
    assert not there


@pytest.mark.slow
def test_beside():
    """What is beside the latents is told by name, and has to be."""
    net, table, _, (x, t, given) = ours("inpaint")
    assert list(net.condition_spec(conditional_unet.Spec((8, 8, 4), "images"))) == ["context", "mask", "masked"]
    params = weights(net, table, (x, t, given))
    del given["mask"]
    with pytest.raises(InputError, match="'mask'"):
        net.apply({"params": params}, x, t, given)
