"""Members and their data lie where they should: spread evenly, with nothing on a device that no member of it needs."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtp_jax import placement as placing


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


def devices_of(num_processes, per_process):
    return [SimpleNamespace(process_index=i) for i in range(num_processes) for _ in range(per_process)]


def test_where_the_number_does_not_divide_a_device_repeats_its_last_member():
    assert placing.over(devices_of(1, 4), 6).slots == (0, 1, 2, 3, 4, 4, 5, 5)


@given(processes=st.integers(1, 8), per_process=st.integers(1, 8), more=st.integers(0, 300))
def test_every_process_has_members_of_its_own(processes, per_process, more):
    devices, num_members = devices_of(processes, per_process), processes + more
    slots = np.reshape(placing.over(devices, num_members).slots, (processes, -1))
    assert [member for row in slots for member in np.unique(row)] == list(range(num_members))


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
    placement = placing.over(jax.devices()[:num_devices], len(kinds))
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


def test_what_stands_for_the_data_has_their_shapes():
    kinds = [("a", 0.5), ("a", 0.25), ("b", 0.5), ("b", 0.5)]
    placement = placing.over(jax.devices()[:2], 4)
    # Device 0 has 3 transitions with two discounts, device 1 has 5 with one; the fullest of each counts.
    like = placing.like(placement, *placing.lengths(placement, kinds, {"a": 3, "b": 5}), (2, 2))
    assert [leaf.shape for leaf in like] == [leaf.shape for leaf in place(kinds)]
