"""GTP's theorems, measured: the order of the closed-form score's bias, and the policy that weights lead to."""

import jax
import numpy as np
import pytest

from gtp_jax import schedules, theory


@pytest.mark.parametrize("t, tau", [(1.0, 0.01), (0.5, 0.1), (0.5, 0.4)])
def test_theorem_1_the_targets_bias_is_of_second_order_in_the_gap(t, tau):
    """As the error of one step of Euler."""
    gaps = [t * share for share in (0.05, 0.025, 0.0125, 0.00625)]
    order = theory.order(gaps, [theory.target_gap(t, gap, tau) for gap in gaps])
    assert order.low > 1.85 and order.high < 2.15


def test_theorem_1_the_maps_bias_is_of_first_order_in_the_grid():
    schedule, counts = schedules.karras(0.01, 1.0), [80, 160, 320, 640]
    order = theory.order(1 / np.array(counts), [theory.fixed_point_gap(n, schedule) for n in counts])
    assert order.low > 0.9 and order.high < 1.1


def test_the_order_of_a_power_is_its_exponent():
    sizes = np.array([0.1, 0.2, 0.4, 0.8])
    np.testing.assert_allclose(theory.order(sizes, 3 * sizes**1.5), [1.5, 1.5, 1.5], atol=1e-6)


def test_the_policy_with_eta_0_is_the_behaviour():
    for truncate in (True, False):
        np.testing.assert_allclose(theory.improved_policy(0.0, truncate), theory.BEHAVIOUR)


@pytest.mark.parametrize("truncate", [False, True], ids=["exponential", "truncated"])
def test_theorem_2_weighted_training_ends_in_the_tilted_policy(truncate):
    """And in the one of its own weights, which truncation makes another."""
    learned = theory.learned_policy(jax.random.key(0), 1.0, truncate)
    assert theory.total_variation(learned, theory.improved_policy(1.0, truncate)) < 0.06
    assert theory.total_variation(learned, theory.improved_policy(1.0, not truncate)) > 0.1
