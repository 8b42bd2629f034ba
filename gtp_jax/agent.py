"""One agent: its state, one update on one batch, and acting. Pure functions, ready for vmap and scan.

The actor is a solution map trained by one of `objectives.OBJECTIVES`, guided by advantage weights or by a linear Q
term; the critic is the paper's (TD with K-step samples of the EMA actor), implicit Q-learning, or V of the data's own
returns: the last two never sample. With eta = 0, and one action a decision, there is no critic: its fields are None and
cost nothing.
"""

import dataclasses
import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from gtp_jax import losses, networks, sampling, schedules, solution_map
from gtp_jax.agent_config import AgentConfig
from gtp_jax.objectives import OBJECTIVES

Params = chex.ArrayTree


class Batch(NamedTuple):
    """Transitions with normalised observations, float32; also the layout of a whole data set, with N for B."""

    obs: jax.Array  # (B, O)
    action: jax.Array  # (B, D) in [-1, 1]
    reward: jax.Array  # (B,) sum of the n discounted rewards on the way to next_obs
    next_obs: jax.Array  # (B, O) n steps later
    discount: jax.Array  # (B,) of the value of next_obs: gamma^n, and 0 where the episode terminated on the way


# What is watched while training, cause before effect: when one of these is not finite, the agent stays as it was.
WATCHED = ("critic_loss", "critic_grad_norm", "actor_loss", "actor_grad_norm")


class AgentState(NamedTuple):
    """Everything training changes, and what acting needs. Without a critic its fields are None."""

    step: jax.Array  # () int32, updates done
    failure: jax.Array  # () int32, -1, or which of WATCHED was first not finite; then nothing changes any more
    numbers: dict[str, jax.Array]  # () each, the settings in `agent_config.NUMBERS`
    action_mask: jax.Array  # (D,) 1, and 0 where the actions of a task that trains beside this one are wider
    key: jax.Array  # the member's root key; never consumed, only folded
    obs_mean: jax.Array  # (O,) of the data, so that a checkpoint acts on raw observations
    obs_std: jax.Array  # (O,)
    actor: Params
    actor_ema: Params
    actor_opt: optax.OptState
    critic: Params | None
    critic_target: Params | None
    critic_opt: optax.OptState | None


def schedule_of(config: AgentConfig) -> schedules.Schedule:
    rho = None if config.spacing == "linear" else config.rho
    return schedules.Schedule(config.sigma_min, config.sigma_max, rho, sigma_last=config.sigma_last)


def phi_of(config: AgentConfig, params: Params, obs: jax.Array, mask: jax.Array) -> solution_map.SurrogateMap:
    """The surrogate map of an actor at normalised observations (B, O).

    It neither sees nor moves what the mask (D,) hides, where all actions are 0: there the map carries noise to noise on
    a straight line, which costs no loss.
    """

    def network(x, t, tau):
        return networks.SolutionMapNetwork(config.hidden_dims, x.shape[-1]).apply(params, obs, x, t, tau)

    phi = solution_map.surrogate_map(network, schedule_of(config))
    return lambda x, t, tau: mask * phi(mask * x, t, tau)


def q_values(config: AgentConfig, critic: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
    """(2, B) values of normalised observations (B, O) and actions (B, D)."""
    return networks.QEnsemble(config.critic_hidden_dims).apply(critic["q"], obs, action)


def state_values(config: AgentConfig, critic: Params, obs: jax.Array) -> jax.Array:
    """(B,) values of normalised observations, by the expectile network."""
    return networks.ValueNetwork(config.critic_hidden_dims).apply(critic["v"], obs)


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
    obs, action, t = jnp.zeros((1, obs_mean.shape[-1])), jnp.zeros((1, action_dim)), jnp.ones((1,))
    actor_optimizer, critic_optimizer = _optimizers(dataclasses.replace(config, **numbers), num_steps)
    actor = networks.SolutionMapNetwork(config.hidden_dims, action_dim).init(key_actor, obs, action, t, t)
    critic = critic_opt = None
    if config.uses_critic:
        critic = {}
        if config.critic != "value" or config.num_candidates > 1:
            critic["q"] = networks.QEnsemble(config.critic_hidden_dims).init(key_q, obs, action)
        if config.critic != "td":
            critic["v"] = networks.ValueNetwork(config.critic_hidden_dims).init(key_v, obs)
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


def _sample(*args) -> jax.Array:
    """Actions (B, D) in [-1, 1]: where a `trajectory` ends."""
    return jnp.clip(trajectory(*args)[-1], -1.0, 1.0)


def _td_critic(config: AgentConfig, state: AgentState, critic: Params, key: chex.PRNGKey, batch: Batch):
    """Twin Q on K-step actions of the EMA actor; A = Q(s, a) - Q(s, a_pi), a_pi ~ actor (GTP, section 4).

    Of several actions at the next state each Q takes its best: the max-Q backup of Kumar et al. (2020), arXiv
    2006.04779, as in Diffusion-QL.
    """
    size, samples = len(batch.reward), config.backup_samples
    obs = jnp.concatenate([jnp.tile(batch.next_obs, (samples, 1)), batch.obs])
    sampled = _sample(config, state.actor_ema, key, obs, state.action_mask, config.target_sampling_steps)
    values = q_values(config, state.critic_target, obs, sampled).reshape(-1, samples + 1, size)
    next_values, values = jnp.max(values[:, :samples], axis=1), values[:, samples]
    target = losses.td_target(batch.reward, batch.discount, next_values)
    q = q_values(config, critic, batch.obs, batch.action)
    q_target = q_values(config, state.critic_target, batch.obs, batch.action)
    values = jnp.min(values, axis=0)
    return jnp.mean(losses.td_critic_loss(q, target)), (jnp.min(q_target, axis=0) - values, values)


def _expectile_critic(config: AgentConfig, state: AgentState, critic: Params, key: chex.PRNGKey, batch: Batch):
    """Implicit Q-learning (arXiv 2110.06169): V is an upper expectile of the target Q over the data's actions."""
    del key  # draws nothing
    q_target = jnp.min(q_values(config, state.critic_target, batch.obs, batch.action), axis=0)
    values = state_values(config, critic, batch.obs)
    next_values = state_values(config, critic, batch.next_obs)
    target = losses.td_target(batch.reward, batch.discount, next_values[None])
    q = q_values(config, critic, batch.obs, batch.action)
    value_loss = losses.expectile_loss(values, q_target, expectile=config.expectile)
    return jnp.mean(losses.td_critic_loss(q, target) + value_loss), (q_target - values, values)


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
    return jnp.mean(loss), (target - values, values)


# Each gives its loss, and of every example the advantage and the value that it is over.
_CRITICS = {"td": _td_critic, "expectile": _expectile_critic, "value": _value_critic}
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
    weight: jax.Array  # (B,) that `update` would give them in one batch
    value: jax.Array  # (B,) that the advantage is over: V(s), or Q of the policy's action


def judge(state: AgentState, key: chex.PRNGKey, batch: Batch, *, config: AgentConfig) -> Judgement:
    """What the critic says of a batch.

    Args:
        key: consumed.
        batch: as of `update`.
        config: its structure is enough, and has a critic.
    """
    config = dataclasses.replace(config, **state.numbers)
    batch = batch._replace(reward=config.reward_scale * batch.reward)
    _, (advantage, value) = _CRITICS[config.critic](config, state, state.critic, key, batch)
    return Judgement(advantage, _weights(config, advantage), value)


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
        the next state, or the old one with a `failure` if a loss or a gradient is not finite; and scalar metrics.
    """
    is_guided, config = config.is_guided, dataclasses.replace(config, **state.numbers)
    batch = batch._replace(reward=config.reward_scale * batch.reward)
    key_critic, key_actor, key_q = jax.random.split(key, 3)
    actor_optimizer, critic_optimizer = _optimizers(config, num_steps)
    critic, critic_target, critic_opt = state.critic, state.critic_target, state.critic_opt
    weights, metrics = None, {}

    if critic is not None:
        critic_loss = functools.partial(_CRITICS[config.critic], config, state)
        (loss, (advantage, value)), grads = jax.value_and_grad(critic_loss, has_aux=True)(critic, key_critic, batch)
        updates, critic_opt = critic_optimizer.update(grads, critic_opt)
        critic = optax.apply_updates(critic, updates)
        critic_target = optax.incremental_update(critic, critic_target, config.target_rate)
        metrics |= {"critic_loss": loss, "critic_grad_norm": optax.tree.norm(grads)}
        metrics |= {"q_mean": jnp.mean(value + advantage), "advantage_std": jnp.std(advantage)}
    if is_guided and config.guidance == "weights":
        weights = _weights(config, advantage)
        metrics |= {
            "weight_mean": jnp.mean(weights),
            "weight_ess": jnp.mean(weights) ** 2 / (jnp.mean(weights**2) + 1e-30),  # share of the batch that counts
        }

    def q_term(actor):
        sampled = _sample(config, actor, key_q, batch.obs, state.action_mask, config.target_sampling_steps)
        return losses.linear_q_loss(q_values(config, critic, batch.obs, sampled))

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
        return _sample(config, state.actor_ema, key, obs, state.action_mask, num_steps)
    key_sample, key_choice = jax.random.split(key)
    repeated = jnp.tile(obs, (config.num_candidates, 1))
    candidates = _sample(config, state.actor_ema, key_sample, repeated, state.action_mask, num_steps)
    return sampling.choose(
        key_choice,
        candidates.reshape(config.num_candidates, obs.shape[0], -1),
        lambda a: jnp.min(q_values(config, state.critic_target, obs, a), axis=0),
        temperature=config.candidate_temperature,
    )
