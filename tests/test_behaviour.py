"""What is looked at is one action a step, whatever the agent makes at once."""

import jax
import numpy as np

from experiments import behaviour
from gtp_jax import agent, population
from gtp_jax import placement as placing
from gtp_jax.agent_config import AgentConfig
from gtp_jax.population import Member, Program
from gtp_jax.tasks import get

PLANE = get("multigoal")


def test_trajectories_are_of_the_tasks_own_member_though_another_task_is_wider():
    config = AgentConfig(eta=0.0, hidden_dims=(16,))
    members = tuple(Member(name, 0, config) for name in ("pointmaze/umaze", "multigoal"))
    program, widths = Program("two", members), {member.task: get(member.task).widths for member in members}
    statistics = {
        name: (np.zeros(width, np.float32), np.ones(width, np.float32)) for name, (width, _) in widths.items()
    }
    placement = placing.spread(2)
    states = population.init(program, widths, statistics, num_steps=10, placement=placement)
    alone = Program("one", members[1:])
    state = population.init(alone, widths, statistics, num_steps=10, placement=placing.spread(1))
    found = behaviour.trajectories(PLANE, program, placement.held_rows(states), (2,), 0)
    expected = behaviour.trajectories(PLANE, alone, state, (2,), 0)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-4, atol=1e-5)


def test_trajectories_of_chunks_are_those_of_their_first_actions():
    config = AgentConfig(eta=0.0, hidden_dims=(16,), action_chunk=2)
    program = Program("chunks", (Member("multigoal", 0, config),))
    obs_dim, action_dim = program.widths(PLANE.widths)
    state = agent.init(jax.random.key(0), np.zeros(obs_dim), np.ones(obs_dim), action_dim, config=config, num_steps=10)
    found = behaviour.trajectories(PLANE, program, jax.tree.map(lambda leaf: leaf[None], state), (1, 2), 0)
    assert {k: path.shape for k, path in found.items()} == {1: (2, 1000, 2), 2: (3, 1000, 2)}
