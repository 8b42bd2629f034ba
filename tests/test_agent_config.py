"""The agent's settings: a bad value is refused by name, and a good one has the effect that it names."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bandit import KEY, NUM_STEPS, SMALL, bandit_data, metrics_of_update

from gtp_jax import actor, agent, schedules
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import AgentState
from gtp_jax.objectives import OBJECTIVES

pytestmark = pytest.mark.usefixtures("quick_compilation")
NAN, INFINITY = float("nan"), float("inf")
BAD = {
    "hidden_dims": [(256, 0), (-1,), (2.5,)],
    "critic_hidden_dims": [(0,), (256, -256), (2.5,)],
    "objective": ["", "ddpm"],
    "sampler": ["", "rk45"],
    "spacing": ["vp"],
    "action_gain": [0.0, -1.0, NAN],
    "sigma_min": [0.0, -1.0, NAN],
    "sigma_max": [0.002, 0.001, -1.0, INFINITY, NAN],
    "sigma_last": [-0.1, 0.001, 3.0, NAN],
    "rho": [0.0, -7.0, INFINITY],
    "min_intervals": [0, -10],
    "max_intervals": [9, 0, 10**6 + 1],
    "zero_share": [-0.1, 1.1, NAN],
    "distance": ["", "huber"],
    "time_weight": ["inverse"],
    "target": ["EMA"],
    "consistency_coef": [-0.1, NAN, INFINITY],
    "flow_coef": [-0.1, NAN, INFINITY],
    "solver": ["rk4"],
    "solver_steps": [0, -1],
    "action_chunk": [0, -1, 11],
    "learning_rate": [0.0, -1e-3, NAN],
    "critic_learning_rate": [0.0, -1e-3, INFINITY],
    "max_grad_norm": [0.0, -1.0, INFINITY],
    "ema_decay": [-0.1, 1.1, NAN],
    "guidance": ["none", ""],
    "eta": [-1.0, NAN, INFINITY, -INFINITY],
    "max_weight": [0.5, NAN, INFINITY],
    "critic": ["iql", ""],
    "discount": [-0.1, 1.01, NAN],
    "reward_scale": [0.0, -1.0, NAN],
    "num_step_returns": [0, -1],
    "expectile": [-0.1, 1.1, NAN],
    "target_rate": [-0.1, 1.1, NAN],
    "target_sampling_steps": [0],
    "backup_samples": [0, -1],
    "num_candidates": [0, -3],
    "candidate_temperature": [-1.0, NAN, INFINITY],
}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_in_one_line_that_names_it(name, value):
    with pytest.raises(ValueError) as error:
        AgentConfig(**{name: value}).validate()
    assert str(error.value).startswith(f"agent.{name} = ")
    assert str(value) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_field_has_a_value_that_is_refused():
    """But for switches, which have no bad one."""
    switches = {"truncate_weights"}
    assert {field.name for field in dataclasses.fields(AgentConfig)} - switches == BAD.keys()


def test_guidance_by_q_is_refused_where_the_critic_judges_without():
    with pytest.raises(ValueError, match="agent.critic = 'value' judges without Q"):
        AgentConfig(critic="value", guidance="q").validate()


EDGES = {"eta": 0.0, "flow_coef": 0.0, "max_weight": 1.0, "discount": 1.0, "min_intervals": 1, "max_intervals": 10}


def test_without_a_critic_a_chunk_may_be_longer_than_a_return():
    AgentConfig(action_chunk=20, eta=0.0).validate()


@pytest.mark.parametrize("name", EDGES)
def test_a_bound_itself_is_allowed(name):
    AgentConfig(**{name: EDGES[name]}).validate()


def test_equal_configs_hash_alike():
    assert len({AgentConfig(), AgentConfig(), AgentConfig(eta=1.0)}) == 2


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        AgentConfig().eta = 1.0


@pytest.mark.parametrize("eta, uses_critic", [(0.0, False), (0, False), (1e-3, True), (3.0, True)])
def test_a_critic_is_used_unless_eta_is_0(eta, uses_critic):
    assert AgentConfig(eta=eta).uses_critic is uses_critic


def test_candidates_are_ranked_by_a_critic_with_eta_0_too():
    assert AgentConfig(eta=0.0, num_candidates=2).uses_critic


# ---------------------------------------------------------------- the configured objective


@functools.cache
def fresh() -> AgentState:
    init = functools.partial(agent.init, action_dim=1, config=AgentConfig(eta=0.0, **SMALL), num_steps=NUM_STEPS)
    return jax.jit(init)(KEY, jnp.zeros(1), jnp.ones(1))


def metrics_of_first_update(poison_ema=False, **choices):
    """Of a fresh agent on one transition, where means are the value itself; one interval, so t and u are known."""
    choices = {"min_intervals": 1, "max_intervals": 1, "time_weight": "uniform", "distance": "squared", **choices}
    config = AgentConfig(eta=0.0, **SMALL, **choices)
    state = fresh()
    if poison_ema:
        state = state._replace(actor_ema=jax.tree.map(lambda x: x * jnp.nan, state.actor_ema))
    batch = jax.tree.map(lambda x: jnp.float32(x[:1]), bandit_data())
    return metrics_of_update(state, batch, config)


def test_the_distance_is_the_configured_one():
    squared = metrics_of_first_update(distance="squared")["consistency_loss"]
    huber = metrics_of_first_update(distance="pseudo_huber")["consistency_loss"]
    np.testing.assert_allclose(huber, np.sqrt(squared + 0.03**2) - 0.03, rtol=1e-5)


def test_the_weight_in_time_is_the_configured_one():
    uniform = metrics_of_first_update(time_weight="uniform")["consistency_loss"]
    weighted = metrics_of_first_update(time_weight="inverse_gap")["consistency_loss"]
    np.testing.assert_allclose(weighted, uniform / (3.0 - 0.002), rtol=1e-5)


@pytest.mark.parametrize("target", ["online", "ema"])
def test_the_network_behind_the_target_is_the_configured_one(target):
    loss = metrics_of_first_update(target=target, poison_ema=True)["consistency_loss"]
    assert np.isnan(loss) == (target == "ema")


@pytest.mark.parametrize("objective", ["gtp", "ctm"])
def test_each_term_counts_by_its_coefficient(objective):
    metrics = metrics_of_first_update(objective=objective, consistency_coef=0.5, flow_coef=0.25)
    np.testing.assert_allclose(
        metrics["actor_loss"], 0.5 * metrics["consistency_loss"] + 0.25 * metrics["flow_loss"], rtol=1e-5
    )


def test_the_solver_of_ctm_is_the_configured_one():
    losses = {metrics_of_first_update(objective="ctm", **choice)["consistency_loss"].item() for choice in SOLVERS}
    assert len(losses) == len(SOLVERS)


SOLVERS = [{"solver": "euler"}, {"solver": "heun"}, {"solver": "euler", "solver_steps": 3}]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_metrics_name_the_terms_of_the_configured_objective(objective):
    terms = {"regression": {"regression"}, "consistency": {"consistency"}}
    terms |= dict.fromkeys(["diffusion", "flow_matching", "mean_flow"], {"flow"})
    metrics = metrics_of_first_update(objective=objective)
    expected = {f"{term}_loss" for term in terms.get(objective, {"consistency", "flow"})}
    assert {name for name in metrics if name.endswith("_loss")} == expected | {"actor_loss"}


def test_the_share_of_tau_at_0_is_the_configured_one():
    """With all of it there, on a grid where chance hardly finds it, the term is that of a consistency model."""
    fine = {"min_intervals": 1000, "max_intervals": 1000}
    none, all_of_it = (metrics_of_first_update(zero_share=share, **fine)["consistency_loss"] for share in (0.0, 1.0))
    expected = metrics_of_first_update(objective="consistency", **fine)["consistency_loss"]
    np.testing.assert_allclose(all_of_it, expected, rtol=1e-5)
    assert abs(none / expected - 1) > 1e-3


def test_the_samplers_last_stop_is_the_configured_one():
    schedule = actor.schedule_of(AgentConfig(sigma_last=0.7))
    np.testing.assert_allclose(schedules.sampling_times(schedule, 3)[-2], 0.7, rtol=1e-5)


def test_noisy_actions_reach_the_network_times_the_configured_gain():
    x, t, tau = jnp.array([[0.3], [-0.7]]), jnp.array([1.0, 0.5]), jnp.array([0.1, 0.0])

    def phi(params, **choices):
        config = AgentConfig(eta=0.0, **SMALL, **choices)
        return actor.phi_of(config, params, jnp.zeros((2, 1)), jnp.ones(1))(x, t, tau)

    params = jax.tree.map(lambda leaf: leaf + 0.1, fresh().actor)  # the last layer's begin at 0
    double = jax.tree_util.tree_map_with_path(lambda path, leaf: leaf * (1 + ("kernel_1" in str(path))), params)
    np.testing.assert_allclose(phi(params, action_gain=2.0), phi(double), rtol=1e-5)
    assert np.abs(phi(params, action_gain=2.0) - phi(params)).max() > 1e-3
