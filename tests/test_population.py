"""Populations: a member's result, bit for bit, is its own, whoever else trains beside it and on however many devices.

The crowd trains on two (virtual) devices, six members on each; the same member alone trains on one.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np
import pytest

from gtp_jax import population
from gtp_jax.agent import AgentState, Batch
from gtp_jax.population import Data, Member
from gtp_jax.presets import AgentConfig

OBS_DIM, ACTION_DIM, NUM_UPDATES = 29, 8, 10
SIZES = {"maze/small": 90, "maze/large": 131}
CROWD = tuple(Member(task, seed) for task in SIZES for seed in range(6))
ME = CROWD[7]  # neither the first nor of the first task
SMALL = {"hidden_dims": (16,), "critic_hidden_dims": (16,)}
CONFIGS = {
    "cloning": AgentConfig(eta=0.0, **SMALL),
    "expectile": AgentConfig(eta=3.0, **SMALL),
    "td": AgentConfig(eta=3.0, critic="td", target_sampling_steps=2, **SMALL),
}


class Trained(NamedTuple):
    """A population after NUM_UPDATES updates of every member."""

    states: AgentState
    num_devices: int
    num_compilations: int
    is_donated: bool


def task_data(task: str) -> Batch:
    random, size = np.random.default_rng(list(SIZES).index(task)), SIZES[task]
    obs, next_obs = random.normal(size=(2, size, OBS_DIM)).astype(np.float32)
    action = random.uniform(-1, 1, size=(size, ACTION_DIM)).astype(np.float32)
    reward, discount = random.uniform(size=(2, size)).astype(np.float32)
    return Batch(obs, action, reward, next_obs, discount)


def beginning(members, config: AgentConfig, num_updates: int):
    """(trainer, states, data) of a population."""
    mesh = population.member_mesh(len(members))
    tasks = list(dict.fromkeys(member.task for member in members))
    offsets = dict(zip(tasks, np.cumsum([0, *(SIZES[task] for task in tasks)])))
    data = Data(
        jax.tree.map(lambda *parts: np.concatenate(parts), *map(task_data, tasks)),
        np.array([offsets[member.task] for member in members], np.int32),
        np.array([SIZES[member.task] for member in members], np.int32),
    )
    mean, std = np.zeros((len(members), OBS_DIM), np.float32), np.ones((len(members), OBS_DIM), np.float32)
    states = population.init(members, mean, std, ACTION_DIM, config=config, num_steps=NUM_UPDATES, mesh=mesh)
    train = population.trainer(config=config, batch_size=32, num_updates=num_updates, num_steps=NUM_UPDATES, mesh=mesh)
    return train, states, population.place(data, mesh)


@functools.cache
def trained(members: tuple[Member, ...], name: str, num_chunks: int = 1) -> Trained:
    train, states, data = beginning(members, CONFIGS[name], NUM_UPDATES // num_chunks)
    fresh = states
    for _ in range(num_chunks):
        states, _ = train(states, data)
    is_donated = all(leaf.is_deleted() for leaf in jax.tree.leaves(fresh))
    return Trained(states, len(states.step.sharding.device_set), train._cache_size(), is_donated)


def member_of(states: AgentState, index: int) -> AgentState:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], states)


def assert_same_bits(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


# ---------------------------------------------------------------- members never talk


@pytest.mark.parametrize("name", CONFIGS)
def test_a_member_trains_to_the_same_bits_alone_and_in_a_crowd(name):
    alone, crowd = trained((ME,), name), trained(CROWD, name)
    assert_same_bits(member_of(alone.states, 0), member_of(crowd.states, CROWD.index(ME)))


def test_a_crowd_is_spread_over_the_devices():
    assert trained(CROWD, "cloning").num_devices == jax.local_device_count() == 2


def test_the_program_of_a_crowd_holds_no_collective():
    train, states, data = beginning(CROWD, CONFIGS["cloning"], NUM_UPDATES)
    program = train.lower(states, data).compile().as_text()
    collectives = (
        "all-reduce",
        "all-gather",
        "all-to-all",
        "collective-permute",
        "collective-broadcast",
        "reduce-scatter",
    )
    assert "num_partitions=2" in program
    assert [name for name in collectives if name in program] == []


def test_a_member_acts_the_same_alone_and_in_a_crowd():
    act = population.actor(action_dim=ACTION_DIM, config=CONFIGS["cloning"])
    observations = np.random.default_rng(0).normal(size=(len(CROWD), 5, OBS_DIM)).astype(np.float32)
    me = CROWD.index(ME)
    alone = act(trained((ME,), "cloning").states, observations[me][None], 3, num_steps=2)
    crowd = act(trained(CROWD, "cloning").states, observations, 3, num_steps=2)
    assert alone.shape == (1, 5, ACTION_DIM)
    np.testing.assert_array_equal(alone[0], crowd[me])


# ---------------------------------------------------------------- members differ


@pytest.mark.parametrize(
    "other", [Member(ME.task, ME.seed + 1), Member("maze/small", ME.seed)], ids=["another seed", "another task"]
)
def test_another_member_has_other_parameters(other):
    states = trained(CROWD, "cloning").states
    first, second = (jax.tree.leaves(member_of(states.actor, CROWD.index(member))) for member in (ME, other))
    assert all(np.any(x != y) for x, y in zip(first, second))


@pytest.mark.parametrize("num_members, num_devices", [(1, 1), (2, 1), (3, 1), (4, 2), (5, 1), (12, 2)])
def test_each_device_gets_equally_many_members_and_never_one_alone(num_members, num_devices):
    assert population.member_mesh(num_members).size == num_devices


# ---------------------------------------------------------------- chunks


def test_two_chunks_are_one_long_chunk():
    assert_same_bits(trained(CROWD, "cloning", num_chunks=2).states, trained(CROWD, "cloning").states)


def test_training_compiles_once_for_all_chunks():
    assert trained(CROWD, "cloning", num_chunks=2).num_compilations == 1


def test_training_donates_the_states_it_is_given():
    assert trained(CROWD, "cloning").is_donated


# ---------------------------------------------------------------- what a member's updates are


def test_a_member_draws_from_its_own_task_alone():
    """It keeps its bits when all transitions of the other task turn to NaN."""
    train, states, data = beginning(CROWD, CONFIGS["cloning"], NUM_UPDATES)
    poisoned = jax.tree.map(lambda leaf: leaf.at[: SIZES["maze/small"]].set(np.nan), data.transitions)
    states, _ = train(states, data._replace(transitions=poisoned))
    assert_same_bits(member_of(states, CROWD.index(ME)), member_of(trained(CROWD, "cloning").states, CROWD.index(ME)))
