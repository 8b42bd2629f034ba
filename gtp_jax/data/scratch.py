"""Folders in which files are made before they appear where they belong."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Iterator

_PREFIX = f".gtp_jax-{socket.gethostname()}-"  # on some shared file systems a lock is known to one host alone


@contextlib.contextmanager
def folder(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden folder below `place`, from where a rename is atomic, that is gone at the end.

    What killed processes of this host have left there goes at the start: nobody holds the lock in it.
    """
    for lock in place.glob(f"{_PREFIX}*/lock"):
        with contextlib.suppress(OSError), lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place, ignore_cleanup_errors=True) as name:
        path = pathlib.Path(name)
        with (path / "unlocked").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.rename(path / "unlocked", path / "lock")  # so that nobody finds it free
            yield path
