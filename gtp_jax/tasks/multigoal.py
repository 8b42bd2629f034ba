"""The four-mode problem of the paper."""

import dataclasses

import numpy as np

MODE_RADIUS = 0.25  # five standard deviations


@dataclasses.dataclass(frozen=True)
class MultigoalTask:
    """The four-mode problem (Feng et al., 2026, section 5): one observation, one action, four equally good modes.

    Attributes:
        modes: centres of the data's actions.
        mode_std: standard deviation around each.
    """

    name: str = "multigoal"
    modes: tuple[tuple[float, float], ...] = ((0.8, 0.0), (0.0, 0.8), (-0.8, 0.0), (0.0, -0.8))
    mode_std: float = 0.05
    widths: tuple[int, int] = (1, 2)

    def distances(self, actions: np.ndarray) -> np.ndarray:
        """Of actions (..., 2) from each mode: (..., 4)."""
        return np.linalg.norm(actions[..., None, :] - np.array(self.modes), axis=-1)

    def normalized_score(self, episode_return: float) -> float:
        return 100.0 * episode_return
