"""What a critic knows of the way is told apart from what the policy makes of it."""

import shutil

import numpy as np
import pytest
from small_run import read

from experiments import wayfinding
from gtp_jax.data.sources import Dataset
from gtp_jax.data.transitions import Transitions
from gtp_jax.tasks import get

POINT = get("pointmaze/umaze")


def walk(x):
    """A data set of one straight walk along y = 1, from one x to the next."""
    obs = np.stack([x, np.ones_like(x), *np.zeros((2, len(x)))], axis=1)
    size = len(x) - 1
    end = np.arange(size) == size - 1
    columns = Transitions(obs[:-1], np.zeros((size, 2)), np.zeros(size), obs[1:], np.ones(size), end)
    return Dataset("walk", "generated", columns)


@pytest.mark.parametrize("direction, nearer", [(1, 1.0), (-1, -1.0)])
def test_progress_is_how_much_nearer_the_data_come(direction, nearer):
    data = walk(np.linspace(1, -1, 21)[::direction])  # the goal is at (-1, 1); ten steps are a metre
    here, gained = wayfinding.progress(POINT, data, np.array([0, 5]))
    assert here[0] == pytest.approx(2 if direction == 1 else 0, abs=0.13)
    np.testing.assert_allclose(gained, nearer, atol=0.13)


def test_progress_ends_where_the_walk_does():
    _, gained = wayfinding.progress(POINT, walk(np.linspace(1, -1, 21)), np.array([15]))
    np.testing.assert_allclose(gained, 0.5, atol=0.13)


def test_the_command_says_what_the_critic_knows_and_draws_its_values(finished, succeed, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "run")
    output = succeed("credit", str(copy), f"--out={tmp_path / 'table.json'}")
    head, _, second = read(tmp_path / "table.json")["credit"]
    found = dict(zip(head, second))
    assert f"| {found['weighted']}" in output and found["run"] == "run" and found["seed"] == "1"
    assert all(-1 <= float(found[name]) <= 1 for name in ("value", "advantage", "success"))
    assert (copy / "values-pointmaze-umaze-seed1.png").read_bytes().startswith(b"\x89PNG")
