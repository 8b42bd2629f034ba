"""The data of a run are the same for all its processes, stay what they were, and are drawn where returns are whole."""

import numpy as np
import pytest

from experiments import datasets
from gtp_jax.data.sources import Dataset
from gtp_jax.data.transitions import Transitions
from gtp_jax.errors import UserError

LOCAL = {"id": "D4RL/pointmaze/umaze-v2", "source": "minari-local", "num_transitions": 700}
REMOTE = {**LOCAL, "source": "minari-remote"}
STAND_IN = {"id": "gtp_jax/pointmaze/umaze-700-seed0-v1", "source": "generated", "num_transitions": 700}


def test_processes_with_different_data_of_a_task_are_refused():
    with pytest.raises(UserError, match="processes of this run have different data of maze: D4RL.*, and gtp_jax"):
        datasets.agreed({}, [{"maze": LOCAL}, {"maze": STAND_IN}])


def test_processes_may_have_the_same_data_from_different_places():
    assert datasets.agreed({}, [{"maze": LOCAL}, {"maze": REMOTE}]) == {"maze": LOCAL}


def test_processes_with_different_tasks_know_the_data_of_all():
    assert datasets.agreed({}, [{"maze": LOCAL}, {"other": STAND_IN}]) == {"maze": LOCAL, "other": STAND_IN}


def test_a_resumed_run_keeps_the_record_that_it_began_with():
    assert datasets.agreed({"maze": REMOTE}, [{"maze": LOCAL}]) == {"maze": REMOTE}


@pytest.fixture
def two_walks():
    """Of three steps each; the first ends at the goal, the second with its record."""
    rows, ones = np.arange(6, dtype=np.float32)[:, None], np.ones(6, np.float32)
    discount = np.array([1, 1, 0, 1, 1, 1], np.float32)
    return Dataset("two", "generated", Transitions(rows, rows / 6, ones, rows + 1, discount, np.arange(6) % 3 == 2))


def test_training_draws_transitions_whose_returns_the_record_does_not_cut_short(two_walks):
    arrange = datasets.arranger({"maze": two_walks})
    blocks, returns = arrange([("maze", 1.0)], 2, 1)
    mean, std = datasets.statistics(two_walks)
    _, action, next_obs = blocks["maze"]
    np.testing.assert_array_equal(action[:, 0] * 6, [0, 1, 2, 3, 4])
    np.testing.assert_allclose(next_obs * std + mean, np.array([[2, 3, 3, 5, 6]]).T, rtol=1e-6)
    np.testing.assert_array_equal(returns["maze", 1.0], [[2, 2, 1, 2, 2], [1, 0, 0, 1, 1]])


def test_returns_longer_than_every_episode_are_refused(two_walks):
    endless = two_walks._replace(transitions=two_walks.transitions._replace(discount=np.ones(6, np.float32)))
    with pytest.raises(UserError, match="agent.num_step_returns = 4 is more steps than any episode of maze has"):
        datasets.drawn("maze", endless, 4)
