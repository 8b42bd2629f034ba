"""The one problem solved by hand: actions a ~ N(MEAN, STD^2), whose ODE, solution map and denoiser are closed forms."""

import jax
import jax.numpy as jnp

MEAN, STD = 0.3, 0.5


def exact_ratio(t, tau):
    """How far a deviation from the mean shrinks on its way from noise level t to tau."""
    return jnp.sqrt((STD**2 + tau**2) / (STD**2 + t**2))


def exact_solution(x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
    """The ODE's solution: x (B, D) at t (B,) carried to tau (B,)."""
    return MEAN + exact_ratio(t, tau)[:, None] * (x - MEAN)


def denoiser(x: jax.Array, t: jax.Array) -> jax.Array:
    """E[a | x_t = x], by Bayes."""
    return (STD**2 * x + t[:, None] ** 2 * MEAN) / (STD**2 + t[:, None] ** 2)


def exact_phi(x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
    """The surrogate (t Phi - tau x) / (t - tau) of the exact Phi, with the factor t - tau cancelled by hand."""
    shrink = STD**2 * (t + tau) / ((STD**2 + t**2) * (t * exact_ratio(t, tau) + tau))
    return MEAN + shrink[:, None] * (x - MEAN)
