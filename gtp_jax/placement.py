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

    def held_of(self, members: Sequence) -> tuple:
        """The members this process answers for."""
        return tuple(members[i] for i in self.local_slots[self.held])

    def held_rows(self, states):
        """Their rows of stacked states, in NumPy."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[self.held], states)


def spread(num_members: int, turn: int = 0) -> Placement:
    """Members on as few devices as let the fullest hold as few as possible.

    Args:
        turn: of several programs; where one has no use for all devices, the next one takes those that follow.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    per_device = -(-num_members // len(devices))
    # Every process has to have a share.
    used = len(devices) if jax.process_count() > 1 else -(-num_members // per_device)
    first = turn % (len(devices) // used) * used
    return Placement(num_members, tuple(devices[first : first + used]), per_device)


def place(
    placement: Placement,
    kinds: Sequence[tuple[str, float]],
    blocks: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    returns: Mapping[tuple[str, float], tuple[np.ndarray, np.ndarray]],
) -> Data:
    """The data on this process's devices.

    Args:
        kinds: each member's task and discount, M of them.
        blocks: normalised obs (N, O), action (N, D) and next_obs (N, O) of each task.
        returns: reward (N,) and discount (N,) of each kind.
    """
    local = [kinds[slot] for slot in placement.local_slots]
    rows = [local[i : i + placement.per_device] for i in range(0, len(local), placement.per_device)]
    tasks = [list(dict.fromkeys(task for task, _ in row)) for row in rows]
    size = {name: len(block[0]) for name, block in blocks.items()}

    def starts(keys, length):
        return dict(zip(keys, np.cumsum([0, *map(length, keys)])))

    task_starts = [starts(names, lambda name: size[name]) for names in tasks]
    kind_starts = [starts(list(dict.fromkeys(row)), lambda kind: size[kind[0]]) for row in rows]

    def shards(parts_of):
        """One array whose block on each device is the concatenation of the parts, filled up with zeros."""
        parts = [parts_of(device) for device in range(len(rows))]
        length = max(sum(map(len, row)) for row in parts)
        width = [max(sizes) for sizes in zip(*(part.shape[1:] for row in parts for part in row))]

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
        *(shards(lambda device, i=i: [blocks[task][i] for task in tasks[device]]) for i in range(3)),
        *(shards(lambda device, i=i: [returns[kind][i] for kind in dict.fromkeys(rows[device])]) for i in range(2)),
        offset=per_slot([task_starts[device][task] for device, (task, _) in where]),
        return_offset=per_slot([kind_starts[device][kind] for device, kind in where]),
        size=per_slot([size[task] for _, (task, _) in where]),
    )
