"""Presets: each is valid, can be a static argument and learns, and published ones have their published settings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bandit import SMALL, bandit_data

from gtp_jax import agent
from gtp_jax.objectives import OBJECTIVES
from gtp_jax.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_is_valid(preset):
    preset.validate()


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
    "consistency_ac": {
        "guidance": "q",
        "sigma_max": 80.0,
        "min_intervals": 2,
        "max_intervals": 150,
        "time_weight": "inverse_gap",
        "eta": 0.01,
    },
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
