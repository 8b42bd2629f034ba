"""Energy distance and energy score, and the command that asks policies for the latter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import read

from gtp_jax import energy


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


def test_the_command_scores_the_policies_of_a_run_on_held_out_data(finished, succeed, tmp_path):
    output = succeed("energy", str(finished), "--sampling_steps=1,2", f"--out={tmp_path / 'table.json'}")
    head, row = read(tmp_path / "table.json")["energy"]
    found = dict(zip(head, row))
    assert found["held-out data"].endswith("umaze-20000-seed1-v1") and found["seeds"] == "0, 1"
    assert f"| {found['K = 1']}" in output and 0 < float(found["K = 2"].split()[0]) < 2


def test_the_command_refuses_the_data_of_training(finished, start):
    process = start(
        "energy", str(finished), f"--dataset={read(finished / 'results.json')['members'][0]['dataset']['id']}"
    )
    _, errors = process.communicate()
    assert process.returncode == 2 and "is what a run was trained on" in errors
