"""Noise levels: the grid, the curriculum over its resolution, preconditioning, and drawing (t, u, tau).

Everything is a pure function of arrays; `Schedule` is frozen and hashable, so it can be closed over or passed to `jit`
as a static argument. Times are noise levels (standard deviations), not fractions of a process.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A grid of noise levels and the EDM preconditioning that goes with it; make one with `karras` or `linear`."""

    sigma_min: float
    sigma_max: float
    rho: float | None  # of a Karras grid; None is uniform in the linear path's time
    sigma_data: float = 0.5  # of the clean actions
    sigma_last: float = 0.0  # the last stop of a sampler before 0; 0: that of the grid, see `sampling_times`


class Times(NamedTuple):
    """One training triple per example, each (B,): t > u >= tau >= 0, with t and u neighbours on the grid."""

    t: jax.Array
    u: jax.Array
    tau: jax.Array


def karras(
    sigma_min: float, sigma_max: float, rho: float = 7.0, sigma_data: float = 0.5, sigma_last: float = 0.0
) -> Schedule:
    """The schedule of Karras et al. (2022), arXiv 2206.00364, eq. 5.

    Args:
        sigma_min, sigma_max: least and greatest noise level on the grid, 0 < sigma_min < sigma_max.
        rho: how strongly grid points gather at low noise; 1 is uniform.
        sigma_data: standard deviation of the clean actions that the preconditioning assumes.
        sigma_last: of `sampling_times`; 0, or sigma_min <= sigma_last < sigma_max.

    Raises:
        ValueError: a bound is out of order or not positive.
    """
    if rho <= 0.0:
        raise ValueError(f"rho must be positive, got {rho}")
    return _schedule(sigma_min, sigma_max, float(rho), sigma_data, sigma_last)


def linear(sigma_min: float, sigma_max: float, sigma_data: float = 0.5, sigma_last: float = 0.0) -> Schedule:
    """A grid uniform in s = t/(1 + t), the time of the linear path x_s = (1 - s) a + s z of flow matching.

    Raises:
        ValueError: a bound is out of order or not positive.
    """
    return _schedule(sigma_min, sigma_max, None, sigma_data, sigma_last)


def _schedule(sigma_min, sigma_max, rho, sigma_data, sigma_last) -> Schedule:
    if not 0.0 < sigma_min < sigma_max:
        raise ValueError(f"need 0 < sigma_min < sigma_max, got {sigma_min} and {sigma_max}")
    if sigma_data <= 0.0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}")
    if sigma_last and not sigma_min <= sigma_last < sigma_max:
        raise ValueError(f"sigma_last must be 0, or at least sigma_min and below sigma_max, got {sigma_last}")
    return Schedule(float(sigma_min), float(sigma_max), rho, float(sigma_data), float(sigma_last))


def linear_time(t: chex.Numeric) -> chex.Numeric:
    """s = t/(1 + t): when the linear path x_s = (1 - s) a + s z passes x_t/(1 + t)."""
    return t / (1 + t)


def noise_level(s: chex.Numeric) -> chex.Numeric:
    """t = s/(1 - s): the inverse of `linear_time`."""
    return s / (1 - s)


def grid_point(schedule: Schedule, index: chex.Numeric, num_intervals: chex.Numeric) -> jax.Array:
    """Noise level t_n of a grid with `num_intervals` + 1 points: t_0 = sigma_min, t_N = sigma_max, and t_{-1} = 0.

    Karras: t_n = (sigma_min^(1/rho) + n/N (sigma_max^(1/rho) - sigma_min^(1/rho)))^rho; linear: the same with
    t/(1 + t) for t^(1/rho). Index and count may be traced.
    """
    if schedule.rho is None:
        warp, unwarp = linear_time, noise_level
    else:
        warp, unwarp = lambda t: t ** (1 / schedule.rho), lambda w: w**schedule.rho
    low, high = warp(schedule.sigma_min), warp(schedule.sigma_max)
    index = jnp.asarray(index, jnp.float32)
    level = unwarp(low + jnp.maximum(index, 0.0) / num_intervals * (high - low))
    return jnp.where(index < 0, 0.0, level)


def sampling_times(schedule: Schedule, num_steps: int) -> jax.Array:
    """The (K + 1,) times that a K-step sampler visits: sigma_max first, 0 last.

    Those between are of the grid with K intervals, whose least level gives way to 0; or, of a schedule with a
    sigma_last, of one with K - 1 intervals that ends there, whatever K is (docs/few_step.md).
    """
    to_zero = grid_point(schedule, jnp.arange(num_steps, 0, -1), num_steps)
    to_last = dataclasses.replace(schedule, sigma_min=schedule.sigma_last)
    to_last = grid_point(to_last, jnp.linspace(1.0, 0.0, num_steps), 1)
    return jnp.append(jnp.where(schedule.sigma_last > 0, to_last, to_zero), 0.0)


def draw_times(
    key: chex.PRNGKey,
    batch_size: int,
    schedule: Schedule,
    num_intervals: chex.Numeric,
    *,
    zero_share: chex.Numeric = 0.0,
) -> Times:
    """Draws neighbours u = t_n < t = t_{n+1}, n uniform, and tau: 0, or else uniform among {0, t_0, ..., t_n}.

    Args:
        key: consumed.
        num_intervals: N >= 1, the number of grid intervals; may be traced (the curriculum lives inside scan).
        zero_share: share of the examples whose tau is 0, where every sampler ends, without a draw; may be traced.
    """
    key_n, key_tau, key_zero = jax.random.split(key, 3)
    n = jax.random.randint(key_n, (batch_size,), 0, num_intervals)
    is_zero = jax.random.bernoulli(key_zero, zero_share, (batch_size,))
    tau_index = jnp.where(is_zero, -1, jax.random.randint(key_tau, (batch_size,), -1, n + 1))
    t, u, tau = (grid_point(schedule, index, num_intervals) for index in (n + 1, n, tau_index))
    return Times(t, u, tau)


def doubling_curriculum(step: chex.Numeric, num_steps: int, first: int = 10, last: int = 1280) -> jax.Array:
    """Number of grid intervals at an update: first, 2 first, 4 first, ... last, each for an equal share of training.

    The bias of the closed-form score is the error of one ODE-solver step, so it dies as the grid is refined
    (GTP, Theorem 1); a coarse grid first lets information travel from low noise to high in few updates.
    """
    num_stages = (-(-last // first) - 1).bit_length() + 1  # the fewest doublings that reach `last`
    stage = jnp.minimum(jnp.asarray(step) * num_stages // num_steps, num_stages - 1)
    return jnp.minimum(first * 2**stage, last).astype(jnp.int32)


def preconditioning(schedule: Schedule, t: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(c_skip, c_out, c_in) at noise level t, so that phi at sigma_min is the identity.

    Karras et al. (2022) table 1, shifted by sigma_min as in Song et al. (2023), arXiv 2303.01469, appendix C.
    """
    variance = schedule.sigma_data**2
    shifted = t - schedule.sigma_min
    inverse_norm = jax.lax.rsqrt(t**2 + variance)
    return variance / (shifted**2 + variance), schedule.sigma_data * shifted * inverse_norm, inverse_norm
