"""The actor: a solution map on a network, and the actions that are sampled from it."""

import chex
import jax
import jax.numpy as jnp

from gtp_jax import networks, sampling, schedules, solution_map
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import Params
from gtp_jax.objectives import OBJECTIVES


def schedule_of(config: AgentConfig) -> schedules.Schedule:
    rho = None if config.spacing == "linear" else config.rho
    return schedules.Schedule(config.sigma_min, config.sigma_max, rho, sigma_last=config.sigma_last)


def init_actor(config: AgentConfig, key: chex.PRNGKey, obs: jax.Array, action: jax.Array) -> Params:
    """Fresh parameters, for observations and actions like these: (1, O) and (1, D)."""
    t = jnp.ones(1)
    return networks.SolutionMapNetwork(config.hidden_dims, action.shape[-1]).init(key, obs, action, t, t)


def phi_of(config: AgentConfig, params: Params, obs: jax.Array, mask: jax.Array) -> solution_map.SurrogateMap:
    """The surrogate map of an actor at normalised observations (B, O).

    It neither sees nor moves what the mask (D,) hides, where all actions are 0: there the map carries noise to noise on
    a straight line, which costs no loss.
    """

    def network(x, t, tau):
        module = networks.SolutionMapNetwork(config.hidden_dims, x.shape[-1])
        return module.apply(params, obs, config.action_gain * x, t, tau)

    phi = solution_map.surrogate_map(network, schedule_of(config))
    return lambda x, t, tau: mask * phi(mask * x, t, tau)


def sampler_of(config: AgentConfig, num_steps: int) -> str:
    """Name in `sampling.STEPS` of how the configured map is sampled in K steps."""
    if config.sampler == "denoise" and num_steps == 1:  # from noise alone it would be the mean of all actions
        return "map"
    return OBJECTIVES[config.objective].step if config.sampler == "auto" else config.sampler


def trajectory(config: AgentConfig, actor: Params, key: chex.PRNGKey, obs: jax.Array, mask: jax.Array, num_steps: int):
    """From noise to actions in K steps: (K + 1, B, D) at normalised observations (B, O), not clipped."""
    name = sampler_of(config, num_steps)
    num_steps = 1 if name == "mean" else num_steps  # all are the same
    phi, shape, schedule = phi_of(config, actor, obs, mask), (obs.shape[0], len(mask)), schedule_of(config)

    def phi_at_one_level(x, t, tau):  # all examples share t and tau, so one embedding of each is enough
        return phi(x, t[:1], tau[:1])

    return sampling.trajectory(
        phi_at_one_level, key, shape, schedule=schedule, num_steps=num_steps, step=sampling.STEPS[name]
    )


def sample(
    config: AgentConfig, actor: Params, key: chex.PRNGKey, obs: jax.Array, mask: jax.Array, num_steps: int
) -> jax.Array:
    """Actions (B, D) in [-1, 1]: where a `trajectory` ends."""
    return jnp.clip(trajectory(config, actor, key, obs, mask, num_steps)[-1], -1.0, 1.0)
