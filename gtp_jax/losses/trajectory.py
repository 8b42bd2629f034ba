"""Objectives on a grid of noise levels: two points of one trajectory must go to one place.

`gtp_loss`, `consistency_loss` and `ctm_loss` differ in where a point is carried (any tau, or only 0) and in how its
neighbour on the trajectory is found (closed-form score, or an ODE solver).
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gtp_jax.losses.distances import Distance, TimeWeight, squared_error, uniform_weight, weighted_mean
from gtp_jax.schedules import Schedule, Times, draw_times
from gtp_jax.solution_map import (
    SurrogateMap,
    draw_noise,
    euler_step,
    instantaneous_map,
    perturb,
    solution_map,
)


class MapLoss(NamedTuple):
    """What an objective with two terms is made of, weighted and averaged: scalars."""

    consistency: jax.Array
    flow: jax.Array


class ConsistencyLoss(NamedTuple):
    """The one term of an objective without an anchor on the diagonal: a scalar."""

    consistency: jax.Array


def _draw(
    key: chex.PRNGKey, actions: jax.Array, schedule: Schedule, num_intervals, zero_share
) -> tuple[Times, jax.Array]:
    chex.assert_rank(actions, 2)
    chex.assert_type(actions, float)
    key_times, key_noise = jax.random.split(key)
    times = draw_times(key_times, actions.shape[0], schedule, num_intervals, zero_share=zero_share)
    return times, draw_noise(key_noise, actions.shape, actions.dtype)


def _carried_together(phi, phi_target, x_t, x_u, times: Times, distance: Distance) -> jax.Array:
    """d( Phi(x_t, t, tau), sg Phi_target(x_u, u, tau) ): (B,)."""
    prediction = solution_map(phi, x_t, times.t, times.tau)
    target = solution_map(phi_target, x_u, times.u, times.tau)
    return distance(prediction, jax.lax.stop_gradient(target))


def trajectory_consistency_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    action: jax.Array,
    noise: jax.Array,
    times: Times,
    *,
    distance: Distance = squared_error,
) -> jax.Array:
    """d( Phi(x_t, t, tau), sg Phi_target(x_u, u, tau) ): two points of one trajectory must go to one place.

    The score is approximated in closed form by (x_t - a)/t, so x_u = a + u z with the SAME noise z and no ODE solver
    is needed (GTP, section 4, the score approximation).

    Args:
        phi, phi_target: surrogate maps; no gradient flows through phi_target.
        action, noise: (B, D), clean action and its noise.
        times: (B,) each, t > u >= tau.

    Returns:
        (B,) losses.
    """
    chex.assert_equal_shape([action, noise])
    chex.assert_rank(action, 2)
    chex.assert_shape(times, action.shape[:1])
    x_t, x_u = perturb(action, noise, times.t), perturb(action, noise, times.u)
    return _carried_together(phi, phi_target, x_t, x_u, times, distance)


def instantaneous_flow_loss(phi: SurrogateMap, action: jax.Array, noise: jax.Array, t: jax.Array) -> jax.Array:
    """|a - phi(x_t, t, t)|^2: anchors the diagonal of the map to the denoiser, that is, to the data (GTP, section 3).

    Args:
        action, noise: (B, D).
        t: (B,).

    Returns:
        (B,) losses.
    """
    chex.assert_equal_shape([action, noise])
    chex.assert_shape(t, action.shape[:1])
    return squared_error(instantaneous_map(phi, perturb(action, noise, t), t), action)


def gtp_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    key: chex.PRNGKey,
    actions: jax.Array,
    *,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    weights: jax.Array | None = None,
    consistency_coef: chex.Numeric = 1.0,
    flow_coef: chex.Numeric = 1.0,
    distance: Distance = squared_error,
    time_weight: TimeWeight = uniform_weight,
    zero_share: chex.Numeric = 0.0,
) -> tuple[jax.Array, MapLoss]:
    """The actor's objective, the mean of w(s, a) (consistency + flow_coef flow) over a batch (GTP, section 4).

    Args:
        phi, phi_target: surrogate maps closed over parameters and the batch's observations.
        key: consumed: draws noise and times.
        actions: (B, D), float.
        num_intervals: resolution of the grid; may be traced.
        weights: (B,) advantage weights, or None for behaviour cloning.
        consistency_coef, flow_coef: what each term counts; the paper has no coefficient on the first.
        distance, time_weight, zero_share: of the consistency term; the defaults are the paper's. The last is of
            `schedules.draw_times`.

    Returns:
        scalar loss and its two parts, without their coefficients.
    """
    times, noise = _draw(key, actions, schedule, num_intervals, zero_share)
    consistency = trajectory_consistency_loss(phi, phi_target, actions, noise, times, distance=distance)
    flow = instantaneous_flow_loss(phi, actions, noise, times.t)
    parts = MapLoss(weighted_mean(weights, time_weight(times) * consistency), weighted_mean(weights, flow))
    return consistency_coef * parts.consistency + flow_coef * parts.flow, parts


def consistency_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    key: chex.PRNGKey,
    actions: jax.Array,
    *,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    weights: jax.Array | None = None,
    distance: Distance = squared_error,
    time_weight: TimeWeight = uniform_weight,
) -> tuple[jax.Array, ConsistencyLoss]:
    """Consistency training: only tau = 0, and no anchor but the boundary Phi(x, sigma_min, 0) = x.

    Song et al. (2023), arXiv 2303.01469, eq. 10. Arguments as of `gtp_loss`.
    """
    times, noise = _draw(key, actions, schedule, num_intervals, zero_share=1.0)
    consistency = trajectory_consistency_loss(phi, phi_target, actions, noise, times, distance=distance)
    loss = weighted_mean(weights, time_weight(times) * consistency)
    return loss, ConsistencyLoss(loss)


def ctm_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    key: chex.PRNGKey,
    actions: jax.Array,
    *,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    weights: jax.Array | None = None,
    consistency_coef: chex.Numeric = 1.0,
    flow_coef: chex.Numeric = 1.0,
    distance: Distance = squared_error,
    time_weight: TimeWeight = uniform_weight,
    zero_share: chex.Numeric = 0.0,
    solver: Callable = euler_step,
    solver_steps: int = 1,
) -> tuple[jax.Array, MapLoss]:
    """`gtp_loss` with x_u from an ODE solver on phi_target's own field in place of the closed-form score.

    Kim et al. (2024), arXiv 2310.02279, eq. 9 and 15, with neighbours on the grid for t and u and the two sides
    compared at tau. It is GTP "without score approximation" (GTP, ablations).

    Args:
        solver: (phi, x, t, tau) -> x: one step, `solution_map.euler_step` or `heun_step`.
        solver_steps: from t to u, of equal length.
    """
    times, noise = _draw(key, actions, schedule, num_intervals, zero_share)
    x_t = x_u = perturb(actions, noise, times.t)
    levels = jnp.linspace(times.t, times.u, solver_steps + 1)
    for start, end in zip(levels[:-1], levels[1:]):
        x_u = solver(phi_target, x_u, start, end)
    consistency = _carried_together(phi, phi_target, x_t, x_u, times, distance)
    flow = instantaneous_flow_loss(phi, actions, noise, times.t)
    parts = MapLoss(weighted_mean(weights, time_weight(times) * consistency), weighted_mean(weights, flow))
    return consistency_coef * parts.consistency + flow_coef * parts.flow, parts
