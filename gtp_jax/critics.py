"""The critics: the paper's (TD with K-step samples of the actor), implicit Q-learning, and V of the data's own returns.

The last two never sample.
"""

import chex
import jax
import jax.numpy as jnp

from gtp_jax import losses, networks
from gtp_jax.actor import sample
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import AgentState, Batch, Params


def q_values(config: AgentConfig, critic: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
    """(2, B) values of normalised observations (B, O) and actions (B, D)."""
    return networks.QEnsemble(config.critic_hidden_dims).apply(critic["q"], obs, action)


def state_values(config: AgentConfig, critic: Params, obs: jax.Array) -> jax.Array:
    """(B,) values of normalised observations, by the expectile network."""
    return networks.ValueNetwork(config.critic_hidden_dims).apply(critic["v"], obs)


def init(config: AgentConfig, key_q: chex.PRNGKey, key_v: chex.PRNGKey, obs: jax.Array, action: jax.Array) -> Params:
    """Fresh parameters of the networks that the configured critic consists of, for (1, O) and (1, D) like these."""
    critic = {}
    if config.critic != "value" or config.num_candidates > 1:
        critic["q"] = networks.QEnsemble(config.critic_hidden_dims).init(key_q, obs, action)
    if config.critic != "td":
        critic["v"] = networks.ValueNetwork(config.critic_hidden_dims).init(key_v, obs)
    return critic


def _td_critic(config: AgentConfig, state: AgentState, critic: Params, key: chex.PRNGKey, batch: Batch):
    """Twin Q on K-step actions of the EMA actor; A = Q(s, a) - Q(s, a_pi), a_pi ~ actor (GTP, section 4).

    Of several actions at the next state each Q takes its best: the max-Q backup of Kumar et al. (2020), arXiv
    2006.04779, as in Diffusion-QL.
    """
    size, samples = len(batch.reward), config.backup_samples
    obs = jnp.tile(batch.next_obs, (samples, 1))
    if config.guidance == "weights":  # one call for both; an actor that ascends Q has no use for advantages
        obs = jnp.concatenate([obs, batch.obs])
    sampled = sample(config, state.actor_ema, key, obs, state.action_mask, config.target_sampling_steps)
    values = q_values(config, state.critic_target, obs, sampled).reshape(2, -1, size)
    target = losses.td_target(batch.reward, batch.discount, jnp.max(values[:, :samples], axis=1))
    q = q_values(config, critic, batch.obs, batch.action)
    loss = jnp.mean(losses.td_critic_loss(q, target))
    if config.guidance == "q":
        return loss, (jnp.min(q, axis=0), None)
    q_target = q_values(config, state.critic_target, batch.obs, batch.action)
    return loss, (jnp.min(q_target, axis=0), jnp.min(values[:, samples], axis=0))


def _expectile_critic(config: AgentConfig, state: AgentState, critic: Params, key: chex.PRNGKey, batch: Batch):
    """Implicit Q-learning (arXiv 2110.06169): V is an upper expectile of the target Q over the data's actions."""
    del key  # draws nothing
    q_target = jnp.min(q_values(config, state.critic_target, batch.obs, batch.action), axis=0)
    values = state_values(config, critic, batch.obs)
    next_values = state_values(config, critic, batch.next_obs)
    target = losses.td_target(batch.reward, batch.discount, next_values[None])
    q = q_values(config, critic, batch.obs, batch.action)
    value_loss = losses.expectile_loss(values, q_target, expectile=config.expectile)
    return jnp.mean(losses.td_critic_loss(q, target) + value_loss), (q_target, values)


def _value_critic(config: AgentConfig, state: AgentState, critic: Params, key: chex.PRNGKey, batch: Batch):
    """V, an upper expectile of what n steps of the data came to; A = n-step return + gamma^n V(s_n) - V(s).

    Action-free as in HIQL (Park et al., 2023, arXiv 2307.11949, eq. 4 and 6). A Q has to tell from one action where the
    next n steps will lead; here the data say where they led, luck included. Where actions are to be ranked, a Q learns
    from the same targets, and V and the weights do not look at it.
    """
    del key  # draws nothing
    next_values = state_values(config, state.critic_target, batch.next_obs)
    target = losses.td_target(batch.reward, batch.discount, next_values[None])
    values = state_values(config, critic, batch.obs)
    loss = losses.expectile_loss(values, target, expectile=config.expectile)
    if "q" in critic:
        loss += losses.td_critic_loss(q_values(config, critic, batch.obs, batch.action), target)
    return jnp.mean(loss), (target, values)


# (config, state, critic's parameters, key, batch) -> loss, and of every example what its action is worth (the target's
# Q; of value what n steps came to; of td under guidance by q the learning Q) and the value that its advantage is over
# (None of td under guidance by q).
CRITICS = {"td": _td_critic, "expectile": _expectile_critic, "value": _value_critic}
