"""Regression: the reference without a generative model, for policies with one action an observation."""

from typing import NamedTuple

import chex
import jax

from gtp_jax.losses.distances import squared_error, weighted_mean
from gtp_jax.schedules import Schedule
from gtp_jax.solution_map import SurrogateMap, mean_action


class RegressionLoss(NamedTuple):
    """The one term: a scalar."""

    regression: jax.Array


def regression_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    key: chex.PRNGKey,
    actions: jax.Array,
    *,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    weights: jax.Array | None = None,
) -> tuple[jax.Array, RegressionLoss]:
    """|a - mu(s)|^2, mu the map at one point: behaviour cloning, and with weights AWR (Peng et al., arXiv 1910.00177).

    The log-likelihood of a Gaussian whose standard deviation is fixed. Arguments as of `gtp_loss`; only phi, actions
    and weights are used.
    """
    del phi_target, key, schedule, num_intervals
    loss = weighted_mean(weights, squared_error(mean_action(phi, actions), actions))
    return loss, RegressionLoss(loss)
