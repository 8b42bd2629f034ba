"""The objectives that configs/ablations.py registers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ablations
from gtp_jax import losses, schedules

KEY = jax.random.key(0)
ACTIONS = jax.random.normal(jax.random.key(1), (8, 2))
SCHEDULE = schedules.karras(0.002, 3.0, sigma_last=0.2)


def curved(gain):
    """A surrogate map whose one step does not end where its two do."""
    return lambda x, t, tau: jnp.tanh(gain * x + (t - tau)[:, None])


def taught_by_two(phi, phi_target, num_intervals=1000, **options):
    options = {"time_weight": losses.inverse_gap_weight, "zero_share": 0.5, **options}
    return ablations.taught_by_two_loss(
        phi, phi_target, KEY, ACTIONS, schedule=SCHEDULE, num_intervals=num_intervals, **options
    )


def test_one_step_has_nothing_to_learn_from_two_that_end_at_the_same_place():
    def to_a_point(x, t, tau):
        return 0.3 * jnp.ones_like(x)

    np.testing.assert_allclose(taught_by_two(to_a_point, to_a_point)[1].one_step, 0.0, atol=1e-6)


@pytest.mark.parametrize("num_intervals, coefficient", [(100, 0.0), (101, 3.0)])
def test_two_steps_teach_one_once_the_grid_is_fine(num_intervals, coefficient):
    loss, parts = taught_by_two(curved(1.0), curved(2.0), num_intervals)
    assert parts.one_step > 0.01
    np.testing.assert_allclose(loss, parts.consistency + parts.flow + coefficient * parts.one_step, rtol=1e-5)


def test_two_steps_learn_nothing_from_one():
    gradient = jax.grad(lambda gain: taught_by_two(curved(1.0), curved(gain))[1].one_step)(2.0)
    assert gradient == 0


def test_an_example_without_weight_teaches_nothing():
    assert taught_by_two(curved(1.0), curved(2.0), weights=jnp.zeros(8))[0] == 0
