"""Members and their data lie where they should: spread evenly, with nothing on a device that no member of it needs."""

import jax
import numpy as np
import pytest

from gtp_jax import placement as placing
from gtp_jax.placement import Placement


@pytest.mark.parametrize(
    "num_members, num_devices, per_device", [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2), (5, 2, 3), (12, 2, 6)]
)
def test_the_fullest_device_holds_as_few_members_as_can_be(num_members, num_devices, per_device):
    assert jax.device_count() == 2
    placement = placing.spread(num_members)
    assert (len(placement.devices), placement.per_device) == (num_devices, per_device)


def test_programs_that_need_one_device_take_turns():
    assert [placing.spread(1, turn).devices for turn in range(3)] == [(jax.devices()[i],) for i in (0, 1, 0)]


def test_programs_that_need_all_devices_have_them():
    assert len(placing.spread(4, turn=1).devices) == 2


def test_where_the_number_does_not_divide_the_last_member_is_repeated():
    assert placing.spread(3).slots.tolist() == [0, 1, 2, 2]


def test_a_repeat_is_left_out_of_results():
    placement = placing.spread(3)
    assert placement.held_of("abc") == ("a", "b", "c")
    assert placement.held_rows(placement.put(np.array([5, 6, 7]))).tolist() == [5, 6, 7]


def place(kinds, num_devices=2):
    """Task "a" has 3 transitions, "b" 5 and a wider observation; rewards tell task and discount."""
    sizes, widths = {"a": 3, "b": 5}, {"a": 1, "b": 2}
    blocks = {
        task: tuple(np.full((size, width), size, np.float32) for width in (widths[task], 2, widths[task]))
        for task, size in sizes.items()
    }
    returns = {(t, g): (np.full(sizes[t], sizes[t] + g), np.full(sizes[t], g)) for t, g in kinds}
    placement = Placement(len(kinds), tuple(jax.devices()[:num_devices]), len(kinds) // num_devices)
    return jax.device_get(placing.place(placement, kinds, blocks, returns, (2, 2)))


def test_a_device_holds_the_tasks_of_its_own_members_alone():
    data = place([("a", 0.5), ("a", 0.5), ("b", 0.5), ("b", 0.5)])
    assert data.obs.shape == (2, 5, 2)
    assert set(data.obs[0, :3, 0]) == {3.0} and set(data.obs[0, 3:, 0]) == {0.0} and set(data.obs[1, :, 0]) == {5.0}


def test_every_member_finds_its_task():
    data = place([("a", 0.5), ("b", 0.5)], num_devices=1)
    for slot, size in enumerate((3, 5)):
        start = data.offset[slot]
        assert data.size[slot] == size and set(data.obs[0, start : start + size, 0]) == {float(size)}


def test_members_with_other_discounts_share_observations():
    data = place([("a", 0.5), ("a", 0.25)], num_devices=1)
    assert data.obs.shape[1] == 3 and data.reward.shape[1] == 6
    assert [data.reward[0, start] for start in data.return_offset] == [3.5, 3.25]
    assert [data.discount[0, start] for start in data.return_offset] == [0.5, 0.25]


def test_a_narrower_task_is_filled_up_with_zeros():
    data = place([("a", 0.5), ("b", 0.5)], num_devices=1)
    assert not np.any(data.obs[0, :3, 1]) and np.all(data.obs[0, 3:, 1])


def test_the_bytes_of_data_are_those_that_placing_takes():
    kinds = [("a", 0.5), ("a", 0.25), ("b", 0.5), ("b", 0.5)]
    placement = Placement(4, tuple(jax.devices()[:2]), 2)
    data = place(kinds)
    taken = sum(column[0].nbytes for column in (data.obs, data.action, data.next_obs, data.reward, data.discount))
    # Device 0 has 3 transitions with two discounts, device 1 has 5 with one; the fullest of each counts.
    assert placing.data_bytes(placement, kinds, {"a": 3, "b": 5}, (2, 2)) == taken
