"""Turns any policy into a Minari data set: it acts in a Gymnasium vector environment, and Minari's writer keeps it."""

import contextlib
import functools
from collections.abc import Callable, Iterator

import gymnasium
import jax
import numpy as np
from minari.data_collector import EpisodeBuffer

from gtp_jax import environments
from gtp_jax.data import minari_source, minari_writer
from gtp_jax.tasks import MazeTask, ReturnTask


def record(
    task: MazeTask | ReturnTask,
    act: Callable[[np.ndarray], np.ndarray],
    name: str,
    num_episodes: int,
    *,
    num_envs: int = 8,
    seed: int = 0,
    metadata: dict | None = None,
) -> None:
    """Plays episodes with a policy and puts them into the local Minari store, whole or not at all.

    They are recorded as the environment gives them, so that others read them with Minari and this package with
    `--config.dataset=NAME`. Episode e begins with the environment's seed `seed + e` and counts however long it takes.

    Args:
        act: what the policy sees (E, O) float32 -> actions (E, D) in [-1, 1].
        name: a Minari id, as in "mine/hopper-v0".
        num_envs: E, environments that are played at once.
        metadata: what Minari keeps besides, such as author and algorithm_name.

    Raises:
        ValueError: nobody could read a data set of that name.
        FileExistsError: there is such a data set already.
        OSError: the store cannot be written.
    """
    if not minari_source.ID.fullmatch(name):
        raise ValueError(f"name = {name!r} must be a Minari id, as mine/hopper-v0 is")
    with contextlib.closing(environments.make_bare(task)) as env:
        episodes = _episodes(task, act, num_episodes, min(num_envs, num_episodes), seed)
        minari_writer.write(name, env, episodes, {"algorithm_name": "a policy", **(metadata or {})})


def _episodes(task, act, num_episodes: int, num_envs: int, seed: int) -> Iterator[EpisodeBuffer]:
    envs = gymnasium.vector.SyncVectorEnv(
        [functools.partial(environments.make_bare, task)] * num_envs,
        autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED,
    )
    with contextlib.closing(envs):
        playing, begun = list(range(num_envs)), num_envs  # the episode of each environment
        observations, _ = envs.reset(seed=[seed + e for e in playing], options=environments.start_options(task))
        steps = [[] for _ in range(num_envs)]
        seen = [[_row(observations, i)] for i in range(num_envs)]
        done, next_out = {}, 0
        while next_out < num_episodes:
            actions = np.asarray(act(task.flatten(observations)), np.float32)
            observations, *results, _ = envs.step(actions)
            ended = results[1] | results[2]
            for i in range(num_envs):
                steps[i].append((actions[i], *(result[i] for result in results)))
                seen[i].append(_row(observations, i))
                if ended[i]:
                    done[playing[i]] = _buffer(seed + playing[i], seen[i], steps[i])
            if ended.any():
                seeds = [None] * num_envs
                for i in np.flatnonzero(ended):
                    playing[i], begun, steps[i] = begun, begun + 1, []
                    seeds[i] = seed + playing[i]
                options = {**environments.start_options(task), "reset_mask": ended}
                observations, _ = envs.reset(seed=seeds, options=options)
                for i in np.flatnonzero(ended):
                    seen[i] = [_row(observations, i)]
            while next_out in done:  # in order, whichever ends first
                yield done.pop(next_out)
                next_out += 1


def _row(batch, i: int):
    return jax.tree.map(lambda values: np.array(values[i]), batch)


def _buffer(seed: int, observations: list, steps: list) -> EpisodeBuffer:
    actions, rewards, terminations, truncations = (np.array(column) for column in zip(*steps))
    return EpisodeBuffer(
        seed=seed,
        observations=jax.tree.map(lambda *rows: np.stack(rows), *observations),
        actions=actions,
        rewards=rewards,
        terminations=terminations,
        truncations=truncations,
    )
