"""Multigoal: one observation, four equally good actions, (+-0.8, 0) and (0, +-0.8). What each objective makes of it.

    python -m experiments.train --config=configs/multigoal.py

Trains every objective on the same batches and prints, for K in 1, 2, 3, 5 and 10, the share of samples off every mode,
the modes' shares, the energy distance to held-out data and the time an action takes, in 28 minutes on two cores;
default_bc ends with 0.011 off mode at K = 2 (docs/few_step.md). One of them alone: --config.preset=default_bc. The
figure: python -m experiments.evaluate --workdir=DIR --pictures.
"""

from gtp_jax import config as gtp_config


def get_config(variant: str | None = None):
    if variant:
        raise ValueError(f"unknown variant {variant!r} of multigoal; it has none")
    config = gtp_config.base()
    config.tasks = ("multigoal",)
    config.num_seeds = 3
    config.num_steps = 40_000
    config.preset = "default_bc,gtp_bc,ctm_bc,consistency_bc,shortcut_bc,mean_flow_bc,flow_bc,diffusion_bc,bc"
    config.agent.hidden_dims = (128, 128, 128)
    config.agent.learning_rate = 1e-3
    config.generate.num_transitions = 100_000
    config.eval.episodes = 2_000
    config.eval.sampling_steps = (1, 2, 3, 5, 10)
    config.eval.interval = 40_000
    config.checkpoint.interval = 10_000
    return config
