"""A bandit: a single state, discount 0, actions near -0.6 (reward 0) and near +0.6 (reward 1) in equal numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gtp_jax import agent
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import AgentState, Batch

NUM_STEPS = 1000
KEY = jax.random.key(1)

# Settings with which an agent learns it in moments.
SMALL = {"hidden_dims": (32, 32), "critic_hidden_dims": (64,), "learning_rate": 3e-3, "critic_learning_rate": 3e-3}


def bandit_data() -> Batch:
    better = np.arange(128) % 2
    noise = 0.05 * np.random.default_rng(0).normal(size=128)
    action = (0.6 * (2 * better - 1) + noise).astype(np.float32)[:, None]
    return Batch(
        np.zeros((128, 1), np.float32), action, np.float32(better), np.ones((128, 1), np.float32), np.zeros(128)
    )


def with_numbers_of(config: AgentConfig, state: AgentState) -> AgentState:
    """A config's numbers have effect through the state."""
    return state._replace(numbers=jax.tree.map(jnp.float32, config.numbers))


@functools.partial(jax.jit, static_argnames="config")
def metrics_of_update(state, batch, config):
    """Those that need no gradient, which then is not compiled."""
    _, metrics = agent.update(with_numbers_of(config, state), KEY, batch, config=config, num_steps=NUM_STEPS)
    return {name: value for name, value in metrics.items() if not name.endswith("grad_norm")}
