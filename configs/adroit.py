"""Adroit: a hand of 24 joints turns a pen, opens a door, hammers a nail, moves a ball (D4RL).

    python -m experiments.train --config=configs/adroit.py[:VARIANT]

VARIANT is pen-human (the default), pen-cloned, pen-expert, door-human, door-cloned, door-expert, hammer-human,
hammer-cloned, hammer-expert, relocate-human, relocate-cloned or relocate-expert. The data are Minari's
D4RL/HAND/KIND-v2; horizons and the returns that score 0 and 100 are D4RL's. gymnasium-robotics changed the rewards of
door, hammer and relocate within v1 (in its 1.2.1), so scores are not quite those of D4RL's papers. Not measured yet.
"""

from gtp_jax import config as gtp_config


def get_config(variant: str = "pen-human"):
    config = gtp_config.of_task("adroit", variant)
    config.preset = "paper"
    config.num_steps = 300_000
    config.eval.interval = 50_000
    config.checkpoint.interval = 50_000
    return config
