"""Where members and their data lie: which device holds which member, and the data that its members need.

Members are spread over the devices of all processes, equally many on each; where their number does not divide, the
last one is repeated, and the repeats are left out of every result. Members never talk, so a process computes on its own
devices alone; what all processes hold is one array only for the sake of a checkpoint.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

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
        num_members: M.
        devices: those in use, of all processes, in the order of their slots.
        per_device: slots on each.
    """

    num_members: int
    devices: tuple[jax.Device, ...]
    per_device: int

    @property
    def slots(self) -> np.ndarray:
        """(devices x per_device,) the member in each slot."""
        return np.minimum(np.arange(len(self.devices) * self.per_device), self.num_members - 1)

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
        return self.slots.reshape(-1, self.per_device)[mine].ravel()

    @property
    def held(self) -> np.ndarray:
        """The local slots whose members this process answers for: each member's first slot, wherever that is."""
        mine = [device.process_index == jax.process_index() for device in self.devices]
        first = np.diff(self.slots, prepend=-1) > 0
        return np.flatnonzero(first.reshape(-1, self.per_device)[mine].ravel())

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


def spread(num_members: int, turn: int = 0) -> Placement:
    """Members on as few devices of each process as let the fullest hold as few as possible.

    Args:
        turn: of several programs; where one has no use for all devices, the next one takes those that follow.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    per_process = len(devices) // jax.process_count()
    per_device = -(-num_members // len(devices))
    used = -(-num_members // (jax.process_count() * per_device))
    first = turn % (per_process // used) * used
    chosen = [device for i, device in enumerate(devices) if first <= i % per_process < first + used]
    return Placement(num_members, tuple(chosen), per_device)


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

    def shards(parts_of, *width):
        """One array whose block on each device is the concatenation of the parts, filled up with zeros."""
        parts = [parts_of(device) for device in range(len(rows))]
        length = max(sum(map(len, row)) for row in parts)

        def block(index):
            filled, start = np.zeros((1, length, *width), np.float32), 0
            for part in parts[index[0].start or 0]:
                filled[(0, slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
                start += len(part)
            return filled

        return jax.make_array_from_callback((len(rows), length, *width), placement.sharding, block)

    def per_slot(values):
        return jax.device_put(np.array(values, np.int32), placement.sharding)

    where = [(device, kind) for device, row in enumerate(rows) for kind in row]
    return Data(
        *(
            shards(lambda device, i=i: [blocks[task][i] for task in tasks[device]], width)
            for i, width in enumerate((widths[0], widths[1], widths[0]))
        ),
        *(shards(lambda device, i=i: [returns[kind][i] for kind in dict.fromkeys(rows[device])]) for i in range(2)),
        offset=per_slot([task_starts[device][task] for device, (task, _) in where]),
        return_offset=per_slot([kind_starts[device][kind] for device, kind in where]),
        size=per_slot([size[task] for _, (task, _) in where]),
    )


def data_bytes(
    placement: Placement, kinds: Sequence[tuple[str, float]], sizes: Mapping[str, int], widths: tuple[int, int]
) -> int:
    """What `place` takes on the fullest of this process's devices.

    Args:
        kinds: each member's task and discount, M of them.
        sizes: N of each task.
        widths: O and D of the widest.
    """
    obs_dim, action_dim = widths
    local = [kinds[slot] for slot in placement.local_slots]
    rows = [set(local[i : i + placement.per_device]) for i in range(0, len(local), placement.per_device)]
    per_task = [sum(sizes[task] for task in {task for task, _ in row}) for row in rows]
    per_kind = [sum(sizes[task] for task, _ in row) for row in rows]
    return 4 * (max(per_task) * (2 * obs_dim + action_dim) + 2 * max(per_kind))
