"""Shortest paths through a maze, as waypoints for a controller that only walks straight ahead."""

import collections

import numpy as np

from gtp_jax.tasks import Cell, MazeTask

_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def shortest_path(maze_map: tuple[tuple[int, ...], ...], start: Cell, goal: Cell) -> list[Cell]:
    """Cells from start to goal, both included, by breadth-first search; of equal paths always the same one.

    Args:
        maze_map: rows of 0 (free) and 1 (wall), walled all round.
        start, goal: free cells.

    Raises:
        ValueError: no way from start to goal.
    """
    came_from, queue = {start: start}, collections.deque([start])
    while queue and goal not in came_from:
        row, column = cell = queue.popleft()
        for down, right in _NEIGHBOURS:
            neighbour = row + down, column + right
            if neighbour not in came_from and maze_map[neighbour[0]][neighbour[1]] == 0:
                came_from[neighbour] = cell
                queue.append(neighbour)
    if goal not in came_from:
        raise ValueError(f"no path from cell {start} to cell {goal}")
    path = [goal]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]


def plan(task: MazeTask, start: Cell, goal: Cell, goal_xy: np.ndarray) -> np.ndarray:
    """Waypoints (N, 2) in metres, N >= 1: the centres of the cells after the start, and at last goal_xy (2,) itself."""
    path = shortest_path(task.maze_map, start, goal)
    return np.array([*(task.cell_centre(cell) for cell in path[1:-1]), goal_xy])


def advance(waypoints: np.ndarray, index: int, xy: np.ndarray, threshold: float) -> int:
    """Index of the waypoint to walk to from xy (2,): past those within `threshold` metres, but never past the last."""
    while index < len(waypoints) - 1 and np.hypot(*(waypoints[index] - xy)) < threshold:
        index += 1
    return index
