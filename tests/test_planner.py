"""Paths are shortest, walkable and always the same, and following them leads to the goal."""

import numpy as np
import pytest

from gtp_jax.data import planner
from gtp_jax.tasks import MAZES, get


def flood_distances(maze_map, start):
    """Steps from start to every cell by repeated dilation, -1 where there is no way; independent of the planner."""
    free, reached = np.array(maze_map) == 0, np.zeros_like(maze_map, bool)
    distances = np.full(reached.shape, -1)
    reached[start] = True
    for step in range(free.size):
        distances[reached & (distances < 0)] = step
        grown = reached.copy()
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            grown |= np.roll(reached, shift, axis)
        reached = grown & free
    return distances


def test_path_of_umaze_goes_round_the_wall():
    task = get("antmaze/umaze")
    path = planner.shortest_path(task.maze_map, task.start, task.goal)
    assert path == [(3, 1), (3, 2), (3, 3), (2, 3), (1, 3), (1, 2), (1, 1)]


@pytest.mark.parametrize("name", ["antmaze/umaze", "antmaze/medium-diverse", "antmaze/large-diverse"])
def test_paths_between_all_cells_are_shortest_and_walkable(name):
    task = get(name)
    for start in task.data_starts:
        distances = flood_distances(task.maze_map, start)
        for goal in task.data_goals:
            path = planner.shortest_path(task.maze_map, start, goal)
            assert path[0] == start and path[-1] == goal
            assert len(path) - 1 == distances[goal]
            assert all(task.maze_map[row][column] == 0 for row, column in path)
            assert np.all(np.abs(np.diff(np.array(path), axis=0)).sum(axis=1) == 1)


def test_the_same_path_is_chosen_every_time_among_equal_ones():
    room = tuple(tuple(int(i in (0, 4) or j in (0, 4)) for j in range(5)) for i in range(5))
    paths = {tuple(planner.shortest_path(room, (1, 1), (3, 3))) for _ in range(3)}
    assert paths == {((1, 1), (2, 1), (3, 1), (3, 2), (3, 3))}


def test_a_goal_behind_walls_is_an_error():
    divided = ((1, 1, 1, 1, 1), (1, 0, 1, 0, 1), (1, 1, 1, 1, 1))
    with pytest.raises(ValueError, match=r"no path from cell \(1, 1\) to cell \(1, 3\)"):
        planner.shortest_path(divided, (1, 1), (1, 3))


def test_a_start_in_the_goal_cell_leaves_the_goal_as_only_waypoint():
    task = get("antmaze/umaze")
    np.testing.assert_array_equal(planner.plan(task, (1, 1), (1, 1), np.array([-4.5, 3.5])), [[-4.5, 3.5]])


def test_advance_never_passes_the_last_waypoint():
    waypoints = np.array([[0.0, 0.0], [0.5, 0.0], [0.9, 0.0]])
    assert planner.advance(waypoints, 0, np.array([0.0, 0.1]), threshold=1.0) == 2
    assert planner.advance(waypoints, 0, np.array([0.0, 0.1]), threshold=0.3) == 1
    assert planner.advance(waypoints, 0, np.array([0.0, 0.1]), threshold=0.05) == 0


@pytest.mark.parametrize("name", sorted(MAZES))
def test_following_waypoints_straight_reaches_the_goal_through_free_cells(name):
    task = get(name)
    threshold = 1.0 if task.is_ant else 0.1
    goal_xy = task.goal_xy + 0.1 * task.cell_size
    waypoints = planner.plan(task, task.start, task.goal, goal_xy)
    xy, target, speed = task.cell_centre(task.start).copy(), 0, 0.05 * task.cell_size
    for _ in range(2000):
        target = planner.advance(waypoints, target, xy, threshold)
        ahead = waypoints[target] - xy
        xy += ahead * min(1.0, speed / max(np.linalg.norm(ahead), 1e-9))
        row, column = task.cell_of(xy)
        assert task.maze_map[row][column] == 0
    np.testing.assert_allclose(xy, goal_xy)
