"""Denoising score matching: the map learned on its diagonal only."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gtp_jax.losses.distances import weighted_mean
from gtp_jax.losses.trajectory import instantaneous_flow_loss
from gtp_jax.schedules import Schedule
from gtp_jax.solution_map import SurrogateMap, draw_noise


class FlowLoss(NamedTuple):
    """The one term of an objective that learns a velocity: a scalar."""

    flow: jax.Array


def diffusion_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    key: chex.PRNGKey,
    actions: jax.Array,
    *,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    weights: jax.Array | None = None,
    log_mean: float = -1.2,
    log_std: float = 1.2,
) -> tuple[jax.Array, FlowLoss]:
    """lambda(t) |a - phi(x_t, t, t)|^2 with ln t ~ N(log_mean, log_std^2), lambda(t) = (t^2 + sd^2) / (t sd)^2.

    Karras et al. (2022), arXiv 2206.00364, eq. 2 and table 1 (EDM); t is kept within the schedule. Sample with
    `solution_map.euler_step` or `heun_step`. Arguments as of `gtp_loss`; phi_target and num_intervals are not used.
    """
    del phi_target, num_intervals
    key_t, key_noise = jax.random.split(key)
    t = jnp.exp(log_mean + log_std * jax.random.normal(key_t, actions.shape[:1]))
    t = jnp.clip(t, schedule.sigma_min, schedule.sigma_max)
    noise = draw_noise(key_noise, actions.shape, actions.dtype)
    weight = (t**2 + schedule.sigma_data**2) / (t * schedule.sigma_data) ** 2
    loss = weighted_mean(weights, weight * instantaneous_flow_loss(phi, actions, noise, t))
    return loss, FlowLoss(loss)
