"""How far samples are from a distribution that only samples tell of: energy distance and energy score. NumPy only."""

import numpy as np


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of samples (N, D) and (M, D), unbiased (Szekely and Rizzo, 2013)."""

    def mean_distance(a, b, pairs):
        return np.linalg.norm(a[:, None] - b[None], axis=-1).sum() / pairs

    n, m = len(x), len(y)
    within = mean_distance(x, x, max(1, n * (n - 1))) + mean_distance(y, y, max(1, m * (m - 1)))
    return float(2 * mean_distance(x, y, n * m) - within)


def energy_score(actions: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """E|A - a| - E|A - A'|/2, A and A' drawn by a policy where the data have a.

    The energy score of Gneiting and Raftery (2007), section 4.3, with beta = 1 and its sign turned, so that less is
    better; unbiased. Over actions of the data its mean is least for the policy that they come from; what another
    policy's is above that is half the energy distance of the two.

    Args:
        actions: (N, D).
        draws: (M, N, D) of the policy at the observations of these actions, M > 1.

    Returns:
        (N,).
    """
    m = len(draws)
    apart = sum(np.linalg.norm(draws - each, axis=-1).sum(axis=0) for each in draws) / (m * (m - 1))
    return np.linalg.norm(draws - actions, axis=-1).mean(axis=0) - apart / 2
