"""The local benchmark: GTP and what it is compared with on generated data, which anyone can make.

    python -m experiments.train --config=configs/local.py[:VARIANT]

VARIANT is pointmaze (the default) or antmaze. The first has four mazes, the second six data sets. All systems see the
same batches: GTP (the default preset), its cloning, Diffusion-QL, Consistency-AC, IDQL, IQL and cloning without a
generative model, on equal networks, updates and seeds. README has the table of pointmaze; antmaze was not run yet.
"""

from gtp_jax import config as gtp_config
from gtp_jax import tasks

SYSTEMS = "default,gtp_bc,diffusion_ql,consistency_ac,idql,iql,bc"


def get_config(variant: str = "pointmaze"):
    if variant not in ("pointmaze", "antmaze"):
        raise ValueError(f"unknown variant {variant!r} of local; there are pointmaze and antmaze")
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
    if variant == "antmaze":
        config.tasks = tuple(f"antmaze/{kind}" for kind in tasks.ANTMAZE)
        config.generate.num_transitions = 500_000
    return config
