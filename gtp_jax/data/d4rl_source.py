"""D4RL's HDF5 files (Fu et al., 2020), read by the rule of its own `qlearning_dataset`."""

import os
import pathlib

import h5py
import numpy as np

from gtp_jax.data import hdf5, transitions
from gtp_jax.data.transitions import Transitions
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask, ReturnTask

URL = "http://rail.eecs.berkeley.edu/datasets/offline_rl"


def folder() -> pathlib.Path:
    """Where D4RL's package keeps its files."""
    return pathlib.Path(os.environ.get("D4RL_DATASET_DIR", "~/.d4rl/datasets")).expanduser()


def load(task: MazeTask | ReturnTask, path: pathlib.Path) -> Transitions:
    """Reads a file with `observations, actions, rewards, terminals[, timeouts][, next_observations]`.

    Raises:
        UserError: it cannot be read, is damaged, or does not fit the task.
    """
    if isinstance(task, MazeTask) and not task.d4rl_file:
        other = f", --config=configs/antmaze.py:d4rl-{task.name.partition('/')[2]} for this file" if task.is_ant else ""
        raise UserError(
            f"{path}: D4RL's mazes have another body and other coordinates than {task.name}; take "
            f"--config.dataset={task.minari_id} for it{other}"
        )
    seen, acted = task.widths
    try:
        with h5py.File(path) as file:
            reader = hdf5.Reader(file, task.name)
            optional = {}
            if "timeouts" in reader:
                optional["timeouts"] = reader.read("timeouts", "timeouts", kinds="biuf").astype(bool)
            if "next_observations" in reader:
                optional["next_obs"] = reader.read("next_observations", "next observation", seen)
            obs, action = (
                reader.read("observations", "observation", seen),
                reader.read("actions", "action", acted),
            )
            reward = reader.read("rewards", "rewards")
            terminal = reader.read("terminals", "terminals", kinds="biuf").astype(bool)
            if not isinstance(task, MazeTask):
                return from_rows(obs, action, reward, terminal, horizon=task.horizon, **optional)
            obs[:, :2] += task.cell_centre(task.start)  # D4RL counts from the start, we from the middle of the maze
            return from_walks(task, obs, action, terminal, optional.get("timeouts"))
    except UserError as error:
        raise UserError(f"data file {path}: {error}") from error
    except Exception as error:  # on damaged files h5py raises nearly everything there is
        problem = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise UserError(f"data file {path} cannot be read ({problem})") from error


def from_rows(
    obs: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    terminal: np.ndarray,
    *,
    horizon: int,
    timeouts: np.ndarray | None = None,
    next_obs: np.ndarray | None = None,
) -> Transitions:
    """D4RL's rule: a row at a timeout, whose next observation is of another episode, is left out, and so is the last.

    Args:
        obs: (N, O), episode after episode.
        action, reward, terminal: (N, D), (N,) and (N,) bool.
        horizon: of an episode without `timeouts`.
        timeouts: (N,) bool, the last row of an episode that was cut off.
        next_obs: (N, O); the next row's if not given.

    Raises:
        UserError: lengths differ, or as `transitions.joined`.
    """
    columns = {"observations": obs, "actions": action, "rewards": reward, "terminals": terminal}
    columns |= {"timeouts": timeouts, "next_observations": next_obs}
    counts = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(counts.values())) > 1:
        raise UserError(f"its arrays differ in length: {counts}")
    if timeouts is None:
        timeouts = _timeouts(terminal, horizon)
    kept = ~timeouts[:-1]
    if len(obs) and not (terminal | timeouts).any():
        raise UserError("none of its episodes ends; it needs terminals or timeouts")
    return transitions.joined(
        [
            Transitions(
                obs[:-1][kept],
                action[:-1][kept],
                reward[:-1][kept],
                (obs[1:] if next_obs is None else next_obs[:-1])[kept],
                ~terminal[:-1][kept],
                # What comes after a timeout that was left out does not follow on what came before.
                (terminal[:-1] | timeouts[1:] | (np.arange(1, len(obs)) == len(obs) - 1))[kept],
            )
        ]
    )


def from_walks(
    task: MazeTask, obs: np.ndarray, action: np.ndarray, terminal: np.ndarray, timeouts: np.ndarray | None
) -> Transitions:
    """Rows in a maze, with rewards and terminals recomputed against the task's goal as those of other sources.

    Reaching some goal of its own ends no walk, and D4RL's ants go on there. What ends one is a timeout, or a terminal
    in data without timeouts, or a jump: no body moves half a cell in a step.

    Args:
        obs: (N, O) as the policy sees it, x and y first.
        action, terminal, timeouts: as of `from_rows`.

    Raises:
        UserError: lengths differ, or as `transitions.joined`.
    """
    jumps = np.linalg.norm(np.diff(obs[:, :2], axis=0), axis=1) > task.cell_size / 2
    ends = (terminal if timeouts is None else timeouts) | np.append(jumps, True)[: len(terminal)]
    found = from_rows(obs, action, np.zeros(len(obs)), np.zeros_like(terminal), horizon=len(obs) + 1, timeouts=ends)
    reached = task.reached(found.next_obs[:, :2])
    return found._replace(reward=reached.astype(np.float32), discount=(~reached).astype(np.float32))


def _timeouts(terminal: np.ndarray, horizon: int) -> np.ndarray:
    """Where D4RL assumes them; its count begins at 1 after a terminal, and at 0 after a timeout."""
    found, step = np.zeros(len(terminal), bool), 0
    for i, ends in enumerate(terminal):
        found[i] = step == horizon - 1
        step = 0 if found[i] else 1 if ends else step + 1
    return found
