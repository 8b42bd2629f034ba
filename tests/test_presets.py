"""Settings: every preset is valid, can be a static argument and learns, and every bad value is refused by name."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bandit import SMALL, bandit_data

from gtp_jax import agent
from gtp_jax.agent_config import AgentConfig
from gtp_jax.objectives import OBJECTIVES
from gtp_jax.presets import PRESETS

NAN, INFINITY = float("nan"), float("inf")
BAD = {
    "hidden_dims": [(256, 0), (-1,), (2.5,)],
    "critic_hidden_dims": [(0,), (256, -256), (2.5,)],
    "objective": ["", "ddpm"],
    "sampler": ["", "rk45"],
    "spacing": ["vp"],
    "sigma_min": [0.0, -1.0, NAN],
    "sigma_max": [0.002, 0.001, -1.0, INFINITY, NAN],
    "sigma_last": [-0.1, 3.0, NAN],
    "rho": [0.0, -7.0, INFINITY],
    "min_intervals": [0, -10],
    "max_intervals": [9, 0],
    "zero_share": [-0.1, 1.1, NAN],
    "distance": ["", "huber"],
    "time_weight": ["inverse"],
    "target": ["EMA"],
    "consistency_coef": [-0.1, NAN, INFINITY],
    "flow_coef": [-0.1, NAN, INFINITY],
    "solver": ["rk4"],
    "solver_steps": [0, -1],
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


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_is_valid(preset):
    preset.validate()


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


EDGES = {"eta": 0.0, "flow_coef": 0.0, "max_weight": 1.0, "discount": 1.0, "min_intervals": 1, "max_intervals": 10}


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


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith("bc") and name != "td3_bc"])
def test_a_preset_that_clones_has_no_critic(name):
    assert not PRESETS[name].uses_critic


def test_every_objective_has_a_preset():
    assert {preset.objective for preset in PRESETS.values()} == OBJECTIVES.keys()


# design.md, section 7, and the papers.
PUBLISHED = {
    "paper": {
        "sigma_max": 80.0,
        "sigma_last": 0.0,
        "zero_share": 0.0,
        "ema_decay": 0.995,
        "min_intervals": 10,
        "max_intervals": 1280,
        "discount": 0.99,
    },
    "diffusion_ql": {"guidance": "q", "num_candidates": 50, "target_sampling_steps": 5, "target_rate": 0.005},
    "consistency_ac": {"guidance": "q", "sigma_max": 80.0, "min_intervals": 2, "max_intervals": 150},
    "idql": {"critic": "expectile", "expectile": 0.9, "eta": 0.0, "candidate_temperature": 0.0},
    "iql": {"critic": "expectile", "expectile": 0.9, "eta": 10.0, "max_weight": 100.0, "discount": 0.99},
    "td3_bc": {"guidance": "q", "eta": 2.5, "critic": "td"},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_system_has_its_published_settings(name):
    assert {field: getattr(PRESETS[name], field) for field in PUBLISHED[name]} == PUBLISHED[name]


# ---------------------------------------------------------------- learning


@functools.cache
def cloned_pair(preset: str) -> np.ndarray:
    """What two members of a preset do after 300 updates on the bandit, cloning: (2, 256)."""
    config = dataclasses.replace(PRESETS[preset], **SMALL)
    data = jax.tree.map(jnp.float32, bandit_data())

    @jax.jit
    @jax.vmap
    def train_and_act(key):
        state = agent.init(key, jnp.zeros(1), jnp.ones(1), 1, config=config, num_steps=300)
        update = functools.partial(agent.update, batch=data, config=config, num_steps=300)
        state, _ = jax.lax.scan(update, state, jax.random.split(key, 300))
        return agent.act(state, key, jnp.zeros((256, 1)), config=config, num_steps=5)[:, 0]

    return np.asarray(train_and_act(jax.random.split(jax.random.key(1), 2)))


# Without guidance the others are one of these.
GENERATIVE = ["default_bc", "gtp_bc", "ctm_bc", "consistency_bc", "shortcut_bc", "mean_flow_bc", "flow_bc"]
GENERATIVE += ["diffusion_bc"]


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize("preset", GENERATIVE)
def test_every_generative_preset_learns_both_modes_under_vmap_and_scan(preset):
    shares = np.mean(cloned_pair(preset) > 0, axis=1)
    assert np.all((shares > 0.2) & (shares < 0.8))


@pytest.mark.usefixtures("quick_compilation")
def test_the_unimodal_preset_learns_the_mean():
    np.testing.assert_allclose(cloned_pair("bc"), 0.0, atol=0.1)
