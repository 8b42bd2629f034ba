"""Energy distance and energy score, and the command that asks policies for the latter."""

import contextlib

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import read

from experiments import cloning, records, restored
from gtp_jax import agent, energy
from gtp_jax.agent_config import AgentConfig
from gtp_jax.data.sources import Dataset
from gtp_jax.data.transitions import Transitions
from gtp_jax.errors import UserError
from gtp_jax.population import Member, Program


def test_the_energy_distance_of_two_points_is_twice_theirs():
    """Of samples that are one point each, 2 |x - y|."""
    x, y = np.zeros((5, 2)), np.full((7, 2), [3.0, 4.0])
    np.testing.assert_allclose(energy.energy_distance(x, y), 10.0)


@given(st.integers(0, 1000))
def test_the_energy_distance_is_symmetric(seed):
    x, y = np.random.default_rng(seed).normal(size=(2, 20, 2))
    np.testing.assert_allclose(energy.energy_distance(x, y), energy.energy_distance(y, x), atol=1e-12)


def test_the_energy_score_of_one_point_is_its_distance():
    draws = np.broadcast_to([3.0, 4.0], (6, 5, 2))
    np.testing.assert_allclose(energy.energy_score(np.zeros((5, 2)), draws), 5.0)


def test_the_energy_score_by_hand():
    """Draws 0 and 4 at an action of 1: they are 1 and 3 away from it and 4 from each other."""
    np.testing.assert_allclose(energy.energy_score(np.ones((1, 1)), np.array([[[0.0]], [[4.0]]])), 2 - 4 / 2)


@pytest.mark.parametrize("mean, scale", [(0.3, 1.0), (0.0, 0.7), (0.0, 1.4)])
def test_the_energy_score_is_least_for_the_distribution_of_the_data(mean, scale):
    rng = np.random.default_rng(0)
    actions, draws = rng.normal(size=(20_000, 2)), rng.normal(size=(8, 20_000, 2))
    assert energy.energy_score(actions, draws).mean() < energy.energy_score(actions, mean + scale * draws).mean()


def test_the_excess_of_the_energy_score_is_half_the_energy_distance():
    rng = np.random.default_rng(0)
    actions, draws = rng.normal(size=(20_000, 1)), rng.normal(size=(8, 20_000, 1))
    excess = (energy.energy_score(actions, 1 + draws) - energy.energy_score(actions, draws)).mean()
    np.testing.assert_allclose(excess, energy.energy_distance(actions[:4000], 1 + draws[0, :4000]) / 2, atol=0.03)


# ------------------------------------------------------------------------------------------------- the command


def test_a_score_is_the_mean_over_observations_of_that_of_the_draws_there(monkeypatch):
    """Of an agent that is wider than its task and acts in chunks of three, of which the first action counts."""
    program = Program("wide", (Member("pointmaze/umaze", 0, AgentConfig(eta=0.0, hidden_dims=(16,), action_chunk=3)),))
    state = agent.init(jax.random.key(0), np.zeros(7), np.ones(7), 9, config=program.structure, num_steps=1)
    run = restored.Restored(None, [program], {"wide": jax.tree.map(lambda leaf: leaf[None], state)}, {}, 1)
    obs, actions = np.random.default_rng(0).normal(size=(2, 5, 4))
    columns = Transitions(obs, actions[:, :2], *np.zeros((4, 5)))

    def act(_, key, seen):
        assert seen.shape == (5 * cloning.DRAWS, 7)
        drawn = np.full((len(seen), 9), 99.0)
        drawn[:, :2] = seen[:, :2] + 0.1 * (np.arange(len(seen)) // 5)[:, None]  # the m-th draw is off by m/10
        return drawn

    monkeypatch.setattr(cloning, "_actor", lambda *_: act)
    found = cloning.score(run, program, 0, Dataset("hand", "npz", columns), 2)
    shifts = 0.1 * np.arange(cloning.DRAWS)
    apart = np.abs(shifts[:, None] - shifts).sum() / cloning.DRAWS / (cloning.DRAWS - 1) * np.sqrt(2)
    near = [np.linalg.norm(o[:2] + m - a[:2]) for o, a in zip(obs, actions) for m in shifts]
    np.testing.assert_allclose(found, np.mean(near) - apart / 2)


@pytest.mark.parametrize(
    "trained, problem",
    [
        ("gtp_jax/multigoal-50000-seed1-v1", "shares data"),
        ("gtp_jax/multigoal-200-seed1-v1", "shares data"),
        ("gtp_jax/multigoal-200-seed0-noise50-v1", "is not like"),
        ("mine/multigoal-v0", "is not like"),
    ],
)
def test_held_out_data_are_not_taken_beside_a_run_that_was_trained_on(trained, problem):
    with pytest.raises(UserError, match=problem):
        cloning.held_out("multigoal", "generated", 1, [{"id": trained}])


def test_held_out_data_that_are_refused_are_not_made(monkeypatch):
    monkeypatch.setattr(cloning.sources, "resolve", lambda *_, **__: pytest.fail("they were made"))
    with pytest.raises(UserError, match="shares data with gtp_jax/antmaze/umaze-50000-seed1-v2"):
        cloning.held_out("antmaze/umaze", "generated", 1, [{"id": "gtp_jax/antmaze/umaze-200000-seed1-v2"}])
    trained = "gtp_jax-cube-single-play-v0-100000-seed1-v1.npz"
    with pytest.raises(UserError, match="shares data with gtp_jax-cube-single-play-v0-50000-seed1-v1.npz"):
        cloning.held_out("ogbench/cube-single-play", "generated", 1, [{"id": trained}])


def test_held_out_data_cannot_be_made_where_there_is_no_generator():
    with pytest.raises(UserError, match="there is no generator for gym/hopper-medium"):
        cloning.held_out("gym/hopper-medium", "generated", 1, [{"id": "hopper_medium-v2.hdf5"}])


def test_held_out_data_are_taken_beside_a_run_with_the_same_of_another_seed():
    found = cloning.held_out("multigoal", "generated", 1, [{"id": "gtp_jax/multigoal-100000-seed0-v1"}])
    assert found.id == "gtp_jax/multigoal-50000-seed1-v1"


def test_a_run_whose_results_tell_of_others_than_its_checkpoint_is_refused(finished):
    with contextlib.ExitStack() as stack:
        (record,), run = records.read([finished]), restored.restore(finished, stack)
        assert len(records.rows(record, run)) == 2
        with pytest.raises(UserError, match="tells of other members"):
            records.rows(record._replace(members=record.members[:1]), run)


def test_the_command_scores_the_policies_of_a_run_on_held_out_data(finished, succeed, tmp_path):
    output = succeed("energy", str(finished), "--sampling_steps=1,2", f"--out={tmp_path / 'table.json'}")
    head, row = read(tmp_path / "table.json")["energy"]
    found = dict(zip(head, row))
    assert found["held-out data"].endswith("umaze-50000-seed1-v1") and found["seeds"] == "0, 1"
    scores = [each for *_, each in read(tmp_path / "table.json")["scores"]]
    np.testing.assert_allclose(float(found["K = 1"].split()[0]), np.mean(scores, axis=0)[0], atol=1e-4)
    assert f"| {found['K = 1']}" in output and 0 < float(found["K = 2"].split()[0]) < 2
