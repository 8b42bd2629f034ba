"""Makes Minari data sets of maze navigation without a download: a controller walks along planned paths, with noise.

The data stand in for D4RL's when Minari's hub cannot be reached. They have the same environments, observations and
layout, but they are not D4RL's data. Where a task has many goals, a reached one gives way to the next within the
episode, while the walkers of D4RL's sets stay at theirs. Workers import this module, so nothing here may import jax.
"""

import contextlib
import functools
import importlib.metadata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gtp_jax import environments
from gtp_jax.data import controllers, minari_writer, planner, workers
from gtp_jax.tasks import Cell, MazeTask, Task

POSITION_NOISE = 0.125  # of a cell, uniform, on start and goal
WAYPOINT_NOISE = 0.25  # of a cell, uniform, on an ant's waypoints, so that walks fill the corridors; D4RL's width
MAX_FALLEN_STEPS = 50  # an ant on its back stays there; AntMaze itself would go on


class Episode(NamedTuple):
    """One walk of T steps."""

    observations: dict[str, np.ndarray]  # observation, achieved_goal, desired_goal: (T + 1, ...) float64
    actions: np.ndarray  # (T, A) float32
    rewards: np.ndarray  # (T,) float64, the environment's
    seed: int  # of the environment's reset
    start: Cell
    first_goal: Cell

    @property
    def num_transitions(self) -> int:
        return len(self.rewards)

    def cut(self, num_transitions: int) -> "Episode":
        """The first transitions only."""
        observations = {name: value[: num_transitions + 1] for name, value in self.observations.items()}
        return self._replace(
            observations=observations, actions=self.actions[:num_transitions], rewards=self.rewards[:num_transitions]
        )


# ------------------------------------------------------------------------------------------------- one episode


class Walker:
    """Makes the episodes of one data set; what an episode holds depends on (seed, index) alone.

    Args:
        task: where to walk.
        seed: of the whole data set.
        noise: standard deviation of the Gaussian noise on actions; the task's usual one if None.
    """

    def __init__(self, task: MazeTask, seed: int, noise: float | None = None):
        self._task, self._seed, self._env = task, seed, environments.make_maze(task, POSITION_NOISE * task.cell_size)
        if task.is_ant:
            weights = controllers.D4RL_ANT_WEIGHTS if task.d4rl_file else controllers.ANT_WEIGHTS
            self._controller = controllers.AntController(controllers.load_ant_weights(weights))
            self._threshold, usual_noise, self._waypoint_noise = 1.0, controllers.ANT_NOISE, WAYPOINT_NOISE
        else:
            self._controller = controllers.PointController()
            self._threshold, usual_noise, self._waypoint_noise = 0.1, controllers.POINT_NOISE, 0.0
        self._noise = usual_noise if noise is None else noise

    def close(self) -> None:
        self._env.close()

    def _draw_goal(self, rng: np.random.Generator, here: Cell) -> Cell | None:
        goals = [goal for goal in self._task.data_goals if goal != here]
        return goals[rng.integers(len(goals))] if goals else None

    def _plan(self, rng: np.random.Generator, start: Cell, goal: Cell, goal_xy: np.ndarray) -> np.ndarray:
        waypoints = planner.plan(self._task, start, goal, goal_xy)
        if not self._waypoint_noise:
            return waypoints
        shift = self._waypoint_noise * self._task.cell_size * rng.uniform(-1.0, 1.0, waypoints[:-1].shape)
        return np.concatenate([waypoints[:-1] + shift, waypoints[-1:]])

    def __call__(self, index: int) -> Episode:
        """Walks episode `index` from goal to goal, until the horizon is over or the ant lies on its back.

        Where all data have one goal, the episode ends there. Elsewhere it must go on: a value function bootstraps from
        the last observation of an episode, and if those were all at goals, nothing would say what they are worth.
        """
        task, rng = self._task, np.random.default_rng(np.random.SeedSequence([self._seed, index]))
        start = task.data_starts[rng.integers(len(task.data_starts))]
        first_goal = goal = self._draw_goal(rng, start)
        seed = int(rng.integers(2**31))
        observation, _ = self._env.reset(
            seed=seed, options={"reset_cell": np.array(start), "goal_cell": np.array(goal)}
        )
        if len(task.data_goals) == 1 or task.goal_noise:  # a fixed goal is exactly the one of the evaluation
            observation["desired_goal"] = task.draw_goal(rng, goal)
            environments.place_goal(self._env, observation["desired_goal"])
        waypoints, target, fallen = self._plan(rng, start, goal, observation["desired_goal"]), 0, 0
        observations, actions, rewards, over = [observation], [], [], False
        while not over:
            xy = observation["achieved_goal"]
            target = planner.advance(waypoints, target, xy, self._threshold)
            action = self._controller(observation["observation"], waypoints[target] - xy)
            noise = self._noise * rng.standard_normal(len(action))
            actions.append(np.clip(action + noise, -1.0, 1.0).astype(np.float32))
            observation, reward, _, truncated, info = self._env.step(actions[-1])
            observations.append(observation)
            rewards.append(reward)
            upright = not task.is_ant or controllers.is_upright(observation["observation"])
            fallen = 0 if upright else fallen + 1
            over = truncated or fallen > MAX_FALLEN_STEPS
            if info["success"]:
                here, goal = goal, self._draw_goal(rng, goal)
                if goal is None:
                    break
                if task.goal_noise:
                    goal_xy = task.draw_goal(rng, goal)
                else:
                    goal_xy = task.cell_centre(goal) + POSITION_NOISE * task.cell_size * rng.uniform(-1.0, 1.0, 2)
                environments.place_goal(self._env, goal_xy)
                waypoints, target = self._plan(rng, here, goal, goal_xy), 0
        columns = {name: np.stack([step[name] for step in observations]) for name in observation}
        return Episode(columns, np.stack(actions), np.array(rewards, np.float64), seed, start, first_goal)


# ------------------------------------------------------------------------------------------------- the data set


def dataset_id(task: Task, num_transitions: int, seed: int, noise: float | None = None) -> str:
    """Minari's name for the data set, which fixes what is in it; `noise` as of `generate`."""
    version = 1 if not isinstance(task, MazeTask) or not task.is_ant else 3 if task.goal_noise else 2
    grade = "" if noise is None else f"-noise{round(100 * round(noise, 2))}"
    return f"gtp_jax/{task.name}-{num_transitions}-seed{seed}{grade}-v{version}"


def _description(task: MazeTask, num_transitions: int, seed: int, noise: float | None) -> str:
    usual = "noise" if noise is None else f"noise of {noise:g}"
    on = ", from goal to goal within an episode" if len(task.data_goals) > 1 else ""
    return (
        f"generated by gtp_jax: {num_transitions} transitions of {task.env_id}, seed {seed}, by a controller with "
        f"{usual} along shortest paths{on}; a stand-in for {task.original}, not D4RL's data"
    )


def generate(
    task: MazeTask,
    num_transitions: int,
    seed: int,
    *,
    noise: float | None = None,
    num_workers: int | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> str:
    """Makes a data set in Minari's local store (MINARI_DATASETS_PATH, or ~/.minari/datasets) and returns its id.

    Every episode ends in a truncation, none in a termination; the last is cut to make the total exact. The data set
    appears under its id only when it is whole. If another process makes the same one meanwhile, that one is kept.

    Args:
        task: the maze, from `gtp_jax.tasks`.
        num_transitions: how many in all, > 0.
        seed: >= 0; the same data for the same seed, whatever the number of workers.
        noise: of the actions, to two decimals; the task's usual one if None. More of it makes the data harder: walks
            are longer, and an ant falls more often.
        num_workers: processes; one for each core this process may use if None.
        progress: whether to show a bar on stderr.
        overwrite: whether to put the new data set in the place of an old one, once it is whole.

    Raises:
        ValueError: a count or a seed out of range.
        FileExistsError: there is such a data set already.
        OSError: the store cannot be written.
    """
    from minari.data_collector import EpisodeBuffer  # here, as workers have no use for it

    if seed < 0 or (noise is not None and noise < 0):
        raise ValueError(f"need {seed=} >= 0 and {noise=} >= 0")
    noise = noise if noise is None else round(noise, 2)
    name, walker = dataset_id(task, num_transitions, seed, noise), functools.partial(Walker, task, seed, noise)

    def buffers(walks: Iterator[Episode]) -> Iterator[EpisodeBuffer]:
        for episode in walks:
            steps = episode.num_transitions
            yield EpisodeBuffer(
                seed=episode.seed,
                options={"reset_cell": np.array(episode.start), "goal_cell": np.array(episode.first_goal)},
                observations=episode.observations,
                actions=episode.actions,
                rewards=episode.rewards,
                terminations=np.zeros(steps, bool),
                truncations=np.arange(steps) == steps - 1,
            )

    walks = workers.episodes(walker, name, num_transitions, num_workers=num_workers, progress=progress)
    with (
        contextlib.closing(environments.make_maze(task, POSITION_NOISE * task.cell_size)) as env,
        contextlib.closing(walks),
    ):
        metadata = {
            "author": {"gtp_jax"},
            "algorithm_name": "breadth-first search and " + ("SAC" if task.is_ant else "PD control"),
            "description": _description(task, num_transitions, seed, noise),
            "requirements": [f"gymnasium-robotics=={importlib.metadata.version('gymnasium-robotics')}"],
        }
        minari_writer.write(name, env, buffers(walks), metadata, overwrite=overwrite)
    return name
