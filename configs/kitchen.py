"""Franka Kitchen: a robot arm does four of seven things in a kitchen, in any order (D4RL).

    python -m experiments.train --config=configs/kitchen.py[:VARIANT]

VARIANT is complete (the default), partial or mixed. The data are Minari's D4RL/kitchen/VARIANT-v2. The return counts
the subtasks that are done, and four of them are a score of 100. The policy sees the 59 numbers of the environment's
`observation` and not the goals, which are the same in every episode. D4RL's own HDF5 files have 60 numbers and do not
fit. Not measured yet.
"""

from gtp_jax import config as gtp_config


def get_config(variant: str = "complete"):
    config = gtp_config.of_task("kitchen", variant)
    config.preset = "paper"
    config.num_steps = 500_000
    config.eval.interval = 50_000
    config.checkpoint.interval = 50_000
    return config
