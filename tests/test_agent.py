"""One agent: it learns a bandit with and without a critic, pays for no critic it lacks, and acts on raw observations.

Each kind of agent trains on the bandit once, for all tests.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bandit import KEY, NUM_STEPS, SMALL, bandit_data, metrics_of_update, with_numbers_of

from gtp_jax import actor, agent, critics
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import AgentState, Batch
from gtp_jax.presets import PRESETS

pytestmark = pytest.mark.usefixtures("quick_compilation")
CONFIGS = {
    "cloning": dataclasses.replace(PRESETS["default"], eta=0.0, **SMALL),
    "expectile": dataclasses.replace(PRESETS["default"], eta=10.0, **SMALL),
    "paper": dataclasses.replace(PRESETS["paper"], eta=10.0, sigma_max=3.0, target_sampling_steps=2, **SMALL),
    "diffusion_ql": dataclasses.replace(PRESETS["diffusion_ql"], num_candidates=1, sigma_max=3.0, **SMALL),
    "value": dataclasses.replace(PRESETS["default"], eta=10.0, critic="value", **SMALL),
    "ranked_value": dataclasses.replace(PRESETS["default"], eta=10.0, critic="value", num_candidates=2, **SMALL),
    "td3_bc": dataclasses.replace(PRESETS["td3_bc"], **SMALL),
}
WITH_Q = ["expectile", "paper", "diffusion_ql", "td3_bc"]
WITH_V = ["expectile", "value"]
MODES = jnp.array([[-0.6], [0.6]])


class Bandit(NamedTuple):
    """A trained agent, and how it came to be."""

    config: AgentConfig
    fresh: AgentState
    train: callable  # (state, key) -> (state, metrics of each update)
    trained: AgentState
    metrics: dict


@functools.cache
def bandit(name: str) -> Bandit:
    config, data = CONFIGS[name], jax.tree.map(jnp.float32, bandit_data())
    init = functools.partial(agent.init, action_dim=1, config=config, num_steps=NUM_STEPS)
    fresh = jax.jit(init)(KEY, jnp.zeros(1), jnp.ones(1))

    @jax.jit
    def train(state, key):
        update = functools.partial(agent.update, batch=data, config=config, num_steps=NUM_STEPS)
        return jax.lax.scan(update, state, jax.random.split(key, NUM_STEPS))

    return Bandit(config, fresh, train, *train(fresh, KEY))


@functools.partial(jax.jit, static_argnames="config")
def act(state, obs, config, key=KEY):
    return agent.act(with_numbers_of(config, state), key, obs, config=config, num_steps=5)


def actions_of(name: str) -> np.ndarray:
    return np.asarray(act(bandit(name).trained, jnp.zeros((512, 1)), CONFIGS[name]))


def abstract(config: AgentConfig):
    """The types of a state, and of a batch that fits it."""
    init = functools.partial(agent.init, action_dim=2, config=config, num_steps=10)
    state = jax.eval_shape(init, KEY, jnp.zeros(3), jnp.ones(3))
    shapes = Batch((4, 3), (4, 2), (4,), (4, 3), (4,))
    return state, Batch(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes))


def flops_of_update(config: AgentConfig) -> float:
    update = jax.jit(functools.partial(agent.update, config=config, num_steps=10))
    state, batch = abstract(config)
    return update.lower(state, KEY, batch).compile().cost_analysis()["flops"]


# ---------------------------------------------------------------- state


@pytest.mark.parametrize("critic", ["expectile", "td", "value"])
def test_without_eta_there_are_no_critic_parameters(critic):
    state, _ = abstract(AgentConfig(eta=0.0, critic=critic))
    assert jax.tree.leaves((state.critic, state.critic_target, state.critic_opt)) == []


def test_without_eta_an_update_costs_what_the_actor_costs():
    """The same operations whichever critic is named and however large, and fewer than with the smallest critic."""
    named = [{"critic": "td", "critic_hidden_dims": (512, 512)}, {"critic": "expectile", "critic_hidden_dims": (8,)}]
    first, second = (flops_of_update(AgentConfig(eta=0.0, hidden_dims=(8,), **critic)) for critic in named)
    assert first == second < flops_of_update(AgentConfig(eta=1.0, hidden_dims=(8,), **named[1]))


@pytest.mark.parametrize("num_candidates", [1, 2])
def test_the_value_critic_has_a_q_only_to_rank_candidates(num_candidates):
    state, _ = abstract(AgentConfig(critic="value", num_candidates=num_candidates))
    assert ("q" in state.critic) == (num_candidates > 1)


@pytest.mark.parametrize("preset", PRESETS)
def test_update_of_every_preset_keeps_the_types_of_its_state(preset):
    """So that scan can carry it."""
    state, batch = abstract(PRESETS[preset])
    after, _ = jax.eval_shape(functools.partial(agent.update, config=PRESETS[preset], num_steps=10), state, KEY, batch)
    described = [jax.tree.map(lambda x: (x.shape, x.dtype), s) for s in (state, after)]
    assert described[0] == described[1]


# ---------------------------------------------------------------- the configured guidance


def metrics_of_guided_update(**choices):
    """Of a critic that knows the bandit's rewards, on its data: half the advantages are above 0."""
    run = bandit("expectile")
    config = dataclasses.replace(run.config, **choices)
    batch = jax.tree.map(jnp.float32, bandit_data())
    return metrics_of_update(run.trained, batch, config)


@pytest.mark.parametrize("truncate", [True, False])
def test_the_weights_are_truncated_if_so_configured(truncate):
    """With a clip at 1, all are 1 if truncated, while below the value of the state they are nearly 0 if not."""
    weight = metrics_of_guided_update(truncate_weights=truncate, max_weight=1.0)["weight_mean"]
    np.testing.assert_allclose(weight, 1.0 if truncate else 0.5, atol=0.1)


def test_the_weights_are_clipped_where_configured():
    two, four = (metrics_of_guided_update(max_weight=clip)["weight_mean"] for clip in (2.0, 4.0))
    np.testing.assert_allclose(four, 2 * two, rtol=0.05)


def test_the_q_term_is_added_with_weight_eta():
    metrics = metrics_of_guided_update(guidance="q", eta=0.5)
    terms = metrics["consistency_loss"] + metrics["flow_loss"] + 0.5 * metrics["q_loss"]
    np.testing.assert_allclose(metrics["actor_loss"], terms, rtol=1e-5)


def test_guidance_by_q_weighs_no_example():
    assert not [name for name in metrics_of_guided_update(guidance="q") if name.startswith("weight")]


def test_guidance_by_q_pays_for_no_advantage():
    """A td critic costs less over an expectile critic where it need not draw at the batch's observations too."""
    shapes = {"hidden_dims": (8,), "critic_hidden_dims": (8,), "target_sampling_steps": 2}

    def more(guidance):
        td, expectile = (
            flops_of_update(AgentConfig(guidance=guidance, critic=c, **shapes)) for c in ("td", "expectile")
        )
        return td - expectile

    assert more("q") < more("weights")


def test_ranking_alone_has_advantages_too():
    config = dataclasses.replace(CONFIGS["ranked_value"], eta=0.0)
    state, batch = abstract(config)
    _, metrics = jax.eval_shape(functools.partial(agent.update, config=config, num_steps=10), state, KEY, batch)
    assert "advantage_std" in metrics and "weight_mean" not in metrics


def test_the_max_q_backup_takes_the_best_of_its_samples():
    """Of samples in both modes of the bandit, where one is worth 1 and the other 0, many are worth about twice one."""
    run = bandit("paper")
    state = run.trained._replace(actor_ema=bandit("cloning").trained.actor_ema)
    batch = jax.tree.map(jnp.float32, bandit_data())._replace(next_obs=jnp.zeros((128, 1)), discount=jnp.ones(128))
    # As rewards are learned already, the loss is that of the target's bootstrap value alone.
    loss = {}
    for samples in (1, 32):
        config = dataclasses.replace(run.config, backup_samples=samples)
        loss[samples] = float(metrics_of_update(state, batch, config)["critic_loss"])
    others = np.resize(actions_of("cloning"), (512, 1))
    values = critics.q_values(run.config, state.critic_target, jnp.zeros((512, 1)), others).reshape(2, -1, 32)
    for samples in (1, 32):
        np.testing.assert_allclose(loss[samples], 2 * jnp.mean(values[..., :samples].max(-1) ** 2), rtol=0.25)


# ---------------------------------------------------------------- learning


def test_cloning_keeps_both_modes():
    assert 0.35 < np.mean(actions_of("cloning") > 0) < 0.65


def test_cloning_stays_near_the_data():
    assert np.mean(np.abs(np.abs(actions_of("cloning")) - 0.6) < 0.2) > 0.75


@pytest.mark.parametrize("name", [*WITH_Q, "value"])
def test_guidance_prefers_the_rewarded_mode(name):
    assert np.mean(actions_of(name) > 0) > 0.75


@pytest.mark.parametrize("name", WITH_Q)
def test_critic_loss_goes_down(name):
    loss = bandit(name).metrics["critic_loss"]
    assert np.mean(loss[-100:]) < 0.1 * np.mean(loss[:10])


@pytest.mark.parametrize("name", [*WITH_Q, "ranked_value"])
def test_critic_learns_the_rewards(name):
    config, state = CONFIGS[name], bandit(name).trained
    q = critics.q_values(config, state.critic_target, jnp.zeros((2, 1)), MODES)
    np.testing.assert_allclose(q, [[0, 1], [0, 1]], atol=0.1)


def test_a_batch_is_judged_as_an_update_judges_it():
    config, _, _, state, _ = bandit("paper")
    data, key = jax.tree.map(jnp.float32, bandit_data()), jax.random.key(5)
    _, metrics = jax.jit(functools.partial(agent.update, config=config, num_steps=NUM_STEPS))(state, key, data)
    key_critic = jax.random.split(key, 3)[0]
    advantages, weights, values = jax.jit(functools.partial(agent.judge, config=config))(state, key_critic, data)
    assert advantages.shape == weights.shape == values.shape == (128,)
    assert np.std(advantages) == pytest.approx(float(metrics["advantage_std"]), rel=1e-4)
    assert np.mean(weights) == pytest.approx(float(metrics["weight_mean"]), rel=1e-4)


def test_an_advantage_of_the_td_critic_is_the_target_qs_less_that_of_actions_of_the_policy():
    config, state = CONFIGS["paper"], bandit("paper").trained
    data, key = jax.tree.map(jnp.float32, bandit_data()), jax.random.key(5)
    judged = jax.jit(functools.partial(agent.judge, config=config))(state, key, data)
    obs = jnp.concatenate([data.next_obs, data.obs])
    drawn = actor.sample(config, state.actor_ema, key, obs, state.action_mask, config.target_sampling_steps)[128:]
    q, value = (jnp.min(critics.q_values(config, state.critic_target, data.obs, a), 0) for a in (data.action, drawn))
    np.testing.assert_allclose(judged.value, value, atol=1e-4)
    np.testing.assert_allclose(judged.advantage, q - value, atol=1e-4)


def test_agents_that_ascend_q_can_be_judged_all_the_same():
    """That of the bandit takes the rewarded action in most cases, whose Q is 1."""
    config, state = CONFIGS["diffusion_ql"], bandit("diffusion_ql").trained
    data = jax.tree.map(jnp.float32, bandit_data())
    judged = jax.jit(functools.partial(agent.judge, config=config))(state, jax.random.key(5), data)
    assert np.mean(judged.value) > 0.75


@pytest.mark.parametrize("name", WITH_V)
def test_the_value_that_an_advantage_is_over_is_the_expectile_networks(name):
    config, state = CONFIGS[name], bandit(name).trained
    data = jax.tree.map(jnp.float32, bandit_data())
    judged = jax.jit(functools.partial(agent.judge, config=config))(state, jax.random.key(5), data)
    np.testing.assert_allclose(judged.value, critics.state_values(config, state.critic, data.obs), atol=1e-5)


@pytest.mark.parametrize("name", WITH_V)
def test_the_value_network_learns_the_expectile_of_the_rewards(name):
    """Of 0 and 1 in equal numbers, the 0.9-expectile is 0.9."""
    value = critics.state_values(CONFIGS[name], bandit(name).trained.critic, jnp.zeros((1, 1)))
    np.testing.assert_allclose(value, 0.9, atol=0.05)


@pytest.mark.parametrize("name", ["value", "ranked_value"])
def test_an_advantage_of_the_value_critic_is_what_the_data_came_to_over_the_value(name):
    config, state = CONFIGS[name], bandit(name).trained
    data = jax.tree.map(jnp.float32, bandit_data())._replace(discount=jnp.full(128, 0.5))
    judged = jax.jit(functools.partial(agent.judge, config=config))(state, jax.random.key(5), data)
    came_to = data.reward + 0.5 * critics.state_values(config, state.critic_target, data.next_obs)
    np.testing.assert_allclose(judged.advantage, came_to - judged.value, atol=1e-5)


@pytest.mark.parametrize("name", ["cloning", "expectile", "paper"])  # where Q pulls, actions leave the data
def test_actor_loss_goes_down(name):
    loss = bandit(name).metrics["flow_loss"]
    assert np.mean(loss[-100:]) < np.mean(loss[:10])


def test_learning_rate_of_the_actor_ends_at_0():
    run = bandit("cloning")
    after, _ = run.train(run.trained, KEY)
    jax.tree.map(np.testing.assert_array_equal, after.actor, run.trained.actor)


def test_the_actor_that_acts_lags_behind_and_catches_up_at_the_rate_of_its_average():
    """Once the learning rate is 0 the distance shrinks by ema_decay an update: to 0.995^1000 = 0.7 %."""
    run = bandit("cloning")
    after, _ = run.train(run.trained, KEY)
    before, after = (optax.tree.norm(optax.tree.sub(state.actor_ema, state.actor)) for state in (run.trained, after))
    assert 0.0 < after < 0.05 * before


def test_training_again_with_the_same_keys_gives_the_same_bits():
    run = bandit("expectile")
    again, _ = run.train(run.fresh, KEY)
    jax.tree.map(np.testing.assert_array_equal, again._replace(key=None), run.trained._replace(key=None))


def test_training_with_other_keys_gives_another_actor():
    run = bandit("cloning")
    other, _ = run.train(run.fresh, jax.random.key(2))
    assert any(np.any(x != y) for x, y in zip(jax.tree.leaves(other.actor), jax.tree.leaves(run.trained.actor)))


# ---------------------------------------------------------------- acting


def test_actions_lie_in_the_unit_box_even_from_a_wild_network():
    run = bandit("cloning")
    wild = run.trained._replace(actor_ema=jax.tree.map(lambda x: 100 * x, run.trained.actor_ema))
    assert np.abs(act(wild, jnp.zeros((512, 1)), run.config)).max() == 1.0


def test_acting_normalises_raw_observations_by_the_states_own_statistics():
    run = bandit("cloning")
    normalised = jnp.linspace(-2.0, 2.0, 512)[:, None]
    raw = run.trained._replace(obs_mean=jnp.array([5.0]), obs_std=jnp.array([2.0]))
    np.testing.assert_allclose(
        act(raw, 5 + 2 * normalised, run.config), act(run.trained, normalised, run.config), atol=1e-4
    )


def test_acting_hears_the_observation():
    run = bandit("cloning")
    near, far = (act(run.trained, jnp.full((512, 1), x), run.config) for x in (0.0, 2.0))
    assert np.mean(near != far) > 0.9


def test_acting_depends_on_the_key():
    run = bandit("cloning")
    obs = jnp.zeros((512, 1))
    assert np.mean(act(run.trained, obs, run.config) != act(run.trained, obs, run.config, jax.random.key(2))) > 0.9


def test_the_best_of_several_candidates_is_of_the_rewarded_mode():
    """Where the actor only clones."""
    run = bandit("expectile")
    state = run.trained._replace(actor_ema=bandit("cloning").trained.actor_ema)
    best = act(state, jnp.zeros((512, 1)), dataclasses.replace(run.config, num_candidates=8))
    assert np.mean(best > 0) > 0.95


def test_candidates_are_ranked_where_eta_is_0():
    """As in IDQL: the critic has no part in the actor's loss."""
    run = bandit("expectile")
    state = run.trained._replace(actor_ema=bandit("cloning").trained.actor_ema)
    best = act(state, jnp.zeros((512, 1)), dataclasses.replace(run.config, num_candidates=8, eta=0.0))
    assert np.mean(best > 0) > 0.95


def test_a_high_temperature_chooses_among_candidates_by_chance():
    run = bandit("expectile")
    state = run.trained._replace(actor_ema=bandit("cloning").trained.actor_ema)
    config = dataclasses.replace(run.config, num_candidates=8, candidate_temperature=1e6)
    assert 0.35 < np.mean(act(state, jnp.zeros((512, 1)), config) > 0) < 0.65


def test_one_step_never_denoises():
    """It would end at the mean of the two modes."""
    run = bandit("cloning")
    config, obs = dataclasses.replace(run.config, sampler="denoise"), jnp.zeros((64, 1))
    drawn = [agent.act(run.trained, KEY, obs, config=each, num_steps=1) for each in (config, run.config)]
    np.testing.assert_array_equal(*drawn)


def test_the_sampler_is_the_one_of_the_objective_unless_configured():
    run = bandit("cloning")
    obs = jnp.zeros((64, 1))
    own, euler, mean = (
        act(run.trained, obs, dataclasses.replace(run.config, **choice))
        for choice in ({"objective": "diffusion"}, {"sampler": "euler"}, {"objective": "regression"})
    )
    np.testing.assert_array_equal(own, euler)
    assert len(np.unique(mean)) == 1 < len(np.unique(own))
