"""Objectives in the time and velocity of the linear path x_s = (1 - s) a + s z, where s = 0 is data and 1 is noise.

With t = s/(1 - s), x_s = (1 - s) x_t: the path of flow matching is the ODE's own, at another speed, and what these
objectives learn is the same phi: `solution_map.average_velocity` reads the velocity off it.
"""

import chex
import jax
import jax.numpy as jnp

from gtp_jax.losses.diffusion import FlowLoss
from gtp_jax.losses.distances import squared_error, weighted_mean
from gtp_jax.losses.trajectory import MapLoss
from gtp_jax.schedules import Schedule, linear_time
from gtp_jax.solution_map import SurrogateMap, average_velocity, draw_noise


def _bounds(schedule: Schedule) -> tuple[jax.Array, jax.Array]:
    return linear_time(schedule.sigma_min), linear_time(schedule.sigma_max)


def _interpolate(actions: jax.Array, noise: jax.Array, s: jax.Array) -> jax.Array:
    return (1 - s)[:, None] * actions + s[:, None] * noise


def flow_matching_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    key: chex.PRNGKey,
    actions: jax.Array,
    *,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    weights: jax.Array | None = None,
) -> tuple[jax.Array, FlowLoss]:
    """|v(x_s, s) - (z - a)|^2, s uniform.

    Lipman et al. (2023), arXiv 2210.02747, eq. 23, with the time reversed; s stays within the schedule. Sample with
    `solution_map.euler_step`: a step of it is a step of Euler along the linear path. Arguments as of `gtp_loss`;
    phi_target and num_intervals are not used.
    """
    del phi_target, num_intervals
    key_s, key_noise = jax.random.split(key)
    low, high = _bounds(schedule)
    s = jax.random.uniform(key_s, actions.shape[:1], minval=low, maxval=high)
    noise = draw_noise(key_noise, actions.shape, actions.dtype)
    velocity = average_velocity(phi, _interpolate(actions, noise, s), s, s)
    loss = weighted_mean(weights, squared_error(velocity, noise - actions))
    return loss, FlowLoss(loss)


def shortcut_loss(
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
) -> tuple[jax.Array, MapLoss]:
    """Flow matching, and self-consistency: the velocity of a jump is the mean of those of its two halves.

    Frans et al. (2024), arXiv 2410.12557, eq. 5. The length of a jump is sigma_max's time over a power of two: those
    of K = 1, 2, 4, ... are trained, others interpolated. Halves of the shortest, at least the `num_intervals`th part,
    take the velocity of the flow for their own. Arguments as of `gtp_loss`.
    """
    key_flow, key_length, key_start, key_noise = jax.random.split(key, 4)
    flow, _ = flow_matching_loss(
        phi, phi_target, key_flow, actions, schedule=schedule, num_intervals=num_intervals, weights=weights
    )
    batch = actions.shape[:1]
    low, high = _bounds(schedule)
    halvings = jnp.floor(jnp.log2(jnp.minimum(jnp.asarray(num_intervals, jnp.float32), high / low)))
    halvings = jnp.maximum(halvings.astype(jnp.int32), 1)
    count = 2 ** jax.random.randint(key_length, batch, 0, halvings)  # of jumps from noise to data
    shortest = count == 2 ** (halvings - 1)
    end = jax.random.randint(key_start, batch, 0, count)
    s, middle, r = (high * (end + fraction) / count for fraction in (1.0, 0.5, 0.0))

    noise = draw_noise(key_noise, actions.shape, actions.dtype)
    x = _interpolate(actions, noise, s)
    first = average_velocity(phi_target, x, s, jnp.where(shortest, s, middle))
    x_middle = x + (middle - s)[:, None] * first
    second = average_velocity(phi_target, x_middle, middle, jnp.where(shortest, middle, r))
    target = jax.lax.stop_gradient((first + second) / 2)
    consistency = weighted_mean(weights, squared_error(average_velocity(phi, x, s, r), target))
    return consistency_coef * consistency + flow_coef * flow, MapLoss(consistency, flow)


def mean_flow_loss(
    phi: SurrogateMap,
    phi_target: SurrogateMap,
    key: chex.PRNGKey,
    actions: jax.Array,
    *,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    weights: jax.Array | None = None,
    share_of_jumps: float = 0.25,
) -> tuple[jax.Array, FlowLoss]:
    """|U(x_s, s, r) - sg( v - (s - r) dU/ds )|^2, v = z - a: the average velocity U by its own derivative.

    Geng et al. (2025), arXiv 2505.13447, eq. 6 to 11: s and r uniform and ordered, and r = s but for a share of the
    batch. Half of these jumps end at 0, as every sampler does, and the error is squared: their adaptive weight, which
    divides each example by its own error, would have the few dimensions of an action learn modes and not means.
    Arguments as of `gtp_loss`; phi_target and num_intervals are not used.
    """
    del phi_target, num_intervals
    key_times, key_jump, key_end, key_noise = jax.random.split(key, 4)
    low, high = _bounds(schedule)
    times = jax.random.uniform(key_times, (2, *actions.shape[:1]), minval=low, maxval=high)
    s = jnp.max(times, axis=0)
    end = jnp.where(jax.random.bernoulli(key_end, 0.5, s.shape), 0.0, jnp.min(times, axis=0))
    r = jnp.where(jax.random.bernoulli(key_jump, share_of_jumps, s.shape), end, s)
    noise = draw_noise(key_noise, actions.shape, actions.dtype)

    velocity = noise - actions
    tangents = (velocity, jnp.ones_like(s), jnp.zeros_like(r))
    average, slope = jax.jvp(
        lambda x, s, r: average_velocity(phi, x, s, r), (_interpolate(actions, noise, s), s, r), tangents
    )
    error = squared_error(average, jax.lax.stop_gradient(velocity - (s - r)[:, None] * slope))
    loss = weighted_mean(weights, error)
    return loss, FlowLoss(loss)
