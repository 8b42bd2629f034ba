"""Aggregates against values worked out by hand, and intervals that hold what they should."""

import functools

import numpy as np
import pytest

from gtp_jax import aggregates


def of_tasks(*seeds):
    return [np.array(task, float) for task in seeds]


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    # Of 8 scores the two least (0, 1) and the two greatest (90, 100) do not count: (2 + 3 + 4 + 7) / 4.
    assert aggregates.interquartile_mean(of_tasks([100, 0, 2, 3], [4, 90, 7, 1])) == 4.0


def test_of_five_scores_one_is_left_out_at_each_end():
    assert aggregates.interquartile_mean(of_tasks([0, 1, 2], [6, 100])) == 3.0


def test_of_up_to_three_scores_the_interquartile_mean_is_the_mean():
    assert aggregates.interquartile_mean(of_tasks([1], [2, 6])) == 3.0


def test_the_profile_is_the_share_above_each_threshold_with_tasks_counted_alike():
    profile = aggregates.performance_profile(of_tasks([0, 50, 100, 100], [50]), np.array([0.0, 49.0, 50.0, 100.0]))
    assert profile.tolist() == [(0.75 + 1) / 2, (0.75 + 1) / 2, 0.5 / 2, 0.0]


def test_the_probability_of_improvement_counts_ties_half_and_tasks_alike():
    # First task: 3 > 1, 3 = 3, 5 > 1, 5 > 3: 3.5 of 4. Second: 0 < 1.
    assert aggregates.probability_of_improvement(of_tasks([3, 5], [0]), of_tasks([1, 3], [1])) == 3.5 / 8


def test_an_agent_improves_on_itself_half_the_time():
    scores = of_tasks([1, 2, 3], [7, 7])
    assert aggregates.probability_of_improvement(scores, scores) == 0.5


def test_what_does_not_vary_has_an_interval_without_width():
    low, high = aggregates.bootstrap_interval(aggregates.interquartile_mean, of_tasks([4, 4], [4]), num_samples=10)
    assert low == high == 4.0


def test_seeds_are_drawn_within_their_task():
    """Between two tasks that each have one score there is nothing to draw, however far they are apart."""
    low, high = aggregates.bootstrap_interval(aggregates.interquartile_mean, of_tasks([0, 0], [100, 100]))
    assert low == high == 50.0


def test_the_interval_of_a_mean_of_two_scores_is_both_of_them():
    """The mean of two draws from (0, 1) is 0 or 1 in a quarter of the cases each, which 2.5 % do not reach past."""
    low, high = aggregates.bootstrap_interval(aggregates.interquartile_mean, of_tasks([0, 1]))
    assert (low, high) == (0.0, 1.0)


def test_the_interval_is_as_wide_as_the_standard_error_says():
    rng = np.random.default_rng(0)
    scores = of_tasks(rng.uniform(size=400))
    low, high = aggregates.bootstrap_interval(lambda s: np.mean(s), scores, num_samples=1000)
    error = scores[0].std() / 20
    assert low == pytest.approx(scores[0].mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(scores[0].mean() + 1.96 * error, abs=0.2 * error)


def test_a_profile_has_an_interval_at_each_threshold():
    profile = functools.partial(aggregates.performance_profile, thresholds=np.array([-1.0, 0.5, 2.0]))
    low, high = aggregates.bootstrap_interval(profile, of_tasks([0, 1, 1, 0]))
    assert low.shape == high.shape == (3,) and low[0] == high[0] == 1 and low[2] == high[2] == 0 and low[1] < high[1]


def test_two_agents_are_drawn_apart():
    low, high = aggregates.bootstrap_interval(
        aggregates.probability_of_improvement, of_tasks([0, 1]), of_tasks([0, 1]), num_samples=500
    )
    assert (low, high) == (0.0, 1.0)
