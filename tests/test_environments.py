"""Evaluation has D4RL's semantics: one start, one goal, reward 1 and the end within half a metre of it."""

import os
import tempfile

import numpy as np
import pytest

from gtp_jax import environments
from gtp_jax.tasks import MAZES, get

every_maze = pytest.mark.parametrize("task", MAZES.values(), ids=list(MAZES))
one_of_each = pytest.mark.parametrize(
    "task", [get("antmaze/umaze"), get("pointmaze/umaze")], ids=lambda task: task.name
)
one_of_each_map = pytest.mark.parametrize(
    "task", [task for name, task in MAZES.items() if not name.endswith("-diverse")], ids=lambda task: task.name
)
EAST = np.array([1.0, 0.0])  # of umaze's goal lies a free cell


@pytest.fixture
def env(task):
    env = environments.make(task)
    yield env
    env.close()


def put(env, task, xy):
    """Puts the agent at rest at a position."""
    agent = env.unwrapped.ant_env if task.is_ant else env.unwrapped.point_env
    qpos = agent.init_qpos.copy()
    qpos[:2] = xy
    agent.set_state(qpos, np.zeros(agent.model.nv))


def rest(env):
    return np.zeros(env.action_space.shape, np.float32)


@every_maze
def test_starts_within_a_tenth_of_a_metre_of_the_start_cells_centre(env, task):
    starts = np.array([env.reset(seed=seed)[0][:2] for seed in range(20)])
    assert np.abs(starts - task.cell_centre(task.start)).max() <= 0.1 + 1e-6


@one_of_each
def test_the_same_seed_gives_the_same_start(env, task):
    np.testing.assert_array_equal(env.reset(seed=3)[0], env.reset(seed=3)[0])


@one_of_each
def test_other_seeds_give_other_starts(env, task):
    assert len({tuple(env.reset(seed=seed)[0][:2]) for seed in range(10)}) == 10


@one_of_each
def test_the_same_seed_and_actions_give_the_same_episode_in_another_environment(env, task):
    other = environments.make(task)
    actions = np.random.default_rng(0).uniform(-1, 1, (50, *env.action_space.shape)).astype(np.float32)
    paths = []
    for each in (env, other):
        each.reset(seed=7)
        paths.append(np.array([each.step(action)[0] for action in actions]))
    other.close()
    np.testing.assert_array_equal(*paths)


@one_of_each
@pytest.mark.parametrize("seed", range(5))
def test_inside_the_radius_of_the_one_goal_reward_is_1_and_the_episode_ends(env, task, seed):
    env.reset(seed=seed)
    put(env, task, task.goal_xy + 0.48 * EAST)
    _, reward, terminated, truncated, info = env.step(rest(env))
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)


@one_of_each
@pytest.mark.parametrize("seed", range(5))
def test_outside_the_radius_of_the_one_goal_reward_is_0_and_the_episode_goes_on(env, task, seed):
    env.reset(seed=seed)
    put(env, task, task.goal_xy + 0.52 * EAST)
    _, reward, terminated, truncated, info = env.step(rest(env))
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)


@one_of_each
def test_reward_is_about_where_the_agent_is_after_the_step(env, task):
    env.reset(seed=0)
    for distance in np.linspace(0.3, 0.7, 41):
        put(env, task, task.goal_xy + distance * EAST)
        observation, reward, *_ = env.step(rest(env))
        assert reward == (np.linalg.norm(observation[:2] - task.goal_xy.astype(np.float32)) <= 0.5)


@one_of_each_map
def test_the_horizon_truncates_and_does_not_terminate(env, task):
    env.reset(seed=0)
    ends = [env.step(rest(env))[2:4] for _ in range(task.horizon)]
    assert ends == [(False, False)] * (task.horizon - 1) + [(False, True)]


@every_maze
def test_observations_are_what_the_space_says(env, task):
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space and env.step(rest(env))[0] in env.observation_space
    assert env.observation_space.shape == ((29,) if task.is_ant else (4,))


@pytest.mark.parametrize("name", ["antmaze/umaze", "pointmaze/umaze", "ogbench/pointmaze-medium-navigate"])
def test_no_file_is_left_behind_or_open(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    env = environments.make(get(name))
    env.reset(seed=0)
    env.close()
    assert not list(tmp_path.iterdir())
    with os.scandir("/proc/self/fd") as descriptors:
        assert not [path for each in descriptors if (path := os.readlink(each)).startswith(str(tmp_path))]
