"""What all objectives have in common: one signature, one fixed point, and use under every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import MEAN, STD, exact_phi

from gtp_jax import losses, schedules, solution_map
from gtp_jax.objectives import OBJECTIVES

pytestmark = pytest.mark.usefixtures("quick_compilation")
SCHEDULE = schedules.karras(sigma_min=0.002, sigma_max=3.0)
KEY = jax.random.key(0)
ACTIONS = MEAN + STD * jax.random.normal(jax.random.key(1), (64, 2))

every_objective = pytest.mark.parametrize("name", OBJECTIVES)
# Regression knows one action an observation, and there is no such thing among Gaussian ones but their mean.
generative = pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "regression"])


def linear(theta):
    """phi(x, t, tau) = theta (x + t + tau + 1)."""
    return lambda x, t, tau: theta * (x + (t + tau + 1)[:, None])


def value(name, theta=0.7, target=0.5, key=KEY, actions=ACTIONS, num_intervals=32, **options):
    loss, _ = OBJECTIVES[name].loss(
        linear(theta), linear(target), key, actions, schedule=SCHEDULE, num_intervals=num_intervals, **options
    )
    return loss


compiled = jax.jit(value, static_argnames="name")


def score_of_the_gradient(name, shift):
    """Mean gradient by a constant and by a slope that are added to the exact map, over its standard error."""

    def expected(theta, key):
        def phi(x, t, tau):
            return exact_phi(x, t, tau) + shift + theta[0] + theta[1] * x

        key_action, key_loss = jax.random.split(key)
        actions = MEAN + STD * jax.random.normal(key_action, (2048, 1))
        return OBJECTIVES[name].loss(phi, exact_phi, key_loss, actions, schedule=SCHEDULE, num_intervals=1280)[0]

    gradients = jax.jit(jax.vmap(jax.grad(expected), (None, 0)))(jnp.zeros(2), jax.random.split(KEY, 128))
    return np.mean(gradients, axis=0) / (np.std(gradients, axis=0) / np.sqrt(128))


@generative
def test_objective_is_stationary_at_the_exact_solution_map(name):
    """Of Gaussian actions, where the ODE's solution is known."""
    assert np.all(np.abs(score_of_the_gradient(name, shift=0.0)) < 4)


@generative
def test_objective_pulls_a_shifted_map_back(name):
    assert score_of_the_gradient(name, shift=0.2)[0] > 8


def test_regression_is_stationary_at_the_mean_action():
    def loss(mean):
        phi = lambda x, t, tau: jnp.full_like(x, mean)  # noqa: E731
        return losses.regression_loss(phi, phi, KEY, ACTIONS, schedule=SCHEDULE, num_intervals=1)[0]

    np.testing.assert_allclose(jax.grad(loss)(jnp.mean(ACTIONS)), 0.0, atol=1e-5)


@every_objective
def test_no_gradient_reaches_the_target(name):
    assert jax.grad(lambda target: compiled(name, target=target))(0.5) == 0.0


@every_objective
def test_no_gradient_reaches_the_weights(name):
    gradient = jax.grad(lambda weights: compiled(name, weights=weights))(jnp.ones(64))
    np.testing.assert_array_equal(gradient, np.zeros(64))


@every_objective
def test_no_weights_count_as_ones(name):
    np.testing.assert_allclose(compiled(name), compiled(name, weights=jnp.ones(64)), rtol=1e-5)


@every_objective
def test_an_example_of_weight_0_has_no_influence(name):
    weights = jnp.arange(64) % 2.0
    other = jnp.where(weights[:, None] > 0, ACTIONS, ACTIONS + 0.5)
    np.testing.assert_allclose(
        compiled(name, weights=weights), compiled(name, weights=weights, actions=other), rtol=1e-5
    )


@every_objective
def test_objective_is_linear_in_its_weights(name):
    weights = jax.random.uniform(KEY, (2, 64))
    both = compiled(name, weights=2 * weights[0] + 3 * weights[1])
    np.testing.assert_allclose(
        both, 2 * compiled(name, weights=weights[0]) + 3 * compiled(name, weights=weights[1]), rtol=1e-5
    )


@every_objective
def test_objective_under_jit_with_traced_intervals_is_the_same(name):
    traced = jax.jit(lambda count: value(name, num_intervals=count))(32)
    np.testing.assert_allclose(traced, value(name), rtol=1e-4)


@every_objective
def test_gradient_under_vmap_is_that_of_each(name):
    gradient = jax.jit(jax.grad(lambda theta: compiled(name, theta)))
    thetas = jnp.array([0.1, 0.7, 1.1])
    np.testing.assert_allclose(jax.vmap(gradient)(thetas), [gradient(theta) for theta in thetas], rtol=1e-4)


@every_objective
def test_objective_under_scan_is_that_of_each_key(name):
    keys = jax.random.split(KEY, 3)
    _, scanned = jax.lax.scan(lambda _, key: (None, compiled(name, key=key)), None, keys)
    np.testing.assert_allclose(scanned, [compiled(name, key=key) for key in keys], rtol=1e-4)


@every_objective
def test_parts_are_scalars(name):
    _, parts = OBJECTIVES[name].loss(linear(0.7), linear(0.7), KEY, ACTIONS, schedule=SCHEDULE, num_intervals=32)
    assert all(jnp.shape(part) == () for part in parts)


# ---------------------------------------------------------------- what one objective promises alone


def parts_at_the_exact_map(loss, num_intervals=32, **options):
    return loss(exact_phi, exact_phi, KEY, ACTIONS, schedule=SCHEDULE, num_intervals=num_intervals, **options)[1]


def test_shortcut_jumps_agree_with_their_halves_at_the_exact_map():
    """But for the shortest, whose error goes down with their length, its square with the square."""
    coarse, fine = (parts_at_the_exact_map(losses.shortcut_loss, n).consistency for n in (16, 128))
    assert fine < coarse / 20 < 1e-3


@pytest.mark.parametrize("solver, order", [(solution_map.euler_step, 1), (solution_map.heun_step, 2)])
def test_ctm_solver_converges_to_the_exact_trajectory_with_its_order(solver, order):
    one, two = (
        jnp.sqrt(parts_at_the_exact_map(losses.ctm_loss, solver=solver, solver_steps=n).consistency) for n in (1, 2)
    )
    np.testing.assert_allclose(one / two, 2**order, rtol=0.25)


def test_flow_matching_is_denoising_with_weight_one_over_s_squared():
    loss, _ = losses.flow_matching_loss(linear(0.3), linear(0.3), KEY, ACTIONS, schedule=SCHEDULE, num_intervals=1)
    key_s, key_noise = jax.random.split(KEY)
    low, high = schedules.linear_time(0.002), schedules.linear_time(3.0)
    s = jax.random.uniform(key_s, (64,), minval=low, maxval=high)
    noise = solution_map.draw_noise(key_noise, ACTIONS.shape)
    denoising = losses.instantaneous_flow_loss(linear(0.3), ACTIONS, noise, schedules.noise_level(s))
    np.testing.assert_allclose(loss, jnp.mean(denoising / s**2), rtol=1e-4)


def test_diffusion_weighs_errors_as_edm():
    """With all noise levels at 1 the weight is (1 + sd^2)/sd^2 = 5."""
    loss, _ = losses.diffusion_loss(
        lambda x, t, tau: 0 * x, None, KEY, ACTIONS, schedule=SCHEDULE, num_intervals=1, log_mean=0.0, log_std=0.0
    )
    np.testing.assert_allclose(loss, 5 * jnp.mean(jnp.sum(ACTIONS**2, axis=1)), rtol=1e-5)


def test_consistency_compares_at_time_0_only():
    seen = []

    def spy(x, t, tau):
        seen.append(tau)
        return x

    losses.consistency_loss(spy, spy, KEY, ACTIONS, schedule=SCHEDULE, num_intervals=32)
    np.testing.assert_array_equal(seen, np.zeros((2, 64)))


def test_halves_of_the_shortest_jump_take_the_velocity_of_the_flow():
    """Or nothing would tie jumps to the flow: a map that stands still off the diagonal agrees with its halves."""

    def still(x, t, tau):
        return jnp.where((tau == t)[:, None], exact_phi(x, t, t), x / (1 + t)[:, None])  # average velocity 0

    _, parts = losses.shortcut_loss(still, still, KEY, ACTIONS, schedule=SCHEDULE, num_intervals=4)
    assert parts.consistency > 0.1


def test_shortcut_stays_at_or_above_the_least_noise():
    levels = []

    def spy(x, t, tau):
        levels.append(t)
        return x

    losses.shortcut_loss(spy, spy, KEY, jnp.zeros((4096, 1)), schedule=SCHEDULE, num_intervals=4096)
    assert min(float(jnp.min(t)) for t in levels) >= 0.002 - 1e-6


def test_an_eighth_of_mean_flows_pairs_end_at_0():
    """Where every sampler ends."""

    def phi(x, t, tau):  # U = (x - phi)/s is 1 where r = 0, and else 0
        s = schedules.linear_time(t)[:, None]
        x_s = (1 - s) * x
        return x_s - s * (tau == 0)[:, None]

    zeros = jnp.zeros((4096, 1))
    loss, _ = losses.mean_flow_loss(phi, phi, KEY, zeros, schedule=SCHEDULE, num_intervals=1)
    none, _ = losses.mean_flow_loss(phi, phi, KEY, zeros, schedule=SCHEDULE, num_intervals=1, share_of_jumps=0.0)
    np.testing.assert_allclose(loss - none, 0.125, atol=0.05)


def test_a_jump_of_shortcut_is_a_power_of_two_of_jumps_long():
    seen = []

    def spy(x, t, tau):
        seen.append((schedules.linear_time(t), schedules.linear_time(tau)))
        return x

    losses.shortcut_loss(spy, spy, KEY, ACTIONS, schedule=SCHEDULE, num_intervals=100)
    s, r = seen[-1]
    count = schedules.linear_time(3.0) / (s - r)
    np.testing.assert_allclose(np.log2(count), np.round(np.log2(count)), atol=1e-3)
    assert np.round(np.max(count)) == 32  # the halves of the shortest are the 64th part: 2^6 <= 100 < 2^7
