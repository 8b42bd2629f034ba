"""Sampling: an exact map lands in the data's distribution in any number of steps; candidates are ranked by score."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import MEAN, STD, denoiser, exact_phi

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


def test_temperature_0_takes_the_highest_score_of_each_example():
    candidates = np.array([[[0.0, 5.0], [3.0, 0.0]], [[1.0, 0.0], [2.0, 9.0]], [[-1.0, 0.0], [1.0, 1.0]]])
    best = sampling.choose(KEY, jnp.asarray(candidates), lambda actions: actions[:, 0])
    np.testing.assert_array_equal(best, [[1.0, 0.0], [3.0, 0.0]])


def test_the_choice_among_one_candidate_is_that_candidate():
    candidates = jax.random.normal(KEY, (1, 4, 2))
    np.testing.assert_array_equal(sampling.choose(KEY, candidates, lambda actions: actions[:, 0]), candidates[0])


def test_choose_refuses_candidates_without_a_batch():
    with pytest.raises(AssertionError):
        sampling.choose(KEY, jnp.ones((3, 2)), lambda actions: actions[:, 0])


# ---------------------------------------------------------------- steps for maps that were not learned whole


@pytest.mark.parametrize("name, num_steps", [("euler", 200), ("heun", 20)])
def test_a_solver_on_the_diagonal_ends_where_the_map_does(name, num_steps):
    """But for the last step, which is Euler's from a level near 0 for both."""
    solved = sampling.sample(exact_phi, KEY, (64, 2), schedule=SCHEDULE, num_steps=num_steps, step=sampling.STEPS[name])
    np.testing.assert_allclose(solved, draw(KEY, 1), atol=0.03)


def test_renoising_draws_the_data_in_several_steps():
    """Mean and variance by hand: each step shrinks deviations from MEAN by c(t) and adds the next level's noise."""
    renoise, mean, variance = sampling.STEPS["renoise"], 0.0, 3.0**2
    drawn = sampling.sample(exact_phi, KEY, (20_000, 2), schedule=SCHEDULE, num_steps=4, step=renoise)
    times = np.asarray(schedules.sampling_times(SCHEDULE, 4))
    for t, tau in zip(times[:-1], times[1:]):
        c = STD / np.hypot(STD, t)
        mean, variance = MEAN + c * (mean - MEAN), c**2 * variance + tau**2
    np.testing.assert_allclose(np.mean(drawn), mean, atol=4 * STD / np.sqrt(40_000))
    np.testing.assert_allclose(np.var(drawn), variance, rtol=4 * np.sqrt(2 / 40_000))


def test_renoising_in_one_step_is_the_map():
    drawn = sampling.sample(exact_phi, KEY, (64, 2), schedule=SCHEDULE, num_steps=1, step=sampling.STEPS["renoise"])
    np.testing.assert_allclose(drawn, draw(KEY, 1), atol=1e-6)


def test_renoising_draws_new_noise_at_each_step():
    started = []

    def spy(x, t, tau):
        jax.debug.callback(lambda x: started.append(np.array(x)), x, ordered=True)
        return jnp.zeros_like(x)

    renoise = sampling.STEPS["renoise"]
    jax.block_until_ready(sampling.sample(spy, KEY, (500, 2), schedule=SCHEDULE, num_steps=3, step=renoise))
    jax.effects_barrier()
    correlation = np.corrcoef([x.ravel() for x in started])
    assert np.all(np.abs(correlation[np.triu_indices(3, 1)]) < 0.15)  # of 1000 pairs


def test_denoising_takes_the_map_to_the_last_stop_and_from_there_the_mean_of_the_data():
    options = {"schedule": SCHEDULE, "num_steps": 4}
    path = {
        name: sampling.trajectory(exact_phi, KEY, (64, 2), step=sampling.STEPS[name], **options)
        for name in ("map", "denoise")
    }
    np.testing.assert_allclose(path["denoise"][:-1], path["map"][:-1], atol=1e-6)
    stop, t = path["map"][-2], jnp.full(64, schedules.sampling_times(SCHEDULE, 4)[-2])
    np.testing.assert_allclose(path["denoise"][-1], denoiser(stop, t), atol=1e-6)


def test_mean_sampler_draws_one_action_whatever_the_noise():
    phi = lambda x, t, tau: x + 0.25  # noqa: E731
    drawn = sampling.sample(phi, KEY, (8, 2), schedule=SCHEDULE, num_steps=3, step=sampling.STEPS["mean"])
    np.testing.assert_array_equal(drawn, np.full((8, 2), 0.25))


def test_temperature_draws_candidates_by_the_softmax_of_their_scores():
    candidates = jnp.broadcast_to(jnp.array([0.0, 1.0])[:, None, None], (2, 20_000, 1))
    chosen = sampling.choose(KEY, candidates, lambda actions: actions[:, 0] * jnp.log(9.0), temperature=2.0)
    np.testing.assert_allclose(np.mean(chosen), 0.75, atol=0.015)  # 9^(1/2) to 1
