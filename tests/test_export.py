"""An exported policy acts as the agent does, on any batch, as a program of its own and by NumPy alone."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_run import REPOSITORY, read

from experiments import restored
from gtp_jax import agent, export, numpy_policy, sampling
from gtp_jax.errors import UserError
from gtp_jax.population import Member, Program
from gtp_jax.presets import PRESETS

pytestmark = pytest.mark.usefixtures("quick_compilation")

OBS_DIM, ACTION_DIM, WIDER = 5, 3, (7, 4)
# One of each sampler, with and without candidates, and one whose candidate is drawn by its value.
NAMES = ("default_bc", "flow_bc", "consistency_bc", "bc", "heun", "denoise", "long_horizon", "idql", "consistency_ac")


@functools.cache
def settings(name):
    config = PRESETS.get(name) or dataclasses.replace(PRESETS["default_bc"], sampler=name)
    gain = 2.0 if name == "long_horizon" else 1.0
    config = dataclasses.replace(config, num_candidates=min(config.num_candidates, 4), action_gain=gain)
    return dataclasses.replace(config, hidden_dims=(16, 24, 16), critic_hidden_dims=(16, 24))


@functools.cache
def agent_of(config, widths=(OBS_DIM, ACTION_DIM)):
    """One whose weights, also those that begin at 0, are all drawn at random."""
    mean, std = np.linspace(-1, 1, widths[0]), np.linspace(0.5, 2, widths[0])
    init = jax.jit(functools.partial(agent.init, config=config, num_steps=10), static_argnums=3)
    state = init(jax.random.key(0), jnp.asarray(mean), jnp.asarray(std), widths[1])
    leaves, tree = jax.tree.flatten((state.actor_ema, state.critic_target))
    random = np.random.default_rng(0)
    actor, critic = tree.unflatten([leaf + 0.2 * random.normal(size=leaf.shape).astype(np.float32) for leaf in leaves])
    return state._replace(actor_ema=actor, critic_target=critic)


@functools.cache
def actor(config, num_steps):
    return jax.jit(functools.partial(agent.act, config=config, num_steps=num_steps))


def observations(num, width=OBS_DIM):
    return np.random.default_rng(1).normal(size=(num, width)).astype(np.float32)


def call(state, key, obs, **arguments):
    exported = jax.export.deserialize(bytearray(export.program(state, **arguments)))
    return np.asarray(exported.call(jax.random.key_data(key), obs))


def draws(config, key, num, num_steps):
    """What `agent.act` draws from its key, as `numpy_policy.Policy.act` takes it."""
    key, key_choice = jax.random.split(key) if config.num_candidates > 1 else (key, None)
    shape = (config.num_candidates * num, ACTION_DIM)
    key_start, key_steps = jax.random.split(key)
    keys = [key_start, *jax.random.split(key_steps, num_steps)[:-1]]
    noise = np.stack([jax.random.normal(each, shape[::-1]).T for each in keys])
    noise = noise.reshape(num_steps, config.num_candidates, num, ACTION_DIM)
    gumbel = jax.random.gumbel(key_choice, (config.num_candidates, num)) if key_choice is not None else None
    return noise, gumbel


@pytest.mark.parametrize("name, num_steps", [("default_bc", 1), *((name, 3) for name in NAMES)])
def test_numpy_agrees_with_the_agent(name, num_steps):
    config = settings(name)
    state, obs, key = agent_of(config), observations(6), jax.random.key(2)
    arguments = {"config": config, "widths": (OBS_DIM, ACTION_DIM), "num_steps": num_steps}
    policy = numpy_policy.Policy(export.weights(state, **arguments), export.describe(state, **arguments))
    noise, gumbel = draws(config, key, len(obs), num_steps)
    found = policy.act(obs, noise[: policy.num_draws], gumbel)
    expected = np.asarray(actor(config, num_steps)(state, key, obs))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["default", "idql"])
def test_the_program_acts_as_the_agent_for_any_number_of_observations(name):
    config = settings(name)
    state, arguments = agent_of(config), {"config": config, "widths": (OBS_DIM, ACTION_DIM), "num_steps": 2}
    for num in (1, 7):
        obs, key = observations(num), jax.random.key(num)
        np.testing.assert_allclose(call(state, key, obs, **arguments), actor(config, 2)(state, key, obs), atol=1e-6)


def test_the_program_is_lowered_for_every_platform():
    config = settings("default")
    arguments = {"config": config, "widths": (OBS_DIM, ACTION_DIM), "num_steps": 2}
    exported = jax.export.deserialize(bytearray(export.program(agent_of(config), **arguments)))
    assert exported.platforms == ("cpu", "cuda", "tpu")


def test_what_a_wider_task_beside_has_added_is_left_out():
    """The agent trained beside a task with more observations and actions, which its own mask hides."""
    config = settings("idql")
    state = agent_of(config, WIDER)
    state = state._replace(
        action_mask=jnp.float32(jnp.arange(WIDER[1]) < ACTION_DIM),
        obs_mean=state.obs_mean.at[OBS_DIM:].set(0),
        obs_std=state.obs_std.at[OBS_DIM:].set(1),
    )
    arguments = {"config": config, "widths": (OBS_DIM, ACTION_DIM), "num_steps": 2}
    obs, key = observations(4), jax.random.key(3)
    padded = np.pad(obs, ((0, 0), (0, WIDER[0] - OBS_DIM)))
    expected = actor(config, 2)(state, key, padded)[:, :ACTION_DIM]
    np.testing.assert_allclose(call(state, key, obs, **arguments), expected, atol=1e-6)
    policy = numpy_policy.Policy(export.weights(state, **arguments), export.describe(state, **arguments))
    noise, _ = draws(config, key, len(obs), 2)
    np.testing.assert_allclose(policy.act(obs, noise[:1]), expected, atol=1e-5)


def test_numpy_takes_one_observation_as_well_as_many():
    config = settings("idql")
    state, arguments = agent_of(config), {"config": config, "widths": (OBS_DIM, ACTION_DIM), "num_steps": 2}
    policy = numpy_policy.Policy(export.weights(state, **arguments), export.describe(state, **arguments))
    obs, noise = observations(1), draws(config, jax.random.key(0), 1, 2)[0][:1]
    np.testing.assert_allclose(policy.act(obs[0], noise[:, :, 0]), policy.act(obs, noise)[0], atol=1e-6)
    assert policy(obs[0], np.random.default_rng(0)).shape == (ACTION_DIM,)


def test_draws_of_numpy_have_the_distribution_of_the_agents():
    config = settings("consistency_ac")
    state, arguments = agent_of(config), {"config": config, "widths": (OBS_DIM, ACTION_DIM), "num_steps": 2}
    policy = numpy_policy.Policy(export.weights(state, **arguments), export.describe(state, **arguments))
    obs = np.repeat(observations(1), 2000, axis=0)
    ours = policy(obs, np.random.default_rng(0))
    theirs = np.asarray(actor(config, 2)(state, jax.random.key(0), obs))
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.1)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.1)


def test_a_sampler_of_another_version_is_refused():
    with pytest.raises(ValueError, match="sampler 'new' must be one of map, denoise"):
        numpy_policy.Policy({}, {"sampler": "new"})


def test_the_numpy_runner_knows_every_sampler():
    assert set(numpy_policy.SAMPLERS) == set(sampling.STEPS)


def test_the_numpy_runner_needs_numpy_alone(tmp_path):
    """It is a file that can be copied."""
    (tmp_path / "numpy_policy.py").write_text((REPOSITORY / "gtp_jax/numpy_policy.py").read_text())
    code = (
        "import sys, numpy_policy; print(sorted({m.split('.')[0] for m in sys.modules} & {'jax', 'gtp_jax', 'flax'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.stdout == "[]\n", result.stderr


# ------------------------------------------------------------------------------------------------- the command


def test_the_command_writes_one_member_of_a_run(finished, succeed, tmp_path):
    assert "ms by NumPy" in succeed("export", f"--workdir={finished}", f"--out={tmp_path / 'policy'}", "--member=1")
    described = read(tmp_path / "policy/policy.json")
    program = (tmp_path / "policy/policy.stablehlo").read_bytes()
    assert described["program"]["sha256"] == hashlib.sha256(program).hexdigest()
    member = read(finished / "results.json")["members"][1]
    assert {name: described[name] for name in ("task", "agent", "seed", "dataset")} == {
        name: member[name] for name in ("task", "agent", "seed", "dataset")
    }
    with contextlib.ExitStack() as stack:
        run = restored.restore(finished, stack)
    (trained,) = run.programs
    state = jax.tree.map(lambda leaf: leaf[1], run.states[trained.label])
    config, key, obs = trained.members[1].config, jax.random.key(5), observations(3, 4)
    expected = actor(config, 2)(state, key, obs)
    acted = jax.export.deserialize(bytearray(program)).call(jax.random.key_data(key), obs)
    np.testing.assert_allclose(acted, expected, atol=1e-5)
    noise = np.asarray(jax.random.normal(jax.random.split(key)[0], (2, 3))).T[None, None]
    np.testing.assert_allclose(numpy_policy.load(tmp_path / "policy").act(obs, noise), expected, atol=1e-5)


def test_a_policy_that_cannot_be_written_leaves_the_older_one(tmp_path, monkeypatch):
    export.write(tmp_path, b"older", {}, {})
    older = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(export.np, "savez", lambda *_, **__: os.truncate(tmp_path / "no room", 0))
    with pytest.raises(OSError):
        export.write(tmp_path, b"newer", {}, {})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == older and len(older) == 3


def chosen(num_agents, number):
    configs = [dataclasses.replace(settings("default"), eta=float(i)) for i in range(num_agents)]
    members = tuple(Member("pointmaze/umaze", seed, config) for config in configs for seed in (0, 1))
    states = {"default": {"x": np.arange(len(members))}}
    _, member, state = restored.choose(restored.Restored(None, [Program("default", members)], states, {}, 1), number)
    return member.config.eta, member.seed, int(state["x"])


def test_of_several_seeds_the_first_is_taken_unless_asked():
    assert chosen(1, None) == (0.0, 0, 0) and chosen(2, 3) == (1.0, 1, 3)


@pytest.mark.parametrize(
    "num_agents, number, message", [(2, None, "2 agents; --member=N"), (1, 2, "--member=2 must be below 2")]
)
def test_a_member_that_is_not_clear_is_one_line(num_agents, number, message):
    with pytest.raises(UserError, match=message):
        chosen(num_agents, number)
