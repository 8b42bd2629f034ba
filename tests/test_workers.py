"""Workers make episodes in order, exactly as many transitions as asked for, and what goes wrong in one is heard."""

import contextlib
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


@pytest.mark.parametrize("num_transitions, num_workers", [(0, 1), (-5, 1), (10, 0)])
def test_counts_out_of_range_are_errors_at_once(num_transitions, num_workers):
    with pytest.raises(ValueError, match="need"):
        workers.episodes(Maker, "test", num_transitions, num_workers=num_workers, progress=False)
