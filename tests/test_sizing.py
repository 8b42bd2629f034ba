"""Sizes: what is called exact is what the arrays take, and members a device leave no room for one more."""

import dataclasses
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from small_run import REPOSITORY

from gtp_jax import placement as placing
from gtp_jax import population, sizing
from gtp_jax.agent_config import AgentConfig
from gtp_jax.errors import UserError
from gtp_jax.population import Member, Program
from gtp_jax.sizing import Size

WIDTHS = {"maze": (29, 8), "plane": (5, 2)}
CONFIG = AgentConfig(eta=0.0, hidden_dims=(16,), critic_hidden_dims=(16,))
PROGRAM = Program("", tuple(Member(task, seed, CONFIG) for task in WIDTHS for seed in range(3)))
SETTINGS = {"num_transitions": 1000, "batch_size": 32, "num_steps": 10}


@pytest.fixture(scope="module")
def size(quick_compilation):
    return sizing.measure(PROGRAM, WIDTHS, **SETTINGS)


def test_the_state_is_that_of_an_initialised_population_and_its_sums(size):
    placement = placing.over(jax.devices()[:1], 6)
    statistics = {task: (np.zeros(obs, np.float32), np.ones(obs, np.float32)) for task, (obs, _) in WIDTHS.items()}
    states = population.init(PROGRAM, WIDTHS, statistics, num_steps=10, placement=placement)
    _, sums = population.abstract(PROGRAM, WIDTHS, batch_size=32, num_steps=10)
    taken = sum(leaf.nbytes for leaf in jax.tree.leaves(states)) + 6 * 4 * len(sums)
    assert 6 * size.state == taken


def on_one_device(members, num_slots):
    placement = placing.over(jax.devices()[:1], num_slots)
    return sizing.training(Program("", members), WIDTHS, placement=placement, **SETTINGS)


def test_data_are_as_wide_as_the_widest_task(size):
    assert size.data == 2 * 1000 * (2 * 29 + 8 + 2) * 4


def test_data_hold_rewards_of_each_discount():
    members = tuple(Member("plane", 0, dataclasses.replace(CONFIG, eta=3.0, discount=each)) for each in (0.9, 0.99))
    _, (_, _, data, _) = on_one_device(members, 2)
    assert sizing.num_bytes(data[:5]) == 1000 * (2 * 5 + 2 + 2 * 2) * 4


def test_of_a_sweep_over_eta_the_cloning_member_has_rewards_of_the_critics_own_discount():
    members = tuple(Member("plane", 0, dataclasses.replace(CONFIG, eta=eta, discount=0.9)) for eta in (0.0, 3.0))
    assert set(map(Program("", members).kind, members)) == {("plane", 0.9)}
    assert Program("", members[:1]).kind(members[0]) == ("plane", 1.0)


def test_on_cpu_each_member_is_counted_as_if_it_worked_beside_the_others(size):
    batch = 32 * (2 * 29 + 8 + 2) * 4
    assert size.work > batch and size.shared == 0


def test_a_program_takes_its_data_and_states_and_no_more_than_the_work_of_all(size):
    train, arguments = on_one_device(PROGRAM.members, 5)
    taken = sizing.program_bytes(train.lower(*arguments).compile())
    assert size.data + 5 * size.state <= taken <= size.data + 5 * (size.state + size.work)


@pytest.mark.parametrize(
    "memory, members", [(99, 0), (1000, 0), (1029, 0), (1030, 1), (1059, 1), (1060, 2), (1300, 10)]
)
def test_members_a_device(memory, members):
    """Two copies of the state and the work are 30 bytes a member, what is shared 1000."""
    assert Size(state=10, work=10, shared=200, data=800).members(memory) == members


@pytest.mark.parametrize(
    "text, expected",
    [("80GiB", 80 * 2**30), ("16 GB", 16 * 10**9), ("1.5MiB", 3 * 2**19), ("2TiB", 2**41), ("1000", 1000)],
)
def test_amounts_of_memory(text, expected):
    assert sizing.parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "80 G", "-1GiB", "GiB", "80XiB", "1e400", "9" * 400 + "B"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(UserError, match="is no amount of memory"):
        sizing.parse_bytes(text)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.size", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
    )


def test_the_command_tells_members_a_device():
    small = ("--config.preset=bc", "--config.agent.hidden_dims=(16,)", "--config.num_seeds=3")
    result = run("--config=configs/pointmaze.py", *small, "--memory=1GiB")
    assert result.returncode == 0, result.stderr
    assert "1000000 transitions a task (assumed of dataset = auto" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("| bc ")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == "3" and cells[5] == f"{1e6 * (2 * 4 + 2 + 2) * 4 / 2**20:.1f} MiB"
    assert int(cells[6]) > 3 and cells[7] == "1"


def test_the_command_asks_for_the_memory_that_a_device_does_not_tell():
    result = run("--config=configs/antmaze.py")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "does not tell its memory; give that of a device, as in --memory=80GiB" in result.stderr
