"""What published systems make of the rewards before they train. Scores are always of the environment's own rewards."""

from collections.abc import Callable

import numpy as np

from gtp_jax.data.transitions import Transitions


def none(transitions: Transitions) -> np.ndarray:
    """As recorded."""
    return transitions.reward


def minus_one(transitions: Transitions) -> np.ndarray:
    """r - 1: every step costs one until the goal (IQL's antmaze; Kostrikov et al., 2021)."""
    return transitions.reward - 1.0


def half_times_four(transitions: Transitions) -> np.ndarray:
    """(r - 0.5) * 4 (CQL's antmaze, and that of Diffusion-QL; Kumar et al., 2020)."""
    return (transitions.reward - 0.5) * 4.0


def return_scale(transitions: Transitions) -> np.ndarray:
    """r * 1000 / (greatest - least return of an episode) (IQL's Gym; Kostrikov et al., 2021)."""
    last = np.flatnonzero(transitions.end)
    sums = np.cumsum(transitions.reward, dtype=np.float64)[last]
    returns = np.diff(sums, prepend=0.0)
    spread = returns.max() - returns.min()
    return (transitions.reward * (1000.0 / spread if spread > 0 else 1.0)).astype(np.float32)


TRANSFORMS: dict[str, Callable[[Transitions], np.ndarray]] = {
    transform.__name__: transform for transform in (none, minus_one, half_times_four, return_scale)
}
