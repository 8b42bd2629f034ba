"""Noise levels: the grid is Karras's, drawn times are ordered neighbours, and phi starts as the identity."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtp_jax import schedules

SCHEDULE = schedules.karras(sigma_min=0.002, sigma_max=3.0)
ENDING = schedules.karras(sigma_min=0.002, sigma_max=3.0, sigma_last=0.15)
draw = jax.jit(schedules.draw_times, static_argnums=(1, 2))  # the number of intervals is traced


def karras_grid(num_intervals, low=0.002, high=3.0, rho=7.0):
    """The paper's formula in double precision."""
    return np.linspace(low ** (1 / rho), high ** (1 / rho), num_intervals + 1) ** rho


def grid(num_intervals, schedule=SCHEDULE):
    return np.asarray(schedules.grid_point(schedule, jnp.arange(num_intervals + 1), num_intervals))


# ---------------------------------------------------------------- the grid


@pytest.mark.parametrize("num_intervals", [1, 10, 1280])
def test_grid_is_the_formula_of_karras(num_intervals):
    np.testing.assert_allclose(grid(num_intervals), karras_grid(num_intervals), rtol=2e-5)


def test_grid_runs_from_sigma_min_to_sigma_max():
    np.testing.assert_allclose(grid(40)[[0, -1]], [0.002, 3.0], rtol=1e-6)


def test_grid_increases_even_when_fine_and_wide():
    assert np.all(np.diff(grid(1280, schedules.karras(0.002, 80.0))) > 0)


def test_grid_with_rho_1_is_uniform():
    np.testing.assert_allclose(np.diff(grid(8, schedules.karras(1.0, 5.0, rho=1.0))), 0.5, rtol=1e-5)


def test_index_minus_1_is_time_0():
    assert schedules.grid_point(SCHEDULE, -1, 10) == 0.0


def test_grid_accepts_traced_index_and_count():
    level = jax.jit(schedules.grid_point, static_argnums=0)(SCHEDULE, 7, 20)
    np.testing.assert_allclose(level, karras_grid(20)[7], rtol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_a_sampler_goes_down_the_grid_and_ends_at_exactly_0(num_steps):
    times = np.asarray(schedules.sampling_times(SCHEDULE, num_steps))
    np.testing.assert_allclose(times, [*karras_grid(num_steps)[:0:-1], 0.0], rtol=1e-5)


@pytest.mark.parametrize("num_steps", [2, 3, 10])
def test_a_sampler_with_a_last_level_stops_there_before_0(num_steps):
    times = np.asarray(schedules.sampling_times(ENDING, num_steps))
    np.testing.assert_allclose(times[[0, -2, -1]], [3.0, 0.15, 0.0], rtol=1e-5)


def test_levels_on_the_way_to_the_last_are_a_grid_of_their_own():
    times = np.asarray(schedules.sampling_times(ENDING, 5))
    np.testing.assert_allclose(np.diff(times[:-1] ** (1 / 7), n=2), 0.0, atol=1e-6)


def test_a_last_level_beyond_the_grid_raises():
    for wrong in (3.0, 0.001, -0.1):
        with pytest.raises(ValueError, match=f"sigma_last must be 0, or .* got {wrong}"):
            schedules.linear(0.002, 3.0, sigma_last=wrong)


def test_a_single_step_goes_to_0_whatever_the_last_level():
    np.testing.assert_allclose(schedules.sampling_times(ENDING, 1), [3.0, 0.0], rtol=1e-6)


# ---------------------------------------------------------------- the schedule as a value


def test_equal_schedules_hash_alike():
    assert len({SCHEDULE, schedules.karras(0.002, 3.0), schedules.karras(0.002, 80.0)}) == 2


def test_schedule_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SCHEDULE.sigma_max = 80.0


@pytest.mark.parametrize(
    "bad",
    [
        {"sigma_min": 0.0},
        {"sigma_min": -1.0},
        {"sigma_max": 0.002},
        {"sigma_max": 0.001},
        {"sigma_max": float("nan")},
        {"rho": 0.0},
        {"rho": -7.0},
        {"sigma_data": 0.0},
    ],
    ids=str,
)
def test_bad_bounds_raise(bad):
    with pytest.raises(ValueError, match="got .*" + str(*bad.values())):
        schedules.karras(**{"sigma_min": 0.002, "sigma_max": 3.0, **bad})


# ---------------------------------------------------------------- drawing times


@given(seed=st.integers(0, 2**31 - 1), num_intervals=st.integers(1, 1280))
def test_drawn_times_are_ordered(seed, num_intervals):
    t, u, tau = draw(jax.random.key(seed), 64, SCHEDULE, num_intervals)
    assert np.all((t > u) & (u >= tau) & (tau >= 0))


@given(seed=st.integers(0, 2**31 - 1), num_intervals=st.integers(1, 1280))
def test_drawn_t_and_u_are_neighbours_and_tau_is_on_the_grid_or_0(seed, num_intervals):
    levels = np.concatenate([[0.0], karras_grid(num_intervals)])
    t, u, tau = (np.asarray(x)[:, None] for x in draw(jax.random.key(seed), 64, SCHEDULE, num_intervals))
    t_index, u_index, tau_index = (np.argmin(abs(levels - x), axis=1) for x in (t, u, tau))
    np.testing.assert_array_equal(t_index, u_index + 1)
    np.testing.assert_allclose(tau[:, 0], levels[tau_index], rtol=2e-5)


def test_all_intervals_are_drawn_alike():
    _, u, _ = draw(jax.random.key(0), 10_000, SCHEDULE, 10)
    counts = np.bincount(np.searchsorted(karras_grid(10), np.asarray(u) * 1.001) - 1, minlength=10)
    np.testing.assert_allclose(counts, 1000, atol=5 * np.sqrt(900))


def test_tau_is_drawn_alike_among_0_and_the_levels_up_to_u():
    _, u, tau = (np.asarray(x) for x in draw(jax.random.key(0), 10_000, SCHEDULE, 2))
    first, second = u < 0.01, u > 0.01  # u = t_0: tau in {0, t_0}; u = t_1: tau in {0, t_0, t_1}
    for drawn, levels in ((tau[first], [0.0, 0.002]), (tau[second], [0.0, *karras_grid(2)[:2]])):
        frequencies = [np.mean(np.isclose(drawn, level, rtol=1e-4)) for level in levels]
        np.testing.assert_allclose(frequencies, 1 / len(levels), atol=0.04)


def test_a_share_of_tau_is_0_before_the_others_are_drawn():
    _, _, tau = schedules.draw_times(jax.random.key(0), 10_000, SCHEDULE, 1, zero_share=0.5)
    np.testing.assert_allclose(np.mean(tau == 0), 0.5 + 0.5 / 2, atol=0.02)


def test_times_are_drawn_inside_scan_while_the_grid_doubles():
    def body(_, count):
        return None, schedules.draw_times(jax.random.key(1), 64, SCHEDULE, count)

    counts = 10 * 2 ** jnp.arange(4)
    _, times = jax.lax.scan(body, None, counts)
    alone = [draw(jax.random.key(1), 64, SCHEDULE, count) for count in counts]
    np.testing.assert_allclose(times, np.moveaxis(np.array(alone), 0, 1), rtol=1e-5)


# ---------------------------------------------------------------- the curriculum


def curriculum(num_steps, **bounds):
    """At every update, inside scan."""
    body = lambda _, step: (None, schedules.doubling_curriculum(step, num_steps, **bounds))  # noqa: E731
    return np.asarray(jax.lax.scan(body, None, jnp.arange(num_steps))[1])


def test_curriculum_doubles_from_10_to_1280_in_equal_stages():
    np.testing.assert_array_equal(curriculum(800), np.repeat(10 * 2 ** np.arange(8), 100))


@pytest.mark.parametrize("first, last, stages", [(10, 10, [10]), (10, 15, [10, 15]), (10, 100, [10, 20, 40, 80, 100])])
def test_curriculum_ends_at_its_last_count_whatever_the_ratio(first, last, stages):
    assert list(dict.fromkeys(curriculum(60, first=first, last=last))) == stages


def test_curriculum_stays_at_its_last_count_after_training():
    assert schedules.doubling_curriculum(10_000, 800) == 1280


def test_curriculum_does_not_overflow_at_ten_million_updates():
    assert schedules.doubling_curriculum(9_999_999, 10_000_000) == 1280


# ---------------------------------------------------------------- preconditioning


def test_preconditioning_at_sigma_min_is_the_identity():
    c_skip, c_out, _ = schedules.preconditioning(SCHEDULE, jnp.float32(SCHEDULE.sigma_min))
    assert (c_skip, c_out) == (1.0, 0.0)


def test_network_input_has_unit_variance_at_every_level():
    t = jnp.asarray(grid(10))
    _, _, c_in = schedules.preconditioning(SCHEDULE, t)
    np.testing.assert_allclose(c_in**2 * (t**2 + SCHEDULE.sigma_data**2), 1.0, rtol=1e-5)


def test_preconditioning_far_from_the_data_drops_the_input_and_keeps_the_network():
    c_skip, c_out, _ = schedules.preconditioning(SCHEDULE, jnp.float32(1e4))
    np.testing.assert_allclose([c_skip, c_out], [0.0, SCHEDULE.sigma_data], atol=1e-6)


# ---------------------------------------------------------------- the linear path


def test_linear_grid_is_uniform_in_the_linear_paths_time():
    schedule = schedules.linear(sigma_min=0.002, sigma_max=80.0)
    s = schedules.linear_time(schedules.grid_point(schedule, np.arange(9), 8))
    np.testing.assert_allclose(np.diff(s), np.full(8, (80 / 81 - 0.002 / 1.002) / 8), rtol=1e-4)


def test_linear_grid_ends_at_the_bounds():
    schedule = schedules.linear(sigma_min=0.002, sigma_max=3.0)
    np.testing.assert_allclose(schedules.grid_point(schedule, np.array([-1, 0, 8]), 8), [0.0, 0.002, 3.0], rtol=1e-5)


def test_noise_level_inverts_linear_time():
    t = np.array([0.0, 0.002, 1.0, 80.0])
    np.testing.assert_allclose(schedules.noise_level(schedules.linear_time(t)), t)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (2.0, 1.0)])
def test_linear_schedule_refuses_bounds_out_of_order(bounds):
    with pytest.raises(ValueError, match="sigma_min"):
        schedules.linear(*bounds)
