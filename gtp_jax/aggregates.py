"""Scores of several tasks and seeds as one number, with its uncertainty (Agarwal et al., 2021, arXiv 2108.13264).

The package rliable has these functions, but 1.2.0 cannot be imported beside pandas 3, and it wants as many seeds of
each task. Here an agent's scores are a list with the seeds (S,) of each task, and S may differ between tasks; intervals
are percentiles of bootstrap samples that draw seeds anew within each task. NumPy only.
"""

from collections.abc import Callable, Sequence

import numpy as np

Scores = Sequence[np.ndarray]


def interquartile_mean(scores: Scores) -> float:
    """Mean of the middle half of all seeds of all tasks: a quarter of them, rounded down, is left out at each end."""
    pooled = np.sort(np.concatenate(scores))
    cut = len(pooled) // 4
    return float(pooled[cut : len(pooled) - cut].mean())


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Share of the seeds with a score above each threshold (P,), averaged over tasks: (P,)."""
    return np.mean([(task[:, None] > thresholds).mean(axis=0) for task in scores], axis=0)


def probability_of_improvement(ours: Scores, theirs: Scores) -> float:
    """That a seed of ours scores higher than one of theirs, averaged over tasks; ties count half (Mann-Whitney U)."""

    def of_task(x, y):
        return np.mean((x[:, None] > y) + 0.5 * (x[:, None] == y))

    return float(np.mean([of_task(x, y) for x, y in zip(ours, theirs, strict=True)]))


def bootstrap_interval(
    statistic: Callable[..., np.ndarray | float], *agents: Scores, num_samples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of the 95 % intervals of a statistic of the scores of one or more agents.

    With few seeds they are too narrow: two seeds can be drawn in three ways.

    Args:
        statistic: one of the functions above.
        num_samples: how often it is computed.
    """
    rng = np.random.default_rng(seed)

    def drawn_anew(scores):
        return [task[rng.integers(len(task), size=len(task))] for task in scores]

    values = [statistic(*map(drawn_anew, agents)) for _ in range(num_samples)]
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    return low, high
