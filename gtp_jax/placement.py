"""Where members and their data lie: which device holds which member, and the data that its members need.

Members are spread evenly over all processes, and in each over its devices. A program has equally many rows on every
device, so where a device has fewer members than another it repeats its last one, and repeats are left out of every
result. Members never talk, so a process computes on its own devices alone; what all processes hold is one array only
for the sake of a checkpoint.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gtp_jax.errors import UserError

MEMBERS = PartitionSpec("members")


class Data(NamedTuple):
    """What the members draw from. Each device has the tasks of its own members, end to end, so nothing is padded but
    the devices to the fullest of them; observations and actions are as wide as the widest task."""

    obs: jax.Array  # (devices, N, O), normalised
    action: jax.Array  # (devices, N, D)
    next_obs: jax.Array  # (devices, N, O)
    reward: jax.Array  # (devices, R): of each task and discount
    discount: jax.Array  # (devices, R)
    offset: jax.Array  # (slots,) int32: where a member's task begins in obs, action and next_obs,
    return_offset: jax.Array  # (slots,) int32: where it begins in reward and discount,
    size: jax.Array  # (slots,) int32: and how many transitions it has

    @property
    def per_slot(self) -> tuple[jax.Array, ...]:
        return self.offset, self.return_offset, self.size

    def batch(self, own, key: jax.Array, _: jax.Array, batch_size: int) -> tuple[jax.Array, ...]:
        """Inside the program, the columns (B, ...) of a member's batch, given its own part of `per_slot`."""
        offset, return_offset, size = own
        index = draw(key, batch_size, size)
        columns = (self.obs, self.action, self.reward, self.next_obs, self.discount)
        starts = (offset, offset, return_offset, offset, return_offset)
        return tuple(column[0, start + index] for column, start in zip(columns, starts))


def draw(key: jax.Array, batch_size: int, size: jax.Array) -> jax.Array:
    """Which of `size` transitions an update learns from, (B,) int32."""
    return jax.random.randint(key, (batch_size,), 0, size)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Members on devices. A *slot* is a row of the stacked states; slots are in the order of devices.

    Attributes:
        devices: those in use, of all processes, in the order of their slots.
        slots: the member in each, equally many a device.
    """

    devices: tuple[jax.Device, ...]
    slots: tuple[int, ...]

    @property
    def per_device(self) -> int:
        return len(self.slots) // len(self.devices)

    @functools.cached_property
    def mesh(self) -> Mesh:
        """This process's share of the devices, which is all that it computes on."""
        mine = [device for device in self.devices if device.process_index == jax.process_index()]
        return Mesh(np.array(mine), ("members",))

    @property
    def sharding(self) -> NamedSharding:
        return NamedSharding(self.mesh, MEMBERS)

    @property
    def local_slots(self) -> np.ndarray:
        """(local devices x per_device,) the member in each slot of this process."""
        mine = [device.process_index == jax.process_index() for device in self.devices]
        return np.reshape(self.slots, (-1, self.per_device))[mine].ravel()

    @property
    def held(self) -> np.ndarray:
        """The local slots whose members this process answers for: the first of each member."""
        return np.unique(self.local_slots, return_index=True)[1]

    def put(self, rows):
        """Arrays on this process's devices with a row for each slot, from NumPy arrays with a row for each member."""
        return jax.tree.map(lambda leaf: jax.device_put(leaf[self.local_slots], self.sharding), rows)

    def whole(self, rows):
        """The same arrays as this process's share of those of all processes, as a checkpoint takes them."""
        if jax.process_count() == 1:
            return rows
        sharding = NamedSharding(Mesh(np.array(self.devices), ("members",)), MEMBERS)

        def share(leaf):
            shape = (len(self.slots), *leaf.shape[1:])
            parts = [shard.data for shard in leaf.addressable_shards]
            return jax.make_array_from_single_device_arrays(shape, sharding, parts)

        return jax.tree.map(share, rows)

    def held_of(self, members: Sequence) -> tuple:
        """The members this process answers for."""
        return tuple(members[i] for i in self.local_slots[self.held])

    def held_rows(self, states):
        """Their rows of stacked states, in NumPy."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[self.held], states)


def over(devices: Sequence[jax.Device], num_members: int) -> Placement:
    """Members on devices, equally many of each process; every process has to have a member."""
    num_processes = len({device.process_index for device in devices})
    per_device = -(-num_members // len(devices))
    slots = []
    for mine in np.array_split(np.arange(num_members), num_processes):
        for own in np.array_split(mine, len(devices) // num_processes):
            own = own if own.size else mine[-1:]
            slots += np.pad(own, (0, per_device - own.size), "edge").tolist()
    return Placement(tuple(devices), tuple(slots))


def spread(num_members: int, turn: int = 0) -> Placement:
    """Members on as few devices of each process as let the fullest hold as few as possible.

    Args:
        turn: of several programs; where one has no use for all devices, the next one takes those that follow.

    Raises:
        UserError: there are more processes than members.
    """
    num_processes = jax.process_count()
    if num_members < num_processes:
        raise UserError(f"{num_members} members leave some of {num_processes} processes nothing to do; start fewer")
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    per_process = len(devices) // num_processes
    per_device = -(-num_members // len(devices))
    used = -(-num_members // (num_processes * per_device))
    first = turn % (per_process // used) * used
    return over([each for i, each in enumerate(devices) if first <= i % per_process < first + used], num_members)


def like(placement: Placement, length: int, num_returns: int, widths: tuple[int, int]) -> Data:
    """What stands for the data before there are any.

    Args:
        length: transitions on the fullest device.
        num_returns: rewards on the fullest device, which has one a transition for each discount.
        widths: O and D of the widest of all tasks.
    """
    devices, slots = placement.mesh.size, len(placement.local_slots)

    def array(*shape, dtype=np.float32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=placement.sharding)

    return Data(
        *(array(devices, length, width) for width in (widths[0], widths[1], widths[0])),
        *(array(devices, num_returns) for _ in range(2)),
        *(array(slots, dtype=np.int32) for _ in range(3)),
    )


def lengths(placement: Placement, kinds: Sequence[tuple[str, float]], sizes: Mapping[str, int]) -> tuple[int, int]:
    """`length` and `num_returns` of `like` for this process's devices.

    Args:
        kinds: each member's task and discount, M of them.
        sizes: N of each task.
    """
    local = [kinds[slot] for slot in placement.local_slots]
    rows = [set(local[i : i + placement.per_device]) for i in range(0, len(local), placement.per_device)]
    per_task = [sum(sizes[task] for task in {task for task, _ in row}) for row in rows]
    return max(per_task), max(sum(sizes[task] for task, _ in row) for row in rows)


def place(
    placement: Placement,
    kinds: Sequence[tuple[str, float]],
    blocks: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    returns: Mapping[tuple[str, float], tuple[np.ndarray, np.ndarray]],
    widths: tuple[int, int],
) -> Data:
    """The data on this process's devices.

    Args:
        kinds: each member's task and discount, M of them.
        blocks: normalised obs (N, O), action (N, D) and next_obs (N, O) of each task.
        returns: reward (N,) and discount (N,) of each kind.
        widths: O and D of the widest of all tasks, to which these are filled up with zeros.
    """
    local = [kinds[slot] for slot in placement.local_slots]
    rows = [local[i : i + placement.per_device] for i in range(0, len(local), placement.per_device)]
    tasks = [list(dict.fromkeys(task for task, _ in row)) for row in rows]
    size = {name: len(block[0]) for name, block in blocks.items()}

    def starts(keys, length):
        return dict(zip(keys, np.cumsum([0, *map(length, keys)])))

    task_starts = [starts(names, lambda name: size[name]) for names in tasks]
    kind_starts = [starts(list(dict.fromkeys(row)), lambda kind: size[kind[0]]) for row in rows]

    shapes = like(placement, *lengths(placement, kinds, size), widths)

    def shards(shape, parts_of):
        """One array whose block on each device is the concatenation of the parts, filled up with zeros."""
        parts = [parts_of(device) for device in range(len(rows))]

        def block(index):
            filled, start = np.zeros((1, *shape.shape[1:]), np.float32), 0
            for part in parts[index[0].start or 0]:
                filled[(0, slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
                start += len(part)
            return filled

        return jax.make_array_from_callback(shape.shape, placement.sharding, block)

    def per_slot(values):
        return jax.device_put(np.array(values, np.int32), placement.sharding)

    where = [(device, kind) for device, row in enumerate(rows) for kind in row]
    return Data(
        *(shards(shapes[i], lambda device, i=i: [blocks[task][i] for task in tasks[device]]) for i in range(3)),
        *(
            shards(shapes[3 + i], lambda device, i=i: [returns[kind][i] for kind in dict.fromkeys(rows[device])])
            for i in range(2)
        ),
        offset=per_slot([task_starts[device][task] for device, (task, _) in where]),
        return_offset=per_slot([kind_starts[device][kind] for device, kind in where]),
        size=per_slot([size[task] for _, (task, _) in where]),
    )
