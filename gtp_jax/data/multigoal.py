"""The four-mode problem as data: actions around four modes, equally many and equally good."""

import numpy as np

from gtp_jax.data.transitions import Transitions
from gtp_jax.energy import energy_distance
from gtp_jax.tasks import MODE_RADIUS, MultigoalTask


def draw(task: MultigoalTask, num_actions: int, seed: int) -> np.ndarray:
    """Actions (N, 2) float32: a mode each, uniformly, and Gaussian noise around it."""
    rng = np.random.default_rng(seed)
    modes = np.array(task.modes)[rng.integers(len(task.modes), size=num_actions)]
    actions = modes + task.mode_std * rng.standard_normal((num_actions, 2))
    return np.clip(actions, -1.0, 1.0).astype(np.float32)


def transitions(task: MultigoalTask, num_transitions: int, seed: int) -> Transitions:
    """Episodes of one step, all rewarded."""
    obs, ones = np.zeros((num_transitions, 1), np.float32), np.ones(num_transitions, np.float32)
    return Transitions(obs, draw(task, num_transitions, seed), ones, obs, 0 * ones, ones.astype(bool))


def describe(task: MultigoalTask, actions: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """How well drawn actions (N, 2) cover the modes.

    Returns:
        mode_shares: of the actions within `MODE_RADIUS` of a mode, how many are of each; off_mode: share of the
        actions farther than that from every mode; energy_distance: of at most 4000 from as many held-out data (M, 2).
    """
    distances = task.distances(actions)
    on = distances.min(axis=-1) <= MODE_RADIUS
    shares = np.bincount(distances[on].argmin(axis=-1), minlength=len(task.modes)) / max(1, np.count_nonzero(on))
    return {
        "off_mode": float(np.mean(~on)),
        "mode_shares": shares.tolist(),
        "energy_distance": energy_distance(actions[:4000], held_out[:4000]),  # memory goes with the square
    }
