"""Drawing actions from a solution map in K steps, and choosing among candidates by a critic."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gtp_jax.schedules import Schedule, sampling_times
from gtp_jax.solution_map import SurrogateMap, solution_map


def sample(
    phi: SurrogateMap, key: chex.PRNGKey, shape: tuple[int, int], *, schedule: Schedule, num_steps: int
) -> jax.Array:
    """K-step sampling: a_T ~ N(0, T^2 I), then a_{t_{i+1}} = Phi(a_{t_i}, t_i, t_{i+1}) down to t_K = 0.

    Args:
        phi: surrogate map on (B, D) actions.
        key: consumed; the only randomness.
        shape: (B, D).
        num_steps: K >= 1, static.

    Returns:
        (B, D) actions, not clipped.
    """
    times = sampling_times(schedule, num_steps)
    start = schedule.sigma_max * jax.random.normal(key, shape)

    def step(x, interval):
        t, tau = (jnp.broadcast_to(level, shape[:1]) for level in interval)
        return solution_map(phi, x, t, tau), None

    return jax.lax.scan(step, start, (times[:-1], times[1:]))[0]


def best_of(candidates: jax.Array, score: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """The best of N candidate actions per example by a score such as Q(s, .) (IDQL; Hansen-Estruch et al., 2023).

    Args:
        candidates: (N, B, D).
        score: (B, D) actions -> (B,).

    Returns:
        (B, D).
    """
    chex.assert_rank(candidates, 3)
    best = jnp.argmax(jax.vmap(score)(candidates), axis=0)
    return jnp.take_along_axis(candidates, best[None, :, None], axis=0)[0]
