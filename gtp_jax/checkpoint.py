"""Orbax checkpoints of a population: atomic, asynchronous, the last two kept."""

import copy
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from gtp_jax.errors import UserError


class Checkpoints:
    """The checkpoints of one working directory.

    A checkpoint holds the training state and a small dictionary that JSON can hold. It appears under its step only when
    it is complete, so a kill at any time leaves the last complete one.
    """

    def __init__(self, workdir: pathlib.Path):
        options = ocp.CheckpointManagerOptions(max_to_keep=2)
        self._manager = ocp.CheckpointManager((workdir / "checkpoints").absolute(), options=options)

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, state, progress: dict) -> None:
        """Starts writing and returns; state and progress may change at once, since copies are written."""
        state, progress = jax.tree.map(jnp.copy, state), copy.deepcopy(progress)
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress))
        self._manager.save(step, args=args)

    def progress(self) -> dict:
        """The dictionary of the latest checkpoint.

        Raises:
            UserError: it is damaged.
        """
        return self._restore(progress=ocp.args.JsonRestore())

    def restore(self, like):
        """The state of the latest checkpoint in NumPy, laid out as `like`, but for the length of the first axes.

        Raises:
            UserError: it is damaged or of another structure.
        """
        # Orbax takes NumPy for a wish to have NumPy back, wherever the arrays were; these take no memory.
        like = jax.tree.map(lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), like)
        return self._restore(state=ocp.args.StandardRestore(like))

    def _restore(self, **item):
        (name,) = item
        try:
            return self._manager.restore(self.latest_step, args=ocp.args.Composite(**item))[name]
        except Exception as error:  # on damaged files Orbax raises nearly everything there is
            folder = self._manager.directory / str(self.latest_step)
            problem = f"{type(error).__name__}: {error}".splitlines()[0].split(" [")[0]
            raise UserError(
                f"checkpoint {folder} cannot be restored ({problem}); move it away to use the one before"
            ) from error

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()
