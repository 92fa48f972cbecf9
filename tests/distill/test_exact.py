"""At the exact flow map no loss has a gradient, and off it all are larger.

The data is one point, of which pairs of data and noise lie on the flow itself, so that this holds for every draw and
not in the mean alone; and a Gaussian where a teacher, or many draws, say where the flow leads.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import distill
from jaxdiff.config.parts import LOSS
from jaxdiff.distill.common import make_teacher
from jaxdiff.distill.progressive import stage_of
from jaxdiff.errors import InputError
from jaxdiff.gaussian import flow_map as maps
from jaxdiff.gaussian import parameterization, schedules
from jaxdiff.gaussian.grids import nested
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.losses.times import log_normal
from jaxdiff.types import Batch, ConditionSpec, StatefulLoss, class_label
from tests.helpers.cases import refused
from tests.helpers.students import exact_network

FLOW, VELOCITY = schedules.flow(), parameterization.velocity()
POINT = 0.3
TIMES = log_normal(-1.1, 1.5)
LOSSES = {
    "consistency_training": lambda *core: distill.consistency_training(*core),
    "consistency_distillation": lambda *core: distill.consistency_distillation(*core),
    "easy_consistency": lambda *core: distill.easy_consistency(*core, TIMES),
    "continuous_training": lambda *core: distill.continuous_training(*core, TIMES, warmup=0),
    "continuous_distillation": lambda *core: distill.continuous_distillation(*core, TIMES, warmup=0),
    "mean_flow": lambda *core: distill.mean_flow_loss(*core),
    "shortcut": lambda *core: distill.shortcut_loss(*core),
    "moment_matching": lambda *core: distill.moment_matching_loss(*core),
    "progressive": lambda *core: distill.progressive_loss(*core, total=8),
}


def value_and_slope(loss, x_0, params=0.0, teacher=0.0):
    batch, teacher = Batch(x_0), jnp.asarray(teacher)

    @jax.jit
    def run(params):
        if isinstance(loss, StatefulLoss):
            return loss.loss(params, loss.first(teacher), jax.random.key(0), batch)[0]
        return loss(params, jax.random.key(0), batch)[0]

    return jax.value_and_grad(run)(jnp.asarray(params))


@pytest.mark.system
@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_at_the_exact_map(name, float64):
    """And more loss to both sides of it, with a slope that leads back."""
    network = exact_network(FLOW, VELOCITY, lambda x, t, s: jnp.full_like(x, POINT))
    loss, x_0 = LOSSES[name](FLOW, VELOCITY, network), jnp.full((32, 2), POINT)
    value, slope = value_and_slope(loss, x_0)
    assert abs(value) < 1e-10
    assert abs(slope) < 1e-7
    for off in (0.1, -0.1):
        value, slope = value_and_slope(loss, x_0, off)
        assert value > 1e-4
        assert slope * off > 1e-4


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_no_tangent_at_the_exact_map_on_a_circle(float64):
    """With v on a path of constant variance all four terms of the tangent count; on the straight path A' is 0."""
    process, v = schedules.cosine(), parameterization.v()
    network = exact_network(process, v, lambda x, t, s: jnp.full_like(x, POINT))
    loss = distill.continuous_training(process, v, network, TIMES, warmup=0)
    values = [value_and_slope(loss, jnp.full((32, 2), POINT), off)[0] for off in (0.0, 0.1)]
    assert values[0] < 1e-10
    assert values[1] > 1e-4


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize("name", ["consistency_distillation", "continuous_distillation"])
def test_with_an_exact_teacher_of_a_mixture(name, float64):
    """The teacher is the denoiser of a mixture, the student its consistency function; `params` of 1 are the teacher."""
    mixture = np.array([0.3, 0.7]), np.array([-1.0, 0.6]), np.array([0.3, 0.4])
    exact = maps.mixture_map(FLOW, *mixture)
    student = exact_network(FLOW, VELOCITY, exact)
    denoiser = gaussian_mixture(FLOW, mixture[0], mixture[1][:, None], mixture[2][:, None])
    teacher = exact_network(FLOW, VELOCITY, lambda x, t, s: denoiser(x, t))

    def network(params, x, t, condition=None, key=None):
        return jnp.where(params == 1, teacher(0.0, x, t), student(params, x, t))

    make = {
        "consistency_distillation": lambda *core: distill.consistency_distillation(*core, steps=1600, half_life=0),
        "continuous_distillation": lambda *core: distill.continuous_distillation(*core, TIMES, warmup=0),
    }[name]
    loss, x_0 = make(FLOW, VELOCITY, network), jax.random.normal(jax.random.key(1), (256, 1))
    (value, slope), (off, steep) = (value_and_slope(loss, x_0, p, 1.0) for p in (0.0, 0.1))
    assert value < 0.02 * off
    assert abs(slope) < 0.02 * abs(steep)


@pytest.mark.system
@pytest.mark.parametrize("name", ["mean_flow", "continuous_training"])
def test_no_gradient_in_the_mean_over_a_gaussian(name, float64):
    """Each pair of data and noise leads elsewhere than the flow, and all together lead along it."""
    mean, std, n = 0.3, 0.6, 200_000
    exact = maps.gaussian_map(FLOW, mean, std)
    u = maps.mean_velocity(exact)
    still = lambda x, t: x - t[:, None] * _velocity(x, t, mean, std)
    far = lambda x, t, s: jnp.where(
        (t - s > 1e-6)[:, None], x - t[:, None] * u(x, t, jnp.minimum(s, t - 1e-6)), still(x, t)
    )
    network = exact_network(FLOW, VELOCITY, far if name == "mean_flow" else exact)
    make = {
        "mean_flow": lambda *core: distill.mean_flow_loss(*core, power=0, equal=0.5),
        "continuous_training": lambda *core: distill.continuous_training(*core, TIMES, warmup=0, normalize=False),
    }[name]
    x_0 = mean + std * jax.random.normal(jax.random.key(1), (n, 1))
    (_, slope), (_, off) = (value_and_slope(make(FLOW, VELOCITY, network), x_0, p) for p in (0.0, 0.3))
    assert abs(slope) < 0.06 * abs(off)


def _velocity(z, t, m, s):
    t = t[:, None]
    variance = (1 - t) ** 2 * s**2 + t**2
    return -m + (t - (1 - t) * s**2) / variance * (z - (1 - t) * m)


@pytest.mark.system
def test_the_optimum_of_progressive_distillation_is_two_steps_of_its_teacher(float64):
    """On a Gaussian each DDIM step is a factor on x - mean, so the student's is the product of two."""
    std, total = 0.5, 8
    denoiser = gaussian_mixture(FLOW, np.ones(1), np.zeros((1, 1)), np.full((1, 1), std))
    times = jnp.asarray(nested(FLOW, total, total), jnp.float64)
    step = maps.ddim_map(FLOW, maps.one_time(denoiser))

    def student(x, t, s):
        """Two steps of the teacher, by the index of t on its grid."""
        i = jnp.argmin(jnp.abs(times[:, None] - t), axis=0)
        m, s = times[jnp.minimum(i + 1, total)], times[jnp.minimum(i + 2, total)]
        there = step(step(x, t, m), m, s)
        return maps.endpoint_of(FLOW, x, there, t, s)

    teacher = exact_network(FLOW, VELOCITY, lambda x, t, s: denoiser(x, t))
    by_student = exact_network(FLOW, VELOCITY, student)
    network = lambda params, x, t, *rest: jnp.where(params == 1, teacher(0.0, x, t), by_student(params, x, t))
    loss, x_0 = distill.progressive_loss(FLOW, VELOCITY, network, total), jax.random.normal(jax.random.key(1), (64, 1))
    value, slope = value_and_slope(loss, x_0, 0.0, 1.0)
    assert value < 1e-9
    assert abs(slope) < 1e-5
    assert value_and_slope(loss, x_0, 0.1, 1.0)[0] > 1e-4


@pytest.mark.system
def test_progressive_grids_nest_bit_for_bit():
    for process in (FLOW, schedules.edm(), schedules.vp(), schedules.cosine()):
        grid = nested(process, 1024)
        assert grid[0] == 1
        assert grid[-1] == 0
        assert np.all(np.diff(grid) < 0)
        for steps in (512, 64, 8, 4, 2, 1):
            np.testing.assert_array_equal(nested(process, steps), grid[:: 1024 // steps])
    angle = np.arctan2(*(np.asarray(c(jnp.asarray(nested(FLOW, 64, 64)))) for c in (FLOW.sigma, FLOW.alpha)))
    np.testing.assert_allclose(np.diff(angle), -np.pi / 128, atol=1e-6)


@pytest.mark.slow
def test_the_teacher_changes_when_a_stage_begins():
    """The average becomes the teacher at the first step of a stage, and at no other; stages end with the last."""
    network = exact_network(FLOW, VELOCITY, lambda x, t, s: jnp.full_like(x, POINT))
    loss = distill.progressive_loss(FLOW, VELOCITY, network, total=8, last=2, stage=64)
    memory, batch = loss.first(jnp.float32(0)), Batch(jnp.full((32, 1), POINT))
    seen = []
    for i in range(7):
        _, (metrics, memory) = loss.loss(jnp.float32(i + 1), memory, jax.random.key(i), batch)
        seen.append((float(metrics["steps"]), float(memory.teacher)))
    assert [steps for steps, _ in seen] == [4, 4, 2, 2, 2, 2, 2]
    assert [teacher > 0 for _, teacher in seen] == [False] * 2 + [True] * 5
    assert len({teacher for _, teacher in seen}) == 2
    assert int(stage_of(jnp.int32(10**6), 64, 2)) == 1


@pytest.mark.system
def test_a_generator_is_pulled_from_its_own_score_to_the_teachers():
    """Of laws that are points p, the denoiser is p: the pull is one unit from the generator's to the teacher's."""
    network = lambda params, x, t, *rest: exact_network(FLOW, VELOCITY, lambda x, t, s: params + 0 * x)(0.0, x, t)
    loss = distill.distribution_matching(FLOW, VELOCITY, network)
    memory = loss.first({"generator": jnp.float32(0.2), "critic": jnp.float32(0.2)})

    def slopes(generator, critic):
        params = {"generator": jnp.float32(generator), "critic": jnp.float32(critic)}
        run = jax.jit(jax.grad(lambda p: loss.loss(p, memory, jax.random.key(0), Batch(jnp.ones((16, 2))))[0]))
        return jax.tree.map(float, run(params))

    assert abs(slopes(0.2, 0.2)["generator"]) < 1e-6
    np.testing.assert_allclose([slopes(p, p)["generator"] for p in (0.7, -0.3)], [1, -1], rtol=1e-3)
    assert slopes(0.7, 0.9)["critic"] > max(1e-2, 50 * abs(slopes(0.7, 0.7)["critic"]))


@pytest.mark.slow
def test_a_critic_that_tells_nothing_teaches_nothing():
    """And one that prefers larger x has the generator's grow; the critic's own slope is the difference of the means."""
    process = schedules.vp()

    def network(params, x, t, *rest):
        return params * jnp.ones_like(x)

    loss = distill.adversarial_loss(process, parameterization.x0(), network, steps=1)

    def of_generator(critic):
        run = lambda p: loss({"generator": p, "critic": critic}, jax.random.key(0), Batch(jnp.ones((16, 1))))[0]
        return float(jax.grad(run)(jnp.float32(0.5)))

    assert of_generator(jnp.float32(3.0)) == 0

    def leaning(params, x, t, *rest):
        return params * (x if x.shape[-1] == 2 and jnp.ndim(params) == 1 else jnp.ones_like(x))

    loss = distill.adversarial_loss(process, parameterization.x0(), leaning, steps=1)
    assert of_generator(jnp.ones(1)) < -0.1


@pytest.mark.system
def test_both_sides_of_a_pair_drop_the_same():
    """Dropout of a half, and r = t: no distance."""

    def network(params, x, t, condition=None, key=None):
        return params * x * jax.random.bernoulli(key, 0.5, x.shape)

    from jaxdiff.distill.consistency import consistency_loss

    def pairs(memory, key, batch):
        t = jnp.full(batch.x_0.shape[:1], 0.5)
        return batch.x_0, t, batch.x_0, t, 1.0

    loss = consistency_loss(FLOW, VELOCITY, network, pairs, 1e-3)
    value, _ = loss.loss(jnp.float32(1), loss.first(jnp.float32(1)), jax.random.key(0), Batch(jnp.ones((64, 8))))
    assert value == 0


def test_guidance_leads_away_from_the_class_alone():
    """How an example was augmented is told on both sides: it is so in x_t, and no guidance makes it more so."""

    def network(params, x, t, condition=None, key=None):
        told = condition or {}
        return jnp.zeros_like(x) + 2 * ("label" in told) + (told["augment"][:, :1] if "augment" in told else 0)

    told = {"label": jnp.zeros(4, jnp.int32), "augment": jnp.arange(36.0).reshape(4, 9)}
    teacher = make_teacher(FLOW, parameterization.x0(), network, 0.0, told, 3.0)
    np.testing.assert_allclose(teacher(jnp.zeros((4, 2)), jnp.float32(0.5))[:, 0], 3 * 2 + np.arange(4) * 9)
    # Away from the class alone, the target of MeanFlow is what the network says without it: here, 2 less.
    loss = distill.mean_flow_loss(FLOW, VELOCITY, network, power=0, omega=0.0, kappa=0.0)
    _, metrics = loss(0.0, jax.random.key(0), Batch(jnp.zeros((4, 2)), told))
    np.testing.assert_allclose(metrics["mse"], 4, rtol=1e-6)


def test_guidance_leads_away_from_no_picture_that_is_followed():
    """A network that is always told a picture is told it on both sides, as where guidance draws."""

    def network(params, x, t, condition=None, key=None):
        told = condition or {}
        return jnp.zeros_like(x) + 2 * ("label" in told) + (told["control"][:, :1] if "control" in told else 0)

    told = {"label": jnp.zeros(4, jnp.int32), "control": jnp.ones((4, 2))}
    known = {"label": class_label(3), "control": ConditionSpec((2,), missing=None)}
    teacher = make_teacher(FLOW, parameterization.x0(), network, 0.0, told, 3.0, known)
    np.testing.assert_allclose(teacher(jnp.zeros((4, 2)), jnp.float32(0.5)), 3 * 2 + 1)  # and 3 * (2 + 1) without
    for name in ("progressive", "consistency_distillation", "continuous_distillation", "dmd", "mean_flow"):
        assert "conditions" in inspect.signature(LOSS.find({"name": name})).parameters


def test_the_share_of_long_steps_is_that_in_parts_of_any_size():
    """Of one example, too, as a step that accumulates gradients may take them: the others are flow matching."""
    network = lambda params, x, t, condition, key=None: jnp.zeros_like(x) + condition["until"][:, None]
    loss = distill.shortcut_loss(FLOW, VELOCITY, network, share=0.25)
    one = lambda key: loss.loss(0.0, loss.first(0.0), key, Batch(jnp.zeros((1, 1))))[1][0]["far"] > 0
    assert 0.2 < jax.vmap(one)(jax.random.split(jax.random.key(0), 2000)).mean() < 0.3


def test_students_that_cannot_begin_are_refused():
    net = lambda params, x, t, *rest: x
    for wrong in (parameterization.eps(), parameterization.score()):
        with refused("eps or the score"):
            distill.progressive_loss(FLOW, wrong, net)
    with refused("x0 is not"):
        distill.consistency_training(FLOW, parameterization.x0(), net)
    with refused("halved"):
        distill.progressive_loss(FLOW, VELOCITY, net, total=12, last=5)
    with refused("fewer steps"):
        distill.progressive_loss(FLOW, VELOCITY, net, total=8, last=8)
    for straight in (distill.mean_flow_loss, distill.shortcut_loss):
        with refused("straight path"):
            straight(schedules.vp(), parameterization.v(), net)
    with refused("must divide"):
        loss = distill.moment_matching_loss(FLOW, VELOCITY, net, particles=3)
        loss.loss(0.0, loss.first(0.0), jax.random.key(0), Batch(jnp.ones((4, 1))))
    with refused("distilled for 2"):
        nested(FLOW, 4, 8, only=2)
    assert issubclass(InputError, ValueError)
