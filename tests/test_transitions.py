"""Transitions follow D4RL's semantics whatever the file says: nothing crosses an episode, no timeout is a terminal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtp_jax.data import minari_source, transitions
from gtp_jax.errors import UserError
from gtp_jax.tasks import get

POINT = get("pointmaze/umaze")
GAMMA = 0.9
NAME = "hand/made-v0"


def episode(*distances, action=0.5):
    """A walk east of the goal at these distances from it, with speeds that tell every observation from the others."""
    x = POINT.goal_xy[0] + np.array(distances)
    y = np.full(len(x), POINT.goal_xy[1])
    speed = np.arange(len(x)) + 10.0 * distances[0]
    observations = {
        "observation": np.stack([x, y, speed, -speed], axis=1),
        "achieved_goal": np.stack([x, y], axis=1),
        "desired_goal": np.zeros((len(x), 2)),  # not the evaluation goal
    }
    return observations, np.full((len(x) - 1, 2), action, np.float32)


EPISODES = [
    episode(2.0, 1.2, 0.51, 1.0),  # never at the goal, and cut off
    episode(0.1, 0.6, 0.49, 0.4, 0.8),  # starts at the goal, comes back in its second step, walks on
    episode(1.5, 0.2),  # at the goal in its only step
]


@pytest.fixture
def loaded(write_dataset):
    """The three episodes after a trip through a file whose rewards are all 7 and whose last steps all terminate."""
    write_dataset(NAME, EPISODES)
    return minari_source.load(POINT, NAME)


def test_observations_are_the_episodes_without_their_last(loaded):
    expected = np.concatenate([observations["observation"][:-1] for observations, _ in EPISODES])
    np.testing.assert_array_equal(loaded.obs, expected.astype(np.float32))


def test_next_observations_never_come_from_another_episode(loaded):
    expected = np.concatenate([observations["observation"][1:] for observations, _ in EPISODES])
    np.testing.assert_array_equal(loaded.next_obs, expected.astype(np.float32))


def test_actions_are_the_files(loaded):
    np.testing.assert_array_equal(loaded.action, np.full((8, 2), 0.5, np.float32))


def test_rewards_are_1_where_the_next_position_is_within_half_a_metre_of_the_evaluation_goal(loaded):
    np.testing.assert_array_equal(loaded.reward, [0, 0, 0, 0, 1, 1, 0, 1])


def test_the_value_is_cut_off_at_the_goal_and_not_at_a_timeout(loaded):
    np.testing.assert_array_equal(loaded.discount, [1, 1, 1, 1, 0, 0, 1, 0])


def test_ends_are_those_of_the_recorded_episodes(loaded):
    np.testing.assert_array_equal(loaded.end, [False, False, True, False, False, False, True, True])


def test_everything_is_float32_but_the_ends(loaded):
    assert {name: values.dtype for name, values in loaded._asdict().items()} == {
        **dict.fromkeys(["obs", "action", "reward", "next_obs", "discount"], np.float32),
        "end": bool,
    }


def test_the_ants_observation_is_its_position_before_the_rest():
    observations = {"achieved_goal": np.full((3, 2), 1.0), "observation": np.full((3, 27), 2.0)}
    result = transitions.from_episodes(get("antmaze/umaze"), [(observations, np.zeros((2, 8)))])
    np.testing.assert_array_equal(result.obs, np.array([[1.0] * 2 + [2.0] * 27] * 2))


# ------------------------------------------------------------------------------------------------- n steps


def look_ahead(t, i, n):
    """The definition, one transition at a time: (reward, discount, next observation)."""
    reward, discount = 0.0, 1.0
    for j in range(i, i + n):
        reward += discount * t.reward[j]
        discount *= GAMMA * t.discount[j]
        if t.end[j] or not t.discount[j]:
            break
    return reward, discount, t.next_obs[j]


@st.composite
def data(draw):
    """Episodes of random lengths; each has terminals anywhere, since recorded episodes go on at the goal."""
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = sum(lengths)
    terminal = rng.random(size) < draw(st.sampled_from([0.0, 0.2, 1.0]))
    end = np.zeros(size, bool)
    end[np.cumsum(lengths) - 1] = True
    return transitions.Transitions(
        obs=np.arange(size, dtype=np.float32)[:, None],
        action=rng.uniform(-1, 1, (size, 1)).astype(np.float32),
        reward=rng.normal(size=size).astype(np.float32),
        next_obs=100 + np.arange(size, dtype=np.float32)[:, None],
        discount=np.where(terminal, 0.0, 1.0).astype(np.float32),
        end=end,
    )


@given(data(), st.integers(1, 15))
def test_n_step_returns_are_the_sums_of_their_definition(t, n):
    result = transitions.n_step(t, n, GAMMA)
    for i in range(len(t.reward)):
        reward, discount, next_obs = look_ahead(t, i, n)
        np.testing.assert_allclose(result.reward[i], reward, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(result.discount[i], discount, rtol=1e-5)
        np.testing.assert_array_equal(result.next_obs[i], next_obs)


@given(data(), st.integers(1, 15))
def test_n_step_returns_leave_what_they_were_given_as_it_was(t, n):
    before = [values.copy() for values in t]
    transitions.n_step(t, n, GAMMA)
    for old, new in zip(before, t):
        np.testing.assert_array_equal(old, new)


@given(data())
def test_one_step_returns_are_the_transitions_discounted_once(t):
    expected = t._replace(discount=np.float32(GAMMA) * t.discount)
    for old, new in zip(expected, transitions.n_step(t, 1, GAMMA)):
        np.testing.assert_array_equal(old, new)


@given(data(), st.integers(1, 15))
def test_a_return_is_whole_where_it_sums_n_rewards_or_ends_at_a_terminal(t, n):
    for i, found in enumerate(transitions.whole(t, n)):
        ahead = range(i, min(i + n, np.flatnonzero(t.end)[np.flatnonzero(t.end) >= i][0] + 1))
        assert found == (len(ahead) == n or any(t.discount[j] == 0 for j in ahead))


@given(data(), st.integers(1, 15))
def test_a_chunk_is_the_episodes_next_actions_and_its_last_one_repeated(t, h):
    ends = np.flatnonzero(t.end)
    for i, chunk in enumerate(transitions.chunks(t, h)):
        (last,) = ends[ends >= i][:1]
        np.testing.assert_array_equal(chunk, [t.action[min(j, last), 0] for j in range(i, i + h)])


def test_a_chunk_holds_whole_actions_one_after_another():
    action = np.arange(6, dtype=np.float32).reshape(3, 2) / 10
    t = transitions.Transitions(*(np.zeros(3),) * 5, end=np.array([False, False, True]))._replace(action=action)
    np.testing.assert_array_equal(transitions.chunks(t, 2)[0], action[:2].ravel())


# ------------------------------------------------------------------------------------------------- statistics


def test_statistics_are_mean_and_standard_deviation():
    obs = np.random.default_rng(0).normal([5.0, -3.0], [2.0, 0.1], (1000, 2)).astype(np.float32)
    mean, std = transitions.observation_statistics(obs)
    np.testing.assert_allclose(mean, obs.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(std, obs.std(axis=0), rtol=1e-5)
    assert mean.dtype == std.dtype == np.float32


def test_a_coordinate_that_never_moves_keeps_unit_scale():
    mean, std = transitions.observation_statistics(np.full((10, 1), 4.0, np.float32))
    assert (mean, std) == (4.0, 1.0)


def test_statistics_of_far_away_observations_lose_no_precision():
    obs = (1000 + np.random.default_rng(0).normal(0, 0.01, (200_000, 1))).astype(np.float32)
    np.testing.assert_allclose(transitions.observation_statistics(obs)[1], obs.astype(np.float64).std(), rtol=1e-5)


# ------------------------------------------------------------------------------------------------- bad data


def damaged(where, value):
    observations, actions = episode(2.0, 1.5, 1.2)
    array = actions if where == "action" else observations[where]
    array[1] = value
    return observations, actions


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "where, complaint",
    [("observation", "obs holds values that are not finite"), ("action", "action holds values that")],
)
def test_values_that_are_not_finite_are_an_error(where, complaint, value):
    with pytest.raises(UserError, match=complaint):
        transitions.from_episodes(POINT, [episode(2.0, 1.5), damaged(where, value)])


def test_an_action_out_of_range_is_an_error_with_its_size():
    with pytest.raises(UserError, match=r"magnitude 1\.500, actions must lie in \[-1, 1\]"):
        transitions.from_episodes(POINT, [damaged("action", -1.5)])


@pytest.mark.parametrize("surplus", [-1, 1])
def test_an_episode_of_the_wrong_length_is_an_error_that_names_it(surplus):
    observations, actions = episode(2.0, 1.5, 1.2)
    actions = np.resize(actions, (2 + surplus, 2))
    with pytest.raises(UserError, match="episode 1 has 3 observations for"):
        transitions.from_episodes(POINT, [episode(2.0, 1.5), (observations, actions)])


@pytest.mark.parametrize("episodes", [[], [episode(2.0)]], ids=["no episodes", "no steps"])
def test_empty_data_are_an_error(episodes):
    with pytest.raises(UserError, match="no transitions"):
        transitions.from_episodes(POINT, episodes)
