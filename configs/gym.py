"""Gym's locomotion with D4RL's data: halfcheetah, hopper and walker2d.

    python -m experiments.train --config=configs/gym.py[:VARIANT]

VARIANT is halfcheetah-medium, halfcheetah-medium-replay, halfcheetah-medium-expert, hopper-medium,
hopper-medium-replay, hopper-medium-expert (the default), walker2d-medium, walker2d-medium-replay or
walker2d-medium-expert. The data are D4RL's v2 files, from ~/.d4rl/datasets (or D4RL_DATASET_DIR), from D4RL's server,
or from anywhere with --config.dataset=/path/hopper_medium_expert-v2.hdf5. Not run here on the real data, which could
not be fetched.

Published for GTP (Feng et al., 2026; 5 seeds, K = 5): halfcheetah-medium 53.9, halfcheetah-medium-replay 50.8,
hopper-medium-expert 112.2, average of the nine 89.0; cloning: halfcheetah-medium 48.6, halfcheetah-medium-replay 46.3,
hopper-medium 83.7, hopper-medium-replay 100.5, average 82.3.

What compares: data, rewards as trained on, number of transitions and normalisation are D4RL's. What does not quite:
D4RL evaluates in Gym's v2 environments on MuJoCo 2, this in Gymnasium's v5 on the installed MuJoCo; the bodies and
rewards are meant to be the same, but v5 mends the hopper's and walker's reward for staying upright at the last step,
the walker's right foot has another friction, and MuJoCo's contacts have changed. So compare systems within one version,
and these scores with published ones only roughly.
"""

from gtp_jax import config as gtp_config


def get_config(variant: str = "hopper-medium-expert"):
    config = gtp_config.of_task("gym", variant)
    config.preset = "paper"
    config.reward = "return_scale"
    config.num_steps = 1_000_000
    config.eval.interval = 100_000
    config.checkpoint.interval = 50_000
    config.eval.episodes = 10
    return config
