"""The local benchmark: GTP and what it is compared with on generated data, which anyone can make.

    python -m experiments.train --config=configs/local.py[:VARIANT]

VARIANT is pointmaze (the default, four mazes), antmaze (six data sets) or ogbench (a maze and a manipulation). All
systems see the same batches: GTP (the default preset), GTP's cloning as published, Diffusion-QL, Consistency-AC, IDQL,
IQL and cloning without a generative model, on equal networks, updates and seeds. All share the discount and the number
of rewards summed before a critic bootstraps, which with so few updates decides the mazes with walls; the published
systems have 0.99 and 1. Everything else is as in the presets, so it is not equal: `default` has learning rates of its
own (1e-3 for the actor and 0.02 for the target critic, where the others have 3e-4 and 0.005), and these, its noise
levels and the shared returns were tuned on generated mazes, which was not done for the others. OGBench's two tasks get
what lies between, neither tuned.
"""

from gtp_jax import config as gtp_config
from gtp_jax import tasks

SYSTEMS = "default,gtp_bc,diffusion_ql,consistency_ac,idql,iql,bc"


def get_config(variant: str = "pointmaze"):
    if variant not in ("pointmaze", "antmaze", "ogbench"):
        raise ValueError(f"unknown variant {variant!r} of local; there are pointmaze, antmaze and ogbench")
    config = gtp_config.base()
    config.preset = SYSTEMS
    config.dataset = "generated"
    config.num_seeds = 2
    config.num_steps = config.eval.interval = 5_000
    config.eval.episodes = 25
    config.eval.sampling_steps = (1, 5)
    config.agent.hidden_dims = (128, 128, 128)
    config.agent.critic_hidden_dims = (128, 128)
    if variant == "pointmaze":
        config.tasks = tuple(f"pointmaze/{size}" for size in tasks.POINTMAZE)
        config.agent.discount, config.agent.num_step_returns = 0.99, 10
    if variant == "antmaze":
        config.tasks = tuple(f"antmaze/{kind}" for kind in tasks.ANTMAZE)
        config.generate.num_transitions = 500_000
        config.agent.discount, config.agent.num_step_returns = 0.998, 100
    if variant == "ogbench":
        config.tasks = ("ogbench/pointmaze-medium-navigate", "ogbench/cube-single-play")
        config.generate.num_transitions = 100_000
        config.num_steps = config.eval.interval = 10_000
        config.agent.discount, config.agent.num_step_returns = 0.995, 50
    return config
