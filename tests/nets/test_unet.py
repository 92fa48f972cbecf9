import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.nets import UNet
from jaxdiff.nets.layers import sinusoidal
from jaxdiff.types import missing
from tests.helpers.nets import randomized

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = {"channels": 32, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "dropout": 0.0}


def count(net, shape):
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1))
    return sum(p.size for p in jax.tree.leaves(shapes))


@functools.cache
def compiled(net):
    return jax.jit(net.apply)


def run(net, *arguments):
    return compiled(net)(*arguments)


@pytest.fixture
def inputs():
    return jax.random.normal(jax.random.key(2), (2, 8, 8, 3)), jnp.array([3.0, 700.0])


@pytest.mark.system
def test_published_parameter_counts():
    assert count(UNet(), (32, 32, 3)) == 35_746_307
    celeba = UNet(multipliers=(1, 1, 2, 2, 4, 4), dropout=0.0)
    assert count(celeba, (256, 256, 3)) == 113_673_219


@pytest.mark.system
def test_a_fresh_network_predicts_zero(inputs):
    net = UNet(**SMALL)
    np.testing.assert_array_equal(run(net, jax.jit(net.init)(jax.random.key(0), *inputs), *inputs), 0)


def test_the_time_embedding_is_the_papers():
    t, half = np.array([0.0, 5.0, 999.0]), 16
    angles = t[:, None] * np.exp(-np.log(10_000) * np.arange(half) / (half - 1))
    np.testing.assert_allclose(
        sinusoidal(jnp.asarray(t), 32), np.concatenate([np.sin(angles), np.cos(angles)], 1), atol=1e-4
    )


@pytest.mark.system
@pytest.mark.parametrize("shape", [(16, 16, 1), (8, 24, 4)])
def test_any_size_and_channels_that_fit(shape):
    net = UNet(**{**SMALL, "attention": (shape[0] // 2,)})
    x = jax.random.normal(jax.random.key(0), (2, *shape))
    assert run(net, randomized(net, x, jnp.zeros(2)), x, jnp.zeros(2)).shape == x.shape


@pytest.mark.system
def test_examples_do_not_see_each_other(inputs):
    net, (x, t) = UNet(**SMALL), inputs
    params = randomized(net, x, t)
    np.testing.assert_allclose(run(net, params, x, t)[:1], run(net, params, x[:1], t[:1]), atol=1e-5)


@pytest.mark.system
def test_classes_change_the_output_and_none_is_the_unconditional_network(inputs):
    x, t = inputs
    net = UNet(**SMALL, num_classes=10)
    params = randomized(net, x, t, {"label": jnp.array([0, 1])})
    a, b = (run(net, params, x, t, {"label": jnp.array(labels)}) for labels in ([0, 1], [0, 2]))
    np.testing.assert_allclose(a[0], b[0], atol=1e-6)
    assert jnp.abs(a[1] - b[1]).max() > 1e-3
    plain = {"params": {k: v for k, v in params["params"].items() if k != "classes"}}
    np.testing.assert_array_equal(run(net, params, x, t), run(UNet(**SMALL), plain, x, t))


@pytest.mark.system
def test_bfloat16_computes_and_float32_keeps(inputs):
    x, t = inputs
    net, half = UNet(**SMALL), UNet(**SMALL, dtype="bfloat16")
    params = jax.eval_shape(half.init, jax.random.key(0), x, t)
    assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    params = randomized(net, x, t)
    exact, close = run(net, params, x, t), run(half, params, x, t)
    assert close.dtype == jnp.float32
    error = jnp.linalg.norm(close - exact) / jnp.linalg.norm(exact)
    assert 1e-4 < error < 0.03
    assert "bf16" in jax.jit(half.apply).lower(params, x, t).as_text()


@pytest.mark.statistical
def test_remat_changes_what_is_remembered_and_nothing_else(inputs):
    x, t = inputs
    nets = [UNet(**{**SMALL, "multipliers": (1,), "attention": ()}, remat=remat) for remat in ("none", "cheap", "full")]
    params = randomized(nets[0], x, t)
    totals = [lambda p, net=net: jnp.sum(net.apply(p, x, t) ** 2) for net in nets]
    grads = [jax.jit(jax.grad(total))(params) for total in totals]
    for other in grads[1:]:
        chex.assert_trees_all_close(other, grads[0], rtol=1e-4, atol=1e-3)
    # What the way back is given are the leaves of the function that vjp returns.
    remembered = [jax.eval_shape(lambda p, f=f: jax.vjp(f, p)[1], params) for f in totals]
    none, cheap, full = (sum(r.size for r in jax.tree.leaves(way_back)) for way_back in remembered)
    weights = sum(p.size for p in jax.tree.leaves(params))
    assert cheap - weights < 0.9 * (none - weights)
    assert full - weights < 0.9 * (cheap - weights)


@pytest.mark.system
@pytest.mark.parametrize("classes", [pytest.param(0, marks=pytest.mark.slow), 10])
def test_given_what_the_deeper_levels_gave_the_first_level_alone_is_computed(inputs, classes):
    x, t = inputs
    net = UNet(**SMALL, num_classes=classes)
    label = ({"label": jnp.array([3, 4])},) if classes else ()
    params = randomized(net, x, t, *label)
    whole, sown = net.apply(params, x, t, *label, mutable=["intermediates"])
    (deep,) = sown["intermediates"]["deep"]
    again = lambda deep, x: net.apply(params, x, t, *label, deep=deep)
    np.testing.assert_allclose(again(deep, x), whole, rtol=1e-6)
    assert jnp.abs(again(0 * deep, x) - whole).max() > 1e-2
    assert jnp.abs(again(deep, x + 1) - whole).max() > 1e-2
    flops = [
        run.lower(*a).compile().cost_analysis()["flops"]
        for run, a in ((jax.jit(again), (deep, x)), (jax.jit(net.apply), (params, x, t, *label)))
    ]
    assert flops[0] < 0.6 * flops[1]


@pytest.mark.system
def test_dropout_acts_in_training_alone(inputs):
    x, t = inputs
    net = UNet(**{**SMALL, "dropout": 0.5})
    params = randomized(net, x, t)
    a, b = (net.apply(params, x, t, train=True, rngs={"dropout": jax.random.key(k)}) for k in (0, 1))
    assert jnp.abs(a - b).max() > 1e-3
    np.testing.assert_array_equal(run(net, params, x, t), run(UNet(**SMALL), params, x, t))


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({}, (9, 8, 1), "9x8 cannot be halved 1 times.*divisible by 2"),
        ({"channels": 48}, (8, 8, 1), r"not a multiple of groups=32"),
        ({"heads": 3}, (8, 8, 1), r"channels=32 times multipliers \[1, 2\] is not a multiple of heads=3"),
        ({"remat": True}, (8, 8, 1), r"unknown net.remat 'True': allowed are cheap, full, none"),
        ({"attention_kernel": "cudnn"}, (8, 8, 1), r"needs an NVIDIA GPU and net.dtype='bfloat16'"),
        ({"attention": (5,)}, (8, 8, 1), r"attention at \[5\] never happens.*\[8, 4\]"),
    ],
)
def test_images_that_do_not_fit_are_refused(changes, shape, message):
    net = UNet(**{**SMALL, **changes})
    with pytest.raises(InputError, match=message):
        net.init(jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1))


KINDS = {"num_classes": 10, "vectors": {"vector": 5}, "images": {"image": 3}, "sequences": {"sequence": 6}}


def a_condition(n=2):
    keys = jax.random.split(jax.random.key(5), 3)
    shapes = (n, 5), (n, 8, 8, 3), (n, 4, 6)
    arrays = [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]
    return {"label": jnp.arange(n)} | dict(zip(("vector", "image", "sequence"), arrays, strict=True))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_every_kind_of_condition_counts_and_none_zeros_and_minus_one_are_its_absence(inputs):
    x, t = inputs
    net, given = UNet(**SMALL, **KINDS), a_condition()
    params = randomized(net, x, t, given)
    whole, nothing = run(net, params, x, t, given), run(net, params, x, t)
    absent = missing(net.condition_spec(image_spec(x.shape[1:])), 2) | {"sequence": jnp.zeros((2, 4, 6))}
    np.testing.assert_allclose(run(net, params, x, t, absent), nothing, atol=1e-5)
    for part in given:
        without = run(net, params, x, t, {name: value for name, value in given.items() if name != part})
        assert jnp.abs(without - whole).max() > 1e-2, part
        zeros = given | {part: absent[part]}
        np.testing.assert_allclose(run(net, params, x, t, zeros), without, atol=1e-5)
        alone = jax.tree.map(lambda a, b: a.at[1].set(b[1]), given, absent)  # of one example only
    np.testing.assert_allclose(run(net, params, x, t, alone)[0], whole[0], atol=1e-5)
    np.testing.assert_allclose(run(net, params, x, t, alone)[1], nothing[1], atol=1e-5)
    example = missing(net.condition_spec(image_spec(x.shape[1:])), 1)
    fresh = jax.eval_shape(net.init, jax.random.key(0), x[:1], t[:1], example)
    assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, params)


@pytest.mark.system
def test_the_order_of_a_sequence_does_not_matter_and_its_content_does(inputs):
    x, t = inputs
    net, given = UNet(**SMALL, sequences={"sequence": 6}), {"sequence": a_condition()["sequence"]}
    params = randomized(net, x, t, given)
    out = run(net, params, x, t, given)
    reverse = run(net, params, x, t, {"sequence": given["sequence"][:, ::-1]})
    np.testing.assert_allclose(reverse, out, atol=1e-5)
    assert jnp.abs(run(net, params, x, t, {"sequence": 2 * given["sequence"]}) - out).max() > 1e-3


@pytest.mark.system
def test_the_imagenet_network_of_adm_has_its_number_of_parameters():
    """296 million for ImageNet 64x64 with classes (Dhariwal and Nichol 2021, table 4)."""
    net = UNet(
        channels=192,
        multipliers=(1, 2, 3, 4),
        blocks=3,
        attention=(32, 16, 8),
        head_channels=64,
        scale_shift=True,
        resample_blocks=True,
        num_classes=1000,
        outputs=2,
    )
    x = jnp.zeros((1, 64, 64, 3))
    example = missing(net.condition_spec(image_spec(x.shape[1:])), 1)
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(1), example)
    assert sum(p.size for p in jax.tree.leaves(shapes)) == 295_904_454


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label": jnp.array([0, 1])}, "'label' was given to net 'unet', which takes sequence: make it"),
        ({"vector": jnp.zeros((2, 3))}, "'vector' was given to net 'unet', which takes sequence: make it"),
        ({"sequence": jnp.zeros((2, 3, 5))}, "'sequence' of width 5 was given to net 'unet', which takes 6"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(inputs, given, message):
    with pytest.raises(InputError, match=message):
        UNet(**SMALL, sequences={"sequence": 6}).init(jax.random.key(0), *inputs, given)


@pytest.mark.system
def test_patches_are_channels_of_a_smaller_image(inputs):
    x, t = inputs
    net, plain = UNet(**{**SMALL, "patch": 2, "attention": (2,)}), UNet(**{**SMALL, "attention": (2,)})
    corners = [x[:, i::2, j::2] for i in range(2) for j in range(2)]
    small = jnp.concatenate(corners, axis=-1)
    params = randomized(net, x, t)
    out = run(net, params, x, t)
    parts = jnp.split(run(plain, params, small, t), 4, axis=-1)
    for k, (i, j) in enumerate([(i, j) for i in range(2) for j in range(2)]):
        np.testing.assert_array_equal(out[:, i::2, j::2], parts[k])


def test_an_image_that_cannot_be_cut(inputs):
    x, t = inputs
    with pytest.raises(InputError, match="patches of 3x3"):
        UNet(**{**SMALL, "patch": 3}).init(jax.random.key(0), x, t)
