"""Losses of critics: gradients by hand, and what no gradient flows into."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gtp_jax import losses


def gradient(loss, at):
    """Of the sum over examples."""
    return jax.grad(lambda x: jnp.sum(loss(x)))(at)


def close(actual, desired, tolerance=1e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


Q = np.array([[1.0, 2.0, 3.0], [0.5, 4.0, 3.5]], np.float32)
TARGET = np.array([1.5, 3.0, 3.0], np.float32)


def test_td_target_bootstraps_from_the_least_of_the_ensemble():
    close(losses.td_target(np.ones(3), np.full(3, 0.9), Q), 1 + 0.9 * np.array([0.5, 2.0, 3.0]))


def test_td_target_of_a_terminal_is_the_reward():
    close(losses.td_target(np.array([1.0, 2.0, 3.0]), np.zeros(3), Q), [1.0, 2.0, 3.0])


def test_no_gradient_reaches_the_next_values():
    target = lambda q: losses.td_target(np.ones(3), np.full(3, 0.9), q)  # noqa: E731
    np.testing.assert_array_equal(gradient(target, Q), np.zeros_like(Q))


def test_td_critic_loss_sums_over_the_ensemble():
    close(losses.td_critic_loss(Q, TARGET), np.sum((Q - TARGET) ** 2, axis=0))


def test_gradient_of_td_critic_loss():
    close(gradient(lambda q: losses.td_critic_loss(q, TARGET), Q), 2 * (Q - TARGET))


def test_gradient_of_expectile_loss():
    """-2 (target - value), times the expectile below the target and its complement above."""
    values = np.array([1.0, 4.0, 2.0], np.float32)
    by_hand = gradient(lambda v: losses.expectile_loss(v, TARGET, expectile=0.9), values)
    close(by_hand, [-2 * 0.9 * 0.5, -2 * 0.1 * -1.0, -2 * 0.9 * 1.0])


def test_expectile_one_half_is_half_the_squared_error():
    close(losses.expectile_loss(Q[0], TARGET, expectile=0.5), 0.5 * (Q[0] - TARGET) ** 2)


@pytest.mark.parametrize("loss", [losses.td_critic_loss, lambda q, x: losses.expectile_loss(q[0], x, expectile=0.9)])
def test_no_gradient_reaches_a_critics_target(loss):
    np.testing.assert_array_equal(gradient(lambda target: loss(Q, target), TARGET), np.zeros(3))


COLUMN = np.ones((3, 1), np.float32)

MISSHAPED = {
    "TD target: a column of discounts": lambda: losses.td_target(TARGET, COLUMN, Q),
    "TD target: no ensemble": lambda: losses.td_target(TARGET, TARGET, TARGET),
    "TD target: one value for all": lambda: losses.td_target(TARGET, TARGET, Q[:, :1]),
    "TD loss: no ensemble": lambda: losses.td_critic_loss(TARGET, TARGET),
    "TD loss: a column of targets": lambda: losses.td_critic_loss(Q, COLUMN),
    "TD loss: one target for all": lambda: losses.td_critic_loss(Q, TARGET[:1]),
    "expectile: a column of targets": lambda: losses.expectile_loss(TARGET, COLUMN, expectile=0.9),
}


@pytest.mark.parametrize("call", MISSHAPED.values(), ids=MISSHAPED)
def test_a_wrong_shape_raises(call):
    with pytest.raises(AssertionError):
        call()
