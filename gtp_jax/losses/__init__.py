"""Every loss, on arrays or on callables: no networks, no configuration, nothing of Flax.

GTP is Feng, Tang, Wang, Chen: Generative Trajectory Policies, ICML 2026, arXiv 2510.11499. An *objective* is an actor's
whole loss on a batch, and all have one signature (that of `gtp_loss`), besides options of their own:

    (phi, phi_target, key, actions (B, D), *, schedule, num_intervals, weights=None) -> (scalar, NamedTuple of parts)

Other losses but `linear_q_loss` are unreduced, one value per example. Targets are behind a stop-gradient already.
"""

from gtp_jax.losses.critics import expectile_loss, td_critic_loss, td_target
from gtp_jax.losses.diffusion import FlowLoss, diffusion_loss
from gtp_jax.losses.distances import (
    Distance,
    TimeWeight,
    inverse_gap_weight,
    pseudo_huber,
    squared_error,
    uniform_weight,
    weighted_mean,
)
from gtp_jax.losses.guidance import advantage_weights, linear_q_loss
from gtp_jax.losses.linear_path import flow_matching_loss, mean_flow_loss, shortcut_loss
from gtp_jax.losses.trajectory import (
    ConsistencyLoss,
    MapLoss,
    consistency_loss,
    ctm_loss,
    gtp_loss,
    instantaneous_flow_loss,
    trajectory_consistency_loss,
)
from gtp_jax.losses.unimodal import RegressionLoss, regression_loss

__all__ = [
    "ConsistencyLoss",
    "Distance",
    "FlowLoss",
    "MapLoss",
    "RegressionLoss",
    "TimeWeight",
    "advantage_weights",
    "consistency_loss",
    "ctm_loss",
    "diffusion_loss",
    "expectile_loss",
    "flow_matching_loss",
    "gtp_loss",
    "instantaneous_flow_loss",
    "inverse_gap_weight",
    "linear_q_loss",
    "mean_flow_loss",
    "pseudo_huber",
    "regression_loss",
    "shortcut_loss",
    "squared_error",
    "td_critic_loss",
    "td_target",
    "trajectory_consistency_loss",
    "uniform_weight",
    "weighted_mean",
]
