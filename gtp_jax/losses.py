"""Every loss of GTP, on arrays or on callables: no networks, no configuration, nothing of Flax.

GTP is Feng, Tang, Wang, Chen: Generative Trajectory Policies, ICML 2026, arXiv 2510.11499. Losses are unreduced, one
value an example, except `gtp_loss`, which is the actor's whole objective. Targets are behind a stop-gradient already.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gtp_jax.schedules import Schedule, Times, draw_times
from gtp_jax.solution_map import SurrogateMap, instantaneous_map, perturb, solution_map

Distance = Callable[[jax.Array, jax.Array], jax.Array]  # (B, D), (B, D) -> (B,)
TimeWeight = Callable[[Times], jax.Array]  # times -> (B,)

# ---------------------------------------------------------------- distances


def squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """|prediction - target|^2, summed over the last axis: (B, D), (B, D) -> (B,)."""
    chex.assert_equal_shape([prediction, target])
    return jnp.sum((prediction - target) ** 2, axis=-1)


def pseudo_huber(prediction: jax.Array, target: jax.Array, *, scale: float = 0.03) -> jax.Array:
    """sqrt(|prediction - target|^2 + scale^2) - scale: (B, D), (B, D) -> (B,).

    Song and Dhariwal (2023), arXiv 2310.14189, section 3.3: linear in large errors, so no example dominates.
    """
    return jnp.sqrt(squared_error(prediction, target) + scale**2) - scale


# ---------------------------------------------------------------- weights in time


def uniform_weight(times: Times) -> jax.Array:
    """1 for each example: (B,)."""
    return jnp.ones_like(times.t)


def inverse_gap_weight(times: Times) -> jax.Array:
    """1 / (t - u): (B,). Keeps the gradient's size as the grid is refined (arXiv 2310.14189, section 3.4)."""
    return 1.0 / (times.t - times.u)


# ---------------------------------------------------------------- the actor


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
    prediction = solution_map(phi, perturb(action, noise, times.t), times.t, times.tau)
    target = solution_map(phi_target, perturb(action, noise, times.u), times.u, times.tau)
    return distance(prediction, jax.lax.stop_gradient(target))


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


class GTPLoss(NamedTuple):
    """What `gtp_loss` is made of, weighted and averaged: scalars."""

    consistency: jax.Array
    flow: jax.Array


def gtp_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    key: chex.PRNGKey,
    actions: jax.Array,
    *,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    weights: jax.Array | None = None,
    flow_coef: chex.Numeric = 1.0,
    distance: Distance = squared_error,
    time_weight: TimeWeight = uniform_weight,
) -> tuple[jax.Array, GTPLoss]:
    """The actor's objective: mean of w(s, a) (consistency + flow_coef flow) over a batch (GTP, section 4).

    Args:
        phi, phi_target: surrogate maps closed over parameters and the batch's observations.
        key: consumed: draws noise and times.
        actions: (B, D), float.
        num_intervals: resolution of the grid; may be traced.
        weights: (B,) advantage weights, or None for behaviour cloning.
        distance, time_weight: of the consistency term; the defaults are the paper's.

    Returns:
        scalar loss and its two parts.
    """
    chex.assert_rank(actions, 2)
    chex.assert_type(actions, float)
    key_times, key_noise = jax.random.split(key)
    times = draw_times(key_times, actions.shape[0], schedule, num_intervals)
    noise = jax.random.normal(key_noise, actions.shape, actions.dtype)
    weights = jnp.ones(actions.shape[:1]) if weights is None else jax.lax.stop_gradient(weights)
    chex.assert_shape(weights, actions.shape[:1])

    consistency = trajectory_consistency_loss(phi, phi_target, actions, noise, times, distance=distance)
    flow = instantaneous_flow_loss(phi, actions, noise, times.t)
    parts = GTPLoss(jnp.mean(weights * time_weight(times) * consistency), jnp.mean(weights * flow))
    return parts.consistency + flow_coef * parts.flow, parts


# ---------------------------------------------------------------- guidance


def advantage_weights(
    advantages: jax.Array,
    *,
    eta: chex.Numeric,
    max_weight: chex.Numeric = 100.0,
    truncate: bool = True,
    eps: float = 1e-6,
) -> jax.Array:
    """w = min( exp( eta max(0, A) / (std(A) + eps) ), max_weight ): (B,) -> (B,), behind a stop-gradient.

    From the KL-regularised optimum pi* ~ pi_BC exp(eta A) (GTP, section 4). The clip acts on the exponent, so nothing
    overflows. eta = 0 gives ones, and so do advantages that do not differ.

    Args:
        advantages: (B,).
        truncate: False puts A in the place of max(0, A): weights lie in [0, max_weight] and no longer in
            [1, max_weight]. Truncation suits advantages over the mean of the policy. Over an upper expectile most are
            negative, and with weight 1 for all of these the worst action counts like the merely average one.
    """
    chex.assert_rank(advantages, 1)
    std = jnp.std(advantages)
    advantages = jnp.where(std > eps, jnp.maximum(advantages, 0.0) if truncate else advantages, 0.0)
    exponent = eta * advantages / (std + eps)
    weights = jnp.exp(jnp.minimum(exponent, jnp.log(max_weight)))
    return jax.lax.stop_gradient(jnp.minimum(weights, max_weight))


def td_target(r_t: jax.Array, discount_t: jax.Array, next_values: jax.Array) -> jax.Array:
    """r_t + discount_t min_j V_j(s_t), behind a stop-gradient.

    Args:
        r_t: (B,) rewards; the discounted sum of several for an n-step target.
        discount_t: (B,) gamma (or gamma^n), 0 where the episode terminated; a timeout is not a terminal.
        next_values: (J, B), one row per member of the ensemble.

    Returns:
        (B,).
    """
    chex.assert_rank([r_t, next_values], [1, 2])
    chex.assert_equal_shape([r_t, discount_t, next_values[0]])
    return jax.lax.stop_gradient(r_t + discount_t * jnp.min(next_values, axis=0))


def td_critic_loss(q_tm1: jax.Array, target: jax.Array) -> jax.Array:
    """sum_j (Q_j(s, a) - target)^2: (J, B), (B,) -> (B,). Twin Q as in Fujimoto et al. (2018), arXiv 1802.09477."""
    chex.assert_rank([q_tm1, target], [2, 1])
    chex.assert_equal_shape([q_tm1[0], target])
    return jnp.sum((q_tm1 - jax.lax.stop_gradient(target)) ** 2, axis=0)


def expectile_loss(values: jax.Array, target: jax.Array, *, expectile: chex.Numeric) -> jax.Array:
    """|expectile - 1(target < value)| (target - value)^2: (B,), (B,) -> (B,).

    Kostrikov et al. (2021), arXiv 2110.06169, eq. 5: an upper expectile of Q over the data's actions, with no sampling.
    """
    chex.assert_equal_shape([values, target])
    error = jax.lax.stop_gradient(target) - values
    return jnp.where(error > 0, expectile, 1 - expectile) * error**2
