"""Populations: all members (tasks x hyperparameters x seeds) of one structure train in one compiled program.

Members are one mapped axis, updates a loop, data on the device, state donated. Members never talk: on several devices
the member axis is sharded by `shard_map` and the program holds no collective. All that is random about a member comes
from its task's name and its seed, so members that differ in a hyperparameter see the same batches and the same noise
(but for `num_step_returns`, which says what there is to draw from).
On CPU its result is the same, bit for bit, whoever else is in the population, as long as that neither changes one
device into several, nor adds a wider task, nor gives a clone (eta = 0) beside guided members a critic that it does not
follow: other programs round differently. On accelerators the members share kernels, whose rounding may depend on how
many there are.
"""

import dataclasses
import functools
import time
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from gtp_jax import agent
from gtp_jax.agent_config import NUMBERS, AgentConfig
from gtp_jax.agent_state import AgentState, Batch
from gtp_jax.placement import MEMBERS, Placement

EVERYONE = PartitionSpec()
_FIELDS = [field.name for field in dataclasses.fields(AgentConfig)]
_ACTING = 2**32 - 1  # folded into a member's key to act; training folds in steps, which are smaller


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the population: the task it learns, the seed of everything random about it, and its settings."""

    task: str
    seed: int
    config: AgentConfig = AgentConfig()


@dataclasses.dataclass(frozen=True)
class Program:
    """Members whose settings differ in numbers only, and so share one compiled program."""

    label: str
    members: tuple[Member, ...]

    @property
    def fields(self) -> dict[str, Any]:
        """The members' settings by name; of those in which they differ, a tuple of all values."""
        values = {name: dict.fromkeys(getattr(m.config, name) for m in self.members) for name in _FIELDS}
        return {name: tuple(each) if len(each) > 1 else next(iter(each)) for name, each in values.items()}

    @property
    def swept(self) -> list[str]:
        """Which of `agent_config.NUMBERS` the members differ in."""
        return [name for name in NUMBERS if len({getattr(member.config, name) for member in self.members}) > 1]

    @property
    def structure(self) -> AgentConfig:
        """What is compiled; with a critic if any member has use for one."""
        configs = [member.config for member in self.members]
        return next((config for config in configs if config.is_guided), configs[0]).structure

    def kind(self, member: Member) -> tuple[str, float]:
        """Of the data that a member is given: its task, and the discount of rewards, which without a critic do not
        matter."""
        return member.task, member.config.discount if self.structure.uses_critic else 1.0

    def widths(self, task: tuple[int, int]) -> tuple[int, int]:
        """Of what its networks see and of the action they know, which is a whole chunk, given (O, D) of a task."""
        return task[0], self.structure.action_chunk * task[1]


def member_key(member: Member) -> jax.Array:
    """The member's root key, from its seed and its task's name alone."""
    return jax.random.fold_in(jax.random.PRNGKey(member.seed), zlib.crc32(member.task.encode()))


def update_keys(key: jax.Array, step: jax.Array) -> jax.Array:
    """(2, ...) of a member's root key: what draws the batch of an update, and what is random about the update."""
    return jax.random.split(jax.random.fold_in(key, step))


def _over_members(function, *args):
    """`function` of each member, along the leading axis of all arguments.

    On accelerators it is `vmap`: all members share each kernel. A CPU core works through them one at a time anyway,
    and there XLA picks kernels, and with them the rounding, by the size of the batch; so on CPU the members are a
    `lax.map`, which gives each the same bits whoever else there is.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda member: function(*member), args)
    return jax.vmap(function)(*args)


# ---------------------------------------------------------------- beginning


def init(
    program: Program,
    widths: Mapping[str, tuple[int, int]],
    statistics: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    num_steps: int,
    placement: Placement,
) -> AgentState:
    """Stacked states of this process's slots.

    A member begins as it would alone, in networks of its own task's widths; where another task is wider they are filled
    up with zeros, which stay zero: no input, and by `AgentState.action_mask` no output, ever reaches them.

    Args:
        widths: (O, D) of each task.
        statistics: mean and standard deviation (O,) of each task's observations.
    """
    slots = placement.local_slots
    shapes = _abstract_state(program, *_greatest(program, widths), num_steps)
    states = jax.tree.map(lambda leaf: np.zeros((len(slots), *leaf.shape), leaf.dtype), shapes)
    states.obs_std[:] = 1.0
    for row, member in enumerate(program.members[slot] for slot in slots):
        init_one = _initializer(program.structure, program.widths(widths[member.task])[1], num_steps)
        fresh = init_one(member_key(member), *statistics[member.task], member.config.numbers)

        def fill(whole, part, row=row):
            whole[(row, *map(slice, part.shape))] = part

        jax.tree.map(fill, states, fresh)
    return jax.device_put(states, placement.sharding)


def abstract(program: Program, widths: Mapping[str, tuple[int, int]], *, batch_size: int, num_steps: int):
    """Shapes and dtypes of the members' states and of the sums of their metrics, with a row for each of the M members.

    These are what a checkpoint holds of a program; no memory is taken for them.
    """
    obs_dim, action_dim = _greatest(program, widths)
    state = _abstract_state(program, obs_dim, action_dim, num_steps)
    obs, action, scalar = (jax.ShapeDtypeStruct((batch_size, *w), jnp.float32) for w in ((obs_dim,), (action_dim,), ()))
    update = functools.partial(agent.update, config=program.structure, num_steps=num_steps)
    _, metrics = jax.eval_shape(update, state, state.key, Batch(obs, action, scalar, obs, scalar))
    rows = len(program.members)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape), leaf.dtype), (state, metrics))


def _greatest(program: Program, widths: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Widths that all members have room in."""
    return tuple(map(max, zip(*(program.widths(widths[member.task]) for member in program.members))))


def _abstract_state(program: Program, obs_dim: int, action_dim: int, num_steps: int) -> AgentState:
    """Shapes and dtypes of one member's state."""
    init_one = _initializer(program.structure, action_dim, num_steps)
    obs = jax.ShapeDtypeStruct((obs_dim,), jnp.float32)
    return jax.eval_shape(init_one, jax.random.PRNGKey(0), obs, obs, program.members[0].config.numbers)


@functools.cache
def _initializer(structure: AgentConfig, action_dim: int, num_steps: int):
    def init_one(key, obs_mean, obs_std, numbers):
        return agent.init(key, obs_mean, obs_std, action_dim, config=structure, num_steps=num_steps, numbers=numbers)

    return jax.jit(init_one)


# ---------------------------------------------------------------- training


@functools.cache
def trainer(*, structure: AgentConfig, batch_size: int, num_steps: int, mesh: Mesh):
    """A compiled function (states, sums, data, n) -> (states, sums): n more updates of every member.

    The states and the sums are donated. To the sums, {name: (slots,)}, are added the metrics of each update; they are
    part of the loop's carry, so where training is interrupted makes no difference to them either. The data are a
    `placement.Data` or a `feeding.Block`. The program does not depend on n, on seeds or on `agent_config.NUMBERS`.
    """

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(MEMBERS, MEMBERS, MEMBERS, EVERYONE), out_specs=MEMBERS, check_vma=False
    )
    def train(states, sums, data, num_updates):
        def train_one(state, sums, *own):
            def body(i, carry):
                state, sums = carry
                key_batch, key_update = update_keys(state.key, state.step)
                batch = Batch(*data.batch(own, key_batch, i, batch_size))
                state, metrics = agent.update(state, key_update, batch, config=structure, num_steps=num_steps)
                return state, jax.tree.map(jnp.add, sums, metrics)

            return jax.lax.fori_loop(0, num_updates, body, (state, sums))

        return _over_members(train_one, states, sums, *data.per_slot)

    return train


# ---------------------------------------------------------------- acting


@functools.cache
def actor(*, structure: AgentConfig, placement: Placement):
    """A function (states, observations (H, E, O), time, num_steps=K) -> actions (H, E, D), NumPy in and out.

    O may be less than the states are wide. Where agents act in chunks, D counts the numbers of a chunk. H are the
    members that this process answers for, `Placement.held`. A member's actions depend on its own key, observations and
    the time, an integer such as the environment's step. One program is compiled for each K.
    """

    @functools.partial(jax.jit, static_argnames="num_steps")
    def act_all(states, observations, time, num_steps):
        def act_one(state, obs, time):
            key = jax.random.fold_in(jax.random.fold_in(state.key, _ACTING), time)
            return agent.act(state, key, obs, config=structure, num_steps=num_steps)

        def act_local(states, observations, time):
            return _over_members(lambda state, obs: act_one(state, obs, time), states, observations)

        sharded = jax.shard_map(
            act_local, mesh=placement.mesh, in_specs=(MEMBERS, MEMBERS, EVERYONE), out_specs=MEMBERS, check_vma=False
        )
        return sharded(states, observations, time)

    def act(states, observations, time, *, num_steps):
        # As wide as the states, whose widest task need not be among those that are played here.
        slots = np.zeros((len(placement.local_slots), observations.shape[1], states.obs_mean.shape[-1]), np.float32)
        slots[placement.held, :, : observations.shape[-1]] = observations
        return np.asarray(act_all(states, slots, time, num_steps=num_steps))[placement.held]

    return act


def action_seconds(
    states, *, structure: AgentConfig, num_steps: int, batch_size: int = 1, repeats: int = 100
) -> np.ndarray:
    """Seconds that the first member takes to act on observations, NumPy in and out: (repeats,), after compiling."""
    state = jax.tree.map(lambda leaf: leaf.addressable_shards[0].data[0], states)
    act = jax.jit(functools.partial(agent.act, config=structure, num_steps=num_steps))
    obs, seconds = np.tile(state.obs_mean, (batch_size, 1)), []
    for _ in range(repeats + 1):
        clock = time.perf_counter()
        np.asarray(act(state, state.key, obs))
        seconds.append(time.perf_counter() - clock)
    return np.array(seconds[1:])
