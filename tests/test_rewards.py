"""Transforms of rewards are those of the published systems."""

import numpy as np
import pytest

from gtp_jax.data import rewards
from gtp_jax.data.transitions import Transitions


def of(reward, end):
    reward = np.float32(reward)
    empty = np.zeros((len(reward), 1), np.float32)
    return Transitions(empty, empty, reward, empty, np.ones_like(reward), np.array(end, bool))


SPARSE = of([0, 1], [0, 1])


@pytest.mark.parametrize("name, expected", [("none", [0, 1]), ("minus_one", [-1, 0]), ("half_times_four", [-2, 2])])
def test_what_becomes_of_0_and_1(name, expected):
    np.testing.assert_array_equal(rewards.TRANSFORMS[name](SPARSE), expected)


def test_returns_are_scaled_to_spread_over_a_thousand():
    """Episodes of 3, 7 and 4: the spread is 4."""
    data = of([1, 2, 7, 4], [0, 1, 1, 1])
    np.testing.assert_allclose(rewards.return_scale(data), 250 * data.reward)


def test_returns_that_are_all_the_same_stay():
    data = of([2, 2], [1, 1])
    np.testing.assert_array_equal(rewards.return_scale(data), data.reward)
