"""Makes OGBench's kind of data (Park et al., 2025) without a download, with the package's environments and oracles.

They stand in for OGBench's own, whose scripts are not part of the package, and are not the same: `navigate` walks to
random goals, one after the other, and `play` has an arm do random things, both with noise and without regard to the
task that is evaluated. Ants and humanoids would need walkers, which the package does not have. Workers import this
module, so nothing here may import jax.
"""

import contextlib
import functools
import os
import pathlib
from typing import NamedTuple

import numpy as np

from gtp_jax import environments
from gtp_jax.data import npz_source, scratch, workers
from gtp_jax.errors import UserError
from gtp_jax.tasks import Cell, OGBenchTask

EPISODE_LENGTH = 1000  # steps, as in OGBench's
POINT_NOISE = 0.2  # standard deviation, on actions
_ENDLESS = {"terminate_at_goal": False, "max_episode_steps": EPISODE_LENGTH + 1}


class Episode(NamedTuple):
    """T steps: the columns of a file in OGBench's layout by name, (T + 1, ...), the last row being the last state."""

    columns: dict[str, np.ndarray]

    @property
    def num_transitions(self) -> int:
        return len(self.columns["actions"]) - 1

    def cut(self, num_transitions: int) -> "Episode":
        """The first transitions only."""
        columns = {name: values[: num_transitions + 1] for name, values in self.columns.items()}
        return Episode(columns | {"terminals": np.arange(num_transitions + 1) == num_transitions})


# ------------------------------------------------------------------------------------------------- one episode


class _Navigation:
    """A point walks along shortest paths from one random goal to the next."""

    def __init__(self, task: OGBenchTask):
        self.env = environments.make_ogbench(task, task.data_env_id, **_ENDLESS)
        self._cells = [tuple(cell) for cell in np.argwhere(self.env.unwrapped.maze_map == 0).tolist()]

    def _draw(self, other_than: Cell | None) -> Cell:
        cells = [cell for cell in self._cells if cell != other_than]
        return cells[np.random.randint(len(cells))]

    def begin(self, seed: int) -> tuple[np.ndarray, dict]:
        start = self._draw(None)
        return self.env.reset(seed=seed, options={"task_info": {"init_ij": start, "goal_ij": self._draw(start)}})

    def act(self, obs: np.ndarray, info: dict) -> np.ndarray:
        maze, xy = self.env.unwrapped, obs[:2]
        here, goal = maze.xy_to_ij(xy), maze.xy_to_ij(maze.cur_goal_xy)
        if info.get("success"):
            goal = self._draw(goal)
            maze.set_goal(goal_xy=maze.add_noise(maze.ij_to_xy(goal)))
        target = maze.cur_goal_xy if here == goal else maze.get_oracle_subgoal(xy, maze.cur_goal_xy)[0]
        direction = (target - xy) / (np.linalg.norm(target - xy) + 1e-6)
        return direction + POINT_NOISE * np.random.standard_normal(2)


class _Play:
    """An arm does one random thing after the other, by the package's oracles, whose plans are noisy."""

    def __init__(self, task: OGBenchTask):
        self.env = environments.make_ogbench(task, task.data_env_id, mode="data_collection", **_ENDLESS)
        from ogbench.manipspace.oracles.plan.button_plan import ButtonPlanOracle  # of an optional package
        from ogbench.manipspace.oracles.plan.cube_plan import CubePlanOracle
        from ogbench.manipspace.oracles.plan.drawer_plan import DrawerPlanOracle
        from ogbench.manipspace.oracles.plan.window_plan import WindowPlanOracle

        button = functools.partial(ButtonPlanOracle, gripper_always_closed="puzzle" in task.name)
        kinds = {"cube": CubePlanOracle, "button": button, "drawer": DrawerPlanOracle, "window": WindowPlanOracle}
        self._oracles = {name: kind(env=self.env) for name, kind in kinds.items()}

    def _take_up(self, obs: np.ndarray, info: dict) -> None:
        self._oracle = self._oracles[info["privileged/target_task"]]
        self._oracle.reset(obs, info)

    def begin(self, seed: int) -> tuple[np.ndarray, dict]:
        obs, info = self.env.reset(seed=seed)
        self._take_up(obs, info)
        return obs, info

    def act(self, obs: np.ndarray, info: dict) -> np.ndarray:
        if self._oracle.done:
            obs, info = self.env.unwrapped.set_new_target()
            self._take_up(obs, info)
        return self._oracle.select_action(obs, info)


def _behaviour(task: OGBenchTask) -> type[_Navigation] | type[_Play]:
    """How its data are made.

    Raises:
        UserError: they cannot be.
    """
    if task.name.endswith("-play"):
        return _Play
    if task.name.startswith("ogbench/pointmaze-"):
        return _Navigation
    raise UserError(
        f"data of {task.name} cannot be made here, as its body needs a trained walker; points and arms do not"
    )


class Player:
    """Makes the episodes of one data set; what an episode holds depends on (seed, index) alone."""

    def __init__(self, task: OGBenchTask, seed: int):
        self._seed, self._behaviour = seed, _behaviour(task)(task)

    def close(self) -> None:
        self._behaviour.env.close()

    def __call__(self, index: int) -> Episode:
        seed = int(np.random.SeedSequence([self._seed, index]).generate_state(1)[0])
        with environments.numpys_own_generator(seed):  # the oracles draw from it
            return self._episode(seed)

    def _episode(self, seed: int) -> Episode:
        behaviour, env, rows = self._behaviour, self._behaviour.env, []
        obs, info = behaviour.begin(seed)
        for step in range(EPISODE_LENGTH + 1):
            action = np.clip(behaviour.act(obs, info), -1, 1).astype(np.float32)
            row = {"observations": obs, "actions": action, "terminals": step == EPISODE_LENGTH}
            row |= {"qpos": env.unwrapped.data.qpos.copy(), "qvel": env.unwrapped.data.qvel.copy()}
            if hasattr(env.unwrapped, "_cur_button_states"):
                row["button_states"] = env.unwrapped._cur_button_states.copy()
            rows.append(row)
            if step < EPISODE_LENGTH:
                obs, *_, info = env.step(action)
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return Episode({name: v.astype(np.float32) if v.dtype == np.float64 else v for name, v in columns.items()})


# ------------------------------------------------------------------------------------------------- the data set


def check(task: OGBenchTask) -> None:
    """Raises UserError if data of the task cannot be made, or the package of its environments is not installed."""
    _behaviour(task)
    environments.register_ogbench()


def path(task: OGBenchTask, num_transitions: int, seed: int) -> pathlib.Path:
    """Where the file is, beside those of OGBench's package; its name fixes what is in it."""
    return npz_source.ogbench_folder() / f"gtp_jax-{task.dataset}-{num_transitions}-seed{seed}-v1.npz"


def generate(
    task: OGBenchTask,
    num_transitions: int,
    seed: int,
    *,
    num_workers: int | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> pathlib.Path:
    """Makes a file in OGBench's layout at `path`, where it appears only when it is whole, and returns where that is.

    The last episode is cut to make the total exact. A field more than OGBench has, `generated`, says what the file is.

    Args:
        task: one that navigates with a point, or manipulates.
        num_transitions: how many in all, > 0.
        seed: >= 0; the same data for the same seed, whatever the number of workers.
        num_workers: processes; one for each core this process may use if None.
        progress: whether to show a bar on stderr.
        overwrite: whether to put the new file in the place of an old one, once it is whole.

    Raises:
        UserError: data of that task cannot be made, or the package of its environments is not installed.
        ValueError: a count or a seed out of range.
        FileExistsError: there is such a file already.
        OSError: it cannot be written.
    """
    check(task)
    if seed < 0:
        raise ValueError(f"need {seed=} >= 0")
    final = path(task, num_transitions, seed)
    if final.exists() and not overwrite:
        raise FileExistsError(f"data file {final} exists already")
    final.parent.mkdir(parents=True, exist_ok=True)
    player = functools.partial(Player, task, seed)
    made = workers.episodes(player, final.stem, num_transitions, num_workers=num_workers, progress=progress)
    note = f"by gtp_jax: {num_transitions} transitions of {task.data_env_id}, seed {seed}; not OGBench's data"
    with scratch.folder(final.parent) as place:
        with contextlib.closing(made):
            episodes = [episode.columns for episode in made]
        columns = {name: np.concatenate([columns[name] for columns in episodes]) for name in episodes[0]}
        np.savez_compressed(place / "new.npz", **columns, generated=np.array(note))
        os.replace(place / "new.npz", final)
    return final
