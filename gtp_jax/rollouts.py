"""Episodes of all members at once in real Gymnasium environments, which a process on each core steps.

Of a step of the ant's maze a fifth is Python's, which threads would have to take turns at. The processes import this
module, so nothing here may import jax.
"""

import contextlib
import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import util
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from gtp_jax import children, environments
from gtp_jax.cores import available_cores
from gtp_jax.errors import UserError
from gtp_jax.tasks import Task

FEW = 8  # episodes; so many take less time than another process needs to start


class Episodes(NamedTuple):
    """What E evaluation episodes of one member came to."""

    returns: np.ndarray  # (E,) float64
    successes: np.ndarray  # (E,) bool
    lengths: np.ndarray  # (E,) int64, steps
    actions: np.ndarray  # (E, h D) float32, the first of each episode, or the first chunk
    crashed: np.ndarray  # (E,) bool, where the environment raised an error


class _Block:
    """Some of the environments, stepped one after another.

    Args:
        tasks: each member's, M of them.
        indices: (member, episode) of each environment.
        board: (M, E) records, of which the block reads and writes its own.
    """

    def __init__(self, tasks: Sequence[Task], indices: Sequence[tuple[int, int]], board: np.ndarray):
        self._tasks, self._board = tasks, board
        self._envs = {index: environments.make(tasks[index[0]]) for index in indices}

    def reset(self, seed: int) -> None:
        for (member, e), env in self._envs.items():
            observation, _ = env.reset(seed=seed + e)
            episode = self._board[member, e]
            episode["observation"][: len(observation)] = observation
            episode["return"] = episode["length"] = episode["success"] = episode["crashed"] = 0
            episode["running"] = True

    def step(self) -> list[str]:
        """One step of each episode that goes on; a line for each that crashed."""
        crashes = []
        for (member, e), env in self._envs.items():
            task, episode = self._tasks[member], self._board[member, e]
            if not episode["running"]:
                continue
            obs_dim, action_dim = task.widths
            try:
                observation, reward, terminated, truncated, info = env.step(episode["action"][:action_dim].copy())
            except Exception as error:  # a simulator may raise anything
                crashes.append(f"{task.name}: episode {e} crashed ({type(error).__name__}: {error})")
                episode["crashed"], episode["running"] = True, False
                self._envs[member, e] = environments.make(task)
                continue
            episode["observation"][:obs_dim] = observation
            episode["return"] += reward
            episode["length"] += 1
            episode["success"] |= info["success"]
            episode["running"] = not (terminated or truncated)
        return crashes

    def close(self) -> None:
        for env in self._envs.values():
            env.close()


def _records(memory: Any, tasks: Sequence[Task], num_episodes: int) -> np.ndarray:
    """(M, E) records of a shared memory, which is large enough if it has as many bytes."""
    return np.frombuffer(memory, _record(tasks)).reshape(len(tasks), num_episodes)


def _record(tasks: Sequence[Task]) -> np.dtype:
    """Of an episode, with room for the widest task."""
    obs_dim, action_dim = np.max([task.widths for task in tasks], axis=0)
    fields = [("observation", np.float32, obs_dim), ("action", np.float32, action_dim), ("return", np.float64)]
    fields += [("length", np.int64), ("success", bool), ("crashed", bool), ("running", bool)]
    return np.dtype(fields, align=True)


def _outcome(function: Callable, *args) -> tuple[Any, Exception | None]:
    """What it returns and None, or None and what it raised."""
    try:
        return function(*args), None
    except UserError as error:
        return None, error
    except Exception as error:
        return None, RuntimeError("".join(traceback.format_exception(error)))


def _serve(connection, memory, tasks, num_episodes, indices) -> None:
    """What a process does: it makes a block, and then what it is asked to, until nobody is there to ask."""
    children.exit_with_parent()
    block, error = _outcome(_Block, tasks, indices, _records(memory, tasks, num_episodes))
    with contextlib.suppress(EOFError, OSError):  # nobody is there any more
        connection.send((None, error))
        while block:
            method, *args = connection.recv()
            connection.send(_outcome(getattr(block, method), *args))
    if block:
        block.close()


class Evaluator:
    """Holds one environment per member and episode and plays them all in step.

    Args:
        tasks: each member's task, M of them. Where one is wider, the observations of the others are filled up with
            zeros, and of their actions what is too much is left out.
        num_episodes: E, per member.
        seed: episode e of every member starts from environment seed `seed + e`, so members face the same starts.
        num_workers: processes that step them; with 1 it is this one. One for each core that this process may use if
            None, or less where episodes are few.

    The processes run neither the caller's program nor a config file. An environment of somebody's own has to be one
    that Gymnasium finds by importing it, as env_id = "module:Name-v0".

    Raises:
        UserError: the package of an environment is not installed, or a process has died.
        RuntimeError: an environment cannot be made, with the traceback of its process.
    """

    def __init__(self, tasks: Sequence[Task], num_episodes: int, seed: int = 0, *, num_workers: int | None = None):
        self.tasks = tasks
        self.num_episodes = num_episodes
        self.seed = seed
        memory = children.CONTEXT.RawArray("b", len(tasks) * num_episodes * _record(tasks).itemsize)
        self._board = _records(memory, tasks, num_episodes)
        indices = list(np.ndindex(self._board.shape))
        if num_workers is None:
            num_workers = min(available_cores(), -(-len(indices) // FEW))
        self._connections, self._block = [], None
        if num_workers == 1:
            self._block = _Block(tasks, indices, self._board)
            return
        processes = []
        # Before multiprocessing ends what is left, by a signal that these do not hear.
        self._end = util.Finalize(self, _end, (self._connections, processes), exitpriority=0)
        with children.starting(signal.SIGINT, signal.SIGTERM):
            for i in range(num_workers):
                mine, theirs = children.CONTEXT.Pipe()
                arguments = theirs, memory, tasks, num_episodes, indices[i::num_workers]
                process = children.CONTEXT.Process(target=_serve, args=arguments, daemon=True)
                process.start()
                theirs.close()
                self._connections.append(mine)
                processes.append(process)
        self._answers()  # that all environments are there

    def __call__(
        self,
        act: Callable[[np.ndarray, int], np.ndarray],
        description: str = "evaluation",
        *,
        chunk: int = 1,
        log: list[tuple[np.ndarray, np.ndarray]] | None = None,
    ) -> list[Episodes]:
        """Plays one episode in every environment, with a progress bar.

        Args:
            act: (observations (M, E, O), environment step) -> actions (M, E, h D); one call serves all members.
            chunk: h, the actions that follow from one call; it is made at every h-th step.
            log: takes the observations (M, E, O) and actions (M, E, D) of every environment step.

        Returns:
            one `Episodes` a member.

        Raises:
            UserError: a process has died.
            RuntimeError: an environment cannot be reset.
        """
        board, first_actions, time = self._board, None, 0
        self._all("reset", self.seed)
        running = board.size
        with tqdm(total=running, desc=description, unit="episode", mininterval=1.0) as bar:
            while running:
                if time % chunk == 0:  # of NaN MuJoCo would write a file of warnings
                    actions = np.nan_to_num(act(board["observation"].copy(), time))
                    first_actions = actions if first_actions is None else first_actions
                for member, task in enumerate(self.tasks):
                    width = task.widths[1]
                    board["action"][member, :, :width] = actions[member, :, time % chunk * width :][:, :width]
                if log is not None:
                    log.append((board["observation"].copy(), board["action"] * board["running"][..., None]))
                for line in self._all("step"):
                    tqdm.write(line)
                still = np.count_nonzero(board["running"])
                bar.update(running - still)
                running, time = still, time + 1
        columns = [board[name].copy() for name in ("return", "success", "length")]
        return [Episodes(*member) for member in zip(*columns, first_actions, board["crashed"].copy())]

    def _all(self, method: str, *args) -> list:
        """What all blocks say, end to end."""
        if self._block:
            return getattr(self._block, method)(*args) or []
        with contextlib.suppress(OSError):  # the answer that does not come tells
            for connection in self._connections:
                connection.send((method, *args))
        return self._answers()

    def _answers(self) -> list:
        try:
            results, errors = zip(*(connection.recv() for connection in self._connections))
        except (EOFError, OSError) as error:
            raise UserError(
                "a process that plays episodes has died, perhaps for want of memory; ask for fewer episodes"
            ) from error
        for error in filter(None, errors):
            raise error
        return [each for result in results for each in result or ()]

    def close(self) -> None:
        if self._block:
            self._block.close()
        else:
            self._end()


def _end(connections: list, processes: list) -> None:
    """Lets the processes find nobody to ask them, and waits until they are gone."""
    for connection in connections:
        connection.close()
    for process in processes:
        process.join(10)
        process.kill()  # if its simulator hangs
