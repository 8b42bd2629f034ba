"""What an agent is and what it learns from, as pytrees."""

from typing import NamedTuple

import chex
import jax
import optax

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
