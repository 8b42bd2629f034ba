"""Sampling: an exact map lands in the data's distribution in any number of steps; candidates are ranked by score."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import MEAN, STD, exact_phi

from gtp_jax import sampling, schedules

SCHEDULE = schedules.karras(sigma_min=0.002, sigma_max=3.0)
KEY = jax.random.key(0)


@functools.partial(jax.jit, static_argnums=(1, 2))
def draw(key, num_steps, batch_size=64):
    return sampling.sample(exact_phi, key, (batch_size, 2), schedule=SCHEDULE, num_steps=num_steps)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_exact_map_draws_the_data_in_any_number_of_steps(num_steps):
    """Starting from N(0, T^2) rather than N(MEAN, STD^2 + T^2), the ODE ends at mean (1 - c) MEAN and std c T."""
    shrink = STD / np.hypot(STD, 3.0)
    drawn = draw(KEY, num_steps, 20_000)
    np.testing.assert_allclose(np.mean(drawn), (1 - shrink) * MEAN, atol=4 * STD / np.sqrt(40_000))
    np.testing.assert_allclose(np.std(drawn), shrink * 3.0, rtol=4 / np.sqrt(80_000))


@pytest.mark.parametrize("num_steps", [2, 5, 50])
def test_exact_map_ends_at_the_same_actions_in_any_number_of_steps(num_steps):
    np.testing.assert_allclose(draw(KEY, num_steps), draw(KEY, 1), atol=1e-5)


def test_samples_depend_on_the_key_alone():
    np.testing.assert_array_equal(draw(KEY, 2), draw(KEY, 2))
    assert np.all(draw(KEY, 2) != draw(jax.random.key(1), 2))


def test_the_map_is_asked_along_the_grid_down_to_0():
    visited = []

    def spy(x, t, tau):
        jax.debug.callback(lambda t, tau: visited.append((float(t[0]), float(tau[0]))), t, tau, ordered=True)
        return x

    jax.block_until_ready(sampling.sample(spy, KEY, (2, 1), schedule=SCHEDULE, num_steps=3))
    jax.effects_barrier()
    times = schedules.sampling_times(SCHEDULE, 3)
    np.testing.assert_allclose(visited, np.stack([times[:-1], times[1:]], axis=1), rtol=1e-6)


def test_sampling_under_vmap_over_keys_is_that_of_each():
    keys = jax.random.split(KEY, 3)
    np.testing.assert_allclose(jax.vmap(lambda k: draw(k, 2))(keys), [draw(k, 2) for k in keys], atol=1e-6)


def test_sampling_is_differentiable_in_the_map():
    def mean_action(shift):
        phi = lambda x, t, tau: exact_phi(x, t, tau) + shift  # noqa: E731
        return jnp.mean(sampling.sample(phi, KEY, (4, 2), schedule=SCHEDULE, num_steps=1))

    np.testing.assert_allclose(jax.grad(mean_action)(0.0), 1.0, rtol=1e-6)  # one step to 0 is phi itself


def test_best_of_takes_the_highest_score_of_each_example():
    candidates = np.array([[[0.0, 5.0], [3.0, 0.0]], [[1.0, 0.0], [2.0, 9.0]], [[-1.0, 0.0], [1.0, 1.0]]])
    best = sampling.best_of(jnp.asarray(candidates), lambda actions: actions[:, 0])
    np.testing.assert_array_equal(best, [[1.0, 0.0], [3.0, 0.0]])


def test_best_of_one_candidate_is_that_candidate():
    candidates = jax.random.normal(KEY, (1, 4, 2))
    np.testing.assert_array_equal(sampling.best_of(candidates, lambda actions: actions[:, 0]), candidates[0])


def test_best_of_refuses_candidates_without_a_batch():
    with pytest.raises(AssertionError):
        sampling.best_of(jnp.ones((3, 2)), lambda actions: actions[:, 0])
