"""A trained policy as files that act without this package: a StableHLO program, or weights for `numpy_policy`."""

import os
import pathlib

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from gtp_jax import actor, agent, results, schedules
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import AgentState
from gtp_jax.data import scratch

PLATFORMS = ("cpu", "cuda", "tpu")


def program(state: AgentState, *, config: AgentConfig, widths: tuple[int, int], num_steps: int) -> bytes:
    """A serialised `jax.export.Exported` for all of `PLATFORMS`: (key (2,) uint32, obs (b, O) float32) -> (b, D).

    It acts as `agent.act` does with that key's data, for any number b of raw observations.

    Args:
        state: of one agent, whose weights the program holds.
        config: its settings.
        widths: O and D of its task, beside which another may be wider; `Program.widths` where it acts in chunks.
        num_steps: K.
    """
    obs_dim, action_dim = widths
    padding = ((0, 0), (0, len(state.obs_mean) - obs_dim))

    def act(key, obs):
        key = jax.random.wrap_key_data(key, impl="threefry2x32")
        action = agent.act(state, key, jnp.pad(obs, padding), config=config, num_steps=num_steps)
        return action[:, :action_dim]

    (batch,) = jax.export.symbolic_shape("b")
    arguments = jax.ShapeDtypeStruct((2,), jnp.uint32), jax.ShapeDtypeStruct((batch, obs_dim), jnp.float32)
    return bytes(jax.export.export(jax.jit(act), platforms=PLATFORMS)(*arguments).serialize())


def describe(state: AgentState, *, config: AgentConfig, widths: tuple[int, int], num_steps: int) -> dict:
    """What `numpy_policy.Policy` has to know of a policy besides its weights, as JSON can hold it."""
    schedule = actor.schedule_of(config)
    return {
        "obs_dim": widths[0],
        "action_dim": widths[1],
        "sampling_steps": num_steps,
        "sampler": actor.sampler_of(config, num_steps),
        "num_candidates": config.num_candidates,
        "candidate_temperature": config.candidate_temperature,
        "sigma_min": schedule.sigma_min,
        "sigma_data": schedule.sigma_data,
    }


def weights(
    state: AgentState, *, config: AgentConfig, widths: tuple[int, int], num_steps: int
) -> dict[str, np.ndarray]:
    """The arrays of `numpy_policy.Policy`, float32: what acting needs, without what a wider task beside has added."""
    obs_dim, action_dim = widths
    times = schedules.sampling_times(actor.schedule_of(config), num_steps)
    found = {"obs_mean": state.obs_mean[:obs_dim], "obs_std": state.obs_std[:obs_dim], "times": times}

    def layers(name, mlp):
        first = mlp["JointDense_0"]
        found[f"{name}/obs"], found[f"{name}/bias"] = first["kernel_0"][:obs_dim], first["bias"]
        found[f"{name}/action"] = first["kernel_1"][:action_dim]
        count = sum(key.startswith("Dense_") for key in mlp)
        for number in range(count):
            layer = mlp[f"Dense_{number}"]
            found[f"{name}/kernel{number}"], found[f"{name}/bias{number}"] = layer["kernel"], layer["bias"]
            if f"LayerNorm_{number}" in mlp:
                norm = mlp[f"LayerNorm_{number}"]
                found[f"{name}/scale{number}"], found[f"{name}/shift{number}"] = norm["scale"], norm["bias"]
        return first, count - 1

    first, last = layers("actor", state.actor_ema["params"]["MLP_0"])
    found["actor/time"], found["actor/end"] = first["kernel_2"], first["kernel_3"]
    found["actor/action"] = config.action_gain * found["actor/action"]
    for key in (f"actor/kernel{last}", f"actor/bias{last}"):
        found[key] = found[key][..., :action_dim]
    if config.num_candidates > 1:
        (ensemble,) = state.critic_target["q"]["params"].values()
        layers("q0", jax.tree.map(lambda leaf: leaf[0], ensemble))
        layers("q1", jax.tree.map(lambda leaf: leaf[1], ensemble))
    return {name: np.asarray(array, np.float32) for name, array in found.items()}


def write(out: pathlib.Path, exported: bytes, arrays: dict[str, np.ndarray], description: dict) -> None:
    """Puts a policy's files into a folder, in the place of an older one's once all are written.

    Args:
        exported, arrays: of `program` and `weights`.
        description: what policy.json says of them.

    Raises:
        OSError: they cannot be written.
    """
    with scratch.folder(out) as place:
        (place / "policy.stablehlo").write_bytes(exported)
        np.savez(place / "policy.npz", **arrays)
        results.write_json(place / "policy.json", description)
        (out / "policy.json").unlink(missing_ok=True)  # it is there only where all is
        for name in ("policy.stablehlo", "policy.npz", "policy.json"):
            os.replace(place / name, out / name)
