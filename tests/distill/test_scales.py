"""A scale of guidance as an input of the student: told, it changes what the teacher is, and what the student draws."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import distill
from jaxdiff.gaussian import parameterization, schedules
from jaxdiff.losses.times import log_normal
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.chosen import told_scale
from jaxdiff.pipelines.draw import make_draw
from jaxdiff.pipelines.warm_start import check_teacher, warm_start
from jaxdiff.transforms.scale import scaled
from jaxdiff.types import Batch
from tests.helpers.cases import refused
from tests.helpers.configs import SPEC, get_config

FLOW, VELOCITY, TIMES = schedules.flow(), parameterization.velocity(), log_normal(-1.1, 1.5)
LOSSES = {
    "progressive": lambda *core, **more: distill.progressive_loss(*core, total=8, **more),
    "consistency": lambda *core, **more: distill.consistency_distillation(*core, **more),
    "continuous": lambda *core, **more: distill.continuous_distillation(*core, TIMES, warmup=0, **more),
    "dmd": lambda *core, **more: distill.distribution_matching(*core, **more),
}


def network(params, x, t, condition=None, key=None):
    """A network that a class leads, and a scale does not."""
    label = (condition or {}).get("label", jnp.full(x.shape[0], -1))
    return params * x + 0.3 * (label + 1)[:, None] * jnp.cos(x) + t[:, None] * x / 1000


@pytest.mark.system
@pytest.mark.parametrize("name", LOSSES)
def test_told_a_scale_the_teacher_is_guided_by_it(name):
    """As by the loss's own of that scale, value and gradient; at two scales at once the loss is the mean of both."""
    x_0, label = jax.random.normal(jax.random.key(1), (6, 2)), jnp.arange(6) % 3
    params, one = jnp.float32(0.4), jnp.float32(0.7)
    both = {"generator": one, "critic": one} if name == "dmd" else one

    def found(scale, **more):
        loss = LOSSES[name](FLOW, VELOCITY, network, **more)
        told = {} if scale is None else {"guidance": scale[:, None]}
        memory = loss.first({"generator": params, "critic": params} if name == "dmd" else params)
        run = lambda p: loss.loss(p, memory, jax.random.key(0), Batch(x_0, {"label": label, **told}))[0]
        return jnp.stack([*jax.tree.leaves(jax.value_and_grad(run)(both))])

    at = {scale: found(None, guidance=scale) for scale in (1.0, 3.0)}
    assert np.abs(at[1.0] - at[3.0]).max() > 1e-3
    for scale, wanted in at.items():
        np.testing.assert_allclose(found(jnp.full(6, scale)), wanted, rtol=1e-5, atol=1e-6)
    mixed = found(jnp.float32([1, 1, 1, 3, 3, 3]))
    assert np.abs(mixed - at[1.0]).max() > 1e-4
    assert np.abs(mixed - at[3.0]).max() > 1e-4


def test_the_ends_of_the_scales_are_among_them():
    """As 32 bits have them, too: 1.3 there is less than 1.3."""
    for scale in ({}, {"guidance": jnp.float32(1.3)}, {"guidance": jnp.float32(3.7)}):
        told, left = told_scale((1.3, 3.7), None, {"eta": jnp.float32(0), **scale}, 2)
        np.testing.assert_allclose(told, np.full((2, 1), scale.get("guidance", 1.3)))
        assert left.keys() == {"eta"}
    with refused("guidance=3.8"):
        told_scale((1.3, 3.7), None, {"guidance": jnp.float32(3.8)}, 2)


def test_scales_are_even():
    told = scaled(1.0, 4.0)(jax.random.key(0), Batch(jnp.zeros((4000, 1)), {"label": jnp.zeros(4000, int)}))
    scale = np.asarray(told.condition["guidance"])
    assert scale.shape == (4000, 1)
    assert set(told.condition) == {"label", "guidance"}
    np.testing.assert_allclose([scale.min(), scale.mean(), scale.max()], [1, 2.5, 4], atol=0.05)


def a_config(**changes):
    config = copy.deepcopy(get_config("digits", "flow"))
    config["net"].update(channels=16, multipliers=(1,), attention=(), groups=4, num_classes=3)
    config["loss"] = {"name": "consistency_distillation"}
    config["train"].update(init="a run", guidance=(1.0, 4.0), cond_dropout=0.1)
    config["sample"] = {"sampler": {"name": "renoise"}, "steps": 2, "grid": {"name": "angles"}, "clip": float("inf")}
    for name, value in changes.items():
        part, field = name.split("_", 1)
        config[part][field] = value
    return config


@pytest.mark.system
def test_a_student_is_told_the_scale_and_begins_as_its_teacher():
    """One program for all scales; a scale that it has not learned is refused, and so is what takes two calls."""
    key = jax.random.key(0)
    teacher = experiment.build(a_config(train_guidance=(), train_init="a run"), SPEC)
    student = experiment.build(a_config(), SPEC)
    rng = np.random.default_rng(0)
    some = jax.tree.map(lambda p: p + jnp.float32(0.1 * rng.normal(size=p.shape)), teacher.init(key))
    params, _ = warm_start(student.init(key), some)
    begun = dataclasses.replace(student.model, params=params)
    plain = dataclasses.replace(teacher.model, params=some).trajectory(key, 3, 2, 1)[0]
    make_draw.cache_clear()
    np.testing.assert_allclose(begun.trajectory(key, 3, 2, 1, guidance=3.0)[0], plain, atol=1e-5)

    moved = jax.tree.map(lambda p: p + jnp.float32(0.1 * rng.normal(size=p.shape)), params)
    moved = dataclasses.replace(begun, params=moved)
    at = {scale: moved.trajectory(key, 3, 2, 1, guidance=scale) for scale in (1.0, 2.0, 4.0)}
    assert make_draw(moved.bind, moved.path, moved.mesh)._cache_size() == 1
    assert np.abs(at[4.0][0] - at[1.0][0]).max() > 1e-3
    np.testing.assert_array_equal(moved.trajectory(key, 3, 2, 1)[0], at[1.0][0])
    told = {"label": jnp.arange(3), "guidance": jnp.full((3, 1), 4.0)}
    x_0, (x_1, _) = at[4.0]
    once = jax.jit(lambda params, x: student.model.bind(params, told).denoiser(x, jnp.float32(1)))
    np.testing.assert_allclose(x_0, once(moved.params, x_1), atol=1e-4)

    with refused("guidance=4.5.*from 1 to 4"):
        begun.sample(key, 3, guidance=4.5)
    with refused("guidance_rescale.*leave it out"):
        begun.sample(key, 3, guidance=2.0, guidance_rescale=0.5)
    with refused("negative.*leave it out"):
        begun.sample(key, 3, guidance=2.0, negative=1)
    with refused("guidance"):
        begun.sample(key, 3, condition={"guidance": np.ones((3, 1))})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_guidance": (4.0, 1.0)}, "the least and the greatest"),
        ({"train_guidance": (2.0,)}, "the least and the greatest"),
        ({"net_num_classes": 0, "train_cond_dropout": 0.0}, "no condition to follow"),
        ({"loss_guidance": 2.0}, "loss.guidance=1"),
    ],
)
def test_scales_that_fit_nothing_are_refused(changes, said):
    with refused(f"train.guidance.*{said}"):
        experiment.build(a_config(**changes), SPEC)


def test_losses_and_teachers_without_guidance_are_refused():
    config = a_config()
    config["loss"] = {"name": "shortcut"}
    with refused("train.guidance.*progressive"):
        experiment.build(config, SPEC)
    teacher = a_config(train_guidance=(), train_cond_dropout=0.0)
    with refused("never trained without"):
        check_teacher(a_config(), teacher, {}, {})


@pytest.mark.parametrize("scales", [(), (1.0, 4.0)], ids=["by a student of one scale", "by one that is told its own"])
def test_a_teacher_that_is_told_a_scale_is_refused(scales):
    """Without its scale it is another network; guided again, it would draw with the square of the scale."""
    with refused("told the scale of its guidance, from 1 to 4.*distilled from"):
        check_teacher(a_config(train_guidance=scales), a_config(), {}, {})


def test_a_teacher_that_has_learned_jumps_is_refused_unless_its_steps_are_halved_further():
    student, teacher = (a_config(train_guidance=()) for _ in range(2))
    with refused("a teacher: asks for E.*renoise"):
        check_teacher(student, teacher, {}, {})
    steps = {"name": "progressive", "total": 64, "last": 4}
    student["loss"], teacher["loss"] = {"name": "progressive", "total": 4, "last": 1}, steps
    check_teacher(student, teacher, {}, {})
    with refused("a teacher: asks for E.*ddim"):
        check_teacher({**student, "loss": steps}, teacher, {}, {})
