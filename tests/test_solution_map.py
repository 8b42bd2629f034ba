"""The solution map: its boundary holds for any network, and with the exact surrogate it solves a known ODE."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import MEAN, denoiser, exact_phi, exact_solution

from gtp_jax import schedules
from gtp_jax.solution_map import instantaneous_map, perturb, solution_map, surrogate_map

SCHEDULE = schedules.karras(sigma_min=0.002, sigma_max=3.0)
X = jax.random.normal(jax.random.key(0), (6, 3))
T = jnp.array([0.002, 0.1, 0.5, 1.0, 2.0, 3.0])
ZERO = jnp.zeros_like(T)


def any_phi(x, t, tau):
    """Nothing in particular."""
    return jnp.cos(3.0 * x) * t[:, None] - 7.0 * tau[:, None] + 1.0


def close(actual, desired, tolerance=1e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


def test_perturb_adds_noise_in_proportion_to_t():
    noise = jnp.ones_like(X)
    close(perturb(X, noise, T), np.asarray(X) + np.asarray(T)[:, None])


# ---------------------------------------------------------------- whatever the network


def test_going_nowhere_is_the_identity_for_any_phi():
    np.testing.assert_array_equal(solution_map(any_phi, X, T, T), X)


def test_going_to_0_is_phi_for_any_phi():
    np.testing.assert_array_equal(solution_map(any_phi, X, T, ZERO), any_phi(X, T, ZERO))


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_phi_at_sigma_min_is_the_identity_for_any_network(fraction):
    t = jnp.full_like(T, SCHEDULE.sigma_min)
    np.testing.assert_array_equal(surrogate_map(any_phi, SCHEDULE)(X, t, fraction * t), X)


def test_surrogate_map_of_a_linear_network_is_the_formula():
    x, t, variance = np.asarray(X, np.float64), np.asarray(T, np.float64)[:, None], 0.25
    skip = variance / ((t - 0.002) ** 2 + variance)
    network_at_x = 2.0 * x / np.sqrt(t**2 + variance) + t / 2
    phi = surrogate_map(lambda x, t, tau: 2.0 * x + tau[:, None], SCHEDULE)(X, T, T / 2)
    close(phi, skip * x + 0.5 * (t - 0.002) / np.sqrt(t**2 + variance) * network_at_x)


# ---------------------------------------------------------------- an ODE solved by hand: Gaussian actions


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.99, 1.0])
def test_exact_surrogate_gives_the_exact_solution(fraction):
    close(solution_map(exact_phi, X, T, fraction * T), exact_solution(X, T, fraction * T))


def test_two_legs_of_a_trajectory_compose_into_one():
    u, tau = 0.6 * T, 0.2 * T
    close(solution_map(exact_phi, solution_map(exact_phi, X, T, u), u, tau), solution_map(exact_phi, X, T, tau))


def test_instantaneous_map_of_the_exact_surrogate_is_the_posterior_mean():
    close(instantaneous_map(exact_phi, X, T), denoiser(X, T))


def test_solution_map_sets_off_along_the_ode_field():
    """d Phi / d tau at tau = t is (x - phi(x, t, t)) / t: what the flow loss learns is the map's own velocity."""
    _, velocity = jax.jvp(lambda tau: solution_map(exact_phi, X, T, tau), (T,), (jnp.ones_like(T),))
    close(velocity, (X - denoiser(X, T)) / T[:, None], 1e-4)


def test_solution_map_is_where_the_integrated_ode_arrives():
    """2000 midpoint steps in log t of dx/dt = (x - E[a | x_t = x]) / t, in double precision, with Bayes's denoiser."""
    tau, steps = 0.2, 2000
    x, t = np.asarray(X, np.float64), np.asarray(T, np.float64)[1:, None]
    start, x = t, x[1:] * t + MEAN
    end = np.minimum(tau, start / 2)
    step = np.log(end / start) / steps
    expected, log_t = x, np.log(start)

    def field(x, log_t):  # dx / dlog t
        square = np.exp(2 * log_t)
        return x - (0.25 * x + square * MEAN) / (0.25 + square)

    for _ in range(steps):
        middle = expected + step / 2 * field(expected, log_t)
        expected, log_t = expected + step * field(middle, log_t + step / 2), log_t + step
    arrays = (jnp.asarray(array, jnp.float32) for array in (x, start[:, 0], end[:, 0]))
    close(solution_map(exact_phi, *arrays), expected)
