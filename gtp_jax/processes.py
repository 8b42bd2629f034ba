"""Several processes of one run, on one machine or many: joining them, and the little that they tell each other.

Each computes its own members on its own devices. What they have to agree on, a few numbers a second, goes through
`gather`, which every process has to call equally often and in the same order.
"""

import contextlib
import json
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from gtp_jax.errors import UserError

SILENCE = 30  # seconds after which a process counts as gone


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Makes this process one of several, before JAX has been used for anything.

    Args:
        coordinator: HOST:PORT at which process 0 can be reached; None to have JAX find out all three, as it can on TPU
            pods, under SLURM, Open MPI and Kubernetes.
        num_processes: of the run.
        process_id: of this one, from 0.

    A process that others do not join within five minutes is ended by JAX, with status 134 and a report of JAX's own.

    Raises:
        UserError: there is nothing to join, or not in this way.
    """
    # It would take SIGTERM for itself, to be asked about it at certain points; `cli.note_signals` hears it sooner.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id, heartbeat_timeout_seconds=SILENCE)
    except (RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"the processes of this run did not find each other: {problem}") from error


def is_first() -> bool:
    """Whether this process writes what is written once."""
    return jax.process_index() == 0


def gather(content) -> list:
    """What each process gave, in their order; waits for all of them. It has to be such that JSON can hold it.

    Raises:
        UserError: a process is gone.
    """
    if jax.process_count() == 1:
        return [content]
    text = np.frombuffer(json.dumps(content).encode(), np.uint8)
    try:
        lengths = multihost_utils.process_allgather(np.int32(len(text)))
        room = max(1024, 1 << int(lengths.max() - 1).bit_length())  # of few lengths, since each is a program
        texts = multihost_utils.process_allgather(np.pad(text, (0, room - len(text))))
    except (RuntimeError, ValueError) as error:  # of the network
        raise UserError("another process of this run is gone; start all of them again to go on") from error
    return [json.loads(text[:length].tobytes()) for text, length in zip(texts, lengths)]


def gather_rows(rows: dict[str, list]) -> list:
    """All members' rows, one program after another, of those that each process has of each program."""
    parts = gather(rows)
    return [row for label in rows for part in parts for row in part[label]]


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What one process must refuse with a `UserError` all refuse; else the others would wait for it."""
    problem = None
    try:
        yield
    except UserError as error:
        problem = str(error)
    if found := [each for each in gather(problem) if each]:
        raise UserError(found[0])
