"""Populations: all members (tasks x seeds) of one structure train in one compiled program.

Members are one mapped axis, updates a `lax.scan`, data on the device, state donated. Members never talk: on several
devices the member axis is sharded by `shard_map` and the program holds no collective. All that is random about a
member comes from its task's name and its seed. On CPU its result is the same, bit for bit, whoever else is in the
population, as long as that does not change one device into several: the partitioned program rounds differently. On
accelerators the members share kernels, whose rounding may depend on how many there are.
"""

import dataclasses
import functools
import time
import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gtp_jax import agent
from gtp_jax.agent import AgentState, Batch
from gtp_jax.agent_config import AgentConfig


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the population: the task it learns and the seed of everything random about it."""

    task: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Program:
    """Members whose agents have one structure, and so one compiled program; a population may have several."""

    label: str
    config: AgentConfig
    members: tuple[Member, ...]


_ACTING = 2**32 - 1  # folded into a member's key to act; training folds in steps, which are smaller


class Data(NamedTuple):
    """The data of all tasks, laid end to end, so that unequal sizes need no padding."""

    transitions: Batch  # (sum of sizes, ...)
    offset: jax.Array  # (M,) int32: where each member's task begins
    size: jax.Array  # (M,) int32: how many transitions it has


def member_key(member: Member) -> jax.Array:
    """The member's root key, from its seed and its task's name alone."""
    return jax.random.fold_in(jax.random.PRNGKey(member.seed), zlib.crc32(member.task.encode()))


def member_mesh(num_members: int, turn: int = 0) -> Mesh:
    """A mesh over as many local devices as give each the same number of members.

    Args:
        turn: of several programs; where one has no use for all devices, the next one takes those that follow.
    """
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if num_members % n == 0)
    first = turn % (len(devices) // count) * count
    return Mesh(np.array(devices[first : first + count]), ("members",))


def program_meshes(programs) -> tuple[dict[str, Mesh], int]:
    """The mesh of each of several programs that train side by side, by label, and how many devices they use."""
    meshes = {program.label: member_mesh(len(program.members), turn) for turn, program in enumerate(programs)}
    return meshes, len({device for mesh in meshes.values() for device in mesh.devices.flat})


def _over_members(function, *args):
    """`function` of each member, along the leading axis of all arguments.

    On accelerators it is `vmap`: all members share each kernel. A CPU core works through them one at a time anyway,
    and there XLA picks kernels, and with them the rounding, by the size of the batch; so on CPU the members are a
    `lax.map`, which gives each the same bits whoever else there is.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda member: function(*member), args)
    return jax.vmap(function)(*args)


def init(members, obs_mean, obs_std, action_dim: int, *, config: AgentConfig, num_steps: int, mesh: Mesh) -> AgentState:
    """Stacked states of all members, sharded over the mesh.

    Args:
        members: M of `Member`.
        obs_mean, obs_std: (M, O) statistics of each member's data.
    """
    keys = jnp.stack([member_key(member) for member in members])
    init_one = functools.partial(agent.init, action_dim=action_dim, config=config, num_steps=num_steps)
    states = jax.jit(functools.partial(_over_members, init_one))(keys, jnp.asarray(obs_mean), jnp.asarray(obs_std))
    return jax.device_put(states, NamedSharding(mesh, PartitionSpec("members")))


def init_programs(programs, obs_mean, obs_std, action_dim: int, *, num_steps: int, meshes) -> dict[str, AgentState]:
    """`init` of several programs with the same members, by label; the meshes by label too."""
    return {
        p.label: init(
            p.members, obs_mean, obs_std, action_dim, config=p.config, num_steps=num_steps, mesh=meshes[p.label]
        )
        for p in programs
    }


def place(data: Data, mesh: Mesh) -> Data:
    """The data on the mesh's devices: transitions on every one, what belongs to a member with the member."""
    members, everyone = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("members",), ()))
    return Data(
        jax.device_put(data.transitions, everyone),
        jax.device_put(data.offset, members),
        jax.device_put(data.size, members),
    )


def _train_member(state: AgentState, offset, size, transitions: Batch, *, config, batch_size, num_updates, num_steps):
    def body(state, _):
        key_batch, key_update = jax.random.split(jax.random.fold_in(state.key, state.step))
        index = offset + jax.random.randint(key_batch, (batch_size,), 0, size)
        batch = jax.tree.map(lambda x: x[index], transitions)
        return agent.update(state, key_update, batch, config=config, num_steps=num_steps)

    state, metrics = jax.lax.scan(body, state, None, length=num_updates)
    return state, jax.tree.map(jnp.mean, metrics)


def trainer(*, config: AgentConfig, batch_size: int, num_updates: int, num_steps: int, mesh: Mesh):
    """A compiled function (states, data) -> (states, metrics): `num_updates` updates of every member.

    The states are donated. Metrics are means over the chunk, one value a member, (M,).
    """
    train_member = functools.partial(
        _train_member, config=config, batch_size=batch_size, num_updates=num_updates, num_steps=num_steps
    )
    members, everyone = PartitionSpec("members"), PartitionSpec()

    @functools.partial(jax.jit, donate_argnums=0)
    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(members, Data(everyone, members, members)),
        out_specs=members,
        check_vma=False,
    )
    def train(states, data):
        def train_one(state, offset, size):
            return train_member(state, offset, size, data.transitions)

        return _over_members(train_one, states, data.offset, data.size)

    return train


def actor(*, action_dim: int, config: AgentConfig, mesh: Mesh):
    """A function (states, observations (M, E, O), time, num_steps=K) -> actions (M, E, D), NumPy in and out.

    A member's actions depend on its own key, observations and the time, an integer such as the environment's step. One
    program is compiled for each K.
    """
    members, everyone = PartitionSpec("members"), PartitionSpec()

    @functools.partial(jax.jit, static_argnames="num_steps")
    def act_all(states, observations, time, num_steps):
        def act_one(state, obs, time):
            key = jax.random.fold_in(jax.random.fold_in(state.key, _ACTING), time)
            return agent.act(state, key, obs, action_dim=action_dim, config=config, num_steps=num_steps)

        def act_local(states, observations, time):
            return _over_members(lambda state, obs: act_one(state, obs, time), states, observations)

        sharded = jax.shard_map(
            act_local, mesh=mesh, in_specs=(members, members, everyone), out_specs=members, check_vma=False
        )
        return sharded(states, observations, time)

    return lambda states, observations, time, *, num_steps: np.asarray(
        act_all(states, observations, time, num_steps=num_steps)
    )


def action_seconds(states, *, action_dim: int, config: AgentConfig, num_steps: int, repeats: int = 100) -> float:
    """Median time of one action for one observation, NumPy in and out, by the first member, compilation aside."""
    state = jax.tree.map(lambda leaf: leaf[0], states)
    act = jax.jit(functools.partial(agent.act, action_dim=action_dim, config=config, num_steps=num_steps))
    seconds = []
    for _ in range(repeats + 1):
        clock = time.perf_counter()
        np.asarray(act(state, state.key, np.asarray(state.obs_mean)[None]))
        seconds.append(time.perf_counter() - clock)
    return float(np.median(seconds[1:]))
