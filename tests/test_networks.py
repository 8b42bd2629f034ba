"""Networks: Mish is Mish at every size, times are told apart, and ensemble members and examples are independent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gtp_jax import networks, schedules

KEY = jax.random.key(0)
EXTREMES = np.array([-1e30, -1e4, -100.0, -20.0, -3.0, -1e-6, 0.0, 1e-6, 3.0, 19.9, 20.1, 100.0, 1e4, 1e30])

# ---------------------------------------------------------------- Mish


def test_mish_is_x_tanh_softplus_even_at_extremes():
    expected = EXTREMES * np.tanh(np.logaddexp(0, EXTREMES))
    np.testing.assert_allclose(networks.mish(np.float32(EXTREMES)), expected, rtol=1e-5, atol=1e-20)


def test_gradient_of_mish_is_its_derivative_even_at_extremes():
    with np.errstate(over="ignore"):
        tanh, sigmoid = np.tanh(np.logaddexp(0, EXTREMES)), 1 / (1 + np.exp(-EXTREMES))
    expected = tanh + EXTREMES * (1 - tanh**2) * sigmoid
    gradient = jax.vmap(jax.grad(networks.mish))(np.float32(EXTREMES))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)


# ---------------------------------------------------------------- time embedding


def test_time_embedding_is_finite_at_0():
    assert np.all(np.isfinite(networks.time_embedding(jnp.zeros(1))))


@pytest.mark.parametrize("sigma_max", [3.0, 80.0])
def test_time_embedding_tells_all_levels_of_the_finest_grid_apart(sigma_max):
    schedule = schedules.karras(0.002, sigma_max)
    levels = schedules.grid_point(schedule, jnp.arange(-1, 1281), 1280)
    embedded = np.asarray(networks.time_embedding(levels))
    distances = np.linalg.norm(embedded[:, None] - embedded[None], axis=-1) + np.eye(len(levels))
    assert distances.min() > 1e-3


# ---------------------------------------------------------------- the solution map's network

INPUTS = (*jax.random.normal(KEY, (2, 4, 3)), jnp.full(4, 1.0), jnp.full(4, 0.5))  # obs, x, t, tau


@pytest.fixture(scope="module")
def network():
    """A function of (obs, x, t, tau) with random parameters."""
    module = networks.SolutionMapNetwork((8, 8), 3)
    params = jax.jit(module.init)(KEY, *INPUTS)
    return jax.jit(lambda *inputs: module.apply(params, *inputs))


def test_network_gives_an_action_for_each_example(network):
    assert network(*INPUTS).shape == (4, 3)


@pytest.mark.parametrize("index", range(4), ids=["obs", "x", "t", "tau"])
def test_network_hears_each_of_its_inputs(network, index):
    changed = [2 * x if i == index else x for i, x in enumerate(INPUTS)]
    assert np.all(network(*changed) != network(*INPUTS))


def test_network_treats_each_example_by_itself(network):
    changed = [x.at[0].add(1.0) for x in INPUTS]
    np.testing.assert_array_equal(network(*changed)[1:], network(*INPUTS)[1:])


# ---------------------------------------------------------------- layers


def test_a_joint_layer_is_a_dense_layer_on_the_concatenation():
    inputs = (jnp.ones((2, 3)), 2 * jnp.ones((2, 5)))
    layer = networks.JointDense(4)
    params = layer.init(KEY, *inputs)
    kernel = jnp.concatenate([params["params"]["kernel_0"], params["params"]["kernel_1"]])
    np.testing.assert_allclose(layer.apply(params, *inputs), jnp.concatenate(inputs, axis=-1) @ kernel, rtol=1e-5)


def test_a_joint_layer_begins_with_variance_one_over_all_its_inputs():
    params = networks.JointDense(1000).init(KEY, jnp.ones((1, 30)), jnp.ones((1, 10)))["params"]
    for kernel in (params["kernel_0"], params["kernel_1"]):
        np.testing.assert_allclose(np.var(kernel), 1 / 40, rtol=0.05)


# ---------------------------------------------------------------- critics


@pytest.fixture(scope="module")
def ensemble():
    """(module, parameters) of three Q functions."""
    module = networks.QEnsemble((8,), num_members=3)
    return module, jax.jit(module.init)(KEY, *INPUTS[:2])


def test_ensemble_gives_each_members_value_of_each_example(ensemble):
    module, params = ensemble
    assert module.apply(params, *INPUTS[:2]).shape == (3, 4)


def test_ensemble_members_begin_different(ensemble):
    module, params = ensemble
    values = module.apply(params, *INPUTS[:2])
    assert len(np.unique(values)) == values.size


def test_gradient_of_one_members_loss_leaves_the_others_alone(ensemble):
    module, params = ensemble
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(module.apply(params, *INPUTS[:2])[1] ** 2)))(params)
    for leaf in jax.tree.leaves(gradient):
        assert np.any(leaf[1] != 0)
        np.testing.assert_array_equal(leaf[np.array([0, 2])], 0.0)


def test_value_network_gives_one_value_an_example():
    module = networks.ValueNetwork((8,))
    values, _ = jax.jit(lambda obs: module.init_with_output(KEY, obs))(INPUTS[0])
    assert values.shape == (4,)
