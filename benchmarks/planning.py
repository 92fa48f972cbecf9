"""Plans through a maze: how often and how soon they reach their goals, beside a scripted planner and two baselines.

    python train.py --config=configs/diffuser.py --workdir=runs/maze
    python benchmarks/planning.py --workdir runs/maze --json benchmarks/results/planning_cpu.json

Two times --num pairs of a start and a goal, none of which was in training: new positions in pairs of cells that
training joins, and pairs of cells that no window of it joins. All that is planned are positions; what pushes is in all
cases the same controller, 10 (target - x) - v, but for behavior cloning, an MLP from position, velocity and goal to the
push, which learned from trips of the scripted planner between the same cells. Plans are drawn once, from the start at
rest to the goal, and followed; "best of 32" are the plans of least cost (`jaxdiff.pipelines.plan.cost`); "again" plans
anew every 128 steps of 0.01 seconds from where the mass is, the best of 8. That cost knows the map, and the model does
not. Time is that to the goal, as a multiple of the scripted planner's, on the pairs where both arrive within 400 steps.

With --mujoco the mass moves in gymnasium-robotics' PointMaze, which has to be installed, in place of
`jaxdiff.modalities.trajectories.mazes`.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import surroundings
from PIL import Image

import jaxdiff
from jaxdiff.modalities.trajectories.control import execute, follow, scripted, straight
from jaxdiff.modalities.trajectories.maze import WITHIN, pairs_of, trips_of
from jaxdiff.modalities.trajectories.mazes import find_maze, step
from jaxdiff.modalities.trajectories.show import draw_plans
from jaxdiff.nets import MLP
from jaxdiff.pipelines import plan

LONGEST, EVERY, SAMPLER = 400, 128, "dpmpp_2m"


def problems(maze, n, split, seed):
    """Starts and goals between pairs of cells of a split, at positions that are new."""
    pairs, rng = pairs_of(maze, split, 0), np.random.default_rng([seed, 99])
    chosen = pairs[rng.permutation(len(pairs))[:n] if len(pairs) >= n else rng.integers(0, len(pairs), n)]
    return [maze.center(chosen[:, i]) + rng.uniform(-WITHIN, WITHIN, (n, 2)) for i in (0, 1)]


def in_mujoco(name, n):
    """`(maze, position, velocity, action) -> (position, velocity)` of PointMaze's own model, of n masses."""
    import gymnasium
    import gymnasium_robotics
    import mujoco

    gymnasium.register_envs(gymnasium_robotics)
    model = gymnasium.make(f"PointMaze_{ {'umaze': 'UMaze'}.get(name, name.title()) }-v3").unwrapped.point_env.model
    data = [mujoco.MjData(model) for _ in range(n)]

    def move(maze, position, velocity, action):
        for one, x, v, a in zip(data, position, np.clip(velocity, -5, 5), action, strict=True):
            one.qpos[:], one.qvel[:], one.ctrl[:] = x, v, a
            mujoco.mj_step(model, one)
        return np.array([one.qpos for one in data]), np.array([one.qvel for one in data])

    return move


def cloned(maze, trips, steps, seed):
    """Behavior cloning: a policy that learned the scripted planner's pushes, with its last loss."""
    made = trips_of(maze, trips, LONGEST, "train", 0)
    net, optimizer = MLP(widths=(128, 128, 128), blocks=2, embedding=16, dropout=0.0, dropout_out=0.0), optax.adam(1e-3)
    moving = np.arange(LONGEST) < made.arrival[:, None] + 40
    goals = np.broadcast_to(made.goals[:, None], made.positions.shape)
    x = np.concatenate([made.positions, made.velocities / 3, goals], axis=-1)[moving].astype(np.float32)
    y = made.actions[moving]
    apply = lambda params, x: net.apply({"params": params}, x, jnp.zeros(1))[:, :2]
    params = jax.jit(net.init)(jax.random.key(seed), x[:1], jnp.zeros(1))["params"]

    @jax.jit
    def some(carry, x, y):
        def once(carry, batch):
            params, state = carry
            loss, grads = jax.value_and_grad(lambda p: jnp.mean((apply(p, batch[0]) - batch[1]) ** 2))(params)
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), loss

        return jax.lax.scan(once, carry, (x, y))

    carry, rng, loss = (params, optimizer.init(params)), np.random.default_rng(seed), np.zeros(1)
    for _ in range(steps // 100):
        rows = rng.integers(0, len(x), (100, 256))
        carry, loss = some(carry, x[rows], y[rows])
    run = jax.jit(apply)

    def policy(goal):
        seen = lambda position, velocity: np.float32(np.concatenate([position, velocity / 3, goal], axis=1))
        return lambda i, position, velocity: np.asarray(run(carry[0], seen(position, velocity)))

    return policy, float(loss.mean())


def again(model, goal, stride, seed, steps):
    """A policy that plans anew every so many steps, from where the mass is."""
    current = None

    def policy(i, position, velocity):
        nonlocal current
        if i % EVERY == 0:
            known = {0: position, -1: goal}
            states = plan(
                model, jax.random.key(seed + i), len(goal), known, several=8, sampler=SAMPLER, steps=steps
            ).states[:, 0]
            current = follow(states, stride)
        return current(i % EVERY, position, velocity)

    return policy


def model_maze(model):
    return find_maze(model.spec.details["maze"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--weights", default="")
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--steps", type=int, default=12, help="of the sampler")
    parser.add_argument("--clone-steps", type=int, default=2000)
    parser.add_argument("--clone-trips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mujoco", action="store_true")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model, seed, n = jaxdiff.load(arguments.workdir, arguments.weights), arguments.seed, arguments.num
    maze, stride = model_maze(model), model.spec.details["stride"]
    clone, loss = cloned(maze, arguments.clone_trips, arguments.clone_steps, seed)
    out: dict = {"weights": model.weights, "sampler": SAMPLER, "steps": arguments.steps, "maze": maze.name, "num": n}
    out |= {"seed": seed, "mujoco": arguments.mujoco}
    out |= {"clone": {"trips": arguments.clone_trips, "steps": arguments.clone_steps, "loss": loss}, "rows": []}
    for split, what in (("train", "new positions"), ("test", "pairs never joined")):
        start, goal = problems(maze, n, split, seed)
        move = in_mujoco(maze.name, len(start)) if arguments.mujoco else step
        ride = lambda policy, start=start, goal=goal, move=move: execute(maze, policy, start, goal, LONGEST, move)
        first = ride(scripted(maze, start, goal, seed))
        begin = time.perf_counter()
        how = {"sampler": SAMPLER, "steps": arguments.steps}
        plans = plan(model, jax.random.key(seed), len(start), {0: start, -1: goal}, several=32, **how)
        seconds = time.perf_counter() - begin
        one = plan(model, jax.random.key(seed), len(start), {0: start, -1: goal}, **how).states[:, 0]
        rides = {
            "scripted planner": first,
            "straight line": ride(straight(goal)),
            "behavior cloning": ride(clone(goal)),
            "one plan": ride(follow(one, stride)),
            "best of 32": ride(follow(plans.states[:, 0], stride)),
            "again": ride(again(model, goal, stride, seed, arguments.steps)),
        }
        for name, made in rides.items():
            both = made.success & first.success
            pace = made.arrival[both].sum() / max(first.arrival[both].sum(), 1)
            row = {
                "pairs": what,
                "by": name,
                "n": len(start),
                "success": float(made.success.mean()),
                "time": float(pace),
            }
            out["rows"].append(row)
            print(row, flush=True)
        for name, states in (("one plan", one), ("best of 32", plans.states[:, 0])):
            inside = float(maze.is_free(states).all(1).mean())
            out["rows"].append({"pairs": what, "plans": name, "inside free cells": inside, "seconds": seconds})
            print(out["rows"][-1], flush=True)
        if arguments.picture:
            known = np.zeros((len(start), model.shape[0]), bool)
            known[:, [0, -1]] = True
            picture = draw_plans(model.spec, plans.states[:8], known)
            Image.fromarray(picture).save(arguments.picture.with_stem(f"{arguments.picture.stem}-{split}"))
    if arguments.json:
        arguments.json.write_text(json.dumps(surroundings() | out, indent=2) + "\n")


if __name__ == "__main__":
    main()
