"""Distances and weights in time: gradients by hand, and what they are in the limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gtp_jax import losses
from gtp_jax.schedules import Times

B, D = 6, 3
A, Z = np.random.default_rng(0).normal(size=(2, B, D)).astype(np.float32)
TIMES = Times(np.full(B, 1.5, np.float32), np.full(B, 1.0, np.float32), np.linspace(0, 1, B, dtype=np.float32))


def gradient(loss, at):
    """Of the sum over examples."""
    return jax.grad(lambda x: jnp.sum(loss(x)))(at)


def close(actual, desired, tolerance=1e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


def test_squared_error_sums_over_the_last_axis():
    close(losses.squared_error(A, Z), [sum((a - z) ** 2) for a, z in zip(A, Z)])


def test_gradient_of_squared_error():
    close(gradient(lambda a: losses.squared_error(a, Z), A), 2 * (A - Z))


def test_gradient_of_pseudo_huber():
    norm = np.sqrt(np.sum((A - Z) ** 2, axis=1, keepdims=True) + 0.3**2)
    close(gradient(lambda a: losses.pseudo_huber(a, Z, scale=0.3), A), (A - Z) / norm)


def test_pseudo_huber_is_quadratic_in_small_errors():
    small = np.array([[3e-3, 4e-3]], np.float32)
    close(losses.pseudo_huber(small, 0 * small, scale=1.0), [25e-6 / 2], 1e-7)


def test_pseudo_huber_keeps_its_digits_in_tiny_errors():
    tiny = jnp.array([[1e-6, 0.0]])
    np.testing.assert_allclose(losses.pseudo_huber(tiny, 0 * tiny, scale=0.03), [1e-12 / 0.06], rtol=1e-5)


def test_pseudo_huber_is_linear_in_large_errors():
    large = np.array([[300.0, 400.0]], np.float32)
    close(losses.pseudo_huber(large, 0 * large, scale=0.03), [500 - 0.03])


def test_gradient_of_pseudo_huber_at_no_error_is_0():
    np.testing.assert_array_equal(gradient(lambda a: losses.pseudo_huber(a, A), A), np.zeros_like(A))


def test_uniform_weight_is_1():
    np.testing.assert_array_equal(losses.uniform_weight(TIMES), np.ones(B))


def test_inverse_gap_weight_is_one_over_t_minus_u():
    close(losses.inverse_gap_weight(TIMES), np.full(B, 2.0))


MISSHAPED = {
    "squared error: another batch": lambda: losses.squared_error(A, Z[:1]),
    "pseudo-Huber: another width": lambda: losses.pseudo_huber(A, Z[:, :1]),
}


@pytest.mark.parametrize("call", MISSHAPED.values(), ids=MISSHAPED)
def test_a_wrong_shape_raises(call):
    with pytest.raises(AssertionError):
        call()
