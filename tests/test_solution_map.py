"""The solution map: its boundary holds for any network, and with the exact surrogate it solves a known ODE."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import MEAN, denoiser, exact_phi, exact_solution

from gtp_jax import schedules
from gtp_jax.solution_map import (
    average_velocity,
    draw_noise,
    euler_step,
    heun_step,
    instantaneous_map,
    mean_action,
    perturb,
    solution_map,
    surrogate_map,
)

SCHEDULE = schedules.karras(sigma_min=0.002, sigma_max=3.0)
X = jax.random.normal(jax.random.key(0), (6, 3))
T = jnp.array([0.002, 0.1, 0.5, 1.0, 2.0, 3.0])
ZERO = jnp.zeros_like(T)


def any_phi(x, t, tau):
    """Nothing in particular."""
    return jnp.cos(3.0 * x) * t[:, None] - 7.0 * tau[:, None] + 1.0


def close(actual, desired, tolerance=1e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


def test_noise_of_wider_actions_begins_with_that_of_narrower_ones():
    narrow, wide = (draw_noise(jax.random.key(0), (6, width)) for width in (2, 5))
    np.testing.assert_array_equal(wide[:, :2], narrow)


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


# ---------------------------------------------------------------- other ways to read the map

S, R = jnp.array([0.7, 0.5, 0.3, 0.7]), jnp.array([0.2, 0.1, 0.0, 0.7])  # times of the linear path


def on_linear_path(s):
    """(x_s, x_t): a point of an exact trajectory."""
    t = schedules.noise_level(s)[:, None]
    x = exact_solution(jnp.full((len(s), 1), 2.0), jnp.full(len(s), 3.0), t[:, 0])
    return x / (1 + t), x


def test_average_velocity_of_the_exact_map_leads_along_the_linear_path():
    x_s, _ = on_linear_path(S)
    x_r, _ = on_linear_path(R)
    velocity = average_velocity(exact_phi, x_s, S, R)
    np.testing.assert_allclose(x_s + (R - S)[:, None] * velocity, x_r, atol=1e-6)


def test_average_velocity_of_the_exact_map_obeys_the_mean_flow_identity():
    """U = v - (s - r) dU/ds along the trajectory (Geng et al., 2025, eq. 6)."""
    x_s, _ = on_linear_path(S)
    velocity = average_velocity(exact_phi, x_s, S, S)
    average, slope = jax.jvp(lambda x, s: average_velocity(exact_phi, x, s, R), (x_s, S), (velocity, jnp.ones_like(S)))
    np.testing.assert_allclose(average, velocity - (S - R)[:, None] * slope, atol=2e-6)


def test_an_euler_step_in_noise_level_is_one_along_the_linear_path():
    x_s, x_t = on_linear_path(S)
    there = x_s + (R - S)[:, None] * average_velocity(exact_phi, x_s, S, S)
    step = euler_step(exact_phi, x_t, schedules.noise_level(S), schedules.noise_level(R))
    np.testing.assert_allclose(there, (1 - R)[:, None] * step, atol=1e-6)


def solve(step, num_steps):
    """Error of the ODE's solution from noise level 3 to 0.5."""
    levels = jnp.linspace(3.0, 0.5, num_steps + 1)[:, None]
    x = start = jnp.full((1, 1), 2.0)
    for t, tau in zip(levels[:-1], levels[1:]):
        x = step(exact_phi, x, t, tau)
    return abs(float((x - exact_solution(start, levels[0], levels[-1]))[0, 0]))


@pytest.mark.parametrize("step, order", [(euler_step, 1), (heun_step, 2)])
def test_a_solver_converges_with_its_order(step, order):
    np.testing.assert_allclose(np.log2(solve(step, 20) / solve(step, 40)), order, atol=0.15)


def test_heun_to_time_0_is_euler():
    x, t = jnp.full((2, 1), 2.0), jnp.array([1.0, 3.0])
    np.testing.assert_array_equal(heun_step(exact_phi, x, t, 0 * t), euler_step(exact_phi, x, t, 0 * t))


def test_gradient_of_heun_to_time_0_is_a_number():
    t = jnp.ones(1)
    assert jnp.isfinite(jax.grad(lambda x: heun_step(exact_phi, x, t, 0 * t)[0, 0])(jnp.ones((1, 1))))


def test_mean_action_is_the_map_at_one_point():
    phi = lambda x, t, tau: x + (10 * t + tau)[:, None]  # noqa: E731
    np.testing.assert_array_equal(mean_action(phi, jnp.full((3, 2), 7.0)), np.full((3, 2), 10.0))
