"""metrics.jsonl and TensorBoard events of one run."""

import contextlib
import json
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar


class MetricsLogger:
    """Writes per-member scalars. Both files hold each step once, also after a resume.

    Args:
        workdir: where metrics.jsonl and the events go.
        names: of the members that this process holds, in order; TensorBoard shows each as a run of its own.
        step: of the checkpoint that training starts from; what was logged after it is dropped.
        is_first: whether this process writes metrics.jsonl, which holds all members of all processes.
    """

    def __init__(self, workdir: pathlib.Path, names: Sequence[str], step: int, *, is_first: bool = True):
        self._file = _open(workdir / "metrics.jsonl", step) if is_first else None
        # `SummaryWriter` would write from a thread for each member, which dies unheard of when the disk is full.
        self._boards = [_board(workdir / "tensorboard" / name, step) for name in names]

    def write(self, step: int, held: Sequence[Mapping[str, float]], everyone: Sequence[Mapping[str, float]]) -> None:
        """Appends one line, {"step": ..., metric: [one value a member], ...}, and the events of one step.

        Args:
            held: metrics of each member that this process holds.
            everyone: of each member of all processes. Members need not have the same ones; null stands for what one
                does not have and for what is not finite.
        """
        if self._file:
            names = dict.fromkeys(name for metrics in everyone for name in metrics)
            values = {name: [metrics.get(name) for metrics in everyone] for name in names}
            finite = {n: [v if v is not None and math.isfinite(v) else None for v in vs] for n, vs in values.items()}
            self._file.write(json.dumps({"step": step, **finite}) + "\n")
        for board, metrics in zip(self._boards, held, strict=True):
            for name, value in metrics.items():
                board.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
            board.flush()

    def close(self) -> None:
        """Never raises: what cannot be written now could not be written before, which `write` has said."""
        for file in filter(None, [self._file, *self._boards]):
            with contextlib.suppress(OSError):
                file.close()


def _board(folder: pathlib.Path, step: int) -> EventsWriter:
    """A file of events, which take the place of all after a step."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventsWriter(str(folder / "events"))
    writer.write_event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))
    return writer


def _open(path: pathlib.Path, step: int) -> TextIO:
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    # A killed run may leave its last line incomplete.
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    with path.open("ab") as file:
        file.truncate(len("".join(kept).encode()))  # steps only grow, so what is kept comes first
    return path.open("a", buffering=1)
