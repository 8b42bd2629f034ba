"""Processes that make the episodes of a data set, which come in order. They import no jax."""

import collections
import concurrent.futures
import contextlib
import itertools
import signal
from collections.abc import Callable, Generator
from typing import Any

from tqdm import tqdm

from gtp_jax import children
from gtp_jax.cores import available_cores

_AHEAD = 4  # episodes a worker may be ahead of the reader
_make_maker = _maker = None  # of a worker process


def episodes(
    make_maker: Callable[[], Callable[[int], Any]],
    name: str,
    num_transitions: int,
    *,
    num_workers: int | None,
    progress: bool,
) -> Generator[Any]:
    """Episodes 0, 1, ... until there are so many transitions, the same for any number of workers.

    Close it to end the workers; a worker that was killed raises concurrent.futures.process.BrokenProcessPool.

    Args:
        make_maker: called once in each worker, so it must be picklable and its module import no jax. What it returns
            makes an episode of its index alone, and has a method `close`. Episodes have `num_transitions` and `cut(n)`,
            the first n of them, by which the last is made to fit.
        name: of the bar.
        num_transitions: > 0.
        num_workers: processes; one for each core this process may use if None.
        progress: whether to show a bar on stderr.

    Raises:
        ValueError: a count out of range.
    """
    if num_workers is None:
        num_workers = available_cores()
    if num_transitions < 1 or num_workers < 1:
        raise ValueError(f"need {num_transitions=} > 0 and {num_workers=} > 0")
    return _episodes(make_maker, name, num_transitions, num_workers, progress)


def _episodes(make_maker, name, num_transitions, num_workers, progress):
    with (
        contextlib.closing(_endless(make_maker, num_workers)) as made,
        tqdm(total=num_transitions, desc=name, unit=" transitions", unit_scale=True, disable=not progress) as bar,
    ):
        missing = num_transitions
        while missing:
            episode = next(made)
            episode = episode.cut(min(missing, episode.num_transitions))
            missing -= episode.num_transitions
            bar.update(episode.num_transitions)
            yield episode


def _endless(make_maker, num_workers):
    if num_workers == 1:
        with contextlib.closing(make_maker()) as maker:
            yield from map(maker, itertools.count())  # never ends
    executor = concurrent.futures.ProcessPoolExecutor(num_workers, children.CONTEXT, _start, (make_maker,))
    pending = collections.deque()
    try:
        for index in itertools.count():
            # Processes start on demand, when work is submitted; by SIGTERM the executor ends them if one has died.
            with children.starting(signal.SIGINT):
                pending.append(executor.submit(_make, index))
            if len(pending) > _AHEAD * num_workers:
                yield pending.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _start(make_maker: Callable) -> None:
    global _make_maker
    _make_maker = make_maker
    children.exit_with_parent()


def _make(index: int) -> Any:
    global _maker
    if _maker is None:  # not in `_start`, whose errors do not reach the caller
        _maker = _make_maker()
    return _maker(index)
