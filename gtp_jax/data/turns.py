"""Processes that want the same data take turns, so that the first makes them and the others find them."""

import fcntl
import pathlib
from collections.abc import Callable


def once(is_there: Callable[[], bool], make: Callable[[], object], lock: pathlib.Path) -> bool:
    """Makes what is not there; whether it had to.

    Args:
        lock: a file for those who want the same; it is left behind, its folder is made.
    """
    if is_there():
        return False
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the process ends, however it does
        if is_there():
            return False
        make()
        return True
