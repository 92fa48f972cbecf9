"""Students as runs: built from a configuration, a step of training, and what draws and what refuses to."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxdiff.cli.setup import prepare
from jaxdiff.config.names import Given
from jaxdiff.configs.distill import METHODS
from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.process import log_snr, time_at
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.anomaly import detect
from jaxdiff.pipelines.autoguide import autoguide
from jaxdiff.pipelines.inpaint import inpaint
from jaxdiff.pipelines.invert import interpolate
from jaxdiff.pipelines.warm_start import check_teacher, for_players, warm_start
from jaxdiff.training.step import init_state, make_train_step
from jaxdiff.types import Batch, Spec
from tests.helpers.cases import refused
from tests.helpers.configs import get_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]

SPEC, KEY = Spec((2,), "tables"), jax.random.key(0)
TIMES = {"name": "log_normal", "mean": -1.1, "std": 2.0}
NONE: dict = {}
UNIFORM, ANGLES = {"name": "uniform"}, {"name": "angles"}
NESTED = {"name": "nested", "total": 8, "only": 4}
STUDENTS = {
    "progressive": ({"total": 8, "last": 4}, "ddim", NESTED, 4),
    "consistency_distillation": ({}, "renoise", ANGLES, 2),
    "consistency_training": ({}, "renoise", ANGLES, 2),
    "easy_consistency": ({"times": TIMES}, "renoise", ANGLES, 2),
    "continuous_distillation": ({"times": TIMES}, "renoise", ANGLES, 1),
    "continuous_training": ({"times": TIMES}, "renoise", ANGLES, 1),
    "mean_flow": ({}, "jump", UNIFORM, 2),
    "shortcut": ({}, "jump", UNIFORM, 2),
    "moment_matching": ({}, "jump", ANGLES, 2),
    "dmd": ({}, "renoise", ANGLES, 1),
    "judged_dmd": ({}, "renoise", ANGLES, 1),
    "ddgan": ({"steps": 2}, "posterior_jumps", {"name": "nested", "total": 2, "only": 2}, 2),
}
FIRST = ["progressive", "mean_flow", "dmd", "ddgan"]
"""Of each kind of student one."""


def a_config(loss="diffusion", arguments=NONE, sampler="ddim", grid=UNIFORM, steps=2):
    config = get_config("breast_cancer", "table")
    config["process"], config["parameterization"] = {"name": "flow"}, {"name": "velocity"}
    config["net"] = {
        "name": "mlp",
        "widths": (8, 8, 8),
        "blocks": 1,
        "embedding": 8,
        "dropout": 0.0,
        "dropout_out": 0.0,
    }
    times = {} if loss != "diffusion" else {"weight": {"name": "simple"}, "times": {"name": "uniform"}}
    config["loss"] = {"name": loss, **times, **arguments}
    config["train"] |= {"batch_size": 8, "init": "" if loss in ("diffusion", "ddgan") else "a run"}
    config["sample"] = {"sampler": {"name": sampler}, "steps": steps, "grid": grid, "clip": float("inf")}
    return config


@functools.cache
def built(name):
    arguments, *drawing = STUDENTS.get(name, ({}, "ddim", UNIFORM, 2))
    return experiment.build(a_config(name, arguments, *drawing), SPEC)


def some(parts, seed=3):
    """Parameters of which none is 0."""
    params = parts.init(KEY)
    noise = jax.tree.map(lambda p: 0.3 * np.random.default_rng(seed).normal(size=p.shape), params)
    return jax.tree.map(lambda p, e: p + jnp.float32(e), params, noise)


def student(name):
    parts = built(name)
    return dataclasses.replace(parts.model, params=some(parts))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FIRST else pytest.mark.statistical) for n in STUDENTS]
)
def test_a_step_of_training_and_a_draw(name):
    """All that is trained moves, no teacher does, and what is drawn is finite, in the steps of its grid."""
    parts = built(name)
    state = init_state(some(parts), parts.optimizer, parts.ema, parts.loss_fn)
    update = jax.jit(make_train_step(parts.loss_fn, parts.optimizer, parts.ema, KEY))
    after, metrics = update(state, Batch(jax.random.normal(KEY, (8, 2))))
    assert int(metrics["skipped"]) == 0
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), state.params, after.params)
    assert all(jax.tree.leaves(moved))
    if parts.teacher:
        same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), state.memory.teacher, after.memory.teacher)
        assert all(jax.tree.leaves(same))
    model = dataclasses.replace(parts.model, params=after.params)
    drawn = model.sample(KEY, 4)
    assert drawn.shape == (4, 2)
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_configuration_is_built_and_draws_as_it_says(method):
    config = ConfigDict(a_config())
    METHODS[method](config, 1000, 1)
    config.train.init = "a run"
    parts = experiment.build(config.to_dict(), SPEC)
    model = dataclasses.replace(parts.model, params=some(parts))
    assert model.sample(KEY, 2).shape == (2, 2)
    if method in ("progressive", "dmd", "judged_dmd"):
        with refused(r"steps=2: this model was distilled for 1 step\(s\)"):
            model.sample(KEY, 2, 2)


@pytest.mark.parametrize("scale", [20.0, 1000.0])
def test_a_clock_too_fast_to_be_differentiated_is_told(scale, caplog):
    for name in ("mean_flow", "consistency_distillation", "continuous_distillation"):
        arguments, *drawing = STUDENTS[name]
        config = a_config(name, arguments, *drawing)
        config["parameterization"]["time_scale"] = scale
        experiment.build(config, SPEC)
    said = [record.getMessage() for record in caplog.records]
    assert [line.split()[1] for line in said] == (["'mean_flow'", "'continuous_distillation'"] if scale > 100 else [])


def test_a_student_begins_as_its_teacher():
    """One that is told a second time, too: its one jump is the teacher's one step of DDIM, whatever s."""
    teacher, parts = student("diffusion"), built("mean_flow")
    params, kept = warm_start(parts.init(KEY), teacher.params)
    begun = dataclasses.replace(parts.model, params=params)
    for steps in (1, 2):
        one = teacher.sample(KEY, 4, steps, "ddim")
        np.testing.assert_allclose(begun.sample(KEY, 4, steps, "jump"), one, rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(begun.sample(KEY, 4, steps, "ddim"), one, rtol=2e-6, atol=1e-6)
    assert "until" in kept
    there = jax.tree.map(lambda p: p + 0.1, params)
    moved = dataclasses.replace(parts.model, params=there)
    assert np.abs(moved.sample(KEY, 4, 2, "jump") - moved.sample(KEY, 4, 2, "ddim")).max() > 1e-4


def test_example_i_is_the_same_in_any_batch():
    for name in ("ddgan", "dmd"):
        model = student(name)
        every = model.sample(KEY, 5)
        np.testing.assert_allclose(model.sample(KEY, 2, first=3), every[3:], atol=1e-6)


def test_along_another_path_a_jump_is_the_same():
    """DDIM's formula does not change with the path: a student of the straight one draws along `vp` as well."""
    model = student("mean_flow")
    vp = schedules.vp()
    there = np.float32([0.95, 0.6, 0.1])
    here = np.asarray(time_at(schedules.flow(), log_snr(vp, jnp.asarray(there))))
    ends = []
    for path, times in ((model.path, here), (vp, there)):
        other = dataclasses.replace(model, path=path, grid=lambda n, times=times: times)
        ends.append(other.trajectory(KEY, 4, 0, 2, "jump")[0])
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-3, atol=1e-3)


def test_what_a_student_does_not_know_is_refused():
    with refused("ddim.*is not for what this model has learned: take renoise"):
        student("consistency_training").sample(KEY, 2, sampler="ddim")
    with refused("renoise.*take a sampler of denoisers"):
        student("diffusion").sample(KEY, 2, sampler="renoise")
    with refused("distilled for 4"):
        student("progressive").sample(KEY, 2, steps=2)
    with refused("distilled for 2"):
        student("ddgan").sample(KEY, 2, steps=1)
    with refused("posterior_jumps"):
        student("ddgan").sample(KEY, 2, sampler="heun")
    with refused("unknown option"):
        student("mean_flow").sample(KEY, 2, cache=2)
    with refused(r"start=0.5: this model was distilled for the times of 4 step\(s\): leave it, or a strength, out"):
        student("progressive").sample(KEY, 2, start=0.5)


@pytest.mark.parametrize("name", ["progressive", "consistency_training"])
def test_what_a_student_has_learned_is_no_posterior_mean(name):
    """Scores, likelihoods and posteriors of formulas that ask for one are refused."""
    model, x = student(name), np.zeros((2, 2, 2, 1), np.float32)
    small = dataclasses.replace(model, spec=image_spec(x.shape[1:]))
    asked = {
        "corrector": lambda: model.sample(KEY, 2, corrector="langevin"),
        "autoguide": lambda: autoguide(dataclasses.replace(student("diffusion"), spec=model.spec), KEY, 2, model),
        "likelihood": model.check_likelihood,
        "inversion": lambda: interpolate(model, x[0], x[1]),
        "method 'denoising_error'": lambda: detect(model, KEY, x),
        "method 'ddrm'": lambda: inpaint(small, KEY, x, x[:, :, :, :1], method="ddrm"),
        "method 'dps'": lambda: inpaint(small, KEY, x, x[:, :, :, :1], method="dps"),
    }
    if name == "progressive":
        asked["eta"] = lambda: model.sample(KEY, 2, eta=0.5)
        asked["guidance"] = lambda: autoguide(model, KEY, 2, student("diffusion"))
    for what, ask in asked.items():
        with refused(f"{what}.*asks for E.x_0 . x_t., and this model has learned jumps"):
            ask()
    student("mean_flow").check_likelihood()  # which has learned both
    assert np.isfinite(student("mean_flow").sample(KEY, 2, steps=3, sampler="heun")).all()


def test_configurations_that_do_not_fit_are_refused():
    config = a_config("progressive", {"total": 8})
    config["train"]["init"] = ""
    with refused("distills a teacher: set train.init"):
        experiment.build(config, SPEC)
    config = a_config("mean_flow", {}, "jump")
    config["net"]["second_time"] = True
    with refused("second_time"):
        experiment.build(config, SPEC)
    for rates in ("critic", "other=2", "critic=fast"):
        config = a_config("dmd", {}, "renoise", ANGLES)
        config["train"]["rates"] = rates
        with refused("train.rates"):
            experiment.build(config, SPEC)


def test_rates_are_factors_on_the_updates():
    parts = {}
    for rates in ("", "critic=4,generator/into=0.5"):
        config = a_config("dmd", {}, "renoise", ANGLES)
        config["train"]["rates"] = rates
        parts[rates] = experiment.build(config, SPEC)
    params = some(parts[""])
    moved = {}
    for rates, made in parts.items():
        updates, _ = made.optimizer.update(jax.tree.map(jnp.ones_like, params), made.optimizer.init(params), params)
        moved[rates] = updates
    ratio = jax.tree.map(lambda a, b: float(jnp.mean(b / a)), *moved.values())
    assert set(np.round(jax.tree.leaves(ratio["critic"]), 4)) == {4.0}
    assert set(np.round(jax.tree.leaves(ratio["generator"]["into"]), 4)) == {0.5}
    assert round(ratio["generator"]["out"]["bias"], 4) == 1


def test_a_teacher_is_what_training_begins_with():
    """In the memory and in the student; and one that does not fit is refused."""
    config = a_config("dmd", {}, "renoise", ANGLES)
    setup = prepare(config)
    spec = setup.record.spec
    parts = experiment.build(a_config(), spec)
    teacher = dataclasses.replace(parts.model, params=some(parts))
    state = setup.begun(setup.first(), Given(teacher))
    for tree in (state.params["generator"], state.params["critic"], state.memory.teacher):
        jax.tree.map(np.testing.assert_array_equal, tree, teacher.params)
    other = dataclasses.replace(teacher, config={**teacher.config, "process": {"name": "vp"}})
    with refused("another process"):
        setup.begun(setup.first(), Given(other))
    with refused("another network"):
        check_teacher(config, None, state.params["critic"], {"other": jnp.ones(1)})
    scaled = dataclasses.replace(teacher, spec=spec._replace(details={**spec.details, "std": [2.0]}))
    with refused(r"the teacher: is of other data \(std\)"):
        setup.begun(setup.first(), Given(scaled))
    guided = {**config, "loss": {**config["loss"], "guidance": 2.0}}
    with refused(r"loss.guidance=2.0: this teacher was never trained without its condition"):
        check_teacher(guided, teacher.config, state.params["critic"], teacher.params)
    assert for_players(teacher.params, state.params) is state.params["generator"]


def test_the_grid_of_even_angles():
    np.testing.assert_allclose(grids.angles(schedules.flow(), 2), [1, 0.5, 0], atol=1e-6)
    sigma = np.asarray(schedules.edm().sigma(jnp.asarray(grids.angles(schedules.edm(), 4))))
    np.testing.assert_allclose(np.diff(np.arctan(sigma)), -np.arctan(80) / 4, rtol=1e-4)
