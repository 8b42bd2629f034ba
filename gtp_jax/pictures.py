"""Pictures of mazes, seen from above, and of samples in the plane. Needs matplotlib, which is in the extra `report`."""

import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np

from gtp_jax.tasks import MODE_RADIUS, SUCCESS_RADIUS, MazeTask, MultigoalTask

matplotlib.use("Agg")
from matplotlib import pyplot

# Okabe and Ito's, which differ to the colour-blind too.
GOOD, BAD, GOAL, WALL = "#0072B2", "#D55E00", "#009E73", "0.25"
DATA = matplotlib.colors.LinearSegmentedColormap.from_list("data", ["0.97", "0.65"])


def _draw_maze(task: MazeTask, axes: pyplot.Axes) -> None:
    """Walls, start (triangle) and goal."""
    for (row, column), wall in np.ndenumerate(np.array(task.maze_map)):
        if wall:
            corner = task.cell_centre((row, column)) - task.cell_size / 2
            axes.add_patch(pyplot.Rectangle(corner, task.cell_size, task.cell_size, color=WALL, lw=0))
    axes.add_patch(pyplot.Circle(task.goal_xy, SUCCESS_RADIUS, fc=GOAL, ec=GOAL, alpha=0.5))
    axes.plot(*task.cell_centre(task.start), "k^", ms=6, mec="white", zorder=5)
    edge = 0.7 * task.cell_size  # of the walls around everything a little is enough
    half = task.cell_size * np.array(np.array(task.maze_map).shape)[::-1] / 2 - edge
    axes.set(xlim=(-half[0], half[0]), ylim=(-half[1], half[1]), aspect="equal")
    axes.set_axis_off()


def _bins(task: MazeTask) -> tuple[np.ndarray, np.ndarray]:
    """Edges along x and y, four to a cell."""
    rows, columns = np.array(task.maze_map).shape
    return tuple((np.arange(4 * n + 1) / 4 - n / 2) * task.cell_size for n in (columns, rows))


def draw_values(
    task: MazeTask, positions: np.ndarray, values: np.ndarray, distances: np.ndarray, file: pathlib.Path
) -> None:
    """Over the maze, the mean of what a critic says beside the true distance to the goal; both in ranks, far is dark.

    Args:
        positions: (N, 2) of world coordinates, in metres.
        values, distances: (N,).
        file: PNG to write.
    """
    rows, columns = np.array(task.maze_map).shape
    x, y = _bins(task)
    figure, panels = pyplot.subplots(1, 2, figsize=(7.2, 3.6 * rows / columns + 0.3), layout="constrained")
    for axes, title, column in zip(panels, ("value", "nearness by the true distance"), (values, -distances)):
        ranks = np.argsort(np.argsort(column)) / len(column)
        sums, counts = (np.histogram2d(*positions.T, bins=(x, y), weights=each)[0] for each in (ranks, None))
        means = np.ma.masked_invalid(np.divide(sums, counts, where=counts > 0, out=np.full_like(sums, np.nan)))
        axes.pcolormesh(x, y, means.T, cmap="cividis", vmin=0, vmax=1)
        _draw_maze(task, axes)
        axes.set_title(title, fontsize=9)
    figure.savefig(file, dpi=160, bbox_inches="tight", pad_inches=0.05)
    pyplot.close(figure)


def draw_paths(
    task: MazeTask,
    paths: Sequence[np.ndarray],
    successes: Sequence[bool],
    file: pathlib.Path,
    positions: np.ndarray | None = None,
) -> None:
    """Walls, start (triangle), goal, and the paths walked, blue where the goal was reached, or red up to a cross.

    Args:
        paths: one (T, 2) of world coordinates, in metres, an episode.
        successes: one an episode.
        file: PNG to write.
        positions: (N, 2) of the data, of which there are the more the darker the grey.
    """
    rows, columns = np.array(task.maze_map).shape
    figure, axes = pyplot.subplots(figsize=(3.6, 3.6 * rows / columns + 0.3), layout="constrained")
    if positions is not None:
        x, y = _bins(task)
        counts, *_ = np.histogram2d(*positions.T, bins=(x, y))
        axes.pcolormesh(x, y, np.ma.masked_equal(counts, 0).T, norm=matplotlib.colors.LogNorm(), cmap=DATA)
    _draw_maze(task, axes)
    for path, success in sorted(zip(paths, successes), key=lambda pair: pair[1], reverse=True):
        axes.plot(*path.T, color=GOOD if success else BAD, lw=0.8, alpha=0.8)
        if not success:
            axes.plot(*path[-1], "x", color=BAD, ms=5, mew=1.5, zorder=4)
    axes.set_title(f"{task.name}: {np.count_nonzero(successes)} of {len(successes)} reach the goal", fontsize=9)
    figure.savefig(file, dpi=160, bbox_inches="tight", pad_inches=0.05)
    pyplot.close(figure)


def draw_trajectories(task: MultigoalTask, paths: dict[str, dict[int, np.ndarray]], file: pathlib.Path) -> None:
    """A row an agent, a column a number of steps: the ways from noise to actions, and the modes.

    Args:
        paths: (K + 1, N, 2) by agent and K.
        file: PNG to write.
    """
    rows, columns = len(paths), len(next(iter(paths.values())))
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(2.2 * columns, 2.2 * rows), layout="constrained", squeeze=False
    )
    for row, (label, by_steps) in zip(grid, paths.items()):
        for axes, (k, path) in zip(row, by_steps.items()):
            axes.plot(*path[:, :200].transpose(2, 0, 1), color="0.6", lw=0.3, zorder=1)
            off = task.distances(path[-1]).min(axis=-1) > MODE_RADIUS
            axes.scatter(*path[-1].T, s=2, c=np.where(off, BAD, GOOD), lw=0, zorder=2)
            for mode in task.modes:
                axes.add_patch(pyplot.Circle(mode, MODE_RADIUS, fill=False, color=GOAL, lw=0.6, zorder=3))
            axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[], aspect="equal")
            axes.set_title(f"{label}, K = {k}: {100 * off.mean():.1f} % off", fontsize=7)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
