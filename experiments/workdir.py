"""The working directory of a run: reopened only by the same config, used by one run at a time."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator

from gtp_jax import config as gtp_config
from gtp_jax import processes, results
from gtp_jax.errors import UserError
from gtp_jax.trust import refuse_links


class Workdir:
    """A working directory, made if it is not there.

    Args:
        path: where; None for runs/TASK-TIME.
        config: written to config.json.

    Raises:
        UserError: it cannot be used, holds a run of another config or version, or another run is using it.
    """

    def __init__(self, path: str | None, config):
        name = f"{config.tasks[0].replace('/', '-')}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        path = processes.gather(path or f"runs/{name}")[0]
        if any(other != _content(config) for other in processes.gather(_content(config))):
            raise UserError("the processes of this run were given different configs; give all of them the same")
        self.path = pathlib.Path(path).expanduser().absolute()
        self._lock = None
        with processes.together():
            if processes.is_first():
                self._open(config)

    def _open(self, config) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            refuse_links(self.path)
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the process ends, however it does
            except BlockingIOError:
                raise UserError(f"another run is using {self.path}; wait for it, or use another --workdir") from None
            refuse_other(self.path, config)
            results.write_json(self.path / "config.json", _content(config))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"working directory {self.path} cannot be used: {error}; use another --workdir") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Says in one line when the directory can no longer be written.

        Raises:
            UserError: the directory is gone, or something could not be written inside.
        """
        remedy = "the last checkpoint is good, and the same command goes on from it"
        if self._lock is not None and not os.fstat(self._lock).st_nlink:
            raise UserError(f"working directory {self.path} has been removed; put it back to go on, or begin again")
        try:
            yield
        except OSError as error:
            raise UserError(f"working directory {self.path} cannot be written: {error}; {remedy}") from error

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


def refuse_other(path: pathlib.Path, config) -> None:
    """Raises UserError if the directory holds something of a run with another config, and OSError or ValueError."""
    begun = [*path.glob("checkpoints/[0-9]*"), *path.glob("results.json")]
    if not begun:
        return  # there is nothing to mix up
    if not (path / "config.json").exists():
        raise UserError(f"{path} holds a run without its config.json; put it back, or use another --workdir")
    old = json.loads((path / "config.json").read_text())
    if not isinstance(old, dict) or "agents" not in old:
        raise UserError(f"{path} holds a run of another version of gtp_jax; use another --workdir")
    spelt_out = ("preset", "agent")  # in `agents`
    old, new = ({k: v for k, v in each.items() if k not in spelt_out} for each in (old, _content(config)))
    for field, (before, now) in _differences(old, new).items():
        raise UserError(f"{path} holds a run with {field} = {before}, not {now}; use another --workdir")


def _content(config) -> dict:
    # With every agent field spelt out, a run means the same when a preset changes.
    agents = {program.label: program.fields for program in gtp_config.programs(config)}
    content = json.loads(config.to_json()) | {"agents": agents}
    return json.loads(json.dumps(content))  # tuples become lists, as in the file


def _differences(old: dict, new: dict, prefix: str = "") -> dict[str, tuple]:
    found = {}
    for name in {**old, **new}:
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found |= _differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found[prefix + name] = (a, b)
    return found
