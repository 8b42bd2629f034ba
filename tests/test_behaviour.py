"""What is looked at is one action a step, whatever the agent makes at once."""

import jax
import numpy as np

from experiments import behaviour
from gtp_jax import agent
from gtp_jax.agent_config import AgentConfig
from gtp_jax.population import Member, Program
from gtp_jax.tasks import get

PLANE = get("multigoal")


def test_trajectories_of_chunks_are_those_of_their_first_actions():
    config = AgentConfig(eta=0.0, hidden_dims=(16,), action_chunk=2)
    program = Program("chunks", (Member("multigoal", 0, config),))
    obs_dim, action_dim = program.widths(PLANE.widths)
    state = agent.init(jax.random.key(0), np.zeros(obs_dim), np.ones(obs_dim), action_dim, config=config, num_steps=10)
    found = behaviour.trajectories(PLANE, program, jax.tree.map(lambda leaf: leaf[None], state), (1, 2), 0)
    assert {k: path.shape for k, path in found.items()} == {1: (2, 1000, 2), 2: (3, 1000, 2)}
