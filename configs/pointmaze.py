"""PointMaze: a point mass in the same mazes; the data take seconds to make. The fast config, for tests and for trying.

    python -m experiments.train --config=configs/pointmaze.py[:VARIANT]

VARIANT is umaze (the default), medium or large. On generated data medium reached 0.988 [0.968, 0.995] at K = 5 (4
seeds, 100 episodes each; docs/results/pointmaze-medium.json has the times); umaze and large were not measured yet.
"""

from gtp_jax import config as gtp_config
from gtp_jax import tasks


def get_config(variant: str = "umaze"):
    if variant not in tasks.POINTMAZE:
        raise ValueError(f"unknown variant {variant!r} of pointmaze; there are {', '.join(tasks.POINTMAZE)}")
    config = gtp_config.base()
    config.tasks = (f"pointmaze/{variant}",)
    config.agent.hidden_dims = (128, 128, 128)
    config.agent.critic_hidden_dims = (128, 128)
    return config
