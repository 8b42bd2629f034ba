"""A summary is what the episodes came to, and intervals of success rates are Wilson's, or wider."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtp_jax import evaluation
from gtp_jax.errors import UserError
from gtp_jax.rollouts import Episodes
from gtp_jax.tasks import get

UMAZE = get("pointmaze/umaze")


def test_a_summary_is_what_the_episodes_came_to():
    episodes = Episodes(
        returns=np.array([1.0, 0.0, 1.0, 1.0]),
        successes=np.array([True, False, True, True]),
        lengths=np.array([10, 300, 20, 30]),
        actions=np.zeros((4, 2)),
        crashed=np.zeros(4, bool),
    )
    assert evaluation.summarize(UMAZE, episodes) == {
        "episodes": 4,
        "return_mean": 0.75,
        "return_std": pytest.approx(3**0.5 / 4),
        "success_rate": 0.75,
        "normalized_score": 75.0,
        "length_mean": 90.0,
    }


def test_a_task_whose_episodes_all_crash_is_not_scored():
    none = np.zeros(2)
    with pytest.raises(UserError, match="every episode of pointmaze/umaze crashed"):
        evaluation.summarize(UMAZE, Episodes(none, none, none, none, np.ones(2, bool)))


# ------------------------------------------------------------------------------------------------- intervals

rates = st.lists(st.floats(0, 1), min_size=1, max_size=10)


@pytest.mark.parametrize(
    "successes, episodes, low, high",
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons_as_newcombe_1998_tabulates_it(successes, episodes, low, high):
    interval = evaluation.success_interval([successes / episodes], episodes)
    np.testing.assert_allclose(interval, (low, high), atol=5e-5)


def test_seeds_that_agree_count_as_one_large_sample():
    pooled = evaluation.success_interval([0.5], 400)
    assert evaluation.success_interval([0.5] * 4, 100) == pytest.approx(pooled)


def test_seeds_that_differ_a_little_more_than_chance_widen_the_interval_a_little():
    """Of 100 episodes at 0.5 a seed's rate has a standard deviation of 0.05."""
    (below, above) = (evaluation.success_interval([0.5 - d, 0.5 + d], 100) for d in 0.05 / 2**0.5 * np.array([1, 1.01]))
    assert 0 < (above[1] - above[0]) / (below[1] - below[0]) - 1 < 0.1


def test_seeds_that_disagree_widen_the_interval():
    agreeing, disagreeing = (evaluation.success_interval(r, 100) for r in ([0.5] * 4, [0.1, 0.9, 0.2, 0.8]))
    assert disagreeing[0] < agreeing[0] - 0.1 and disagreeing[1] > agreeing[1] + 0.1


@pytest.mark.parametrize("seeds", [4, 10])
@pytest.mark.parametrize("spread", [(2, 2), (10, 10), (30, 5)])
def test_the_interval_holds_the_true_mean_in_about_95_of_100_runs_whose_seeds_differ(seeds, spread):
    random, runs = np.random.default_rng(0), 2000
    rates = random.binomial(100, random.beta(*spread, size=(runs, seeds))) / 100
    low, high = np.transpose([evaluation.success_interval(each, 100) for each in rates])
    mean = spread[0] / sum(spread)
    assert 0.9 < np.mean((low <= mean) & (mean <= high)) < 0.975


@given(rates, st.integers(1, 1000))
def test_the_interval_holds_the_rate_and_lies_between_0_and_1(rates, episodes):
    low, high = evaluation.success_interval(rates, episodes)
    assert 0 <= low <= np.mean(rates) + 1e-9 and np.mean(rates) - 1e-9 <= high <= 1


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 5))
def test_more_episodes_never_widen_the_interval(successes, failures, factor):
    episodes = successes + failures
    few, many = (evaluation.success_interval([successes / episodes], n) for n in (episodes, factor * episodes))
    assert many[1] - many[0] <= few[1] - few[0] + 1e-12


def test_the_interval_of_a_mean_is_students():
    """Of 1, 2 and 3: 2 +- 4.303 / sqrt(3), by the table of t with 2 degrees of freedom."""
    assert evaluation.mean_interval([1.0, 2.0, 3.0]) == pytest.approx(
        (2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3
    )
