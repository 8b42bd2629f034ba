"""AntMaze: an eight-jointed ant walks through a maze it cannot see to a goal it is not told (D4RL).

    python -m experiments.train --config=configs/antmaze.py[:VARIANT]

VARIANT is umaze (the default), umaze-diverse, medium-play, medium-diverse, large-play, large-diverse, d4rl-umaze,
d4rl-umaze-diverse, d4rl-medium-play, d4rl-medium-diverse, d4rl-large-play, d4rl-large-diverse, or all.

On generated data, success at K = 5 over 4 seeds (umaze on two cores):

    umaze           0.985 in 9 minutes, data included
    umaze-diverse   0.902, medium-diverse 0.890, medium-play 0.800, large-play 0.623, large-diverse 0.598: each in 20
                    to 32 minutes of one core with others beside it, and 2 to 3 of two cores for the data

docs/long_horizon.md has the intervals and what made these possible, docs/medium_play.md what was tried on that set.
`all` has one seed and 30,000 updates of each task and needs 4 GB.

The variants with d4rl- take D4RL's own files (--config.dataset=/path/FILE.hdf5, or else from ~/.d4rl/datasets or D4RL's
server) and its ant, which is weaker and whose steps are longer, or make a stand-in (--config.dataset=generated).
D4RL's own files are not measured, and this ant was not compared with them. Published on those (Feng et al., 2026; 5
seeds, K = 5): umaze 100.0, umaze-diverse 81.9, medium-play 83.3, medium-diverse 94.2, large-play 53.5, large-diverse
71.0; cloning: medium-diverse 85.0, large-play 34.4, large-diverse 40.8.
"""

from gtp_jax import config as gtp_config
from gtp_jax import tasks


def get_config(variant: str = "umaze"):
    if variant == "all":
        config = gtp_config.base()
        config.tasks = tuple(f"antmaze/{each}" for each in tasks.ANTMAZE)
    else:
        config = gtp_config.of_task("antmaze", variant, "all")
    if variant in ("umaze", "d4rl-umaze"):
        # Every trajectory of these data leads to the goal: behaviour cloning is enough.
        config.preset = "default_bc"
        config.num_steps = 30_000
        config.eval.interval = 15_000
    else:
        config.preset = "long_horizon"  # from the start to the goal it is 300 to 700 steps
        config.generate.num_transitions = 500_000
        config.num_steps = 20_000
        config.eval.interval = 10_000
    if variant == "all":  # an hour of one core; more seeds on an accelerator
        config.num_seeds = 1
        config.num_steps = config.eval.interval = 30_000
    return config
