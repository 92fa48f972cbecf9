import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.nets import DiT
from jaxdiff.nets.dit import SIZES, time_features
from jaxdiff.nets.transformer import listed, sincos_positions, stacked
from jaxdiff.types import missing
from tests.helpers.nets import randomized

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]

SMALL = {"depth": 2, "width": 16, "heads": 2}
MODERN = {"norm": "rms", "feed_forward": "swiglu", "rotary": True, "qk_norm": True, "bottleneck": 6}
TEXT = {"vocabulary": 11, "length": 7, "width": 8, "depth": 1, "heads": 2, "start": 1, "end": 2, "pad": 0}
KINDS = {
    "num_classes": 10,
    "vectors": {"vector": 5},
    "images": {"image": 2},
    "sequences": {"sequence": 6},
    "text": TEXT,
}


@functools.cache
def compiled(net):
    return jax.jit(net.apply)


def run(net, *arguments):
    return compiled(net)(*arguments)


def count(net, shape):
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1))
    return sum(p.size for p in jax.tree.leaves(shapes))


@pytest.fixture
def inputs():
    return jax.random.normal(jax.random.key(2), (3, 8, 8, 3)), jnp.array([3.0, 300.0, 700.0])


def a_condition():
    rng = np.random.default_rng(3)
    sequence = rng.normal(size=(3, 4, 6))
    sequence[1, 2:] = 0
    return {
        "label": jnp.array([1, 9, 0]),
        "vector": jnp.asarray(rng.normal(size=(3, 5)), jnp.float32),
        "image": jnp.asarray(rng.normal(size=(3, 8, 8, 2)), jnp.float32),
        "sequence": jnp.asarray(sequence, jnp.float32),
        "text": jnp.array([[1, 5, 6, 7, 2, 0, 0], [1, 4, 2, 0, 0, 0, 0], [1, 10, 9, 8, 7, 6, 2]]),
    }


def test_published_parameter_counts():
    """DiT-XL/2 has 675 million, 256 x 1152 of which are its table of positions, fixed; JiT-B/16 131 million."""
    assert count(DiT(**SIZES["XL"], num_classes=1000, outputs=2), (32, 32, 4)) == 675_129_632 - 256 * 1152
    assert round(count(DiT(**SIZES["B"], num_classes=1000, outputs=2), (32, 32, 4)) / 1e6) == 130
    assert round(count(DiT(num_classes=1000, outputs=2), (32, 32, 4)) / 1e6) == 33
    jit = {"patch": 16, **MODERN, "bottleneck": 128, "class_tokens": 32, "context_from": 4, "num_classes": 1000}
    assert round(count(DiT(**SIZES["B"], **jit), (256, 256, 3)) / 1e6) == 131


@pytest.mark.parametrize("options", [{}, MODERN, {"scan": True, **MODERN}, {"joins": "context", **KINDS}])
def test_a_fresh_network_predicts_zero(inputs, options):
    net = DiT(**SMALL, **options)
    np.testing.assert_array_equal(run(net, net.init(jax.random.key(0), *inputs), *inputs), 0)


def by_hand(p, net, x, t, label):
    """The paper's network (and its successors' blocks), in NumPy and float64."""
    width, heads, patch = net.width, net.heads, net.patch
    n, rows, columns = len(x), x.shape[1] // patch, x.shape[2] // patch
    dense = lambda q, h: h @ q["kernel"] + q.get("bias", 0)
    silu = lambda h: h / (1 + np.exp(-h))
    gelu = lambda h: 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    rms = lambda h, scale: h / np.sqrt((h**2).mean(-1, keepdims=True) + 1e-6) * scale

    def norm(q, name, h):
        if net.norm == "rms":
            return rms(h, q[name]["scale"])
        return (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)

    angles = t[:, None] * 10_000.0 ** (-np.arange(128) / (128 - net.shift))
    c = dense(p["time2"], silu(dense(p["time1"], np.concatenate([np.cos(angles), np.sin(angles)], 1))))
    c = c + p["classes"]["embedding"][np.where(label < 0, net.num_classes, label)]
    squares = [
        x[:, patch * i : patch * (i + 1), patch * j : patch * (j + 1)].reshape(n, -1)
        for i in range(rows)
        for j in range(columns)
    ]
    h = np.stack(squares, 1)
    h = h @ p["bottleneck"]["kernel"] if net.bottleneck else h
    place = np.array([(i, j) for i in range(rows) for j in range(columns)], float)
    h = dense(p["patches"], h) + sincos_positions(place[:, 0], place[:, 1], width)
    pairs = width // heads // 4
    turn = np.exp(1j * np.concatenate([np.outer(a, 10_000.0 ** (-np.arange(pairs) / pairs)) for a in place.T], 1))

    def attention(q, h):
        def part(name):
            a = dense(q[name], h).reshape(n, -1, heads, width // heads)
            if name == "value":
                return a
            a = rms(a, q[f"{name}_norm"]["scale"]) if net.qk_norm else a
            if net.rotary:
                z = (a[..., 0::2] + 1j * a[..., 1::2]) * turn[None, :, None]
                a = np.stack([z.real, z.imag], -1).reshape(a.shape)
            return a

        logits = np.einsum("bqhc,bkhc->bhqk", part("query"), part("key")) / np.sqrt(width // heads)
        e = np.exp(logits - logits.max(-1, keepdims=True))
        out = np.einsum("bhqk,bkhc->bqhc", e / e.sum(-1, keepdims=True), part("value"))
        return dense(q["out"], out.reshape(n, -1, width))

    def forward(q, h):
        if net.feed_forward == "swiglu":
            return dense(q["down"], silu(dense(q["gate"], h)) * dense(q["up"], h))
        return dense(q["down"], gelu(dense(q["up"], h)))

    for i in range(net.depth):
        q = p[f"block{i}"]
        m = np.split(dense(q["modulation"], silu(c))[:, None], 6, -1)
        h = h + m[2] * attention(q["attention"], norm(q, "norm1", h) * (1 + m[1]) + m[0])
        h = h + m[5] * forward(q["feed_forward"], norm(q, "norm2", h) * (1 + m[4]) + m[3])
    shift, scale = np.split(dense(p["modulation"], silu(c))[:, None], 2, -1)
    out = dense(p["out"], norm(p, "norm_out", h) * (1 + scale) + shift)
    image = np.zeros((n, *x.shape[1:3], net.outputs * x.shape[-1]))
    for k, (i, j) in enumerate(place.astype(int)):
        square = out[:, k].reshape(n, patch, patch, -1)
        image[:, patch * i : patch * (i + 1), patch * j : patch * (j + 1)] = square
    return image


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"outputs": 2, "num_classes": 10}, (8, 8, 3)),
        ({"shift": 1, "patch": 4, "num_classes": 10}, (8, 12, 1)),
        ({**MODERN, "num_classes": 10}, (4, 8, 3)),
    ],
    ids=["dit", "shift", "modern"],
)
def test_the_network_computed_by_hand(options, shape):
    net, rng = DiT(**SMALL, **options), np.random.default_rng(0)
    x, t, label = rng.normal(size=(3, *shape)).astype("f"), np.array([3.0, 40.0, 120.0], "f"), np.array([0, 9, -1])
    params = randomized(net, x, t)
    expected = by_hand(jax.tree.map(np.float64, params["params"]), net, x, t, label)
    np.testing.assert_allclose(run(net, params, x, t, {"label": jnp.asarray(label)}), expected, atol=2e-4)


def test_positions_are_scaled_to_the_grid_of_training(inputs):
    x, t = inputs
    plain, scaled = DiT(**SMALL, num_classes=1), DiT(**SMALL, num_classes=1, base=4)
    params = randomized(plain, x, t)
    np.testing.assert_allclose(run(plain, params, x, t), run(scaled, params, x, t), atol=1e-5)
    large = jnp.concatenate([x, x], axis=1)
    assert jnp.abs(run(plain, params, large, t) - run(scaled, params, large, t)).max() > 1e-3


@pytest.mark.parametrize("joins", ["cross", "context"])
def test_every_condition_counts_and_what_is_missing_is_as_if_nothing_were_known(inputs, joins):
    net, given = DiT(**SMALL, **KINDS, joins=joins, class_tokens=2, context_from=1), a_condition()
    params = randomized(net, *inputs, given)
    told = run(net, params, *inputs, given)
    specs = net.condition_spec(image_spec((8, 8, 3)))
    assert specs.keys() == given.keys()
    none = missing(specs, 3)
    for name in given:
        without = run(net, params, *inputs, {**given, name: none[name]})
        assert jnp.abs(told - without).reshape(3, -1).max(1).min() > 1e-3, name
        left_out = run(net, params, *inputs, {k: v for k, v in given.items() if k != name})
        np.testing.assert_allclose(without, left_out, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(run(net, params, *inputs, none), run(net, params, *inputs), atol=1e-5)


@pytest.mark.parametrize("joins", ["cross", "context"])
def test_padding_of_any_length_changes_nothing(inputs, joins):
    """To 1e-6 of the output's size."""
    net, given = DiT(**SMALL, sequences={"sequence": 6}, text=TEXT, joins=joins, **MODERN), a_condition()
    given = {name: given[name] for name in ("sequence", "text")}
    params = randomized(net, *inputs, given)
    told = run(net, params, *inputs, given)
    longer = {**given, "sequence": jnp.pad(given["sequence"], ((0, 0), (0, 9), (0, 0)))}
    np.testing.assert_allclose(run(net, params, *inputs, longer), told, atol=1e-6 * float(jnp.abs(told).max()) + 1e-6)
    other = given["text"].at[0, 5:].set(9)
    ended = run(net, params, *inputs, {**given, "text": other})
    np.testing.assert_allclose(ended, told, atol=1e-6 * float(jnp.abs(told).max()) + 1e-6)


@pytest.mark.parametrize("options", [{}, {"class_tokens": 2, "num_classes": 3, "context_from": 1}])
def test_a_scan_over_stacked_blocks_is_the_same_network(inputs, options):
    plain = DiT(**{**SMALL, "depth": 3}, **MODERN, **options)
    params = randomized(plain, *inputs)["params"]
    several = stacked(stacked(params, 1), 0, 1) if options else stacked(params)
    for remat in ("none", "full"):
        scanned = plain.clone(scan=True, remat=remat)
        shapes = jax.eval_shape(scanned.init, jax.random.key(0), *inputs)["params"]
        assert jax.tree.map(jnp.shape, several) == jax.tree.map(jnp.shape, shapes)
        out = run(scanned, {"params": several}, *inputs)
        np.testing.assert_allclose(out, run(plain, {"params": params}, *inputs), atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, listed(several), params)


def test_remat_changes_no_gradient(inputs):
    grads = []
    for remat in ("none", "cheap", "full"):
        net = DiT(**{**SMALL, "depth": 1}, remat=remat)
        params = randomized(net, *inputs)
        grads.append(jax.grad(lambda p, net=net: jnp.sum(net.apply(p, *inputs) ** 2))(params))
    for other in grads[1:]:
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3), grads[0], other)


def test_dropout_acts_in_training_alone(inputs):
    quiet, net = DiT(**SMALL), DiT(**SMALL, dropout=0.5)
    params = randomized(net, *inputs)
    a, b = (net.apply(params, *inputs, train=True, rngs={"dropout": jax.random.key(k)}) for k in (0, 1))
    assert jnp.abs(a - b).max() > 1e-3
    np.testing.assert_array_equal(run(net, params, *inputs), run(quiet, params, *inputs))


def test_half_precision_is_near(inputs):
    net, given = DiT(**SMALL, **KINDS, **MODERN), a_condition()
    params = randomized(net, *inputs, given)
    full = net.apply(params, *inputs, given)
    half = net.clone(dtype="bfloat16").apply(params, *inputs, given)
    assert half.dtype == jnp.float32
    assert jnp.linalg.norm(half - full) / jnp.linalg.norm(full) < 0.03


def test_the_frequencies_of_time():
    t = jnp.array([0.0, 1.0, 999.0])
    for shift in (0, 1):
        features = time_features(t, shift)
        np.testing.assert_allclose(features[0], [1] * 128 + [0] * 128, atol=1e-6)
        np.testing.assert_allclose(features[1, [127, 255]], [1, 10_000 ** (-127 / (128 - shift))], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "shape", "given", "message"),
    [
        ({"patch": 3}, (8, 8, 3), None, "an image of 8x8 cannot be cut into patches of 3x3: choose a net.patch"),
        ({"heads": 3}, (8, 8, 3), None, "net.width=16 is not a multiple of net.heads=3"),
        ({"width": 12, "rotary": True}, (8, 8, 3), None, "net.rotary=True: the 6 channels of a head"),
        ({"norm": "rsm"}, (8, 8, 3), None, r"unknown net.norm 'rsm' \(did you mean 'rms'"),
        ({"joins": "corss"}, (8, 8, 3), None, r"unknown net.joins 'corss' \(did you mean 'cross'"),
        ({"context_from": 2}, (8, 8, 3), None, "net.context_from=2: must be from 0 to 1"),
        ({"context_from": 1}, (8, 8, 3), None, "net.context_from=1: nothing is told by tokens"),
        ({"class_tokens": 2}, (8, 8, 3), None, "net.class_tokens=2: there are no classes"),
        ({}, (8, 8, 3), {"label": jnp.zeros(2, int)}, "the condition 'label' was given to net 'dit', which takes none"),
        (
            {"vectors": {"v": 3}},
            (8, 8, 3),
            {"v": jnp.zeros((2, 4))},
            "'v' of width 4 was given to net 'dit'",
        ),
        ({"text": {**TEXT, "heads": 3}}, (8, 8, 3), None, "net.text.width=8 is not a multiple of net.text.heads=3"),
        ({"text": {**TEXT, "activation": "gelo"}}, (8, 8, 3), None, "unknown net.text.activation 'gelo'"),
        ({"text": TEXT}, (8, 8, 3), {"text": jnp.zeros((2, 9), int)}, "a caption of 9 ids was given to a network"),
    ],
)
def test_what_does_not_fit_is_refused(changes, shape, given, message):
    with pytest.raises(InputError, match=message):
        DiT(**{**SMALL, **changes}).init(jax.random.key(0), jnp.zeros((2, *shape)), jnp.zeros(2), given)
