"""Trains the goal-directed ant controllers that walk through the generated AntMaze data; SAC on an endless plane.

    python -m experiments.train_ant_controller --out=gtp_jax/data/ant_controller.npz
    python -m experiments.train_ant_controller --d4rl --out=gtp_jax/data/d4rl_ant_controller.npz

About 8 minutes on one core: 100k updates over 405k environment steps. The environment is AntMaze-v4's own ant, or
D4RL's, without walls; a maze is walked with the help of a planner (`gtp_jax.data.planner`). The policy sees the
features of `gtp_jax.data.controllers`, where the shipped weights run in NumPy, and learns in all of their symmetries.
"""

import contextlib
import os
import pathlib
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import optax
from absl import flags
from gymnasium.envs.mujoco.ant_v4 import AntEnv
from tqdm import tqdm

from experiments import cli
from gtp_jax import environments
from gtp_jax.data import controllers

_OUT = flags.DEFINE_string("out", None, "File of the trained weights.", required=True)
_D4RL = flags.DEFINE_bool("d4rl", False, "D4RL's ant: a fifth of the torque, and steps of twice the length.")
_UPDATES = flags.DEFINE_integer("updates", 100_000, "Gradient steps in all.", lower_bound=64)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of everything random.", lower_bound=0)

NUM_ENVS, CHUNK_STEPS, CHUNK_UPDATES = 16, 16, 64  # 256 environment steps, then 64 updates
WARMUP_STEPS = 5_000  # random actions before the first update
MAX_EPISODE_STEPS = 1_000  # then back to standing still, as a maze episode begins
BATCH_SIZE, HIDDEN = 256, 128
NUM_STEP_RETURN = 3
GAMMA, TARGET_RATE, ACTOR_EMA_RATE = 0.98, 0.01, 0.001
LEARNING_RATE, FINAL_LEARNING_RATE, CONSTANT_FRACTION = 5e-4, 5e-5, 0.4
TARGET_ENTROPY = -4.0
FRAME_SKIP = 5  # AntMaze-v4's


# ------------------------------------------------------------------------------------------------- environment


class AntPlane:
    """One ant on a plane with a goal that keeps moving; episodes end only when it falls."""

    def __init__(self, seed: int, d4rl: bool):
        self._rng = np.random.default_rng(seed)
        self._env = AntEnv(exclude_current_positions_from_observation=False)
        if d4rl:
            environments.make_d4rls_ant(self._env.model)
        self.reset()

    def reset(self) -> None:
        """Stands the ant up, slightly disturbed, facing roughly along x, as it does at the start of a maze."""
        self._env.reset(seed=int(self._rng.integers(2**31)))
        data, yaw = self._env.data, self._rng.uniform(-0.5, 0.5)
        data.qpos[3:7] += [np.cos(yaw / 2) - 1.0, 0.0, 0.0, np.sin(yaw / 2)]
        mujoco.mj_forward(self._env.model, data)
        self._steps = 0
        self.move_goal()

    def move_goal(self) -> None:
        """Puts a goal 2 to 8 metres away, for 60 to 200 steps."""
        angle, distance = self._rng.uniform(-np.pi, np.pi), self._rng.uniform(2.0, 8.0)
        self._goal = self._env.data.qpos[:2] + distance * np.array([np.cos(angle), np.sin(angle)])
        self._goal_steps = self._rng.integers(60, 201)

    @property
    def observation(self) -> np.ndarray:
        """AntMaze's `observation` (27,)."""
        return np.concatenate([self._env.data.qpos[2:], self._env.data.qvel])

    @property
    def offset(self) -> np.ndarray:
        """Vector (2,) from the torso to the goal, metres."""
        return self._goal - self._env.data.qpos[:2]

    def step(self, action: np.ndarray) -> tuple[float, bool, bool, bool]:
        """Applies actuator torques (8,).

        Returns:
            reward; fallen: the episode is over; expired: time for another goal; timeout: time for another episode.
        """
        data, ahead, start = self._env.data, self.offset, self._env.data.qpos[:2].copy()
        ahead /= np.linalg.norm(ahead)
        data.ctrl[:] = action
        mujoco.mj_step(self._env.model, data, nstep=FRAME_SKIP)
        velocity = (data.qpos[:2] - start) / (FRAME_SKIP * self._env.model.opt.timestep)
        forward, lateral = velocity @ ahead, abs(ahead[0] * velocity[1] - ahead[1] * velocity[0])
        upright = 1.0 - 2.0 * (data.qpos[4] ** 2 + data.qpos[5] ** 2)
        yaw = (2.0 * np.arctan2(data.qpos[6], data.qpos[3]) + np.pi) % (2.0 * np.pi) - np.pi
        # A faster cap without a price on tilt gives a jumping gait, which falls over; a smaller gain one that stands
        # still. Without a price on yaw the ant turns as it goes, and whoever clones it has to learn every direction.
        reward = 2.0 * np.clip(forward, -2.0, 1.5) - 0.3 * min(lateral, 3.0) + 1.0
        reward -= 0.02 * np.sum(action**2) + 0.5 * (1.0 - upright)
        reward -= 0.5 * abs(yaw) + 0.1 * min(abs(data.qvel[5]), 3.0)
        fallen = not (0.2 <= data.qpos[2] <= 1.0 and controllers.is_upright(data.qpos[2:]))
        self._steps += 1
        self._goal_steps -= 1
        arrived = np.linalg.norm(self.offset) < 0.5
        return reward, fallen, arrived or self._goal_steps <= 0, self._steps >= MAX_EPISODE_STEPS


class Transitions(NamedTuple):
    """Steps in time order; leading axes (time, environment)."""

    features: np.ndarray  # (T, E, 30)
    actions: np.ndarray  # (T, E, 8)
    rewards: np.ndarray  # (T, E)
    next_features: np.ndarray  # (T, E, 30), towards the goal that the action was taken for
    fallen: np.ndarray  # (T, E), no future
    cut: np.ndarray  # (T, E), the next row has another goal or another episode


class Rollout:
    """Environments in step."""

    def __init__(self, seed: int, d4rl: bool):
        self._envs = [AntPlane(seed * 1000 + i, d4rl) for i in range(NUM_ENVS)]

    def _look(self) -> np.ndarray:
        observation = np.stack([env.observation for env in self._envs])
        return controllers.ant_features(observation, np.stack([env.offset for env in self._envs]))

    def collect(self, policy, num_steps: int) -> Transitions:
        """Steps every environment; policy maps features (E, 30) to actions (E, 8)."""
        steps = []
        for _ in range(num_steps):
            features = self._look()
            actions = policy(features)
            results = zip(*(env.step(torque) for env, torque in zip(self._envs, controllers.to_actuators(actions))))
            rewards, fallen, expired, timeout = (np.array(result) for result in results)
            next_features = self._look()
            for env, over, late in zip(self._envs, fallen | timeout, expired):
                if over:
                    env.reset()
                elif late:
                    env.move_goal()
            steps.append(Transitions(features, actions, rewards, next_features, fallen, fallen | timeout | expired))
        return Transitions(*(np.stack(column) for column in zip(*steps)))


def multi_step_rows(chunk: Transitions) -> np.ndarray:
    """Rows (T * E, 70) float32: features, action, return over up to 3 steps, discount of the bootstrap, next features.

    A return stops where its goal or its episode does, and bootstraps there.
    """
    returns, discount = chunk.rewards.copy(), GAMMA * (1.0 - chunk.fallen)
    last, going = np.broadcast_to(np.arange(len(returns))[:, None], returns.shape).copy(), ~chunk.cut
    for n in range(1, NUM_STEP_RETURN):
        going = np.concatenate([going[:-n], np.zeros((n, going.shape[1]), bool)])
        later = np.minimum(np.arange(len(returns)) + n, len(returns) - 1)
        returns += np.where(going, GAMMA**n * chunk.rewards[later], 0.0)
        discount = np.where(going, GAMMA ** (n + 1) * (1.0 - chunk.fallen[later]), discount)
        last += going
        going = going & ~chunk.cut[later]
    next_features = np.take_along_axis(chunk.next_features, last[..., None], axis=0)
    parts = (chunk.features, chunk.actions, returns[..., None], discount[..., None], next_features)
    return np.concatenate(parts, axis=-1, dtype=np.float32).reshape(returns.size, -1)


# ------------------------------------------------------------------------------------------------- learning


class Actor(nn.Module):
    """Mean and log standard deviation of the action before tanh."""

    @nn.compact
    def __call__(self, features):
        for _ in range(2):
            features = nn.relu(nn.Dense(HIDDEN)(features))
        return nn.Dense(2 * controllers.NUM_ACTIONS)(features)


class Critic(nn.Module):
    """Value of an action; LayerNorm keeps it from running away on actions nobody took."""

    @nn.compact
    def __call__(self, features, actions):
        hidden = jnp.concatenate([features, actions], axis=-1)
        for _ in range(2):
            hidden = nn.relu(nn.LayerNorm()(nn.Dense(HIDDEN)(hidden)))
        return nn.Dense(1)(hidden)[..., 0]


actor = Actor()
critic = nn.vmap(
    Critic, in_axes=None, out_axes=0, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=2
)()


class State(NamedTuple):
    params: dict[str, Any]  # actor, critic, log_alpha
    target: Any  # critic, slow copy
    actor_ema: Any
    optimizer: Any
    key: jax.Array


def split_moments(outputs):
    """Mean and log standard deviation, each (..., 8), from the actor's outputs (..., 16)."""
    mean, log_std = outputs[..., : controllers.NUM_ACTIONS], outputs[..., controllers.NUM_ACTIONS :]
    return mean, log_std.clip(-5.0, 2.0)


def sample_action(params, features, key):
    """Actions (B, 8) and their log density (B,) under the tanh-Gaussian policy."""
    mean, log_std = split_moments(actor.apply(params, features))
    noise = jax.random.normal(key, mean.shape)
    raw = mean + jnp.exp(log_std) * noise
    log_density = -0.5 * noise**2 - log_std - 0.5 * jnp.log(2 * jnp.pi)
    log_jacobian = 2.0 * (jnp.log(2.0) - raw - nn.softplus(-2.0 * raw))
    return jnp.tanh(raw), jnp.sum(log_density - log_jacobian, axis=-1)


def sac_loss(params, target, rows, key):
    """Critic, actor and temperature losses in one scalar; stop-gradients keep them apart."""
    f, a = controllers.NUM_FEATURES, controllers.NUM_ACTIONS
    features, actions, returns, discount, next_features = jnp.split(rows, (f, f + a, f + a + 1, f + a + 2), axis=-1)
    frozen = jax.lax.stop_gradient(params)
    alpha = jnp.exp(frozen["log_alpha"])
    key, next_key = jax.random.split(key)

    next_actions, next_log_density = sample_action(frozen["actor"], next_features, next_key)
    next_values = critic.apply(target, next_features, next_actions).min(axis=0) - alpha * next_log_density
    targets = returns[:, 0] + discount[:, 0] * next_values
    critic_loss = jnp.mean(jnp.square(critic.apply(params["critic"], features, actions) - targets), axis=1).sum()

    policy_actions, log_density = sample_action(params["actor"], features, key)
    actor_loss = jnp.mean(alpha * log_density - critic.apply(frozen["critic"], features, policy_actions).min(axis=0))
    entropy_gap = jax.lax.stop_gradient(-log_density.mean() - TARGET_ENTROPY)
    return critic_loss + actor_loss + params["log_alpha"] * entropy_gap


def seen_in_all_ways(rows):
    """Rows (B, 70), an eighth of them in each of the ant's symmetries: free data."""
    parts = []
    for part, symmetry in zip(jnp.split(rows, len(controllers.SYMMETRIES)), controllers.SYMMETRIES):
        columns, signs = symmetry.feature_columns, symmetry.feature_signs
        f, a = controllers.NUM_FEATURES, controllers.NUM_ACTIONS
        seen = np.concatenate([columns, f + symmetry.action_columns, [f + a, f + a + 1], f + a + 2 + columns])
        parts.append(part[:, seen] * np.concatenate([signs, symmetry.action_signs, [1, 1], signs]).astype(np.float32))
    return jnp.concatenate(parts)


def make_learner(num_updates: int, seed: int):
    """The first state, and the compiled function (state, rows (U, B, 66)) -> state that makes U updates."""
    decay_start = int(CONSTANT_FRACTION * num_updates)
    decay = optax.linear_schedule(LEARNING_RATE, FINAL_LEARNING_RATE, num_updates - decay_start, decay_start)
    optimizer = optax.adam(decay)
    key, actor_key, critic_key = jax.random.split(jax.random.key(seed), 3)
    features, actions = jnp.zeros((1, controllers.NUM_FEATURES)), jnp.zeros((1, controllers.NUM_ACTIONS))
    params = {
        "actor": actor.init(actor_key, features),
        "critic": critic.init(critic_key, features, actions),
        "log_alpha": jnp.log(0.1),
    }
    copy = jax.tree.map(jnp.copy, params)
    state = State(params, copy["critic"], copy["actor"], optimizer.init(params), key)

    def update(state: State, rows):
        key, loss_key = jax.random.split(state.key)
        grads = jax.grad(sac_loss)(state.params, state.target, seen_in_all_ways(rows), loss_key)
        steps, optimizer_state = optimizer.update(grads, state.optimizer)
        params = optax.apply_updates(state.params, steps)
        target = optax.incremental_update(params["critic"], state.target, TARGET_RATE)
        actor_ema = optax.incremental_update(params["actor"], state.actor_ema, ACTOR_EMA_RATE)
        return State(params, target, actor_ema, optimizer_state, key), None

    return state, jax.jit(lambda state, rows: jax.lax.scan(update, state, rows)[0], donate_argnums=0)


# ------------------------------------------------------------------------------------------------- program


def numpy_weights(actor_params) -> dict[str, np.ndarray]:
    """The actor as `controllers.mlp` takes it."""
    layers = [actor_params["params"][f"Dense_{i}"] for i in range(3)]
    names = ("w0", "b0", "w1", "b1", "w2", "b2")
    return dict(zip(names, (np.asarray(layer[part]) for layer in layers for part in ("kernel", "bias"))))


def save(path: str, actor_params) -> None:
    """Writes the deterministic policy (the mean's columns only), whole or not at all."""
    weights = numpy_weights(actor_params)
    weights["w2"], weights["b2"] = weights["w2"][:, : controllers.NUM_ACTIONS], weights["b2"][: controllers.NUM_ACTIONS]
    partial = f"{path}.partial.npz"
    np.savez(partial, **weights)
    os.replace(partial, path)


def main(_: contextlib.ExitStack) -> None:
    # ------------------------------------------------------------------ set-up
    rng = np.random.default_rng(_SEED.value)
    rollout = Rollout(_SEED.value, _D4RL.value)
    num_chunks = -(-_UPDATES.value // CHUNK_UPDATES)
    state, run_updates = make_learner(num_chunks * CHUNK_UPDATES, _SEED.value)
    chunk_rows, row_size = NUM_ENVS * CHUNK_STEPS, 2 * controllers.NUM_FEATURES + controllers.NUM_ACTIONS + 2
    warmup_chunks = -(-WARMUP_STEPS // chunk_rows)
    replay = np.zeros(((warmup_chunks + num_chunks) * chunk_rows, row_size), np.float32)
    snapshot_every = max(1, num_chunks // 5)  # a policy at 40 % of the budget already walks
    pathlib.Path(_OUT.value).parent.mkdir(parents=True, exist_ok=True)

    def random_policy(features):
        return rng.uniform(-1.0, 1.0, (len(features), controllers.NUM_ACTIONS))

    def sampling_policy(features):
        mean, log_std = split_moments(controllers.mlp(weights, features))
        return np.tanh(mean + np.exp(log_std) * rng.standard_normal(mean.shape))

    # ------------------------------------------------------------------ warm-up
    for i in range(warmup_chunks):
        replay[i * chunk_rows : (i + 1) * chunk_rows] = multi_step_rows(rollout.collect(random_policy, CHUNK_STEPS))
    filled = warmup_chunks * chunk_rows

    # ------------------------------------------------------------------ training
    bar = tqdm(total=num_chunks * CHUNK_UPDATES, unit="update", mininterval=5.0)
    mean_reward, fall_rate = 0.0, 0.0
    for i in range(1, num_chunks + 1):
        weights = numpy_weights(state.params["actor"])
        chunk = rollout.collect(sampling_policy, CHUNK_STEPS)
        replay[filled : filled + chunk_rows] = multi_step_rows(chunk)
        filled += chunk_rows
        picks = rng.integers(filled, size=(CHUNK_UPDATES, BATCH_SIZE))
        state = run_updates(state, replay[picks])
        mean_reward += 0.02 * (chunk.rewards.mean() - mean_reward)
        fall_rate += 0.02 * (chunk.fallen.mean() - fall_rate)
        bar.update(CHUNK_UPDATES)
        bar.set_postfix(reward=f"{mean_reward:.2f}", falls_per_1000=f"{1000 * fall_rate:.1f}", refresh=False)
        if i % snapshot_every == 0 or i == num_chunks:
            save(_OUT.value, state.actor_ema)
    bar.close()


if __name__ == "__main__":
    cli.run(main)
