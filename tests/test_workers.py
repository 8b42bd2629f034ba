"""Workers make episodes in order, exactly as many transitions as asked for, and what goes wrong in one is heard."""

import contextlib
import signal
from typing import NamedTuple

import pytest

from gtp_jax.data import workers


class Episode(NamedTuple):
    index: int
    num_transitions: int

    def cut(self, num_transitions):
        return self._replace(num_transitions=num_transitions)


class Maker:
    """Longer episodes the later they are."""

    def __call__(self, index):
        return Episode(index, index + 1)

    def close(self):
        pass


class Deaf(Maker):
    """Whose episodes say by their length whether it hears Ctrl-C: 1 if not, or else 2."""

    def __call__(self, index):
        return Episode(index, 1 if signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()) else 2)


def broken():
    raise ValueError("no simulator here")


def made(num_transitions, num_workers, make=Maker):
    found = workers.episodes(make, "test", num_transitions, num_workers=num_workers, progress=False)
    with contextlib.closing(found):
        return [tuple(episode) for episode in found]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_episodes_come_in_order_and_the_last_is_cut(num_workers):
    assert made(12, num_workers) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 2)]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_what_is_wrong_with_a_maker_is_what_the_caller_hears(num_workers):
    with pytest.raises(ValueError, match="no simulator here"):
        made(1, num_workers, broken)


def test_workers_do_not_hear_what_a_terminal_sends_to_all():
    assert made(2, 2, Deaf) == [(0, 1), (1, 1)]


@pytest.mark.parametrize("num_transitions, num_workers", [(0, 1), (-5, 1), (10, 0)])
def test_counts_out_of_range_are_errors_at_once(num_transitions, num_workers):
    with pytest.raises(ValueError, match="need"):
        workers.episodes(Maker, "test", num_transitions, num_workers=num_workers, progress=False)
