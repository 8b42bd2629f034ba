"""Populations: a member's result, bit for bit, is its own, whoever else trains beside it on the same devices."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gtp_jax import population
from gtp_jax.agent import AgentState, Batch
from gtp_jax.agent_config import AgentConfig
from gtp_jax.population import Data, Member

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


def task_data(task: str) -> Batch:
    random, size = np.random.default_rng(list(SIZES).index(task)), SIZES[task]
    obs, next_obs = random.normal(size=(2, size, OBS_DIM)).astype(np.float32)
    action = random.uniform(-1, 1, size=(size, ACTION_DIM)).astype(np.float32)
    reward, discount = random.uniform(size=(2, size)).astype(np.float32)
    return Batch(obs, action, reward, next_obs, discount)


def mesh_of(num_devices: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:num_devices]), ("members",))


def begin(members, name: str) -> AgentState:
    """On the host, since training donates what it is given."""
    mean, std = np.zeros((len(members), OBS_DIM), np.float32), np.ones((len(members), OBS_DIM), np.float32)
    config, mesh = CONFIGS[name], mesh_of(1)
    states = population.init(members, mean, std, ACTION_DIM, config=config, num_steps=NUM_UPDATES, mesh=mesh)
    return jax.tree.map(np.asarray, states)


crowd_begins = functools.cache(functools.partial(begin, CROWD))


def states_of(members, name: str, num_devices: int = 1) -> AgentState:
    chosen = np.array([CROWD.index(member) for member in members])
    states = jax.tree.map(lambda leaf: leaf[chosen], crowd_begins(name))
    return jax.device_put(states, NamedSharding(mesh_of(num_devices), PartitionSpec("members")))


def data_of(members, num_devices: int = 1) -> Data:
    tasks = list(dict.fromkeys(member.task for member in members))
    offsets = dict(zip(tasks, np.cumsum([0, *(SIZES[task] for task in tasks)])))
    data = Data(
        jax.tree.map(lambda *parts: np.concatenate(parts), *map(task_data, tasks)),
        np.array([offsets[member.task] for member in members], np.int32),
        np.array([SIZES[member.task] for member in members], np.int32),
    )
    return population.place(data, mesh_of(num_devices))


@functools.cache
def compiled(name: str, num_updates: int, num_devices: int):
    return population.trainer(
        config=CONFIGS[name],
        batch_size=32,
        num_updates=num_updates,
        num_steps=NUM_UPDATES,
        mesh=mesh_of(num_devices),
    )


def trainer(name: str, num_updates: int = NUM_UPDATES, num_devices: int = 1):
    return compiled(name, num_updates, num_devices)


@functools.cache
def trained(members: tuple[Member, ...], name: str, num_devices: int = 1) -> AgentState:
    states, data = states_of(members, name, num_devices), data_of(members, num_devices)
    return trainer(name, num_devices=num_devices)(states, data)[0]


def member_of(states: AgentState, index: int) -> AgentState:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], states)


def assert_same_bits(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


# ---------------------------------------------------------------- members never talk


def test_a_member_begins_with_the_same_bits_alone_and_in_a_crowd():
    alone, crowd = begin((ME,), "expectile"), crowd_begins("expectile")
    assert_same_bits(member_of(alone, 0), member_of(crowd, CROWD.index(ME)))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_member_trains_to_the_same_bits_alone_and_in_a_crowd(name):
    alone, crowd = trained((ME,), name), trained(CROWD, name)
    assert_same_bits(member_of(alone, 0), member_of(crowd, CROWD.index(ME)))


def test_a_member_trains_to_the_same_bits_in_a_pair_and_in_a_crowd_on_two_devices():
    pair = (CROWD[0], ME)
    beside_one, beside_many = (trained(members, "cloning", num_devices=2) for members in (pair, CROWD))
    assert_same_bits(member_of(beside_one, 1), member_of(beside_many, CROWD.index(ME)))


def test_the_program_on_two_devices_holds_no_collective():
    train = trainer("cloning", num_devices=2)
    program = train.lower(states_of(CROWD, "cloning", 2), data_of(CROWD, 2)).compile().as_text()
    names = "all-reduce", "all-gather", "all-to-all", "collective-permute", "collective-broadcast", "reduce-scatter"
    assert "num_partitions=2" in program
    assert [name for name in names if name in program] == []


def poisoned(data: Data, rows) -> Data:
    """The data with NaN in these transitions; whoever draws one has NaN for parameters."""

    def poison(leaf):
        host = np.array(leaf)
        host[rows] = np.nan
        return jax.device_put(host, leaf.sharding)

    return data._replace(transitions=jax.tree.map(poison, data.transitions))


def test_a_member_draws_from_its_own_task_alone():
    others = slice(0, SIZES["maze/small"])
    states, _ = trainer("cloning")(states_of(CROWD, "cloning"), poisoned(data_of(CROWD), others))
    assert_same_bits(member_of(states, CROWD.index(ME)), member_of(trained(CROWD, "cloning"), CROWD.index(ME)))


def test_a_member_draws_another_batch_at_each_update():
    """320 draws of 131 transitions miss 9 % of them; the same 32 draws every time would miss 78 %."""

    def is_drawn(row):
        states, _ = trainer("cloning")(states_of((ME,), "cloning"), poisoned(data_of((ME,)), row))
        return bool(np.isnan(jax.tree.leaves(states.actor)[0]).any())

    assert np.mean([is_drawn(row) for row in range(0, SIZES[ME.task], 6)]) > 0.7


def actions(members, observations, time=3):
    """What the trained members do at observations (M, E, O)."""
    act = population.actor(action_dim=ACTION_DIM, config=CONFIGS["cloning"], mesh=mesh_of(1))
    return act(trained(members, "cloning"), observations, time, num_steps=2)


OBSERVATIONS = np.random.default_rng(0).normal(size=(len(CROWD), 5, OBS_DIM)).astype(np.float32)


def test_a_member_acts_the_same_alone_and_in_a_crowd():
    me = CROWD.index(ME)
    np.testing.assert_array_equal(actions((ME,), OBSERVATIONS[me][None])[0], actions(CROWD, OBSERVATIONS)[me])


def test_a_member_draws_other_actions_at_another_time():
    now, later = (actions((ME,), OBSERVATIONS[:1], time) for time in (3, 4))
    assert np.mean(now != later) > 0.9


# ---------------------------------------------------------------- members differ


@pytest.mark.parametrize(
    "other", [Member(ME.task, ME.seed + 1), Member("maze/small", ME.seed)], ids=["another seed", "another task"]
)
def test_another_member_begins_with_other_weights(other):
    actor = crowd_begins("cloning").actor
    kernels = [leaf for leaf in jax.tree.leaves(actor) if leaf.ndim == 3]  # biases begin at 0
    assert all(np.all(leaf[CROWD.index(ME)] != leaf[CROWD.index(other)]) for leaf in kernels)


def test_another_seed_ends_with_other_parameters():
    actor = trained(CROWD, "cloning").actor
    me, other = CROWD.index(ME), CROWD.index(Member(ME.task, ME.seed + 1))
    assert all(np.any(leaf[me] != leaf[other]) for leaf in jax.tree.leaves(actor))


# ---------------------------------------------------------------- devices


@pytest.mark.parametrize("num_members, num_devices", [(1, 1), (2, 2), (3, 1), (4, 2), (12, 2)])
def test_each_device_gets_equally_many_members(num_members, num_devices):
    assert jax.local_device_count() == 2
    assert population.member_mesh(num_members).size == num_devices


def test_programs_that_need_one_device_take_turns():
    meshes = [population.member_mesh(3, turn) for turn in range(3)]
    assert [list(mesh.devices.flat) for mesh in meshes] == [[jax.devices()[i]] for i in (0, 1, 0)]


def test_programs_that_need_all_devices_have_them():
    assert population.member_mesh(4, turn=1).size == 2


def test_a_crowd_stays_spread_over_its_devices():
    states = trained(CROWD, "cloning", num_devices=2)
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(states)} == {2}


# ---------------------------------------------------------------- chunks


def test_two_chunks_are_one_long_chunk():
    train, states, data = trainer("cloning", NUM_UPDATES // 2), states_of(CROWD, "cloning"), data_of(CROWD)
    for _ in range(2):
        states, _ = train(states, data)
    assert_same_bits(member_of(states, slice(None)), member_of(trained(CROWD, "cloning"), slice(None)))


def test_later_chunks_compile_nothing(caplog):
    train, states, data = trainer("cloning"), states_of(CROWD, "cloning"), data_of(CROWD)
    states, _ = train(states, data)
    with jax.log_compiles():
        jax.jit(lambda x: x + 1)(1.0)
        assert "Finished XLA compilation" in caplog.text  # so that its absence means something
        caplog.clear()
        train(states, data)
        assert "Finished XLA compilation" not in caplog.text


def test_training_donates_the_states_it_is_given():
    states = states_of(CROWD, "cloning")
    trainer("cloning")(states, data_of(CROWD))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(states))


def test_metrics_are_one_number_a_member():
    _, metrics = trainer("cloning")(states_of(CROWD, "cloning"), data_of(CROWD))
    assert {name: values.shape for name, values in metrics.items()} == dict.fromkeys(metrics, (len(CROWD),))
    assert {"actor_loss", "consistency_loss", "flow_loss"} <= metrics.keys()


def test_the_time_of_an_action_leaves_compilation_out():
    states = trained(CROWD, "cloning")
    seconds = population.action_seconds(
        states, action_dim=ACTION_DIM, config=CONFIGS["cloning"], num_steps=1, repeats=3
    )
    assert seconds < 0.1  # compiling takes longer
