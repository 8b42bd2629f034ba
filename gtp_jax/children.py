"""Processes that this one starts for work in Python and in simulators. They import no jax."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from multiprocessing import resource_tracker

CONTEXT = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def starting(*unheard: signal.Signals) -> Iterator[None]:
    """While they are started: keeps the caller's main module and some signals from them.

    They would import that module, and with it jax; one they cannot find they leave alone. A terminal or a scheduler
    signals all processes, but only this one knows what has to be done before the end.
    """
    resource_tracker.ensure_running()  # whose start would lift the block
    main, before = sys.modules["__main__"], signal.pthread_sigmask(signal.SIG_BLOCK, unheard)
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_with_parent() -> None:
    """Called in a child, as a killed parent cannot end it."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
