"""Losses: gradients by hand, what no gradient flows into, fixed points, and use under every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import MEAN, STD, denoiser, exact_phi
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gtp_jax import losses, schedules
from gtp_jax.schedules import Times

SCHEDULE = schedules.karras(sigma_min=0.002, sigma_max=3.0)
B, D = 6, 3
KEY = jax.random.key(0)
A, Z = np.random.default_rng(0).normal(size=(2, B, D)).astype(np.float32)
TIMES = Times(np.full(B, 1.5, np.float32), np.full(B, 1.0, np.float32), np.linspace(0, 1, B, dtype=np.float32))


def linear(theta):
    """phi(x, t, tau) = theta x."""
    return lambda x, t, tau: theta * x


def gradient(loss, at):
    """Of the sum over examples."""
    return jax.grad(lambda x: jnp.sum(loss(x)))(at)


def close(actual, desired, tolerance=1e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- distances


def test_squared_error_sums_over_the_last_axis():
    close(losses.squared_error(A, Z), [sum((a - z) ** 2) for a, z in zip(A, Z)])


def test_gradient_of_squared_error():
    close(gradient(lambda a: losses.squared_error(a, Z), A), 2 * (A - Z))


def test_gradient_of_pseudo_huber():
    norm = np.sqrt(np.sum((A - Z) ** 2, axis=1, keepdims=True) + 0.3**2)
    close(gradient(lambda a: losses.pseudo_huber(a, Z, scale=0.3), A), (A - Z) / norm)


def test_pseudo_huber_is_quadratic_in_small_errors():
    small = np.array([[3e-3, 4e-3]], np.float32)
    close(losses.pseudo_huber(small, 0 * small, scale=1.0), [25e-6 / 2], 1e-7)


def test_pseudo_huber_is_linear_in_large_errors():
    large = np.array([[300.0, 400.0]], np.float32)
    close(losses.pseudo_huber(large, 0 * large, scale=0.03), [500 - 0.03])


def test_gradient_of_pseudo_huber_at_no_error_is_0():
    np.testing.assert_array_equal(gradient(lambda a: losses.pseudo_huber(a, A), A), np.zeros_like(A))


# ---------------------------------------------------------------- weights in time


def test_uniform_weight_is_1():
    np.testing.assert_array_equal(losses.uniform_weight(TIMES), np.ones(B))


def test_inverse_gap_weight_is_one_over_t_minus_u():
    close(losses.inverse_gap_weight(TIMES), np.full(B, 2.0))


# ---------------------------------------------------------------- the actor's losses


def test_gradient_of_flow_loss_for_a_linear_phi():
    theta, x = 0.7, A + 1.5 * Z
    flow = lambda theta: losses.instantaneous_flow_loss(linear(theta), A, Z, TIMES.t)  # noqa: E731
    close(gradient(flow, theta), np.sum(2 * (theta * x - A) * x), 1e-4)


def test_gradient_of_consistency_loss_for_a_linear_phi_and_a_stopped_target():
    theta, (t, u, tau) = 0.7, (time[:, None] for time in TIMES)
    x_t, x_u = A + t * Z, A + u * Z
    prediction, target = (tau / s * x + (1 - tau / s) * theta * x for s, x in ((t, x_t), (u, x_u)))
    by_hand = np.sum(2 * (prediction - target) * (1 - tau / t) * x_t)

    def consistency(theta):
        return losses.trajectory_consistency_loss(linear(theta), linear(theta), A, Z, TIMES)

    close(gradient(consistency, theta), by_hand, 1e-4)


def test_no_gradient_reaches_the_target():
    def consistency(theta):
        return losses.trajectory_consistency_loss(linear(0.7), linear(theta), A, Z, TIMES)

    assert gradient(consistency, 0.5) == 0.0


def test_target_starts_from_the_action_with_the_same_noise_at_u():
    seen = []

    def spy(x, t, tau):
        seen.append((x, t, tau))
        return x

    losses.trajectory_consistency_loss(linear(0.7), spy, A, Z, TIMES)
    x_u, u, tau = seen[0]
    close(x_u, A + TIMES.u[:, None] * Z)
    np.testing.assert_array_equal(u, TIMES.u)
    np.testing.assert_array_equal(tau, TIMES.tau)


def test_consistency_loss_is_measured_by_the_given_distance():
    def largest(prediction, target):
        return jnp.max(jnp.abs(prediction - target), axis=-1)

    # Both maps are the identity at tau = u = 1, so Phi(x_t) = x_t + (1 - 1/1.5)(x_t - x_t) and the target is x_u.
    times = TIMES._replace(tau=TIMES.u)
    loss = losses.trajectory_consistency_loss(linear(1.0), linear(1.0), A, Z, times, distance=largest)
    close(loss, 0.5 * np.max(np.abs(Z), axis=1))


# ---------------------------------------------------------------- the exact map of Gaussian actions is the fixed point

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(6)  # exact for the polynomials of low degree below
ACTION, NOISE = (np.float32(x.reshape(-1, 1)) for x in np.meshgrid(MEAN + STD * NODES, NODES))
PROBABILITY = np.outer(NODE_WEIGHTS, NODE_WEIGHTS).ravel() / (2 * np.pi)


def perturbed(theta):
    """The exact surrogate plus any affine function of x."""
    return lambda x, t, tau: exact_phi(x, t, tau) + theta[0] + theta[1] * x


def constant_times(*levels):
    return Times(*(np.full(len(ACTION), level, np.float32) for level in levels))


@pytest.mark.parametrize("t", [0.05, 1.0, 3.0])
def test_flow_loss_is_stationary_at_the_posterior_mean(t):
    def expected(theta):
        phi = lambda x, t, tau: denoiser(x, t) + theta[0] + theta[1] * x  # noqa: E731
        return PROBABILITY @ losses.instantaneous_flow_loss(phi, ACTION, NOISE, constant_times(t, t, t).t)

    close(jax.grad(expected)(jnp.zeros(2)), np.zeros(2), 2e-6 * (1 + t**2))


def consistency_gradient(t, u, tau):
    """Expected gradient at the exact map, per unit of t - u."""

    def expected(theta):
        args = (perturbed(theta), exact_phi, ACTION, NOISE, constant_times(t, u, tau))
        return PROBABILITY @ losses.trajectory_consistency_loss(*args) / (t - u)

    return np.asarray(jax.grad(expected)(jnp.zeros(2)))


def test_consistency_loss_is_stationary_at_the_exact_map_as_the_grid_is_refined():
    coarse, fine, finer = (np.abs(consistency_gradient(1.0, 1.0 - gap, 0.2)).max() for gap in (0.4, 0.1, 0.025))
    assert coarse > 3 * fine > 9 * finer


def test_bias_of_the_closed_form_score_is_one_euler_step():
    """x_u regressed on x_t misses the ODE's solution by STD^2 (t - u)^2 / (2 (STD^2 + t^2)^2) per deviation of x_t.

    That follows from E[z | x_t] by expanding the exact ratio; Phi at tau = u leaves the target x_u untouched.
    """
    signed = lambda prediction, target: (prediction - target)[:, 0]  # noqa: E731
    t, variance = 1.0, STD**2 + 1.0
    for gap in (0.08, 0.04):
        times = constant_times(t, t - gap, t - gap)
        error = losses.trajectory_consistency_loss(exact_phi, exact_phi, ACTION, NOISE, times, distance=signed)
        slope = PROBABILITY @ (error * (ACTION + t * NOISE - MEAN)[:, 0]) / variance
        np.testing.assert_allclose(slope, STD**2 * gap**2 / (2 * variance**2), rtol=0.1)


# ---------------------------------------------------------------- gtp_loss


def gtp(theta=0.7, key=KEY, num_intervals=20, **options):
    return losses.gtp_loss(
        linear(theta), linear(0.5), key, jnp.asarray(A), schedule=SCHEDULE, num_intervals=num_intervals, **options
    )


jitted_gtp = jax.jit(gtp)


def test_gtp_loss_is_the_weighted_sum_of_its_parts():
    loss, parts = gtp(flow_coef=3.0)
    close(loss, parts.consistency + 3.0 * parts.flow)


def test_gtp_loss_without_weights_is_that_with_ones():
    close(gtp()[0], gtp(weights=jnp.ones(B))[0], 1e-6)


def test_gtp_loss_is_linear_in_the_weights_of_its_examples():
    weights = np.arange(1, B + 1, dtype=np.float32)
    parts = [jitted_gtp(weights=one)[1] for one in np.eye(B, dtype=np.float32)]
    close(jitted_gtp(weights=weights)[1], weights @ np.array(parts))


def test_no_gradient_reaches_the_weights():
    np.testing.assert_array_equal(jax.grad(lambda w: gtp(weights=w)[0])(jnp.ones(B)), np.zeros(B))


def test_time_weight_scales_the_consistency_part_alone():
    plain, doubled = (gtp(time_weight=lambda times, c=c: np.full(B, c, np.float32))[1] for c in (1, 2))
    close(doubled, (2 * plain.consistency, plain.flow))


def test_distance_measures_the_consistency_part_alone():
    other = gtp(distance=lambda prediction, target: jnp.full(B, 5.0))[1]
    close(other, (5.0, gtp()[1].flow))


def test_gtp_loss_vanishes_for_a_map_that_knows_the_only_action():
    """If all data are the one action c, phi = c solves the ODE exactly, whatever the noise."""
    only = lambda x, t, tau: jnp.full_like(x, 0.25)  # noqa: E731
    loss, _ = losses.gtp_loss(only, only, KEY, jnp.full((B, D), 0.25), schedule=SCHEDULE, num_intervals=20)
    close(loss, 0.0, 1e-10)


def test_gtp_loss_under_jit_with_traced_intervals_is_the_same():
    close(jitted_gtp(num_intervals=20)[0], gtp()[0])


def test_gtp_loss_under_vmap_is_that_of_each():
    thetas = jnp.array([0.1, 0.7, 1.1])
    close(jax.vmap(lambda theta: jitted_gtp(theta)[0])(thetas), [gtp(theta)[0] for theta in thetas])


def test_gtp_loss_under_grad_is_the_slope_of_its_values():
    slope = (gtp(0.8)[0] - gtp(0.6)[0]) / 0.2  # exact: with its target stopped the loss is quadratic in theta
    close(jax.grad(lambda theta: jitted_gtp(theta)[0])(0.7), slope, 1e-4)


def test_gtp_loss_under_scan_takes_another_number_of_intervals_each_step():
    counts = np.array([10, 20, 40])
    _, scanned = jax.lax.scan(lambda _, count: (None, gtp(num_intervals=count)[0]), None, counts)
    close(scanned, [gtp(num_intervals=count)[0] for count in counts])


# ---------------------------------------------------------------- guidance

advantages_strategy = arrays(np.float32, 16, elements=st.floats(-1e3, 1e3, width=32))
weigh = jax.jit(losses.advantage_weights, static_argnames="truncate")
both_kinds = pytest.mark.parametrize("truncate", [True, False], ids=["truncated", "exponential"])


@given(advantages_strategy, st.floats(0, 100), st.floats(1, 1000))
def test_truncated_advantage_weights_lie_between_1_and_the_clip(advantages, eta, max_weight):
    weights = weigh(advantages, eta=eta, max_weight=max_weight)
    assert np.all((weights >= 1) & (weights <= max_weight * (1 + 1e-5)))


@given(advantages_strategy, st.floats(0, 100), st.floats(1, 1000))
def test_exponential_advantage_weights_lie_between_0_and_the_clip(advantages, eta, max_weight):
    weights = weigh(advantages, eta=eta, max_weight=max_weight, truncate=False)
    assert np.all((weights >= 0) & (weights <= max_weight * (1 + 1e-5)))


@both_kinds
@given(advantages_strategy, st.floats(0, 100))
def test_advantage_weights_increase_with_the_advantage(truncate, advantages, eta):
    assert np.all(np.diff(weigh(np.sort(advantages), eta=eta, truncate=truncate)) >= 0)


@both_kinds
@given(
    advantages_strategy.filter(lambda a: np.std(a) > 0.1 + 0.1 * np.abs(a).max()),  # or rounding decides the std
    st.floats(1, 1e3),
    st.floats(0, 3),
)
def test_advantage_weights_ignore_the_scale_of_rewards(truncate, advantages, scale, eta):
    first, second = (weigh(np.float32(c) * advantages, eta=eta, truncate=truncate) for c in (1.0, scale))
    np.testing.assert_allclose(first, second, rtol=1e-3)


@both_kinds
@given(advantages_strategy)
def test_advantage_weights_with_eta_0_are_ones(truncate, advantages):
    np.testing.assert_array_equal(weigh(advantages, eta=0.0, truncate=truncate), np.ones(16))


def test_truncated_advantage_weights_are_the_formula():
    advantages = np.array([-2.0, 0.0, 1.0, 3.0], np.float32)
    close(losses.advantage_weights(advantages, eta=0.5), np.exp(0.5 * np.maximum(advantages, 0) / advantages.std()))


def test_exponential_advantage_weights_are_the_formula():
    advantages = np.array([-2.0, 0.0, 1.0, 3.0], np.float32)
    weights = losses.advantage_weights(advantages, eta=0.5, truncate=False)
    close(weights, np.exp(0.5 * advantages / advantages.std()))


@pytest.mark.parametrize("truncate, least", [(True, 1.0), (False, 0.0)], ids=["truncated", "exponential"])
def test_advantage_weights_of_huge_advantages_are_the_clip_and_not_infinite(truncate, least):
    advantages = np.array([-1e18, 0.0, 1e18], np.float32)
    close(weigh(advantages, eta=1e6, max_weight=100.0, truncate=truncate), [least, 1.0, 100.0])


@both_kinds
@pytest.mark.parametrize("constant", [-5.0, 0.0, 1e-20, 5.0])
def test_advantage_weights_of_constant_advantages_are_ones(constant, truncate):
    np.testing.assert_array_equal(weigh(np.full(4, constant, np.float32), eta=3.0, truncate=truncate), np.ones(4))


@both_kinds
def test_no_gradient_reaches_the_advantages(truncate):
    advantages = jnp.arange(4.0)
    derivative = gradient(lambda a: losses.advantage_weights(a, eta=1.0, truncate=truncate), advantages)
    np.testing.assert_array_equal(derivative, np.zeros(4))


# ---------------------------------------------------------------- critics

Q = np.array([[1.0, 2.0, 3.0], [0.5, 4.0, 3.5]], np.float32)
TARGET = np.array([1.5, 3.0, 3.0], np.float32)


def test_td_target_bootstraps_from_the_least_of_the_ensemble():
    close(losses.td_target(np.ones(3), np.full(3, 0.9), Q), 1 + 0.9 * np.array([0.5, 2.0, 3.0]))


def test_td_target_of_a_terminal_is_the_reward():
    close(losses.td_target(np.array([1.0, 2.0, 3.0]), np.zeros(3), Q), [1.0, 2.0, 3.0])


def test_no_gradient_reaches_the_next_values():
    target = lambda q: losses.td_target(np.ones(3), np.full(3, 0.9), q)  # noqa: E731
    np.testing.assert_array_equal(gradient(target, Q), np.zeros_like(Q))


def test_td_critic_loss_sums_over_the_ensemble():
    close(losses.td_critic_loss(Q, TARGET), np.sum((Q - TARGET) ** 2, axis=0))


def test_gradient_of_td_critic_loss():
    close(gradient(lambda q: losses.td_critic_loss(q, TARGET), Q), 2 * (Q - TARGET))


def test_gradient_of_expectile_loss():
    """-2 (target - value), times the expectile below the target and its complement above."""
    values = np.array([1.0, 4.0, 2.0], np.float32)
    by_hand = gradient(lambda v: losses.expectile_loss(v, TARGET, expectile=0.9), values)
    close(by_hand, [-2 * 0.9 * 0.5, -2 * 0.1 * -1.0, -2 * 0.9 * 1.0])


def test_expectile_one_half_is_half_the_squared_error():
    close(losses.expectile_loss(Q[0], TARGET, expectile=0.5), 0.5 * (Q[0] - TARGET) ** 2)


@pytest.mark.parametrize("loss", [losses.td_critic_loss, lambda q, x: losses.expectile_loss(q[0], x, expectile=0.9)])
def test_no_gradient_reaches_a_critics_target(loss):
    np.testing.assert_array_equal(gradient(lambda target: loss(Q, target), TARGET), np.zeros(3))


# ---------------------------------------------------------------- shapes

COLUMN = np.ones((3, 1), np.float32)
PHI = linear(1.0)
OPTIONS = {"schedule": SCHEDULE, "num_intervals": 10}

MISSHAPED = {
    "squared error: another batch": lambda: losses.squared_error(A, Z[:1]),
    "pseudo-Huber: another width": lambda: losses.pseudo_huber(A, Z[:, :1]),
    "flow: another batch of noise": lambda: losses.instantaneous_flow_loss(PHI, A, Z[:1], TIMES.t),
    "flow: a column of times": lambda: losses.instantaneous_flow_loss(PHI, A, Z, TIMES.t[:, None]),
    "flow: one time for all": lambda: losses.instantaneous_flow_loss(PHI, A, Z, TIMES.t[:1]),
    "consistency: another batch of noise": lambda: losses.trajectory_consistency_loss(PHI, PHI, A, Z[:1], TIMES),
    "consistency: a column of times": lambda: losses.trajectory_consistency_loss(
        PHI, PHI, A, Z, TIMES._replace(tau=TIMES.tau[:, None])
    ),
    "consistency: one time for all": lambda: losses.trajectory_consistency_loss(
        PHI, PHI, A, Z, TIMES._replace(u=TIMES.u[:1])
    ),
    "consistency: a map to another shape": lambda: losses.trajectory_consistency_loss(
        lambda x, t, tau: jnp.tile(x, (2, 1, 1)), PHI, A, Z, TIMES
    ),
    "gtp: a column of weights": lambda: gtp(weights=jnp.ones((B, 1))),
    "gtp: one weight for all": lambda: gtp(weights=jnp.ones(1)),
    "gtp: actions without a batch": lambda: losses.gtp_loss(PHI, PHI, KEY, jnp.ones(B), **OPTIONS),
    "gtp: integer actions": lambda: losses.gtp_loss(PHI, PHI, KEY, jnp.ones((B, D), int), **OPTIONS),
    "advantages: a column": lambda: losses.advantage_weights(COLUMN, eta=1.0),
    "TD target: a column of discounts": lambda: losses.td_target(TARGET, COLUMN, Q),
    "TD target: no ensemble": lambda: losses.td_target(TARGET, TARGET, TARGET),
    "TD target: one value for all": lambda: losses.td_target(TARGET, TARGET, Q[:, :1]),
    "TD loss: no ensemble": lambda: losses.td_critic_loss(TARGET, TARGET),
    "TD loss: a column of targets": lambda: losses.td_critic_loss(Q, COLUMN),
    "TD loss: one target for all": lambda: losses.td_critic_loss(Q, TARGET[:1]),
    "expectile: a column of targets": lambda: losses.expectile_loss(TARGET, COLUMN, expectile=0.9),
}


@pytest.mark.parametrize("call", MISSHAPED.values(), ids=MISSHAPED)
def test_a_wrong_shape_raises(call):
    with pytest.raises(AssertionError):
        call()
