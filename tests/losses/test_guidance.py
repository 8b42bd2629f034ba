"""Advantage weights under property tests, and the linear Q term."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gtp_jax import losses


def gradient(loss, at):
    """Of the sum over examples."""
    return jax.grad(lambda x: jnp.sum(loss(x)))(at)


def close(actual, desired, tolerance=1e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


advantages_strategy = arrays(np.float32, 16, elements=st.floats(-1e3, 1e3, width=32))
weigh = jax.jit(losses.advantage_weights, static_argnames="truncate")
both_kinds = pytest.mark.parametrize("truncate", [True, False], ids=["truncated", "exponential"])


@given(advantages_strategy, st.floats(0, 100), st.floats(1, 1000))
def test_truncated_advantage_weights_lie_between_1_and_the_clip(advantages, eta, max_weight):
    weights = weigh(advantages, eta=eta, max_weight=max_weight)
    assert np.all((weights >= 1) & (weights <= max_weight * (1 + 1e-5)))


@given(advantages_strategy, st.floats(0, 100), st.floats(1, 1000))
def test_exponential_advantage_weights_lie_between_0_and_the_clip(advantages, eta, max_weight):
    weights = weigh(advantages, eta=eta, max_weight=max_weight, truncate=False)
    assert np.all((weights >= 0) & (weights <= max_weight * (1 + 1e-5)))


@both_kinds
@given(advantages_strategy, st.floats(0, 100))
def test_advantage_weights_increase_with_the_advantage(truncate, advantages, eta):
    assert np.all(np.diff(weigh(np.sort(advantages), eta=eta, truncate=truncate)) >= 0)


@both_kinds
@given(
    advantages_strategy.filter(lambda a: np.std(a) > 0.1 + 0.1 * np.abs(a).max()),  # or rounding decides the std
    st.floats(1, 1e3),
    st.floats(0, 3),
)
def test_advantage_weights_ignore_the_scale_of_rewards(truncate, advantages, scale, eta):
    first, second = (weigh(np.float32(c) * advantages, eta=eta, truncate=truncate) for c in (1.0, scale))
    np.testing.assert_allclose(first, second, rtol=1e-3)


@both_kinds
@given(advantages_strategy)
def test_advantage_weights_with_eta_0_are_ones(truncate, advantages):
    np.testing.assert_array_equal(weigh(advantages, eta=0.0, truncate=truncate), np.ones(16))


def test_truncated_advantage_weights_are_the_formula():
    advantages = np.array([-2.0, 0.0, 1.0, 3.0], np.float32)
    close(losses.advantage_weights(advantages, eta=0.5), np.exp(0.5 * np.maximum(advantages, 0) / advantages.std()))


def test_exponential_advantage_weights_are_the_formula():
    advantages = np.array([-2.0, 0.0, 1.0, 3.0], np.float32)
    weights = losses.advantage_weights(advantages, eta=0.5, truncate=False)
    close(weights, np.exp(0.5 * advantages / advantages.std()))


@pytest.mark.parametrize("truncate, least", [(True, 1.0), (False, 0.0)], ids=["truncated", "exponential"])
def test_advantage_weights_of_huge_advantages_are_the_clip_and_not_infinite(truncate, least):
    advantages = np.array([-1e18, 0.0, 1e18], np.float32)
    close(weigh(advantages, eta=1e6, max_weight=100.0, truncate=truncate), [least, 1.0, 100.0])


@both_kinds
@pytest.mark.parametrize("constant", [-5.0, 0.0, 1e-20, 5.0])
def test_advantage_weights_of_constant_advantages_are_ones(constant, truncate):
    np.testing.assert_array_equal(weigh(np.full(4, constant, np.float32), eta=3.0, truncate=truncate), np.ones(4))


@both_kinds
def test_no_gradient_reaches_the_advantages(truncate):
    advantages = jnp.arange(4.0)
    derivative = gradient(lambda a: losses.advantage_weights(a, eta=1.0, truncate=truncate), advantages)
    np.testing.assert_array_equal(derivative, np.zeros(4))


def test_linear_q_loss_is_the_formula():
    q = np.array([[1.0, -3.0, 5.0], [2.0, 2.0, -2.0]], np.float32)
    close(losses.linear_q_loss(q), -0.5 * (1.0 / 2.0 + (2 / 3) / 3.0))


def test_gradient_of_linear_q_loss_does_not_pass_the_normaliser():
    q = np.array([[1.0, -3.0, 5.0], [2.0, 2.0, -2.0]], np.float32)
    close(jax.grad(losses.linear_q_loss)(q), [[-0.5 / 3 / 2] * 3, [-0.5 / 3 / 3] * 3])


def test_linear_q_loss_ignores_the_scale_of_rewards():
    q = jax.random.normal(jax.random.key(0), (2, 16))
    close(losses.linear_q_loss(q), losses.linear_q_loss(1000 * q))


def test_linear_q_loss_of_critics_that_are_0_is_a_number():
    assert losses.linear_q_loss(jnp.zeros((2, 4))) == 0.0


def test_advantages_in_a_column_raise():
    with pytest.raises(AssertionError):
        losses.advantage_weights(np.ones((3, 1), np.float32), eta=1.0)


def test_linear_q_loss_of_one_critic_raises():
    with pytest.raises(AssertionError):
        losses.linear_q_loss(jnp.ones((1, 4)))
