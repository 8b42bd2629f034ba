"""From episodes to transitions: relabelled rewards, terminals that are not timeouts, statistics. NumPy only."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask, ReturnTask


class Transitions(NamedTuple):
    """N transitions of one task, float32, observations as recorded, episode after episode."""

    obs: np.ndarray  # (N, O)
    action: np.ndarray  # (N, D) in [-1, 1]
    reward: np.ndarray  # (N,)
    next_obs: np.ndarray  # (N, O)
    discount: np.ndarray  # (N,) 0 where the task's episode terminated, else 1, or gamma^n of `n_step`
    end: np.ndarray  # (N,) bool, the last transition of its recorded episode


def from_episodes(task: MazeTask, episodes: Iterable[tuple[dict[str, np.ndarray], np.ndarray]]) -> Transitions:
    """Transitions with D4RL's semantics from maze episodes collected under any goal.

    A transition whose next position lies within 0.5 of the evaluation goal has reward 1 and is terminal, whatever goal
    the collecting agent had; every other reward is 0. Rewards, terminations and truncations of the file are not used:
    Minari's sets were collected as continuing tasks. No transition spans two episodes, and the end of an episode at a
    timeout is not a terminal.

    Args:
        episodes: (observations with T + 1 rows in each array, actions (T, D)).

    Raises:
        UserError: an array is of the wrong length or width, an action leaves [-1, 1], or a value is not finite.
    """
    rows = []
    for number, (observations, actions) in enumerate(episodes):
        obs = task.flatten(observations)
        _refuse_other_lengths(number, obs, actions)
        reached = task.reached(observations["achieved_goal"][1:])
        rows.append(Transitions(obs[:-1], actions, reached, obs[1:], ~reached, _last_of(actions)))
    return joined(rows)


def from_recorded(
    task: ReturnTask, episodes: Iterable[tuple[dict[str, np.ndarray] | np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
) -> Transitions:
    """Transitions of episodes that were recorded in the task itself, with their own rewards and terminations.

    Args:
        episodes: (observations with T + 1 rows, actions (T, D), rewards (T,), terminations (T,)).

    Raises:
        UserError: as `from_episodes`.
    """
    rows = []
    for number, (observations, actions, rewards, terminations) in enumerate(episodes):
        obs = task.flatten(observations)
        _refuse_other_lengths(number, obs, actions)
        if not len(actions) == len(rewards) == len(terminations):
            raise UserError(f"episode {number} has {len(rewards)} rewards for {len(actions)} actions; it is damaged")
        rows.append(Transitions(obs[:-1], actions, rewards, obs[1:], ~terminations.astype(bool), _last_of(actions)))
    return joined(rows)


def _refuse_other_lengths(number: int, obs: np.ndarray, actions: np.ndarray) -> None:
    if len(obs) != len(actions) + 1:
        raise UserError(f"episode {number} has {len(obs)} observations for {len(actions)} actions; it is damaged")


def _last_of(actions: np.ndarray) -> np.ndarray:
    return np.arange(len(actions)) == len(actions) - 1


def joined(parts: Sequence[Transitions]) -> Transitions:
    """One after another, and checked.

    Raises:
        UserError: there are none, an action leaves [-1, 1], or a value is not finite.
    """
    if not sum(len(part.reward) for part in parts):
        raise UserError("the data set has no transitions")
    result = Transitions(*(np.concatenate(column).astype(np.float32) for column in zip(*parts)))
    result = result._replace(end=result.end.astype(bool))
    for name, values in zip(Transitions._fields, result):
        if not np.isfinite(values).all():
            raise UserError(f"{name} holds values that are not finite")
    if np.abs(result.action).max() > 1.0:
        raise UserError(f"an action has magnitude {np.abs(result.action).max():.3f}, actions must lie in [-1, 1]")
    return result


def n_step(transitions: Transitions, n: int, gamma: float) -> Transitions:
    """Looks up to n steps ahead: reward sum_k gamma^k r_k, next_obs s_n, discount gamma^n (Sutton, 1988).

    It looks no farther than the terminal, whose discount is 0, or than the last observation of the recorded episode,
    where the value takes over after fewer steps. The rewards between are those of the data's actions, so with n > 1
    the values are of acting like the data for n steps and well thereafter.
    """
    size = len(transitions.reward)
    reward, one_step = transitions.reward.copy(), np.float32(gamma) * transitions.discount
    discount = one_step.copy()
    last = np.arange(size)  # the transition that each one looks ahead to
    open_ = ~transitions.end & (transitions.discount > 0)
    for _ in range(n - 1):
        last = np.where(open_, last + 1, last)
        reward += np.where(open_, discount * transitions.reward[last], 0.0)
        discount *= np.where(open_, one_step[last], 1.0)
        open_ &= ~transitions.end[last] & (transitions.discount[last] > 0)
    return transitions._replace(reward=reward, next_obs=transitions.next_obs[last], discount=discount)


def whole(transitions: Transitions, n: int) -> np.ndarray:
    """(N,) bool: where `n_step` looks n steps ahead or to a terminal, and does not meet the end of the record before.

    Elsewhere the value of an observation that no transition begins with takes over after fewer steps, so that its
    error is hardly discounted. An upper expectile of such targets feeds on it (docs/long_horizon.md).
    """
    rows, last = np.arange(len(transitions.end)), _last(transitions)
    terminals = np.cumsum(np.append(0, transitions.discount == 0))
    return (last - rows + 1 >= n) | (terminals[last + 1] > terminals[rows])


def chunks(transitions: Transitions, h: int) -> np.ndarray:
    """Each transition's action and the h - 1 that followed, (N, h D); at an episode's end its last one is repeated."""
    rows, last = np.arange(len(transitions.action)), _last(transitions)
    return np.concatenate([transitions.action[np.minimum(rows + i, last)] for i in range(h)], axis=1)


def _last(transitions: Transitions) -> np.ndarray:
    """(N,) the last transition of each one's recorded episode."""
    ends = np.flatnonzero(transitions.end)
    return ends[np.searchsorted(ends, np.arange(len(transitions.end)))]


def observation_statistics(obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (O,) of observations (N, O); a coordinate that hardly moves keeps unit scale."""
    std = obs.std(axis=0, dtype=np.float64)
    return obs.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(std < 1e-3, 1.0, std).astype(np.float32)
