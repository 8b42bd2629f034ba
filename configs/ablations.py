"""Ablations: what each part is worth. docs/ablations.md, docs/long_horizon.md and docs/few_step.md have the results.

    python -m experiments.train --config=configs/ablations.py[:VARIANT]

VARIANT is losses (what the actor learns from, cloning generated antmaze/umaze; the default),
guidance (how values change that, on umaze-diverse),
long_horizon (what each part of that preset does on medium-diverse),
few_steps (on multigoal, other choices than those of `default_bc`)
or few_steps_antmaze (two of these choices one by one, and some not taken, on umaze, for energy scores).
All agents of a variant have the same seeds, updates and batches and end in one table. One alone: --config.preset=heun.
losses takes about 75 minutes on two cores (50 of them are evaluation), guidance 50, each with the other beside it;
long_horizon 27 for five of its first seven agents, and 60 on one core for the last four with four seeds;
few_steps 23 for the first four of its seven agents; few_steps_antmaze 34 on one core (three seeds of 25 episodes).
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from configs import multigoal
from gtp_jax import config as gtp_config
from gtp_jax import losses, presets, sampling, solution_map
from gtp_jax.objectives import OBJECTIVES, Objective

CLONING = dataclasses.replace(presets.default_bc(), target="ema")  # the solvers of the paper follow the averaged model
LOSSES = {
    "closed_form": CLONING,
    "euler": dataclasses.replace(CLONING, objective="ctm"),
    "heun": dataclasses.replace(CLONING, objective="ctm", solver="heun"),
    "three_euler": dataclasses.replace(CLONING, objective="ctm", solver_steps=3),
    "no_flow": dataclasses.replace(CLONING, flow_coef=0.0),
    "no_consistency": dataclasses.replace(CLONING, consistency_coef=0.0),
}
# Two steps of the linear Q term; `long_returns` had 100 of them when docs/ablations.md was measured.
GUIDED = dataclasses.replace(presets.long_returns(), target_sampling_steps=2, num_step_returns=100)
GUIDANCE = {
    "weights": GUIDED,
    "truncated": dataclasses.replace(GUIDED, truncate_weights=True),
    "unguided": dataclasses.replace(GUIDED, eta=0.0),
    "linear_q_001": dataclasses.replace(GUIDED, guidance="q", eta=0.01),
    "linear_q_01": dataclasses.replace(GUIDED, guidance="q", eta=0.1),
    "linear_q_1": dataclasses.replace(GUIDED, guidance="q", eta=1.0),
}


NARROW = functools.partial(losses.pseudo_huber, scale=0.001)  # a thirtieth of the package's


def narrow_huber_loss(*args, time_weight, zero_share, **options):
    """GTP's loss with a narrower Huber distance."""
    return losses.gtp_loss(*args, distance=NARROW, time_weight=time_weight, zero_share=zero_share, **options)


class TaughtByTwo(NamedTuple):
    """`losses.MapLoss`, and how far one step from noise ends from two: scalars."""

    consistency: jax.Array
    flow: jax.Array
    one_step: jax.Array


def taught_by_two_loss(
    phi, phi_target, key, actions, *, schedule, num_intervals, time_weight, zero_share, weights=None
):
    """`narrow_huber_loss`, and one step from noise is to end where the target's two steps do.

    The term counts as much as three of the others because one did less at K = 1, and only on grids of more than 100
    intervals because from the start on it can leave a map with one mode (docs/few_step.md).
    """
    key_map, key_path = jax.random.split(key)
    options = {"schedule": schedule, "num_intervals": num_intervals, "weights": weights}
    options |= {"time_weight": time_weight, "zero_share": zero_share}
    loss, parts = narrow_huber_loss(phi, phi_target, key_map, actions, **options)
    path = sampling.trajectory(phi_target, key_path, actions.shape, schedule=schedule, num_steps=2)
    start, end = jnp.full(len(actions), schedule.sigma_max), jnp.zeros(len(actions))
    one_step = NARROW(solution_map.solution_map(phi, path[0], start, end), jax.lax.stop_gradient(path[-1]))
    parts = TaughtByTwo(*parts, losses.weighted_mean(weights, one_step))
    return loss + 3.0 * (num_intervals > 100) * parts.one_step, parts


LONG = presets.long_horizon()
LONG_HORIZON = {
    "long_horizon": LONG,
    "q_for_credit": dataclasses.replace(LONG, critic="expectile"),
    "returns_of_10": dataclasses.replace(LONG, num_step_returns=10),
    "truncated": dataclasses.replace(LONG, truncate_weights=True),
    "one_drawn": dataclasses.replace(LONG, num_candidates=1),
    "unweighted": dataclasses.replace(LONG, eta=0.0),
    "not_denoised": dataclasses.replace(LONG, sampler="auto", sigma_last=0.2),  # as `default` ends
    "discount_099": dataclasses.replace(LONG, discount=0.99),
    "discount_0999": dataclasses.replace(LONG, discount=0.999),
    "td": dataclasses.replace(LONG, critic="td", target_sampling_steps=2),  # the paper's kind
    "max_q_backup": dataclasses.replace(LONG, critic="td", target_sampling_steps=2, backup_samples=4),
}

CHOSEN = presets.default_bc()
BEFORE = dataclasses.replace(CHOSEN, max_intervals=1280, zero_share=0.0, sigma_last=0.0)
FEW_STEPS = {
    "chosen": CHOSEN,
    "before": BEFORE,
    "narrow_huber": dataclasses.replace(CHOSEN, objective="narrow_huber"),
    "narrow_huber_noise_2": dataclasses.replace(CHOSEN, objective="narrow_huber", sigma_max=2.0),
    "narrow_huber_gain": dataclasses.replace(CHOSEN, objective="narrow_huber", action_gain=4.0),
    "gain": dataclasses.replace(CHOSEN, action_gain=4.0),
    "taught_by_two": dataclasses.replace(CHOSEN, objective="taught_by_two", action_gain=4.0),
}
FEW_STEPS_ANTMAZE = {
    "before": BEFORE,
    "before_fine_grid": dataclasses.replace(BEFORE, max_intervals=CHOSEN.max_intervals),
    "before_more_zeros": dataclasses.replace(BEFORE, zero_share=CHOSEN.zero_share),
    "chosen": CHOSEN,
    "noise_2": dataclasses.replace(CHOSEN, sigma_max=2.0),
    **{name: FEW_STEPS[name] for name in ("narrow_huber", "gain", "taught_by_two")},
}


def get_config(variant: str = "losses"):
    agents = {"losses": LOSSES, "guidance": GUIDANCE, "long_horizon": LONG_HORIZON}
    agents |= {"few_steps": FEW_STEPS, "few_steps_antmaze": FEW_STEPS_ANTMAZE}
    if variant not in agents:
        raise ValueError(f"unknown variant {variant!r} of ablations; there are {', '.join(agents)}")
    presets.PRESETS.update(agents[variant])
    OBJECTIVES["narrow_huber"] = Objective(narrow_huber_loss)
    OBJECTIVES["taught_by_two"] = Objective(taught_by_two_loss)
    config = multigoal.get_config() if variant == "few_steps" else gtp_config.base()
    config.preset = ",".join(agents[variant])
    if variant == "few_steps":
        return config
    config.dataset = "generated"
    config.num_steps = config.eval.interval = 10_000
    if variant in ("losses", "few_steps_antmaze"):
        config.tasks = ("antmaze/umaze",)
        config.eval.sampling_steps = (1, 2, 3, 5, 10) if variant == "losses" else (1, 2, 5)
    else:
        config.tasks = ("antmaze/umaze-diverse" if variant == "guidance" else "antmaze/medium-diverse",)
        config.generate.num_transitions = 500_000
        config.num_seeds = 2
        config.eval.sampling_steps = (5,)
    return config
