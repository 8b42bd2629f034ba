"""Ablations on generated AntMaze data: what each part of the method is worth. docs/ablations.md has the results.

    python -m experiments.train --config=configs/ablations.py[:VARIANT]

VARIANT is losses (what the actor learns from, cloning umaze; the default)
or guidance (how values change that, on umaze-diverse).
All agents of a variant have the same seeds, updates and batches and end in one table. One alone: --config.preset=heun.
losses takes about 75 minutes on two cores (50 of them are evaluation), guidance 50, each with the other beside it.
"""

import dataclasses

from gtp_jax import config as gtp_config
from gtp_jax import presets

CLONING = dataclasses.replace(presets.default_bc(), target="ema")  # the solvers of the paper follow the averaged model
LOSSES = {
    "closed_form": CLONING,
    "euler": dataclasses.replace(CLONING, objective="ctm"),
    "heun": dataclasses.replace(CLONING, objective="ctm", solver="heun"),
    "three_euler": dataclasses.replace(CLONING, objective="ctm", solver_steps=3),
    "no_flow": dataclasses.replace(CLONING, flow_coef=0.0),
    "no_consistency": dataclasses.replace(CLONING, consistency_coef=0.0),
}
GUIDED = dataclasses.replace(presets.long_horizon(), target_sampling_steps=2)  # of the linear Q term
GUIDANCE = {
    "weights": GUIDED,
    "truncated": dataclasses.replace(GUIDED, truncate_weights=True),
    "unguided": dataclasses.replace(GUIDED, eta=0.0),
    "linear_q_001": dataclasses.replace(GUIDED, guidance="q", eta=0.01),
    "linear_q_01": dataclasses.replace(GUIDED, guidance="q", eta=0.1),
    "linear_q_1": dataclasses.replace(GUIDED, guidance="q", eta=1.0),
}


def get_config(variant: str = "losses"):
    if variant not in ("losses", "guidance"):
        raise ValueError(f"unknown variant {variant!r} of ablations; there are losses and guidance")
    presets.PRESETS.update(LOSSES | GUIDANCE)
    config = gtp_config.base()
    config.dataset = "generated"
    if variant == "losses":
        config.tasks = ("antmaze/umaze",)
        config.preset = ",".join(LOSSES)
        config.num_steps = config.eval.interval = 10_000
        config.eval.sampling_steps = (1, 2, 3, 5, 10)
    else:
        config.tasks = ("antmaze/umaze-diverse",)
        config.preset = ",".join(GUIDANCE)
        config.generate.num_transitions = 500_000
        config.num_seeds = 2
        config.num_steps = config.eval.interval = 10_000
        config.eval.sampling_steps = (5,)
    return config
