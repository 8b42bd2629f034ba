"""Processes that this one starts for work in Python and in simulators. They import no jax."""

import contextlib
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Iterator

CONTEXT = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def hidden_main() -> Iterator[None]:
    """While they are started: they would import the caller's main module, and with it jax; one they cannot find they
    leave alone."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def exit_with_parent() -> None:
    """Called in a child, as a killed parent cannot end it."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
