"""Batches that the host draws and sends are those that a device would draw, and training ends with the same bits."""

import contextlib
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from test_population import (
    NUM_UPDATES,
    Member,
    assert_same_bits,
    begin,
    columns_of,
    crowd,
    no_metrics,
    on_devices,
    row,
    settings_of,
    trained,
    widest,
)

from gtp_jax import feeding, population


def train_streamed(members, num_devices: int, calls=(NUM_UPDATES,)):
    placement = on_devices(len(members), num_devices)
    states, sums = begin(members, placement), no_metrics(members, placement)
    update = population.trainer(mesh=placement.mesh, **settings_of(members))
    streamed = feeding.Streamed(placement, *columns_of(members), widest(members), keys=states.key, batch_size=32)
    with contextlib.closing(streamed) as feed:
        step = 0
        for num_updates in calls:
            block, most = feed(step)
            assert num_updates <= most
            states, sums = update(states, sums, block, np.int32(num_updates))
            step += num_updates
    return states, sums


@pytest.mark.parametrize("name, num_devices", [("cloning", 1), ("td", 2)])
def test_training_from_the_host_ends_with_the_same_bits(name, num_devices):
    members = crowd(name)
    expected = trained(members, num_devices)[:2]
    assert_same_bits(row(train_streamed(members, num_devices), slice(None)), row(expected, slice(None)))


def test_so_it_does_for_tasks_of_other_widths():
    members = (*crowd("cloning")[:2], Member("plane", 0, crowd("cloning")[0].config))
    assert_same_bits(row(train_streamed(members, 1), slice(None)), row(trained(members)[:2], slice(None)))


def test_one_block_follows_another_and_where_it_is_interrupted_makes_no_difference(monkeypatch):
    monkeypatch.setattr(feeding, "LONGEST_BLOCK", 4)
    members = crowd("cloning")
    found = train_streamed(members, 1, (3, 1, 4, 2))
    assert_same_bits(row(found, slice(None)), row(trained(members)[:2], slice(None)))


def test_a_block_is_no_larger_than_it_may_be(monkeypatch):
    members = crowd("cloning")  # of 29 and 8 numbers: an update of 6 members takes 6 * 32 * 68 * 4 bytes
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 3 * 6 * 32 * 68 * 4)
    placement = on_devices(len(members), 1)
    keys = begin(members, placement).key
    streamed = feeding.Streamed(placement, *columns_of(members), widest(members), keys=keys, batch_size=32)
    with contextlib.closing(streamed) as feed:
        block, most = feed(0)
    assert most == 3 and sum(column.nbytes for column in block.columns) == feeding.BLOCK_BYTES


@pytest.mark.parametrize("num_bytes, fits", [(900, True), (901, False)])
def test_what_fits_leaves_a_tenth_of_what_is_free(num_bytes, fits):
    device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 1100, "bytes_in_use": 100})
    assert feeding.fits(device, num_bytes) == fits


def test_everything_fits_on_a_device_that_does_not_tell():
    assert feeding.fits(jax.devices()[0], 10**15)
