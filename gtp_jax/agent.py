"""One agent: a fresh one, one update on one batch, and acting. Pure functions, ready for vmap and scan.

The actor is a solution map trained by one of `objectives.OBJECTIVES`, guided by advantage weights or by a linear Q
term; the critic is one of `critics.CRITICS`. With eta = 0, and one action a decision, there is none: its fields are
None and cost nothing.
"""

import dataclasses
import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from gtp_jax import critics, losses, sampling, schedules, solution_map
from gtp_jax.actor import init_actor, phi_of, sample, schedule_of
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import WATCHED, AgentState, Batch
from gtp_jax.objectives import OBJECTIVES


def _optimizers(config: AgentConfig, num_steps: int):
    def adam(learning_rate):
        return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(learning_rate))

    return adam(optax.cosine_decay_schedule(config.learning_rate, num_steps)), adam(config.critic_learning_rate)


def init(
    key: chex.PRNGKey,
    obs_mean: jax.Array,
    obs_std: jax.Array,
    action_dim: int,
    *,
    config: AgentConfig,
    num_steps: int,
    numbers: dict[str, jax.Array] | None = None,
) -> AgentState:
    """A fresh agent.

    Args:
        key: fixes everything random about this agent, now and in training.
        obs_mean, obs_std: (O,) statistics of the raw observations.
        num_steps: updates that training will make; the length of the learning-rate decay and of the curriculum.
        numbers: its settings in `agent_config.NUMBERS`; those of config if not given.
    """
    numbers = jax.tree.map(jnp.float32, config.numbers if numbers is None else numbers)
    key_actor, key_q, key_v, key_train = jax.random.split(key, 4)
    obs, action = jnp.zeros((1, obs_mean.shape[-1])), jnp.zeros((1, action_dim))
    actor_optimizer, critic_optimizer = _optimizers(dataclasses.replace(config, **numbers), num_steps)
    actor = init_actor(config, key_actor, obs, action)
    critic = critic_opt = None
    if config.uses_critic:
        critic = critics.init(config, key_q, key_v, obs, action)
        critic_opt = critic_optimizer.init(critic)
    return AgentState(
        step=jnp.zeros((), jnp.int32),
        failure=jnp.full((), -1, jnp.int32),
        numbers=numbers,
        action_mask=jnp.ones(action_dim),
        key=key_train,
        obs_mean=obs_mean,
        obs_std=obs_std,
        actor=actor,
        actor_ema=jax.tree.map(jnp.copy, actor),
        actor_opt=actor_optimizer.init(actor),
        critic=critic,
        critic_target=jax.tree.map(jnp.copy, critic),
        critic_opt=critic_opt,
    )


_TIME_WEIGHTS = {"uniform": losses.uniform_weight, "inverse_gap": losses.inverse_gap_weight}
_DISTANCES = {"squared": losses.squared_error, "pseudo_huber": losses.pseudo_huber}
_SOLVERS = {"euler": solution_map.euler_step, "heun": solution_map.heun_step}


def _objective(config: AgentConfig):
    """The loss of the configured objective, with those of `objectives.SETTINGS` that it names."""
    objective = OBJECTIVES[config.objective]
    functions = {"distance": _DISTANCES, "time_weight": _TIME_WEIGHTS, "solver": _SOLVERS}
    values = {name: getattr(config, name) for name in objective.settings()}
    options = {name: functions[name][value] if name in functions else value for name, value in values.items()}
    return functools.partial(objective.loss, **options)


def _weights(config: AgentConfig, advantage: jax.Array) -> jax.Array:
    settings = {"eta": config.eta, "max_weight": config.max_weight, "truncate": config.truncate_weights}
    return losses.advantage_weights(advantage, **settings)


class Judgement(NamedTuple):
    """What a critic says of B transitions."""

    advantage: jax.Array  # (B,)
    weight: jax.Array  # (B,) that guidance by weights gives them in one batch
    value: jax.Array  # (B,) that the advantage is over: V(s), or Q of the policy's action


def judge(state: AgentState, key: chex.PRNGKey, batch: Batch, *, config: AgentConfig) -> Judgement:
    """What the critic says of a batch.

    Args:
        key: consumed.
        batch: as of `update`.
        config: its structure is enough, and has a critic.
    """
    config = dataclasses.replace(config, guidance="weights", **state.numbers)  # a td critic finds no advantages for q
    batch = batch._replace(reward=config.reward_scale * batch.reward)
    _, (worth, value) = critics.CRITICS[config.critic](config, state, state.critic, key, batch)
    return Judgement(worth - value, _weights(config, worth - value), value)


def update(
    state: AgentState, key: chex.PRNGKey, batch: Batch, *, config: AgentConfig, num_steps: int
) -> tuple[AgentState, dict[str, jax.Array]]:
    """One gradient step of the critic (if there is one) and of the actor.

    Args:
        key: consumed.
        batch: B transitions, observations normalised by the state's own statistics.
        config: its structure is enough; the numbers are those of the state.
        num_steps: the same as at `init`.

    Returns:
        the next state, or the old one with a `failure` if a loss or a gradient is not finite; and scalar metrics:
        losses and norms of gradients; with a critic `q_mean`, what the batch's actions are worth, and `advantage_std`,
        as `critics.CRITICS` has them; and where advantages weigh, `weight_mean` and `weight_ess`, the share of the
        batch that counts.
    """
    is_guided, config = config.is_guided, dataclasses.replace(config, **state.numbers)
    batch = batch._replace(reward=config.reward_scale * batch.reward)
    key_critic, key_actor, key_q = jax.random.split(key, 3)
    actor_optimizer, critic_optimizer = _optimizers(config, num_steps)
    critic, critic_target, critic_opt = state.critic, state.critic_target, state.critic_opt
    weights, metrics = None, {}

    if critic is not None:
        critic_loss = functools.partial(critics.CRITICS[config.critic], config, state)
        (loss, (worth, value)), grads = jax.value_and_grad(critic_loss, has_aux=True)(critic, key_critic, batch)
        updates, critic_opt = critic_optimizer.update(grads, critic_opt)
        critic = optax.apply_updates(critic, updates)
        critic_target = optax.incremental_update(critic, critic_target, config.target_rate)
        metrics |= {"critic_loss": loss, "critic_grad_norm": optax.tree.norm(grads), "q_mean": jnp.mean(worth)}
        if value is not None:
            advantage = worth - value
            metrics["advantage_std"] = jnp.std(advantage)
    if is_guided and config.guidance == "weights":
        weights = _weights(config, advantage)
        metrics |= {
            "weight_mean": jnp.mean(weights),
            "weight_ess": jnp.mean(weights) ** 2 / (jnp.mean(weights**2) + 1e-30),
        }

    def q_term(actor):
        sampled = sample(config, actor, key_q, batch.obs, state.action_mask, config.target_sampling_steps)
        return losses.linear_q_loss(critics.q_values(config, critic, batch.obs, sampled))

    def actor_loss(actor):
        loss, parts = _objective(config)(
            phi_of(config, actor, batch.obs, state.action_mask),
            phi_of(config, actor if config.target == "online" else state.actor_ema, batch.obs, state.action_mask),
            key_actor,
            batch.action,
            schedule=schedule_of(config),
            num_intervals=schedules.doubling_curriculum(
                state.step, num_steps, config.min_intervals, config.max_intervals
            ),
            weights=weights,
        )
        parts = {f"{name}_loss": value for name, value in parts._asdict().items()}
        if is_guided and config.guidance == "q":
            parts["q_loss"] = q_term(actor)
            # Diffusion-QL and TD3+BC average the imitation term over the action's dimensions, and it is a sum here.
            loss += config.eta * jnp.sum(state.action_mask) * parts["q_loss"]
        return loss, parts

    (loss, parts), grads = jax.value_and_grad(actor_loss, has_aux=True)(state.actor)
    updates, actor_opt = actor_optimizer.update(grads, state.actor_opt)
    actor = optax.apply_updates(state.actor, updates)
    metrics |= {"actor_loss": loss, **parts, "actor_grad_norm": optax.tree.norm(grads)}

    unsound = ~jnp.isfinite(jnp.stack([metrics.get(name, 0.0) for name in WATCHED]))
    failure = jnp.where(jnp.any(unsound), jnp.argmax(unsound), -1).astype(jnp.int32)
    failure = jnp.where(state.failure < 0, failure, state.failure)
    changed = {
        "step": state.step + 1,
        "actor": actor,
        "actor_ema": optax.incremental_update(actor, state.actor_ema, 1 - config.ema_decay),
        "actor_opt": actor_opt,
        "critic": critic,
        "critic_target": critic_target,
        "critic_opt": critic_opt,
    }
    kept = {name: getattr(state, name) for name in changed}
    changed = jax.tree.map(lambda new, old: jnp.where(failure < 0, new, old), changed, kept)
    return state._replace(failure=failure, **changed), metrics


def act(state: AgentState, key: chex.PRNGKey, obs: jax.Array, *, config: AgentConfig, num_steps: int) -> jax.Array:
    """Actions of the EMA actor.

    Args:
        key: consumed.
        obs: (B, O) raw observations.
        num_steps: K, static.

    Returns:
        (B, D) in [-1, 1]; of several candidates the one that the critic chooses.
    """
    config = dataclasses.replace(config, **state.numbers)
    obs = (obs - state.obs_mean) / state.obs_std
    if config.num_candidates == 1:
        return sample(config, state.actor_ema, key, obs, state.action_mask, num_steps)
    key_sample, key_choice = jax.random.split(key)
    repeated = jnp.tile(obs, (config.num_candidates, 1))
    candidates = sample(config, state.actor_ema, key_sample, repeated, state.action_mask, num_steps)
    return sampling.choose(
        key_choice,
        candidates.reshape(config.num_candidates, obs.shape[0], -1),
        lambda a: jnp.min(critics.q_values(config, state.critic_target, obs, a), axis=0),
        temperature=config.candidate_temperature,
    )
