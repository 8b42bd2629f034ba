"""A bandit: a single state, discount 0, actions near -0.6 (reward 0) and near +0.6 (reward 1) in equal numbers."""

import numpy as np

from gtp_jax.agent import Batch

# Settings with which an agent learns it in moments.
SMALL = {"hidden_dims": (32, 32), "critic_hidden_dims": (64,), "learning_rate": 3e-3, "critic_learning_rate": 3e-3}


def bandit_data() -> Batch:
    better = np.arange(128) % 2
    noise = 0.05 * np.random.default_rng(0).normal(size=128)
    action = (0.6 * (2 * better - 1) + noise).astype(np.float32)[:, None]
    return Batch(
        np.zeros((128, 1), np.float32), action, np.float32(better), np.ones((128, 1), np.float32), np.zeros(128)
    )
