"""The way to the goal leads around walls, and is as long as the straight one where there are none."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gtp_jax import geodesics
from gtp_jax.tasks import get

UMAZE = get("antmaze/umaze")  # start (-4, -4) at one end of the U, goal (-4, 4) at the other
LATTICE = UMAZE.cell_size / geodesics.FINENESS
positions = st.tuples(st.floats(-5.9, 5.9), st.floats(-5.9, 5.9)).map(np.array)


def test_in_a_corridor_it_is_the_straight_line():
    steps = np.array([[step, 0.0] for step in range(5)])
    np.testing.assert_allclose(geodesics.distance(UMAZE)(UMAZE.goal_xy + steps), range(5), atol=1e-9)


def test_from_the_start_of_the_u_it_leads_around_the_wall():
    """Through it they are 8 m apart."""
    start = UMAZE.cell_centre(UMAZE.start)
    found = geodesics.distance(UMAZE)(start)
    straight = np.linalg.norm(start - UMAZE.goal_xy)
    round_the_corners = 2 * np.hypot(6, 2) + 4  # those of the wall's free end, 4 m apart
    assert straight < 0.6 * found and found == pytest.approx(round_the_corners, rel=0.1)


def test_inside_a_wall_there_is_no_way():
    assert np.isinf(geodesics.distance(UMAZE)(np.array([[0.0, 0.0], [-7.0, 0.0]]))).all()


@given(positions)
def test_no_way_is_shorter_than_the_straight_line(xy):
    assert geodesics.distance(UMAZE)(xy) >= np.linalg.norm(xy - UMAZE.goal_xy) - 2 * LATTICE


@given(positions, positions.map(lambda xy: xy / 20))
def test_a_small_step_changes_it_by_no_more_than_its_length(xy, step):
    here, there = geodesics.distance(UMAZE)(np.stack([xy, xy + step]))
    assume(np.isfinite([here, there]).all())
    assert abs(here - there) <= 1.09 * np.linalg.norm(step) + 3 * LATTICE
