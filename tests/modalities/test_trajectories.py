"""Trajectories: sources, what is refused, mazes and their dynamics, and what is shown."""

import numpy as np
import pytest

from jaxdiff.cli import data
from jaxdiff.data.source import fingerprint
from jaxdiff.errors import InputError
from jaxdiff.modalities import check, make_codec
from jaxdiff.modalities.trajectories import maze, maze_policy, show, tracks
from jaxdiff.modalities.trajectories.control import execute, follow, scripted, straight
from jaxdiff.modalities.trajectories.maze import pairs_of
from jaxdiff.modalities.trajectories.mazes import MAZES, find_maze, step
from jaxdiff.modalities.trajectories.measured import best_of, energy_score
from jaxdiff.types import Batch
from tests.helpers.cases import refused

SMALL = {"layout": "umaze", "trips": 40, "steps": 8, "stride": 40}


@pytest.fixture
def windows(rng):
    return rng.normal(size=(30, 8, 2)) * [3, 0.1] + [10, -2]


def written(tmp_path, **arrays):
    np.savez(tmp_path / "tracks.npz", **arrays)
    return str(tmp_path / "tracks.npz")


@pytest.mark.parametrize("scaling", ["range", "std", "none"])
def test_what_is_read_comes_back(tmp_path, windows, scaling):
    source = tracks(written(tmp_path, windows=windows), scaling=scaling)
    check(source.spec)
    batch = source.take(np.arange(source.size))
    assert batch.x_0.dtype == np.float32
    np.testing.assert_allclose(make_codec(source.spec).decode(batch.x_0), windows, rtol=1e-5)
    rows = batch.x_0.reshape(-1, 2)
    if scaling == "range":
        np.testing.assert_allclose([rows.min(0), rows.max(0)], [[-1, -1], [1, 1]], atol=1e-5)
    if scaling == "std":
        np.testing.assert_allclose([rows.mean(0), rows.std(0)], [[0, 0], [1, 1]], atol=1e-4)


def test_splits_conditions_and_classes(tmp_path, windows):
    path = written(tmp_path, windows=windows, goal=np.ones((30, 3)), kind=np.arange(30) % 2)
    train, test = (tracks(path, told="goal", label="kind", split=split) for split in ("train", "test"))
    assert (train.size, test.size) == (27, 3)
    assert train.spec.details == test.spec.details
    assert train.conditions["goal"].shape == (3,)
    assert train.conditions["label"].values == 2
    assert set(train.take(np.arange(2)).condition) == {"goal", "label"}


@pytest.mark.parametrize("scaling", ["range", "std"])
def test_the_scale_is_that_of_training_alone(tmp_path, windows, scaling):
    """A trajectory of the test, far outside, changes nothing of what training sees."""
    far = windows.copy()
    far[9::10] += 100
    plain, other = (tracks(written(tmp_path, windows=w), scaling=scaling, split="train") for w in (windows, far))
    assert plain.spec == other.spec
    test = tracks(written(tmp_path, windows=far), scaling=scaling, split="test")
    assert test.spec == other.spec
    np.testing.assert_allclose(make_codec(test.spec).decode(test.take(np.arange(3)).x_0), far[9::10], rtol=1e-5)
    assert tracks(written(tmp_path, windows=far), scaling=scaling).spec != other.spec


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"windows": np.zeros((3, 4))}, {}, r"must be numbers \(n, steps, channels\)"),
        ({"windows": np.full((3, 4, 2), np.nan)}, {}, "3 of 3 are not finite, the first is number 0"),
        ({"windows": np.array([np.zeros((2, 2)), np.zeros((3, 2))], object)}, {}, "several lengths"),
        ({"paths": np.zeros((3, 4, 2))}, {}, "unknown array"),
        ({"windows": np.zeros((3, 4, 2)), "goal": np.zeros((2, 1))}, {"told": "goal"}, "3 trajectories and 2 rows"),
        ({"windows": np.zeros((3, 4, 2)), "kind": np.zeros(3)}, {"label": "kind"}, "classes are .n,. whole numbers"),
        ({"windows": np.zeros((3, 4, 2))}, {"scaling": "log"}, "scaling of trajectories"),
        ({"windows": np.zeros((3, 4, 2))}, {"split": "half"}, "split of trajectories"),
    ],
)
def test_what_is_no_trajectory_is_refused(tmp_path, arrays, options, message):
    with pytest.raises(InputError, match=message):
        tracks(written(tmp_path, **arrays), **options)


def test_a_file_that_is_missing_or_broken(tmp_path):
    with pytest.raises(InputError, match="no file of trajectories"):
        tracks(str(tmp_path / "none.npz"))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(InputError, match="cannot be read"):
        tracks(str(tmp_path / "broken.npz"))


@pytest.mark.parametrize("name", MAZES)
def test_ways_are_shortest_and_lead_to_the_goal(name):
    place = find_maze(name)
    cells, goals = np.divmod(np.arange(len(place.cells) ** 2), len(place.cells))
    at = cells
    for left in range(place.length.max(), -1, -1):
        assert (place.length[at, goals] <= left).all()
        steps = abs(place.cells[place.toward[at, goals]] - place.cells[at]).sum(1)
        np.testing.assert_array_equal(steps, at != goals)
        at = place.toward[at, goals]
    np.testing.assert_array_equal(at, goals)
    np.testing.assert_array_equal(place.length, place.length.T)
    np.testing.assert_array_equal(place.number(place.center(cells)), cells)


def test_no_mass_is_ever_in_a_wall(rng):
    place = find_maze("medium")
    position = place.center(rng.integers(0, len(place.cells), 200))
    velocity = rng.normal(size=(200, 2)) * 5
    for _ in range(200):
        position, velocity = step(place, position, velocity, rng.normal(size=(200, 2)) * 3)
        assert place.is_free(position, 0.1).all()


def test_free_motion_is_that_of_mujoco(rng):
    """Implicit damping: (m + h d) v' = m v + h gear a, with the sphere's mass and PointMaze's numbers."""
    place, middle = find_maze("umaze"), np.array([[0.0, 1.0]])
    position, velocity = step(place, middle, np.array([[0.3, -0.2]]), np.array([[0.5, 9.0]]))
    mass = 1000 * 4 / 3 * np.pi * 0.1**3
    expected = (mass * np.array([0.3, -0.2]) + 0.01 * 100 * np.array([0.5, 1.0])) / (mass + 0.01)
    np.testing.assert_allclose(velocity[0], expected)
    np.testing.assert_allclose(position[0], middle[0] + 0.01 * expected)


@pytest.mark.system
def test_the_planner_arrives_and_its_own_states_are_a_plan_as_good():
    place, rng = find_maze("medium"), np.random.default_rng(5)
    pairs = pairs_of(place, "train", 0)
    chosen = pairs[rng.integers(0, len(pairs), 50)]
    start, goal = place.center(chosen[:, 0]), place.center(chosen[:, 1])
    ride = execute(place, scripted(place, start, goal, 0), start, goal, 400)
    assert ride.success.all()
    followed = execute(place, follow(ride.positions[::16].swapaxes(0, 1), 16), start, goal, 400)
    assert followed.success.all()
    assert followed.arrival.sum() < 1.05 * ride.arrival.sum()
    assert execute(place, straight(goal), start, goal, 400).success.mean() < 0.8


@pytest.mark.system
def test_trips_are_the_same_again_and_pairs_are_left_out():
    source, again = maze(**SMALL), maze(**SMALL)
    assert fingerprint(source) == fingerprint(again) != fingerprint(maze(**SMALL, seed=1))
    assert source.spec.shape == (8, 2)
    assert source.spec.details["stride"] == 40
    place = find_maze("umaze")
    apart = {tuple(pair) for pair in pairs_of(place, "test", 0)}
    for split in ("train", "test"):
        trips = maze(**{**SMALL, "trips": 200}, split=split)
        x = make_codec(trips.spec).decode(trips.take(np.arange(200)).x_0)
        assert place.is_free(x).all()
        whole = place.number(x[:, 0]), place.number(x[:, -1])
        joined = {pair for pair in zip(*whole, strict=True) if pair[0] != pair[1]}
        assert not joined & apart if split == "train" else joined & apart


def test_a_policy_is_told_where_it_is():
    source = maze_policy("umaze", trips=20, steps=4)
    batch = source.take(np.arange(source.size))
    assert batch.x_0.shape == (160, 4, 2)
    assert np.abs(batch.x_0).max() <= 1
    assert batch.condition["observation"].shape == (160, 6)


def test_unknown_mazes_and_splits():
    with pytest.raises(InputError, match="maze"):
        maze("garden")
    with pytest.raises(InputError, match="split of a maze"):
        maze("umaze", trips=2, split="half")


@pytest.mark.system
def test_what_is_shown(tmp_path, rng):
    source = maze(**SMALL)
    x = make_codec(source.spec).decode(source.take(np.arange(40)).x_0)
    names = show.save_samples(tmp_path, source.spec, Batch(x), Batch(x), "note")
    assert names == ["tracks.png", "samples.npz"]
    np.testing.assert_array_equal(np.load(tmp_path / "samples.npz")["windows"], x)
    assert show.save_chain(tmp_path, source.spec, rng.normal(size=(5, 4, 8, 2)), "note") == ["chain.png"]
    assert show.draw_plans(source.spec, x[:3, None], np.ones((3, 8), bool)).dtype == np.uint8
    assert "maze umaze" in show.describe(source.spec)


def test_scores_of_predictions(rng):
    truth = rng.normal(size=(50, 4, 2))
    assert best_of(np.stack([truth + 1, truth], 1), truth) == (0, 0)
    ade, fde = best_of((truth + np.array([3, 4]))[:, None], truth)
    assert (round(ade, 6), round(fde, 6)) == (5, 5)
    truth, same, wide = (rng.normal(size=(2000, k, 1, 1)) for k in (1, 40, 40))
    exact = energy_score(same, truth[:, 0])
    np.testing.assert_allclose(exact, 1 / np.sqrt(np.pi), rtol=0.05)  # E|X - X'| / 2 of a standard normal
    assert energy_score(2 * wide, truth[:, 0]) > exact
    assert energy_score(0.5 * wide, truth[:, 0]) > exact
    with refused("needs two draws at least"):
        energy_score(same[:, :1], truth[:, 0])


def test_the_command_writes_trips(tmp_path, capsys):
    line = ["maze", str(tmp_path / "trips.npz"), "--layout", "umaze", "--trips", "20", "--steps", "8", "--stride", "40"]
    assert data.main(line) == 0
    first = capsys.readouterr().out
    assert data.main(line) == 0
    assert capsys.readouterr().out == first
    assert tracks(str(tmp_path / "trips.npz")).spec.shape == (8, 2)
    assert data.main([*line[:2], "--layout", "garden"]) == 2
