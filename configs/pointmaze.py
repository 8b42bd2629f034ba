"""PointMaze: a point mass in the same mazes; the data take seconds to make. The fast config, for tests and for trying.

    python -m experiments.train --config=configs/pointmaze.py[:VARIANT]

VARIANT is umaze (the default), open, medium or large. Success on generated data (4 seeds of 100 episodes, K = 5):

    medium  1.000 [0.990, 1.000]; cloning (agent.eta=0.0) 0.052 [0.024, 0.111]
    large   0.960 [0.909, 0.983]; both in 8 minutes of one core

The others were not measured with this config; configs/local.py compares systems on all four.
"""

from gtp_jax import config as gtp_config


def get_config(variant: str = "umaze"):
    config = gtp_config.of_task("pointmaze", variant)
    config.agent.hidden_dims = (128, 128, 128)
    config.agent.critic_hidden_dims = (128, 128)
    if variant == "large":
        config.preset = "long_returns"  # docs/long_horizon.md
    return config
