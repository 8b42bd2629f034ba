"""metrics.jsonl and TensorBoard events of one run."""

import json
import math
import pathlib

import tensorboardX


class MetricsLogger:
    """Writes per-member scalars. Both files hold each step once, also after a resume.

    Args:
        workdir: where metrics.jsonl and the events go.
        names: of the members, in order; TensorBoard shows each as a run of its own.
        step: of the checkpoint that training starts from; what was logged after it is dropped.
    """

    def __init__(self, workdir: pathlib.Path, names: list[str], step: int):
        path = workdir / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        # A killed run may leave its last line incomplete.
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        with path.open("ab") as file:
            file.truncate(len("".join(kept).encode()))  # steps only grow, so what is kept comes first
        self._file = path.open("a", buffering=1)
        self._boards = [
            tensorboardX.SummaryWriter(str(workdir / "tensorboard" / name), purge_step=step + 1) for name in names
        ]

    def write(self, step: int, metrics: dict[str, list[float | None]]) -> None:
        """Appends one line: {"step": ..., metric: [one value a member], ...}; null stands for what is not finite.

        A member that has no such metric has None.
        """

        def finite(value):
            return value if value is not None and math.isfinite(value) else None

        line = {name: [finite(value) for value in values] for name, values in metrics.items()}
        self._file.write(json.dumps({"step": step, **line}) + "\n")
        for name, values in metrics.items():
            for board, value in zip(self._boards, values, strict=True):
                if value is not None:
                    board.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        for board in self._boards:
            board.close()
