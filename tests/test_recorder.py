"""What a policy did is what Minari reads back, and what a policy learns from."""

import shutil

import minari
import numpy as np
import pytest

from gtp_jax import environments
from gtp_jax.data import minari_source, minari_writer, recorder
from gtp_jax.tasks import get

HOPPER, POINT = get("gym/hopper-medium"), get("pointmaze/umaze")


def lean(obs):
    """Actions that depend on what is seen."""
    return np.tanh(obs[:, :3])


@pytest.fixture
def recorded(store):
    recorder.record(HOPPER, lean, "mine/hopper-v0", 5, num_envs=2, seed=7)


def test_episodes_are_those_that_the_policy_plays_alone(recorded):
    env = environments.make_bare(HOPPER)
    for number, episode in enumerate(minari.load_dataset("mine/hopper-v0").iterate_episodes()):
        obs, _ = env.reset(seed=7 + number)
        for t, action in enumerate(episode.actions):
            np.testing.assert_array_equal(action, lean(obs.astype(np.float32)[None])[0])
            obs, reward, terminated, truncated, _ = env.step(action)
            np.testing.assert_allclose(episode.observations[t + 1], obs, atol=1e-12)
            assert (episode.rewards[t], episode.terminations[t]) == (pytest.approx(reward), terminated)
        assert terminated and t == len(episode.actions) - 1
    assert number == 4


def test_they_are_learnt_from_with_their_own_rewards_and_ends(recorded):
    data = minari_source.load(HOPPER, "mine/hopper-v0")
    episodes = list(minari.load_dataset("mine/hopper-v0").iterate_episodes())
    np.testing.assert_array_equal(data.reward, np.concatenate([e.rewards for e in episodes]).astype(np.float32))
    assert np.flatnonzero(data.end).tolist() == (np.cumsum([len(e.actions) for e in episodes]) - 1).tolist()
    assert (data.discount == 1.0 - data.end).all()  # the hopper falls in each


def test_walks_in_a_maze_are_recorded_under_its_goal(store):
    recorder.record(POINT, lambda obs: np.ones((len(obs), 2)), "mine/umaze-v0", 2, num_envs=3)
    assert len(minari_source.load(POINT, "mine/umaze-v0").reward) == 2 * POINT.horizon
    (first, _) = minari.load_dataset("mine/umaze-v0").iterate_episodes()
    assert np.linalg.norm(first.observations["desired_goal"][0] - POINT.goal_xy) <= environments.START_NOISE * 2**0.5


def test_a_policy_that_fails_leaves_nothing(store):
    with pytest.raises(ZeroDivisionError):
        recorder.record(HOPPER, lambda obs: 1 / 0, "mine/hopper-v0", 1)
    assert not [path for path in store.iterdir() if path.is_dir()]


def test_a_full_disk_leaves_nothing(store, monkeypatch):
    usage, free = shutil.disk_usage("/"), iter([2**40, 2**40, 2**25])
    monkeypatch.setattr(minari_writer.shutil, "disk_usage", lambda _: usage._replace(free=next(free)))
    with pytest.raises(OSError, match="less than 64 MiB are left"):
        recorder.record(HOPPER, lean, "mine/hopper-v0", 9)
    assert not [path for path in store.iterdir() if path.is_dir()]


def test_a_name_that_nobody_could_read_is_refused_before_anything_is_played():
    with pytest.raises(ValueError, match="'mine/hopper' must be a Minari id"):
        recorder.record(HOPPER, lambda obs: 1 / 0, "mine/hopper", 1)


def test_a_name_that_is_taken_is_refused(recorded):
    with pytest.raises(FileExistsError):
        recorder.record(HOPPER, lean, "mine/hopper-v0", 1)
