"""Drawing actions from a solution map in K steps, and choosing among candidates by a critic."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gtp_jax.schedules import Schedule, sampling_times
from gtp_jax.solution_map import (
    SurrogateMap,
    draw_noise,
    euler_step,
    heun_step,
    mean_action,
    perturb,
    solution_map,
)

UNROLLED = 10  # steps a loop's body: what they share, as the observations' part of a first layer, is computed once

Step = Callable[[SurrogateMap, chex.PRNGKey, jax.Array, jax.Array, jax.Array], jax.Array]


def renoise_step(phi: SurrogateMap, key: chex.PRNGKey, x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
    """Phi(x, t, 0) + tau z with fresh noise z: for maps that know tau = 0 only (arXiv 2303.01469, algorithm 1)."""
    return perturb(solution_map(phi, x, t, 0 * tau), draw_noise(key, x.shape, x.dtype), tau)


def denoise_step(phi: SurrogateMap, key: chex.PRNGKey, x: jax.Array, t: jax.Array, tau: jax.Array) -> jax.Array:
    """Phi(x, t, tau), but where tau = 0 the denoiser E[a | x_t = x]: without what noise the data have below level t."""
    del key  # draws nothing
    return solution_map(lambda x, t, tau: phi(x, t, jnp.where(tau > 0, tau, t)), x, t, tau)


# How a sampler gets from one noise level to the next: (phi, key, x (B, D), t (B,), tau (B,)) -> (B, D).
STEPS: dict[str, Step] = {
    "map": lambda phi, key, x, t, tau: solution_map(phi, x, t, tau),
    "euler": lambda phi, key, x, t, tau: euler_step(phi, x, t, tau),
    "heun": lambda phi, key, x, t, tau: heun_step(phi, x, t, tau),
    "denoise": denoise_step,
    "renoise": renoise_step,
    "mean": lambda phi, key, x, t, tau: mean_action(phi, x),  # of a unimodal policy, whatever K is
}


def sample(
    phi: SurrogateMap,
    key: chex.PRNGKey,
    shape: tuple[int, int],
    *,
    schedule: Schedule,
    num_steps: int,
    step: Step = STEPS["map"],
) -> jax.Array:
    """K-step sampling: a_T ~ N(0, T^2 I), then a_{t_{i+1}} = Phi(a_{t_i}, t_i, t_{i+1}) down to t_K = 0.

    Args:
        phi: surrogate map on (B, D) actions.
        key: consumed; the only randomness.
        shape: (B, D).
        num_steps: K >= 1, static. Heun's step looks at phi twice, the others once.
        step: what takes the place of Phi for a map that was not learned whole; see `STEPS`.

    Returns:
        (B, D) actions, not clipped.
    """
    return trajectory(phi, key, shape, schedule=schedule, num_steps=num_steps, step=step)[-1]


def trajectory(
    phi: SurrogateMap,
    key: chex.PRNGKey,
    shape: tuple[int, int],
    *,
    schedule: Schedule,
    num_steps: int,
    step: Step = STEPS["map"],
) -> jax.Array:
    """What `sample` passes through: (K + 1, B, D), from noise at sigma_max to actions."""
    times = sampling_times(schedule, num_steps)
    key_start, key_steps = jax.random.split(key)
    start = schedule.sigma_max * draw_noise(key_start, shape)

    def advance(x, interval):
        key, t, tau = interval
        x = step(phi, key, x, *(jnp.broadcast_to(level, shape[:1]) for level in (t, tau)))
        return x, x

    intervals = jax.random.split(key_steps, num_steps), times[:-1], times[1:]
    _, path = jax.lax.scan(advance, start, intervals, unroll=min(num_steps, UNROLLED))
    return jnp.concatenate([start[None], path])


def choose(
    key: chex.PRNGKey,
    candidates: jax.Array,
    score: Callable[[jax.Array], jax.Array],
    *,
    temperature: chex.Numeric = 0.0,
) -> jax.Array:
    """One of N candidate actions per example by a score such as Q(s, .).

    Args:
        key: consumed.
        candidates: (N, B, D).
        score: (B, D) actions -> (B,).
        temperature: 0 takes the best (IDQL; Hansen-Estruch et al., 2023, arXiv 2304.10573), and otherwise one
            is drawn from softmax(score / temperature) (Diffusion-QL; Wang et al., 2023, arXiv 2208.06193).

    Returns:
        (B, D).
    """
    chex.assert_rank(candidates, 3)
    scores = jax.vmap(score)(candidates)
    noise = temperature * jax.random.gumbel(key, scores.shape, scores.dtype)  # Gumbel (1954): the argmax is the draw
    chosen = jnp.argmax(scores + noise, axis=0)
    return jnp.take_along_axis(candidates, chosen[None, :, None], axis=0)[0]
