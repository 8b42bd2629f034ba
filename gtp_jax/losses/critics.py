"""Losses of critics, one value an example; targets are behind a stop-gradient already."""

import chex
import jax
import jax.numpy as jnp


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
