"""Where a population's batches come from: data that lie on the devices, or, where they are too large for that, on the
host, which draws with the same keys and sends a block of batches ahead. Training is the same, bit for bit as far as
XLA compiles the same sums alike (`docs/reliability.md`).

A device has room if the compiled program and the copy that a checkpoint is written from fit beside the data. Of blocks
it holds two, at most `BLOCK_BYTES` each.
"""

import concurrent.futures
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gtp_jax.errors import UserError
from gtp_jax.placement import Data, Placement, draw
from gtp_jax.population import update_keys

BLOCK_BYTES = 2**27  # of the batches that a device is sent at once,
LONGEST_BLOCK = 64  # which are of so many updates if they are small


class Block(NamedTuple):
    """The batches of L updates of each slot; in the place of `placement.Data`."""

    columns: tuple[jax.Array, ...]  # (slots, L, B, ...) each: those of `agent_state.Batch`
    start: jax.Array  # (slots,) int32: which of them comes first

    @property
    def per_slot(self) -> tuple[jax.Array, ...]:
        return *self.columns, self.start

    def batch(self, own, key: jax.Array, i: jax.Array, batch_size: int) -> tuple[jax.Array, ...]:
        """Inside the program, the columns (B, ...) of a member's batch at the i-th update of a call."""
        del key, batch_size  # the host has used them
        *columns, start = own
        return tuple(column[start + i] for column in columns)


class Resident:
    """Data on the devices; an update draws its batch there."""

    def __init__(self, data: Data):
        self._data = data

    def __call__(self, step: int) -> tuple[Data, int | None]:
        """What updates from `step` on learn from, and how many may; None: any number."""
        return self._data, None


class Streamed:
    """Data on the host; while the devices work on one block of batches, a thread draws and sends the next.

    Args:
        keys: (slots, 2) uint32, root keys of this process's slots.
        The others are those of `placement.place`.

    Raises:
        UserError: JAX was told to leave out the CPU.
    """

    def __init__(
        self,
        placement: Placement,
        kinds: Sequence[tuple[str, float]],
        blocks: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
        returns: Mapping[tuple[str, float], tuple[np.ndarray, np.ndarray]],
        widths: tuple[int, int],
        *,
        keys: np.ndarray,
        batch_size: int,
    ):
        try:
            self._cpu = jax.local_devices(backend="cpu")[0]
        except RuntimeError as error:
            raise UserError("batches are drawn by the CPU; add it to JAX_PLATFORMS, as in cuda,cpu") from error
        obs_dim, action_dim = widths
        local = [kinds[slot] for slot in placement.local_slots]
        obs, action, next_obs = zip(*(blocks[task] for task, _ in local))
        reward, discount = zip(*(returns[kind] for kind in local))
        self._sharding, self._keys, self._batch_size = placement.sharding, np.asarray(keys), batch_size
        self._sources = (obs, action, reward, next_obs, discount)  # of each slot
        self._widths = ((obs_dim,), (action_dim,), (), (obs_dim,), ())
        self._sizes = np.array([len(each) for each in obs], np.int32)
        update_bytes = 4 * placement.per_device * batch_size * (2 * obs_dim + action_dim + 2)
        self._length = min(LONGEST_BLOCK, max(1, BLOCK_BYTES // update_bytes))
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._ahead: dict[int, concurrent.futures.Future] = {}

    def __call__(self, step: int) -> tuple[Block, int]:
        """What updates from `step` on learn from, and how many may."""
        number, start = divmod(step, self._length)
        self._ahead = {
            n: self._ahead[n] if n in self._ahead else self._thread.submit(self._draw, n) for n in (number, number + 1)
        }
        starts = jax.device_put(np.full(len(self._sizes), start, np.int32), self._sharding)
        return Block(self._ahead[number].result(), starts), self._length - start

    def _draw(self, number: int) -> tuple[jax.Array, ...]:
        shape = {"length": self._length, "batch_size": self._batch_size}
        with jax.default_device(self._cpu):
            index = np.asarray(_indices(self._keys, self._sizes, number * self._length, **shape))
        columns = []
        for sources, width in zip(self._sources, self._widths):
            column = np.zeros((*index.shape, *width), np.float32)
            for row, source, chosen in zip(column, sources, index):
                row[(..., *map(slice, source.shape[1:]))] = source[chosen]
            columns.append(jax.device_put(column, self._sharding))
        return tuple(columns)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


@functools.partial(jax.jit, static_argnames=("length", "batch_size"))
def _indices(keys, sizes, step, *, length: int, batch_size: int):
    """(slots, length, B): which transitions each slot's updates from `step` on learn from."""

    def of_update(key, size, step):
        return draw(update_keys(key, step)[0], batch_size, size)

    of_slot = jax.vmap(of_update, in_axes=(None, None, 0))
    return jax.vmap(of_slot, in_axes=(0, 0, None))(keys, sizes, step + jnp.arange(length))


def fits(device: jax.Device, num_bytes: int) -> bool:
    """Whether a device has room for so much beside what it holds now, with a tenth to spare."""
    stats = device.memory_stats()  # None on CPU, where data are on the host anyway
    return stats is None or num_bytes <= 0.9 * (stats["bytes_limit"] - stats["bytes_in_use"])
