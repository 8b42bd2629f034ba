"""Populations: a member's result, bit for bit, is its own, whoever else trains beside it on the same devices."""

import dataclasses
import functools
import os
import subprocess
import sys

import jax
import jax.export
import numpy as np
import pytest
from small_run import REPOSITORY

from gtp_jax import placement as placing
from gtp_jax import population
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import WATCHED, AgentState
from gtp_jax.placement import Data, Placement
from gtp_jax.population import Member, Program

NUM_UPDATES = 10
WIDTHS = {"maze/small": (29, 8), "maze/large": (29, 8), "plane": (5, 2)}  # observation, action
SIZES = {"maze/small": 90, "maze/large": 131, "plane": 70}
SMALL = {"hidden_dims": (16,), "critic_hidden_dims": (16,)}
CONFIGS = {
    "cloning": AgentConfig(eta=0.0, **SMALL),
    "expectile": AgentConfig(eta=3.0, **SMALL),
    "td": AgentConfig(eta=3.0, critic="td", target_sampling_steps=2, **SMALL),
}


def crowd(name: str) -> tuple[Member, ...]:
    """Two tasks, three seeds; neither ME, its fifth, nor anyone of its task comes first."""
    return tuple(Member(task, seed, CONFIGS[name]) for task in ("maze/small", "maze/large") for seed in range(3))


ME = 4


@functools.cache
def task_data(task: str) -> dict[str, np.ndarray]:
    random, size = np.random.default_rng(list(SIZES).index(task)), SIZES[task]
    obs_dim, action_dim = WIDTHS[task]
    obs, next_obs = random.normal(size=(2, size, obs_dim)).astype(np.float32)
    action = random.uniform(-1, 1, size=(size, action_dim)).astype(np.float32)
    reward, discount = random.uniform(size=(2, size)).astype(np.float32)
    return {"obs": obs, "action": action, "next_obs": next_obs, "reward": reward, "discount": discount}


def on_devices(num_members: int, num_devices: int) -> Placement:
    return placing.over(jax.devices()[:num_devices], num_members)


def begin(members, placement) -> AgentState:
    tasks = dict.fromkeys(member.task for member in members)
    statistics = {task: (np.zeros(WIDTHS[task][0], np.float32), np.ones(WIDTHS[task][0], np.float32)) for task in tasks}
    return population.init(Program("", members), WIDTHS, statistics, num_steps=NUM_UPDATES, placement=placement)


def no_metrics(members, placement):
    _, sums = population.abstract(Program("", members), WIDTHS, batch_size=32, num_steps=NUM_UPDATES)
    return placement.put(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), sums))


def widest(members) -> tuple[int, int]:
    return tuple(map(max, zip(*(WIDTHS[member.task] for member in members))))


def columns_of(members, poison=()):
    """Each member's task and discount, and the columns of each; NaN at the rows `poison` of the large maze."""
    blocks, returns, kind_of = {}, {}, Program("", members).kind
    for member in members:
        data = {name: values.copy() for name, values in task_data(member.task).items()}
        if member.task == "maze/large":
            for values in data.values():
                values[list(poison)] = np.nan
        blocks[member.task] = (data["obs"], data["action"], data["next_obs"])
        returns[kind_of(member)] = (data["reward"], kind_of(member)[1] * data["discount"])
    return list(map(kind_of, members)), blocks, returns


def data_of(members, placement, poison=()) -> Data:
    return placing.place(placement, *columns_of(members, poison), widest(members))


def settings_of(members) -> dict:
    return {"structure": Program("", members).structure, "batch_size": 32, "num_steps": NUM_UPDATES}


def train(members, num_devices=1, calls=(NUM_UPDATES,), poison=()):
    """States, sums of metrics, and the placement."""
    placement = on_devices(len(members), num_devices)
    states, data, settings = begin(members, placement), data_of(members, placement, poison), settings_of(members)
    sums = no_metrics(members, placement)
    update = population.trainer(mesh=placement.mesh, **settings)
    for num_updates in calls:
        states, sums = update(states, sums, data, np.int32(num_updates))
    return states, sums, placement


trained = functools.cache(train)


def row(states, index: int):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], states)


def assert_same_bits(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


# ---------------------------------------------------------------- members never talk


def test_a_member_begins_with_the_same_bits_alone_and_in_a_crowd():
    members = crowd("expectile")
    alone, together = (begin(some, on_devices(len(some), 1)) for some in (members[ME : ME + 1], members))
    assert_same_bits(row(alone, 0), row(together, ME))


@pytest.mark.parametrize("name", ["cloning", "td"])
def test_a_member_trains_to_the_same_bits_alone_and_in_a_crowd(name):
    members = crowd(name)
    assert_same_bits(row(trained(members[ME : ME + 1])[0], 0), row(trained(members)[0], ME))


def test_a_member_trains_to_the_same_bits_in_a_pair_and_in_a_crowd_on_two_devices():
    members = crowd("cloning")
    pair = (members[0], members[ME])
    assert_same_bits(row(trained(pair, 2)[0], 1), row(trained(members, 2)[0], ME))


EIGHT = """
import contextlib, pathlib, sys
import jax
import numpy as np
from test_population import CONFIGS, Member, begin, data_of, no_metrics, on_devices, row, settings_of, train
from gtp_jax import population
from gtp_jax.checkpoint import Checkpoints

members = tuple(Member(task, seed, CONFIGS["expectile"]) for task in ("maze/small", "maze/large") for seed in range(5))
eight, one = on_devices(10, 8), on_devices(10, 1)
arguments = begin(members, eight), no_metrics(members, eight), data_of(members, eight), np.int32(1)
program = population.trainer(mesh=eight.mesh, **settings_of(members)).lower(*arguments).compile().as_text()
assert len(jax.devices()) == 8 and "num_partitions=8" in program
names = "all-reduce", "all-gather", "all-to-all", "collective-permute", "collective-broadcast", "reduce-scatter"
assert not [name for name in names if name in program]

spread, _, _ = train(members, 8)
alone, _, _ = train(members)
found, expected = eight.held_rows(spread), one.held_rows(alone)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), found, expected)

with contextlib.closing(Checkpoints(pathlib.Path(sys.argv[1]))) as checkpoints:
    checkpoints.save(1, {"ten": spread}, {"slots": {"ten": eight.slots}})
    checkpoints.wait()
    moved = one.put(checkpoints.restore_members({"ten": expected})["ten"])
jax.tree.map(np.testing.assert_array_equal, one.held_rows(moved), found)
"""


def test_on_eight_devices_there_is_no_collective_and_members_and_checkpoints_are_as_on_one(tmp_path):
    """Ten members, so six of the devices repeat their only one."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    environment |= {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-c", EIGHT, tmp_path]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", CONFIGS)
def test_training_lowers_for_cuda_and_tpu(name, monkeypatch):
    """As it would there: with all members in each kernel."""
    members = crowd(name)
    placement = on_devices(len(members), 2)
    arguments = begin(members, placement), no_metrics(members, placement), data_of(members, placement), np.int32(1)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    train = population.trainer.__wrapped__(mesh=placement.mesh, **settings_of(members))
    lowered = jax.export.export(train, platforms=["cuda", "tpu"])(*arguments)
    assert lowered.platforms == ("cuda", "tpu") and lowered.nr_devices == 2


def test_a_member_draws_another_batch_at_each_update():
    """320 draws of 131 transitions miss 9 % of them; the same 32 draws every time would miss 78 %."""
    me = (crowd("cloning")[ME],)
    drawn = [int(train(me, poison=(index,))[0].failure[0]) >= 0 for index in range(0, SIZES["maze/large"], 6)]
    assert np.mean(drawn) > 0.7


OBSERVATIONS = np.random.default_rng(0).normal(size=(6, 5, 29)).astype(np.float32)


def test_members_of_a_narrower_task_act_without_the_wider_ones():
    members = tuple(Member(task, 0, CONFIGS["cloning"]) for task in ("plane", "maze/small"))
    states, structure, width = begin(members, on_devices(2, 1)), members[0].config.structure, WIDTHS["plane"][0]
    observations = OBSERVATIONS[:2].copy()
    observations[0, :, width:] = 0
    together = population.actor(structure=structure, placement=on_devices(2, 1))(states, observations, 3, num_steps=2)
    alone = population.actor(structure=structure, placement=on_devices(1, 1))
    narrow = alone(jax.tree.map(lambda leaf: leaf[:1], states), observations[:1, :, :width], 3, num_steps=2)
    np.testing.assert_array_equal(narrow[0], together[0])


def actions(members, observations, time=3):
    """What the trained members do at observations (M, E, O)."""
    states, _, placement = trained(members)
    act = population.actor(structure=Program("", members).structure, placement=placement)
    return act(states, observations, time, num_steps=2)


def test_a_member_acts_the_same_alone_and_in_a_crowd():
    members = crowd("cloning")
    alone = actions(members[ME : ME + 1], OBSERVATIONS[ME : ME + 1])
    np.testing.assert_array_equal(alone[0], actions(members, OBSERVATIONS)[ME])


def test_a_member_draws_other_actions_at_another_time():
    now, later = (actions(crowd("cloning"), OBSERVATIONS, time) for time in (3, 4))
    assert np.mean(now != later) > 0.9


# ---------------------------------------------------------------- members differ


@pytest.mark.parametrize("other", [3, 1], ids=["another seed", "another task"])
def test_another_member_begins_with_other_weights(other):
    members = crowd("cloning")
    actor = begin(members, on_devices(6, 1)).actor
    kernels = [leaf for leaf in jax.tree.leaves(actor) if leaf.ndim == 3]  # biases begin at 0
    assert all(np.all(np.asarray(leaf[ME] != leaf[other])) for leaf in kernels)


def with_numbers(**numbers) -> Member:
    return Member("maze/large", 1, dataclasses.replace(CONFIGS["td"], **numbers))


NUMBERS = {"eta": 1.0, "learning_rate": 1e-2, "discount": 0.5, "reward_scale": 3.0, "sigma_max": 1.0}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_a_member_is_its_own(name):
    """The same as in a population of its own, and not the same as the other's."""
    other, mine = with_numbers(), with_numbers(**{name: NUMBERS[name]})
    states = trained((other, mine))[0]
    assert_same_bits(row(states, 1), row(trained((mine,))[0], 0))
    assert any(np.any(leaf[0] != leaf[1]) for leaf in jax.tree.leaves(jax.device_get(states.actor)))


def test_without_guidance_a_member_clones_though_others_have_a_critic():
    cloning, guided = (Member("maze/large", 1, CONFIGS[name]) for name in ("cloning", "expectile"))
    beside, alone = trained((guided, cloning))[0].actor, trained((cloning,))[0].actor
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b[0], atol=1e-6), beside, alone)


def test_members_that_differ_in_a_number_see_the_same_batches_and_noise():
    """Their first losses are the same."""
    members = tuple(with_numbers(learning_rate=rate) for rate in (1e-4, 1e-2))
    _, sums, _ = trained(members, calls=(1,))
    assert sums["actor_loss"][0] == sums["actor_loss"][1]


def test_other_seeds_and_numbers_compile_nothing_new(caplog):
    train((with_numbers(),))
    with jax.log_compiles():
        jax.jit(lambda x: x + 1)(1.0)
        assert "Finished XLA compilation" in caplog.text  # so that its absence means something
        caplog.clear()
        train((dataclasses.replace(with_numbers(eta=2.0, discount=0.9), seed=7),))
        assert "Finished XLA compilation" not in caplog.text


# ---------------------------------------------------------------- tasks of other widths


@pytest.mark.parametrize("name", ["cloning", pytest.param("td", marks=pytest.mark.slow)])
def test_a_narrow_task_beside_wide_ones_trains_as_on_its_own(name):
    narrow, wide = Member("plane", 0, CONFIGS[name]), Member("maze/small", 0, CONFIGS[name])
    beside, alone = trained((wide, narrow))[0], trained((narrow,))[0]

    def compare(padded, own):
        part = np.asarray(padded)[(1, *map(slice, own.shape[1:]))]
        np.testing.assert_allclose(part, np.asarray(own)[0], rtol=1e-3, atol=1e-5)

    jax.tree.map(compare, beside, alone)


def test_a_chunk_of_a_narrow_task_has_no_gaps():
    config = dataclasses.replace(CONFIGS["cloning"], action_chunk=2)
    members = Member("maze/small", 0, config), Member("plane", 0, config)
    np.testing.assert_array_equal(begin(members, on_devices(2, 1)).action_mask[1], [1] * 4 + [0] * 12)


def test_what_a_narrow_task_does_not_have_stays_zero():
    narrow, wide = (Member(task, 0, CONFIGS["td"]) for task in ("plane", "maze/small"))
    (kernel,) = (
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(trained((wide, narrow))[0].actor)
        if "kernel_0" in jax.tree_util.keystr(path)
    )
    assert np.any(kernel[1, :5]) and not np.any(kernel[1, 5:])


# ---------------------------------------------------------------- a member that fails


@pytest.mark.parametrize("name, quantity", [("cloning", "actor_loss"), ("td", "critic_loss")])
def test_a_member_whose_loss_is_not_finite_stays_as_it_was(name, quantity):
    poison = (42,)  # which it draws for its fifth update
    state = row(train(crowd(name), poison=poison)[0], ME)
    before = row(train(crowd(name), calls=(int(state.step),), poison=poison)[0], ME)
    assert WATCHED[state.failure] == quantity and state.step == 4
    assert before.failure == -1
    assert_same_bits(state._replace(failure=before.failure), before)


def test_the_others_do_not_notice_a_member_that_fails():
    poisoned, sound = train(crowd("cloning"), poison=range(131))[0], trained(crowd("cloning"))[0]
    assert poisoned.failure[ME] >= 0
    for index in range(3):
        assert_same_bits(row(poisoned, index), row(sound, index))


# ---------------------------------------------------------------- calls


def test_where_training_is_interrupted_makes_no_difference():
    whole, parts = trained(crowd("td")), trained(crowd("td"), calls=(3, 1, 6))
    assert_same_bits(row(whole[:2], slice(None)), row(parts[:2], slice(None)))


def test_training_donates_the_states_it_is_given():
    members = crowd("cloning")
    placement, settings = on_devices(6, 1), settings_of(members)
    states, data = begin(members, placement), data_of(members, placement)
    sums = no_metrics(members, placement)
    population.trainer(mesh=placement.mesh, **settings)(states, sums, data, np.int32(1))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(states))


def test_metrics_are_one_number_a_member():
    sums = trained(crowd("cloning"))[1]
    assert {name: values.shape for name, values in sums.items()} == dict.fromkeys(sums, (6,))
    assert {"actor_loss", "consistency_loss", "flow_loss"} <= sums.keys()


def test_the_time_of_an_action_leaves_compilation_out():
    states, structure = trained(crowd("cloning"))[0], CONFIGS["cloning"].structure
    seconds = population.action_seconds(states, structure=structure, num_steps=1, batch_size=2, repeats=3)
    assert seconds.shape == (3,) and np.all(seconds < 0.1)  # compiling takes more
