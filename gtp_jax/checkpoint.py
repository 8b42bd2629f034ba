"""Orbax checkpoints of a population: atomic, asynchronous, the last two kept."""

import contextlib
import copy
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from gtp_jax.errors import UserError

ALWAYS_ALLOWED = 2**30  # bytes that a state may take, whatever its files
LARGEST_RATIO = 10  # of a larger state to its files; trained ones have 1.1, and a few kB of zeros can stand for TB


class Checkpoints:
    """The checkpoints of one working directory, which may come from a stranger.

    A checkpoint holds the training state and a small dictionary that JSON can hold. It appears under its step only when
    it is complete, so a kill at any time leaves the last complete one.

    Args:
        workdir: the directory; in it they lie in `checkpoints`.
        read_only: leave what is there as it is, since a run may be going on.
    """

    def __init__(self, workdir: pathlib.Path, *, read_only: bool = False):
        folder = (workdir / "checkpoints").absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, read_only=read_only, create=not read_only, cleanup_tmp_directories=not read_only
        )
        handlers = {"state": ocp.StandardCheckpointHandler(), "progress": ocp.JsonCheckpointHandler()}
        try:
            self._manager = ocp.CheckpointManager(folder, options=options, item_handlers=handlers)
        except Exception as error:  # on damaged files Orbax raises nearly everything there is
            problem = _first_line(error)
            raise UserError(f"checkpoints {folder} cannot be read ({problem}); use another --workdir") from error

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, state, progress: dict) -> None:
        """Starts writing and returns; state and progress may change at once, since copies are written.

        Raises:
            UserError: the checkpoint before could not be written.
        """
        state, progress = jax.tree.map(jnp.copy, state), copy.deepcopy(progress)
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress))
        with self._writing():
            self._manager.save(step, args=args)

    def wait(self) -> None:
        """Waits for what is being written.

        Raises:
            UserError: it could not be.
        """
        with self._writing():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise nearly everything there is
            problem = _first_line(error)
            raise UserError(
                f"no checkpoint could be written to {self._manager.directory} ({problem}); make it writable, with room "
                "enough, and the same command goes on from the last good one"
            ) from error

    def progress(self) -> dict:
        """The dictionary of the latest checkpoint.

        Raises:
            UserError: it is damaged.
        """
        with self._reading():
            args = ocp.args.Composite(progress=ocp.args.JsonRestore())
            return self._manager.restore(self.latest_step, args=args)["progress"]

    def restore(self, like):
        """The state of the latest checkpoint in NumPy.

        Args:
            like: arrays or `jax.ShapeDtypeStruct`s laid out like it.

        Raises:
            UserError: it is damaged, of other arrays, or far larger than its files.
        """
        # Orbax takes NumPy for a wish to have NumPy back, wherever the arrays were; these take no memory.
        numpy_like = jax.tree.map(lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), like)
        with self._reading():
            self._check(like)
            args = ocp.args.Composite(state=ocp.args.StandardRestore(numpy_like))
            return self._manager.restore(self.latest_step, args=args)["state"]

    def restore_members(self, like: Mapping[str, Any]) -> dict[str, Any]:
        """The states of each program in NumPy, with a row for each member, from a checkpoint with a row for each slot.

        Its progress says in `slots` which member each row of a program is.

        Args:
            like: as of `restore`, with a row for each member.

        Raises:
            UserError: as `restore`.
        """
        progress = self.progress()
        with self._reading():
            slots = {label: progress["slots"][label] for label in like}
            rows = {label: _first_rows(slots[label], len(jax.tree.leaves(like[label])[0])) for label in like}

        def with_slots(label):
            shape = len(slots[label])
            return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((shape, *leaf.shape[1:]), leaf.dtype), like[label])

        def with_members(states, chosen):
            return jax.tree.map(lambda leaf: leaf[chosen], states)

        saved = self.restore({label: with_slots(label) for label in like})
        return {label: with_members(saved.pop(label), rows[label]) for label in like}

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # on damaged files Orbax raises nearly everything there is
            folder = self._manager.directory / str(self.latest_step)
            problem = _first_line(error)
            raise UserError(
                f"checkpoint {folder} cannot be restored ({problem}); move it away to use the one before"
            ) from error

    def _check(self, like) -> None:
        """Raises ValueError before memory is taken for what a few bytes only claim to hold, or what is not `like`."""
        saved, known = _by_path(self._manager.item_metadata(self.latest_step)["state"].tree), _by_path(like)
        if unknown := sorted(saved.keys() - known.keys()):
            raise ValueError(f"it has {unknown[0]}, which this version of gtp_jax has not")
        for path, leaf in known.items():
            shape = saved[path].shape if path in saved else None
            if shape != leaf.shape:
                raise ValueError(f"{path} has shape {shape}, not {leaf.shape}")
        arrays = saved.values()
        if any(piece > max(1, size) for a in arrays for piece, size in zip(a.storage.chunk_shape, a.shape)):
            raise ValueError("an array is stored in pieces larger than itself")
        size = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)
        folder = pathlib.Path(self._manager.directory, str(self.latest_step))
        files = sum(path.stat().st_size for path in folder.rglob("*"))
        if size > max(ALWAYS_ALLOWED, LARGEST_RATIO * files):
            raise ValueError(f"its state would take {size / 1e9:.0f} GB, its files have {files / 1e9:.3f} GB")

    def close(self) -> None:
        """Waits for what is being written; raises as `wait` does."""
        with self._writing():
            self._manager.close()


def _first_rows(slots: Sequence[int], num_members: int) -> np.ndarray:
    first = {}
    for row, member in enumerate(slots):
        first.setdefault(member, row)
    return np.array([first[member] for member in range(num_members)])


def _first_line(error: Exception) -> str:
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return re.split(r" \[(?!Errno)", line)[0]  # TensorStore goes on in brackets, for long


def _by_path(tree) -> dict:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
