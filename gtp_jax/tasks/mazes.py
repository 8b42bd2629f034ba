"""AntMaze and PointMaze: the map, where the agent starts, what counts as success, which data belong to it.

Evaluation follows D4RL (Fu et al., 2020): one fixed start cell, one goal cell, reward 1 within 0.5 of the goal, where
the episode ends. The goal is the cell's centre, except where the data are D4RL's own files. Minari's own evaluation
specs are not used: the one of umaze holds a mirrored map (Farama-Foundation/Minari, issue 304), so start and goal are
fixed here on the map that the data were collected on.
"""

import contextlib
import dataclasses
import io

import numpy as np

with contextlib.redirect_stderr(io.StringIO()):  # it prints news about environments that are not used here
    from gymnasium_robotics.envs.maze import maps  # importing it also registers the environments

SUCCESS_RADIUS = 0.5  # metres; D4RL's, where gymnasium-robotics has 0.45
Cell = tuple[int, int]  # (row, column) of the maze map


@dataclasses.dataclass(frozen=True)
class MazeTask:
    """One maze evaluation task and the data set that belongs to it.

    Attributes:
        name: "antmaze/umaze"; also the name of the generated data set.
        env_id: the Gymnasium environment, built with this task's map and nothing from a data file.
        maze_map: rows of 0 (free) and 1 (wall).
        start, goal: cells where evaluation starts and ends.
        horizon: steps after which an episode is cut off.
        minari_id: the D4RL data set on Minari's hub; None if it has none of this body.
        data_starts, data_goals: cells between which the generated data walk.
        cell_size: edge of a cell in metres.
        d4rl_file: D4RL's own HDF5 file; None if those are of another body. D4RL's ant has a fifth of the torque of
            Gymnasium-Robotics' and steps of twice the length.
        goal_noise: metres; an evaluation's goal is the goal cell's centre and, along x and along y, a uniform draw from
            0 to each of these.
    """

    name: str
    env_id: str
    maze_map: tuple[tuple[int, ...], ...]
    start: Cell
    goal: Cell
    horizon: int
    minari_id: str | None
    data_starts: tuple[Cell, ...]
    data_goals: tuple[Cell, ...]
    cell_size: float
    score_range: tuple[float, float] = (0.0, 1.0)  # returns that D4RL calls 0 and 100
    d4rl_file: str | None = None
    goal_noise: tuple[float, ...] = ()

    @property
    def original(self) -> str:
        """What generated data stand in for."""
        return self.minari_id or self.d4rl_file

    @property
    def is_ant(self) -> bool:
        return self.env_id.startswith("AntMaze")

    def cell_centre(self, cell: Cell) -> np.ndarray:
        """World coordinates (2,) of a cell's centre, in metres; the maze is centred on the origin."""
        rows, columns = len(self.maze_map), len(self.maze_map[0])
        return self.cell_size * np.array([cell[1] + 0.5 - columns / 2, rows / 2 - cell[0] - 0.5])

    def _row_and_column(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = len(self.maze_map), len(self.maze_map[0])
        row, column = rows / 2 - xy[..., 1] / self.cell_size, xy[..., 0] / self.cell_size + columns / 2
        return np.floor(row).astype(int), np.floor(column).astype(int)

    def cell_of(self, xy: np.ndarray) -> Cell:
        """The cell that holds world coordinates xy (2,)."""
        row, column = self._row_and_column(np.asarray(xy))
        return int(row), int(column)

    def is_free(self, xy: np.ndarray) -> np.ndarray:
        """Whether world coordinates (..., 2) lie in the maze and not in a wall: (...) bool."""
        walls = np.pad(np.array(self.maze_map, bool), 1, constant_values=True)  # what is outside too
        cells = (np.clip(i + 1, 0, n - 1) for i, n in zip(self._row_and_column(xy), walls.shape))
        return ~walls[tuple(cells)]

    @property
    def widths(self) -> tuple[int, int]:
        """Of what the policy sees and of an action."""
        return (29, 8) if self.is_ant else (4, 2)

    @property
    def goal_xy(self) -> np.ndarray:
        """The goal (2,), in metres: the mean of those that are drawn. Data are rewarded for it."""
        return self.cell_centre(self.goal) + sum(self.goal_noise) / 2

    def draw_goal(self, rng: np.random.Generator, cell: Cell) -> np.ndarray:
        """A goal (2,) in a cell, in metres, as D4RL draws it."""
        return self.cell_centre(cell) + sum(rng.uniform(0.0, edge, 2) for edge in self.goal_noise)

    def flatten(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """What the policy sees, (..., O) float32: D4RL's vector, which has no goal in it.

        The ant's is 29 wide, achieved_goal (x, y) before observation; the point's `observation` holds x, y already.
        """
        parts = [observation["achieved_goal"]] * self.is_ant + [observation["observation"]]
        return np.concatenate(parts, axis=-1).astype(np.float32)

    def reached(self, xy: np.ndarray, goal: np.ndarray | None = None) -> np.ndarray:
        """Whether positions (..., 2) are at a goal (2,), or at `goal_xy`: (...) bool. D4RL's reward and terminal."""
        return np.linalg.norm(xy - (self.goal_xy if goal is None else goal), axis=-1) <= SUCCESS_RADIUS

    def normalized_score(self, episode_return: float) -> float:
        low, high = self.score_range
        return 100.0 * (episode_return - low) / (high - low)


def _freeze(maze_map) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(cell == 1) for cell in row) for row in maze_map)


def _cells(maze_map, marks) -> tuple[Cell, ...]:
    return tuple((i, j) for i, row in enumerate(maze_map) for j, cell in enumerate(row) if cell in marks)


# size: (map, start, goal, ant horizon, point horizon, cells that "play" data start and end in)
_SIZES = {
    "open": (maps.OPEN, (1, 1), (3, 5), None, 300, ()),
    "umaze": (maps.U_MAZE, (3, 1), (1, 1), 700, 300, ()),
    "medium": (maps.MEDIUM_MAZE, (1, 1), (6, 6), 1000, 600, _cells(maps.MEDIUM_MAZE_DIVERSE_GR, ("c",)) + ((6, 6),)),
    "large": (maps.LARGE_MAZE, (1, 1), (7, 9), 1000, 800, _cells(maps.LARGE_MAZE_DIVERSE_GR, ("c",))),
}


def _antmaze(variant: str) -> MazeTask:
    size, _, collection = variant.partition("-")
    maze_map, start, goal, horizon, _, play = _SIZES[size]
    free = _cells(maze_map, (0,))
    starts, goals = {"": ((start,), (goal,)), "diverse": (free, free), "play": (play, play)}[collection]
    env_id = f"AntMaze_{dict(umaze='UMaze', medium='Medium', large='Large')[size]}-v4"
    return MazeTask(
        f"antmaze/{variant}",
        env_id,
        _freeze(maze_map),
        start,
        goal,
        horizon,
        f"D4RL/antmaze/{variant}-v1",
        starts,
        goals,
        cell_size=4.0,
    )


# variant: what D4RL's file calls it
_D4RL_FILES = {
    "umaze": "u-maze_noisy_multistart_False_multigoal_False",
    "umaze-diverse": "u-maze_noisy_multistart_True_multigoal_True",
    "medium-play": "big-maze_noisy_multistart_True_multigoal_False",
    "medium-diverse": "big-maze_noisy_multistart_True_multigoal_True",
    "large-play": "hardest-maze_noisy_multistart_True_multigoal_False",
    "large-diverse": "hardest-maze_noisy_multistart_True_multigoal_True",
}


def _d4rl_antmaze(variant: str) -> MazeTask:
    """The ant and the maze of D4RL's own files.

    Rows of D4RL's maps go up along y, those of Gymnasium-Robotics' down: the map is upside down here to be where the
    files' positions are. D4RL draws a goal for each episode (`goal_sampler` of its maze_env.py, which its walkers have
    too, and `reset` of its ant.py since v2), always up and to the right of the cell's centre.
    """
    task = _antmaze(variant)
    last = len(task.maze_map) - 1

    def turned(cells):
        return tuple((last - row, column) for row, column in cells)

    start, goal = ((1, 1), (3, 1)) if variant.startswith("umaze") else (task.start, task.goal)
    (start, goal), one_way = turned([start, goal]), variant == "umaze"
    return dataclasses.replace(
        task,
        name=f"antmaze/d4rl-{variant}",
        maze_map=task.maze_map[::-1],
        start=start,
        goal=goal,
        minari_id=None,
        data_starts=(start,) if one_way else turned(task.data_starts),
        data_goals=(goal,) if one_way else turned(task.data_goals),
        d4rl_file=f"ant_maze_v2/Ant_maze_{_D4RL_FILES[variant]}_sparse_fixed.hdf5",
        goal_noise=(1.0, 0.5),
    )


def _pointmaze(size: str) -> MazeTask:
    maze_map, start, goal, _, horizon, _ = _SIZES[size]
    free = _cells(maze_map, (0,))
    env_id = f"PointMaze_{dict(open='Open', umaze='UMaze', medium='Medium', large='Large')[size]}-v3"
    return MazeTask(
        f"pointmaze/{size}",
        env_id,
        _freeze(maze_map),
        start,
        goal,
        horizon,
        f"D4RL/pointmaze/{size}-v2",
        free,
        free,
        cell_size=1.0,
    )


ANTMAZE = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
POINTMAZE = ("open", "umaze", "medium", "large")
MAZES: dict[str, MazeTask] = {task.name: task for task in [*map(_antmaze, ANTMAZE), *map(_pointmaze, POINTMAZE)]}
D4RL_MAZES: dict[str, MazeTask] = {task.name: task for task in map(_d4rl_antmaze, ANTMAZE)}
