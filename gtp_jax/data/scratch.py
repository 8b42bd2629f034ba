"""Folders in which files are made before they appear where they belong."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

_PREFIX = ".gtp_jax-"


@contextlib.contextmanager
def folder(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden folder below `place`, from where a rename is atomic, that is gone at the end.

    What processes that were killed have left there goes at the start: nobody holds the lock of theirs.
    """
    for lock in place.glob(f"{_PREFIX}*/lock"):
        with contextlib.suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place, ignore_cleanup_errors=True) as name:
        path = pathlib.Path(name)
        with (path / "unlocked").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.rename(path / "unlocked", path / "lock")  # so that nobody finds it free
            yield path
