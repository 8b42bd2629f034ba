"""Tasks agree with the simulator about where things are, and with D4RL about what is seen, rewarded and scored."""

import numpy as np
import pytest

from gtp_jax import environments, tasks
from gtp_jax.tasks import D4RL_MAZES, MAZES, get

ALL = MAZES | D4RL_MAZES
every_maze = pytest.mark.parametrize("task", ALL.values(), ids=list(ALL))


def cells(task):
    return list(np.ndindex(len(task.maze_map), len(task.maze_map[0])))


@pytest.fixture(scope="module")
def simulators():
    envs = {name: environments.make_maze(task, 0.0) for name, task in ALL.items()}
    yield {name: env.unwrapped for name, env in envs.items()}
    for env in envs.values():
        env.close()


@every_maze
def test_cell_centres_are_the_simulators(task, simulators):
    maze = simulators[task.name].maze
    for cell in cells(task):
        np.testing.assert_allclose(task.cell_centre(cell), maze.cell_rowcol_to_xy(np.array(cell)), atol=1e-9)


@every_maze
def test_cells_of_positions_are_the_simulators(task, simulators):
    maze = simulators[task.name].maze
    rng = np.random.default_rng(0)
    for cell in cells(task):
        xy = task.cell_centre(cell) + task.cell_size * rng.uniform(-0.49, 0.49, 2)
        assert task.cell_of(xy) == cell == tuple(maze.cell_xy_to_rowcol(xy))


@every_maze
def test_start_goal_and_data_cells_are_free(task):
    for i, j in [task.start, task.goal, *task.data_starts, *task.data_goals]:
        assert task.maze_map[i][j] == 0


@every_maze
def test_walls_are_where_the_simulator_has_them(task, simulators):
    blocks = {name for name in map(str, named_geoms(simulators[task.name])) if name.startswith("block_")}
    assert blocks == {f"block_{i}_{j}" for i, j in cells(task) if task.maze_map[i][j]}


def named_geoms(simulator):
    model = getattr(simulator, "ant_env", None) or simulator.point_env
    return [model.model.geom(i).name for i in range(model.model.ngeom)]


@pytest.mark.parametrize("size", ["umaze", "medium", "large"])
def test_evaluation_starts_far_from_the_goal(size):
    for task in (get(f"pointmaze/{size}"), get(f"antmaze/{size}{'' if size == 'umaze' else '-play'}")):
        assert np.linalg.norm(task.cell_centre(task.start) - task.goal_xy) > 1.9 * task.cell_size


def test_an_unknown_task_is_an_error_that_lists_those_there_are():
    with pytest.raises(ValueError, match="unknown task 'antmaze/giant'") as caught:
        get("antmaze/giant")
    assert all(name in str(caught.value) for name in tasks.TASKS)


@pytest.mark.parametrize("name", ["antmaze/large-play", "antmaze/d4rl-umaze", "pointmaze/medium"])
def test_what_is_free_are_the_cells_without_a_wall_and_nothing_outside(name):
    task = get(name)
    for cell, wall in np.ndenumerate(np.array(task.maze_map)):
        corners = task.cell_centre(cell) + task.cell_size * np.array([[0.49, 0.49], [-0.49, 0.49], [0.49, -0.49]])
        assert (task.is_free(corners) == (not wall)).all()
    assert not task.is_free(np.array([[1e3, 0.0], [0.0, -1e3], [-1e3, 1e3]])).any()


@pytest.mark.parametrize("size", tasks.ANTMAZE)
def test_the_ant_sees_d4rls_29_numbers_positions_and_velocities_without_the_goal(size, simulators):
    simulator = simulators[f"antmaze/{size}"]
    observation, _ = simulator.reset(seed=0)
    data = simulator.ant_env.data
    flat = get(f"antmaze/{size}").flatten(observation)
    np.testing.assert_array_equal(flat, np.concatenate([data.qpos, data.qvel]).astype(np.float32))
    assert flat.shape == (29,) and flat.dtype == np.float32


@pytest.mark.parametrize("size", tasks.POINTMAZE)
def test_the_point_sees_4_numbers_position_and_velocity(size, simulators):
    simulator = simulators[f"pointmaze/{size}"]
    observation, _ = simulator.reset(seed=0)
    data = simulator.point_env.data
    flat = get(f"pointmaze/{size}").flatten(observation)
    np.testing.assert_array_equal(flat, np.concatenate([data.qpos, data.qvel]).astype(np.float32))
    assert flat.shape == (4,) and flat.dtype == np.float32


def test_flatten_keeps_leading_axes():
    observation = {"achieved_goal": np.ones((5, 3, 2)), "observation": np.zeros((5, 3, 27))}
    assert get("antmaze/umaze").flatten(observation).shape == (5, 3, 29)


@every_maze
def test_success_ends_exactly_half_a_metre_from_the_goal(task):
    directions = np.exp(2j * np.pi * np.arange(16) / 16)
    unit = np.stack([directions.real, directions.imag], axis=-1)
    assert task.reached(task.goal_xy + 0.4999 * unit).all()
    assert not task.reached(task.goal_xy + 0.5001 * unit).any()


def test_a_success_scores_100():
    assert [get("antmaze/umaze").normalized_score(value) for value in (0.0, 0.5, 1.0)] == [0.0, 50.0, 100.0]
