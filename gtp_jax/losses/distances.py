"""How far a prediction is from its target, and how much a pair of times counts."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gtp_jax.schedules import Times

Distance = Callable[[jax.Array, jax.Array], jax.Array]  # (B, D), (B, D) -> (B,)
TimeWeight = Callable[[Times], jax.Array]  # times -> (B,)


def squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """|prediction - target|^2, summed over the last axis: (B, D), (B, D) -> (B,)."""
    chex.assert_equal_shape([prediction, target])
    return jnp.sum((prediction - target) ** 2, axis=-1)


def pseudo_huber(prediction: jax.Array, target: jax.Array, *, scale: float = 0.03) -> jax.Array:
    """sqrt(|prediction - target|^2 + scale^2) - scale: (B, D), (B, D) -> (B,).

    Song and Dhariwal (2023), arXiv 2310.14189, section 3.3: linear in large errors, so no example dominates. Small ones
    count by 1/scale, which is positive; docs/few_step.md has what other scales give.
    """
    squared = squared_error(prediction, target)
    return squared / (jnp.sqrt(squared + scale**2) + scale)  # the same, without the difference of two near numbers


def uniform_weight(times: Times) -> jax.Array:
    """1 for each example: (B,)."""
    return jnp.ones_like(times.t)


def inverse_gap_weight(times: Times) -> jax.Array:
    """1 / (t - u): (B,) (arXiv 2310.14189, section 3.1). Keeps the gradient's size as the grid is refined."""
    return 1.0 / (times.t - times.u)


def weighted_mean(weights: jax.Array | None, losses: jax.Array) -> jax.Array:
    """mean of w losses over the batch, () from (B,), the weights behind a stop-gradient; None stands for ones."""
    if weights is None:
        return jnp.mean(losses)
    chex.assert_equal_shape([weights, losses])
    return jnp.mean(jax.lax.stop_gradient(weights) * losses)
