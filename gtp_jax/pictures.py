"""Pictures of mazes, seen from above. Needs matplotlib, which is in the extra `test`."""

import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np

from gtp_jax.tasks import SUCCESS_RADIUS, MazeTask

matplotlib.use("Agg")
from matplotlib import pyplot


def draw_paths(task: MazeTask, paths: Sequence[np.ndarray], successes: Sequence[bool], file: pathlib.Path) -> None:
    """Walls, goal and the paths walked, blue where the goal was reached and red where not.

    Args:
        paths: one (T, 2) of world coordinates, in metres, an episode.
        successes: one an episode.
        file: PNG to write.
    """
    figure, axes = pyplot.subplots(figsize=(5, 5 * len(task.maze_map) / len(task.maze_map[0])), layout="constrained")
    for (row, column), wall in np.ndenumerate(np.array(task.maze_map)):
        if wall:
            corner = task.cell_centre((row, column)) - task.cell_size / 2
            axes.add_patch(pyplot.Rectangle(corner, task.cell_size, task.cell_size, color="0.75", lw=0))
    for path, success in sorted(zip(paths, successes), key=lambda pair: pair[1], reverse=True):
        axes.plot(*path.T, color="tab:blue" if success else "tab:red", lw=0.6, alpha=0.6)
    axes.add_patch(pyplot.Circle(task.goal_xy, SUCCESS_RADIUS, color="tab:green", zorder=3))
    axes.plot(*task.cell_centre(task.start), "k^", ms=6)
    axes.set_title(
        f"{task.name}: {np.count_nonzero(successes)} of {len(successes)} episodes reach the goal", fontsize=9
    )
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set_axis_off()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
