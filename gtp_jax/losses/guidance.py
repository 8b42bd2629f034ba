"""How a critic guides the actor: by weights on the data, or by its own gradient."""

import chex
import jax
import jax.numpy as jnp


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


def linear_q_loss(q: jax.Array) -> jax.Array:
    """-1/2 sum_i mean Q_i / mean |Q_j|, j the other critic: (2, B) -> (). Ascends Q, whatever its scale.

    Wang et al. (2023), arXiv 2208.06193, eq. 3 and section 4 (Diffusion-QL), which draws i anew for each update; this
    is the mean over both. The normaliser is behind a stop-gradient; q must carry the gradient of the actor's samples.
    """
    chex.assert_shape(q, (2, None))
    scale = jax.lax.stop_gradient(jnp.mean(jnp.abs(q), axis=1))
    return -jnp.mean(jnp.mean(q, axis=1) / (scale[::-1] + 1e-6))
