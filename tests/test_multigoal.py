"""The four-mode problem: its data, its environment, and the measures of how well it is learned."""

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gtp_jax import environments
from gtp_jax.data import multigoal, sources
from gtp_jax.errors import UserError
from gtp_jax.evaluation import Episodes, summarize
from gtp_jax.tasks import get

TASK = get("multigoal")
MODES = np.array(TASK.modes)


def test_data_are_in_all_modes_alike():
    modes = TASK.distances(multigoal.draw(TASK, 40_000, 0)).argmin(axis=1)
    np.testing.assert_allclose(np.bincount(modes) / 40_000, 0.25, atol=0.01)


def test_data_scatter_around_their_modes_by_the_tasks_deviation():
    actions = multigoal.draw(TASK, 40_000, 0)
    offsets = actions - MODES[TASK.distances(actions).argmin(axis=1)]
    np.testing.assert_allclose(offsets.std(axis=0), TASK.mode_std, rtol=0.03)


def test_the_same_seed_draws_the_same_data_and_another_one_others():
    a, b, c = (multigoal.draw(TASK, 100, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert np.all(a != c)


def test_every_transition_is_an_episode_that_ends_rewarded():
    data = sources.resolve(TASK, "auto", num_transitions=100, seed=0).transitions
    assert data.end.all() and (data.reward == 1).all() and (data.discount == 0).all()


def test_a_recorded_data_set_is_refused():
    with pytest.raises(UserError, match="must be auto or generated"):
        sources.resolve(TASK, "D4RL/antmaze/umaze-v1", num_transitions=100, seed=0)


def test_the_environment_is_what_gymnasium_expects():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an environment outside its registry
        check_env(environments.make(TASK), skip_render_check=True)


@pytest.mark.parametrize("offset, success", [(0.249, True), (0.251, False)])
def test_an_action_is_good_within_a_quarter_of_a_mode(offset, success):
    for mode in MODES:
        env = environments.make(TASK)
        env.reset(seed=0)
        _, reward, terminated, truncated, info = env.step(mode * (1 - offset / np.linalg.norm(mode)))
        assert (reward, terminated, truncated, info["success"]) == (float(success), True, False, success)


def describe(actions):
    return multigoal.describe(TASK, actions, multigoal.draw(TASK, 2000, 99))


def test_data_describe_themselves_as_on_mode_and_near():
    measured = describe(multigoal.draw(TASK, 2000, 1))
    assert measured["off_mode"] == 0.0 and abs(measured["energy_distance"]) < 0.005
    np.testing.assert_allclose(measured["mode_shares"], 0.25, atol=0.04)


def test_the_share_off_mode_is_that_of_actions_far_from_all():
    actions = np.concatenate([np.repeat(MODES[:1], 30, axis=0), np.zeros((10, 2))])
    measured = describe(actions)
    assert measured["off_mode"] == 0.25 and measured["mode_shares"] == [1.0, 0.0, 0.0, 0.0]


def test_nothing_on_a_mode_has_shares_of_0():
    assert describe(np.zeros((10, 2)))["mode_shares"] == [0.0] * 4


def test_a_resumed_run_has_the_data_that_it_began_with():
    """It asks for them by the name that its checkpoint has."""
    first = sources.resolve(TASK, "auto", num_transitions=100, seed=3)
    again = sources.resolve(TASK, first.id, num_transitions=100, seed=3)
    assert again.record() == first.record()
    np.testing.assert_array_equal(again.transitions.action, first.transitions.action)


def test_a_summary_has_the_measures_of_the_actions():
    actions = multigoal.draw(TASK, 500, 1)
    episodes = Episodes(np.ones(500), np.ones(500, bool), np.ones(500, int), actions, np.zeros(500, bool))
    summary = summarize(TASK, episodes)
    assert summary["success_rate"] == 1.0 and summary["off_mode"] == 0.0 and len(summary["mode_shares"]) == 4
