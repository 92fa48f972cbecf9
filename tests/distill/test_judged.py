"""Distribution matching with a judge: each player has the gradient of its own loss alone, by its weight and sign."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import distill
from jaxdiff.gaussian import parameterization, schedules
from jaxdiff.pipelines.warm_start import for_players
from jaxdiff.types import Batch

FLOW, VELOCITY = schedules.flow(), parameterization.velocity()


def network(params, x, t, condition=None, key=None):
    """Velocities with a slope and a shift; as a generator it draws (1 - slope) noise - shift."""
    return params["slope"] * x + params["shift"]


def one(slope, shift):
    return {"slope": jnp.float32(slope), "shift": jnp.float32(shift)}


PLAYERS = {"generator": one(0.1, 0.2), "critic": {"score": one(0.3, -0.1), "judge": one(0.5, 0.0)}}


def found(loss, params, n=2000, seed=0):
    memory = loss.first(PLAYERS)
    batch = Batch(jax.random.normal(jax.random.key(7), (n, 2)))
    run = lambda p: loss.loss(p, memory, jax.random.key(seed), batch)[0]
    return jax.value_and_grad(run)(params)


@pytest.mark.system
def test_each_player_has_the_gradient_of_its_own_loss():
    judged = lambda weight: distill.judged_matching(FLOW, VELOCITY, network, adversary=weight)
    plain = distill.distribution_matching(FLOW, VELOCITY, network)
    _, alone = found(plain, {"generator": PLAYERS["generator"], "critic": PLAYERS["critic"]["score"]})
    at = {weight: found(judged(weight), PLAYERS)[1] for weight in (0.0, 1.0, 3.0)}
    same = lambda a, b: jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), a, b)
    same(at[0.0]["generator"], alone["generator"])
    for weight in at:
        same(at[weight]["critic"]["score"], alone["critic"])
        same(at[weight]["critic"]["judge"], at[0.0]["critic"]["judge"])
    of_judge = jax.tree.map(lambda a, b: a - b, at[1.0]["generator"], at[0.0]["generator"])
    same(jax.tree.map(lambda a, b: (a - b) / 3, at[3.0]["generator"], at[0.0]["generator"]), of_judge)
    # The judge takes what is larger for real, so that the shift, which draws are lowered by, is to fall.
    assert of_judge["shift"] > 0.05


@pytest.mark.system
def test_a_judge_of_two_equal_laws_has_nothing_to_learn():
    """Draws are N(0, 1), as the data is: without a logit, log 2 a side, and no slope; of shifted draws there is one."""
    loss = distill.judged_matching(FLOW, VELOCITY, network, adversary=0.0)
    params = {"generator": one(0.0, 0.0), "critic": {"score": one(0.0, 0.0), "judge": one(0.0, 0.0)}}
    n, bound = 40_000, 4 / 200
    memory = loss.first(params)
    batch = Batch(jax.random.normal(jax.random.key(7), (n, 2)))
    run = jax.jit(jax.grad(lambda p: loss.loss(p, memory, jax.random.key(0), batch)[0]))
    _, (metrics, _) = loss.loss(params, memory, jax.random.key(0), batch)
    np.testing.assert_allclose(metrics["judge"], 2 * np.log(2), rtol=1e-6)
    slope = run(params)["critic"]["judge"]
    assert abs(slope["slope"]) < bound
    assert abs(slope["shift"]) < 1e-6
    shifted = run({**params, "generator": one(0.0, 0.5)})["critic"]["judge"]
    assert shifted["slope"] < -2 * bound


def test_all_three_networks_begin_as_the_teacher():
    teacher = one(1.0, 2.0)
    assert for_players(PLAYERS, teacher) == {"generator": teacher, "critic": {"score": teacher, "judge": teacher}}
    two = {"generator": teacher, "critic": teacher}
    assert for_players({"generator": one(0, 0), "critic": one(0, 0)}, teacher) == two
