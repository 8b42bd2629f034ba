"""The solution map of the noise-to-action ODE dx/dt = (x - E[a | x_t = x, s]) / t, on any network.

A *surrogate map* phi is a callable (x (B, D), t (B,), tau (B,)) -> (B, D), already closed over its parameters and the
observations. GTP (Feng et al., 2026, arXiv 2510.11499) learns phi; the solution map Phi is read off it.
"""

from collections.abc import Callable

import jax

from gtp_jax.schedules import Schedule, preconditioning

SurrogateMap = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def perturb(action: jax.Array, noise: jax.Array, t: jax.Array) -> jax.Array:
    """x_t = a + t z for action and noise (B, D) and t (B,)."""
    return action + t[:, None] * noise


def surrogate_map(network: SurrogateMap, schedule: Schedule) -> SurrogateMap:
    """phi(x, t, tau) = c_skip(t) x + c_out(t) F(c_in(t) x, t, tau) for a raw network F of the same signature."""

    def phi(x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
        c_skip, c_out, c_in = (c[:, None] for c in preconditioning(schedule, t))
        return c_skip * x + c_out * network(c_in * x, t, tau)

    return phi


def solution_map(phi: SurrogateMap, x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
    """Phi(x, t, tau) = (tau/t) x + (1 - tau/t) phi(x, t, tau): carries x from noise level t to tau, 0 <= tau <= t."""
    ratio = (tau / t)[:, None]
    return ratio * x + (1 - ratio) * phi(x, t, tau)


def instantaneous_map(phi: SurrogateMap, x: jax.Array, t: jax.Array) -> jax.Array:
    """phi(x, t, t), the limit tau -> t: the denoiser E[a | x_t = x], so the ODE's field is (x - phi(x, t, t)) / t."""
    return phi(x, t, t)
