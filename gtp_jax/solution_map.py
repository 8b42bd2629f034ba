"""The solution map of the noise-to-action ODE dx/dt = (x - E[a | x_t = x, s]) / t, on any network.

A *surrogate map* phi is a callable (x (B, D), t (B,), tau (B,)) -> (B, D), already closed over its parameters and the
observations. GTP (Feng et al., 2026, arXiv 2510.11499) learns phi; the solution map Phi is read off it.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gtp_jax.schedules import Schedule, noise_level, preconditioning

SurrogateMap = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def perturb(action: jax.Array, noise: jax.Array, t: jax.Array) -> jax.Array:
    """x_t = a + t z for action and noise (B, D) and t (B,)."""
    return action + t[:, None] * noise


def draw_noise(key: chex.PRNGKey, shape: tuple[int, int], dtype=jnp.float32) -> jax.Array:
    """Standard normal (B, D). Another column, as where a task with wider actions trains beside, changes no other."""
    return jax.random.normal(key, shape[::-1], dtype).T


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


# ---------------------------------------------------------------- other ways to read the same map


def euler_step(phi: SurrogateMap, x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
    """One step of Euler's method on the ODE from t to tau, which needs the diagonal of phi only.

    It is Phi with phi(x, t, t) in the place of phi(x, t, tau); DDIM's step (Song et al., 2021, arXiv 2010.02502).
    """
    return solution_map(lambda x, t, tau: instantaneous_map(phi, x, t), x, t, tau)


def heun_step(phi: SurrogateMap, x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
    """One step of Heun's method from t to tau; Euler's where tau = 0 (Karras et al., 2022, algorithm 1)."""

    def field(x, t):
        return (x - instantaneous_map(phi, x, t)) / t[:, None]

    euler = euler_step(phi, x, t, tau)
    slope = (field(x, t) + field(euler, jnp.where(tau > 0, tau, t))) / 2
    return jnp.where(tau[:, None] > 0, x + (tau - t)[:, None] * slope, euler)


def average_velocity(phi: SurrogateMap, x_s: jax.Array, s: jax.Array, r: jax.Array) -> jax.Array:
    """(x_s - phi)/s: the mean velocity along the linear path x_s = (1 - s) a + s z between its times s > r.

    That is (x_s - x_r)/(s - r) with x_r where Phi leads; r = s gives the velocity itself. With t = s/(1 - s) a point of
    the linear path is x_s = (1 - s) x_t, so the paths are the same and only the speed on them differs.

    Args:
        x_s: (B, D).
        s, r: (B,) times of the linear path, 0 for data and 1 for noise, 1 > s >= r >= 0, s > 0.

    Returns:
        (B, D).
    """
    return (x_s - phi(x_s / (1 - s)[:, None], noise_level(s), noise_level(r))) / s[:, None]


def mean_action(phi: SurrogateMap, like: jax.Array) -> jax.Array:
    """phi at the fixed point (0, 1, 0): the one action of a unimodal policy, (B, D) as `like`."""
    one = jnp.ones_like(like[:, 0])
    return phi(jnp.zeros_like(like), one, 0 * one)
