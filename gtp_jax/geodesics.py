"""How far it is to a maze's goal for a body that cannot walk through walls: what a value function should know."""

import functools
from collections.abc import Callable

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from gtp_jax.tasks import MazeTask

FINENESS = 8  # lattice points along a cell's edge

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # and back


@functools.cache
def distance(task: MazeTask) -> Callable[[np.ndarray], np.ndarray]:
    """A function from positions xy (..., 2) to the length (...) of the shortest way to the goal, in metres.

    The way is one of a point, over a lattice of eight directions (Dijkstra, 1959), so it is up to about 8 % longer than
    the shortest of all, and up to one and a half edges of the lattice's squares off, since a position counts as its
    square's and the goal lies on a corner; inside a wall it is infinite.
    """
    free = np.kron(np.array(task.maze_map) == 0, np.ones((FINENESS, FINENESS), bool))
    number, edge = np.arange(free.size).reshape(free.shape), task.cell_size / FINENESS
    starts, ends, lengths = [], [], []
    for down, right in _STEPS:
        rows = slice(0, len(free) - down), slice(down, None)
        columns = (
            slice(max(0, -right), free.shape[1] - max(0, right)),
            slice(max(0, right), free.shape[1] + min(0, right)),
        )
        (here, there), corners = zip(rows, columns), zip(rows, columns[::-1])
        passable = np.logical_and.reduce([free[each] for each in (here, there, *corners)])  # diagonally too
        starts.append(number[here][passable])
        ends.append(number[there][passable])
        lengths.append(np.full(len(starts[-1]), edge * np.hypot(down, right)))
    edges = np.concatenate(lengths), (np.concatenate(starts), np.concatenate(ends))
    graph = sparse.coo_matrix(edges, (free.size, free.size)).tocsr()

    def node(xy):
        half = np.array(free.shape[::-1]) * edge / 2
        column, row = (xy[..., 0] + half[0]) / edge, (half[1] - xy[..., 1]) / edge
        last = np.array(free.shape) - 1
        return number[np.clip(row.astype(int), 0, last[0]), np.clip(column.astype(int), 0, last[1])]

    found = csgraph.dijkstra(graph, directed=False, indices=int(node(task.goal_xy)))
    return lambda xy: found[node(np.asarray(xy))]
