"""OGBench's single-task navigation and manipulation (Park et al., 2025); needs pip install ogbench.

    python -m experiments.train --config=configs/ogbench.py[:VARIANT]

VARIANT is pointmaze-medium-navigate (the default), pointmaze-large-navigate, pointmaze-giant-navigate,
antmaze-medium-navigate, antmaze-large-navigate, antmaze-giant-navigate, humanoidmaze-medium-navigate,
humanoidmaze-large-navigate, antsoccer-arena-navigate, cube-single-play, cube-double-play, scene-play, puzzle-3x3-play
or puzzle-4x4-play. The data come from ~/.ogbench/data (or OGBENCH_DATASET_DIR), from OGBench's server, or from anywhere
with --config.dataset=/path/cube-single-play-v0.npz; of the pointmaze and play variants a stand-in is made on the spot
with --config.dataset=generated. Rewards are -1 until success and 0 at it, as the package relabels them for the first of
each environment's five tasks (which its `singletask` stands for). The score is the success rate.
Measured are two of them only, by configs/local.py:ogbench.
"""

from gtp_jax import config as gtp_config


def get_config(variant: str = "pointmaze-medium-navigate"):
    config = gtp_config.of_task("ogbench", variant)
    config.preset = "long_returns"
    config.num_steps = 1_000_000
    config.eval.interval = 100_000
    config.checkpoint.interval = 50_000
    return config
