"""GTP's two theorems (arXiv 2510.11499, section 4), measured on problems that are solved in closed form.

Theorem 1: the closed-form score puts a bias on the target of the consistency loss that dies as the grid is refined.
Theorem 2: training with weights exp(eta A) ends in the policy pi_BC exp(eta A) / Z.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.interpolate import CubicSpline
from scipy.stats import linregress
from scipy.stats import t as student

from gtp_jax import losses, networks, sampling, schedules, solution_map

# ---------------------------------------------------------------- Theorem 1: a mixture of Gaussians on a line

MODES, MODE_STD = np.array([-0.8, 0.8]), 0.4
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


def _posterior(x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Of the mode behind x_t = x (N,): weights (N, 2), and quadrature nodes of the action given the mode (N, 2, Q)."""
    variance = MODE_STD**2 + t**2
    log_weight = -((x[:, None] - MODES) ** 2) / (2 * variance)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    mean = (MODE_STD**2 * x[:, None] + t**2 * MODES) / variance
    nodes = mean[..., None] + MODE_STD * t / np.sqrt(variance) * _NODES
    return weight / weight.sum(axis=1, keepdims=True), nodes


def _field(x: np.ndarray, t: float) -> np.ndarray:
    """dx/dt of the ODE, from the exact score."""
    weight, nodes = _posterior(x, t)
    return (x - (weight * (nodes @ _NODE_WEIGHTS)).sum(axis=1)) / t


def _solve(x: np.ndarray, t: float, tau: float, num_steps: int = 400) -> np.ndarray:
    """The ideal map Phi*(x, t, tau), by Runge and Kutta's method in the logarithm of time."""
    log_times = np.linspace(np.log(t), np.log(tau), num_steps + 1)
    h = log_times[1] - log_times[0]

    def slope(x, log_t):
        return np.exp(log_t) * _field(x, np.exp(log_t))

    for log_t in log_times[:-1]:
        k1 = slope(x, log_t)
        k2 = slope(x + h / 2 * k1, log_t + h / 2)
        k3 = slope(x + h / 2 * k2, log_t + h / 2)
        k4 = slope(x + h * k3, log_t + h)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def _practical_mean(target, x: np.ndarray, t: float, u: float) -> np.ndarray:
    """E[ target(a + u z) | a + t z = x ]: what regression on targets with the same noise learns."""
    weight, nodes = _posterior(x, t)
    x_u = (u / t) * x[:, None, None] + (1 - u / t) * nodes
    return (weight * (target(x_u.ravel()).reshape(x_u.shape) @ _NODE_WEIGHTS)).sum(axis=1)


def _points(t: float) -> tuple[np.ndarray, np.ndarray]:
    """Places and probabilities of x_t."""
    x = (MODES[:, None] + np.sqrt(MODE_STD**2 + t**2) * _NODES).ravel()
    return x, np.tile(_NODE_WEIGHTS, len(MODES)) / len(MODES)


def target_gap(t: float, gap: float, tau: float) -> float:
    """RMS over x_t of the practical target's mean, from u = t - gap, minus the ideal one Phi*(x_t, t, tau)."""
    x, probability = _points(t)
    practical = _practical_mean(lambda x_u: _solve(x_u, t - gap, tau), x, t, t - gap)
    return float(np.sqrt(probability @ (practical - _solve(x, t, tau)) ** 2))


def fixed_point_gap(num_intervals: int, schedule: schedules.Schedule) -> float:
    """RMS over x_T of the map that is consistent with the practical targets on the whole grid, minus the ideal one."""
    times = np.asarray(schedules.grid_point(schedule, np.arange(num_intervals + 1), num_intervals), np.float64)
    places = np.linspace(-1.0, 1.0, 1501)
    width = 1.5 + 6 * np.sqrt(MODE_STD**2 + times**2)
    learned = lambda x: x  # noqa: E731  at sigma_min
    for u, t, reach in zip(times[:-1], times[1:], width[1:]):
        x = reach * places * np.abs(places)  # dense where the modes part
        x = np.unique(x)
        learned = CubicSpline(x, _practical_mean(learned, x, t, u), extrapolate=True)
    x, probability = _points(times[-1])
    return float(np.sqrt(probability @ (learned(x) - _solve(x, times[-1], times[0])) ** 2))


class Order(NamedTuple):
    """Slope of a line through log sizes and log gaps, with the ends of its 95 % interval."""

    slope: float
    low: float
    high: float


def order(sizes: Sequence[float], gaps: Sequence[float]) -> Order:
    """Of convergence: gap ~ size^slope."""
    fit = linregress(np.log(sizes), np.log(gaps))
    half = student.ppf(0.975, len(sizes) - 2) * fit.stderr
    return Order(fit.slope, fit.slope - half, fit.slope + half)


# ---------------------------------------------------------------- Theorem 2: a bandit with a few actions

ACTIONS = np.array([-0.8, -0.4, 0.0, 0.4, 0.8], np.float32)
BEHAVIOUR = np.array([0.1, 0.3, 0.2, 0.3, 0.1])
ADVANTAGES = np.array([1.0, -1.0, 0.0, 0.5, -0.5], np.float32)


def improved_policy(eta: float, truncate: bool) -> np.ndarray:
    """pi_BC exp(eta A / std(A)) / Z, or with max(0, A) for A: (5,) probabilities."""
    spread = np.sqrt(BEHAVIOUR @ (ADVANTAGES - BEHAVIOUR @ ADVANTAGES) ** 2)
    tilted = BEHAVIOUR * np.exp(eta * (np.maximum(ADVANTAGES, 0) if truncate else ADVANTAGES) / spread)
    return tilted / tilted.sum()


def learned_policy(
    key: jax.Array, eta: float, truncate: bool, *, num_updates: int = 4000, batch_size: int = 512, num_steps: int = 5
) -> np.ndarray:
    """The policy that weighted GTP training ends in: (5,) shares of 20000 samples, each given to the nearest action."""
    schedule = schedules.karras(sigma_min=0.002, sigma_max=3.0)
    network = networks.MLP((64, 64, 64), 1)
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, num_updates))

    def phi_of(params):
        def raw(x, t, tau):
            inputs = [x, networks.time_embedding(t), networks.time_embedding(tau)]
            return network.apply(params, jnp.concatenate(inputs, axis=-1))

        return solution_map.surrogate_map(raw, schedule)

    def update(carry, step):
        params, ema, state = carry
        key_action, key_loss = jax.random.split(jax.random.fold_in(key, step))
        index = jax.random.choice(key_action, len(ACTIONS), (batch_size,), p=jnp.asarray(BEHAVIOUR))

        def loss(params):
            return losses.gtp_loss(
                phi_of(params),
                phi_of(params),
                key_loss,
                jnp.asarray(ACTIONS)[index, None],
                schedule=schedule,
                num_intervals=schedules.doubling_curriculum(step, num_updates),
                weights=losses.advantage_weights(
                    jnp.asarray(ADVANTAGES)[index], eta=eta, max_weight=1e6, truncate=truncate
                ),
                distance=losses.pseudo_huber,
                time_weight=losses.inverse_gap_weight,
            )[0]

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        params = optax.apply_updates(params, updates)
        return (params, optax.incremental_update(params, ema, 0.005), state), None

    @jax.jit
    def train_and_sample(key):
        key_init, key_sample = jax.random.split(jax.random.fold_in(key, num_updates))
        params = network.init(key_init, jnp.zeros((1, 17)))
        (_, ema, _), _ = jax.lax.scan(update, (params, params, optimizer.init(params)), jnp.arange(num_updates))
        return sampling.sample(phi_of(ema), key_sample, (20_000, 1), schedule=schedule, num_steps=num_steps)

    nearest = np.abs(np.asarray(train_and_sample(key)) - ACTIONS).argmin(axis=1)
    return np.bincount(nearest, minlength=len(ACTIONS)) / len(nearest)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(p - q).sum() / 2)
