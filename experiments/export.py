"""Writes one policy of a run as files that act without this package, to a robot or another program.

    python -m experiments.export --workdir=DIR --out=FOLDER [--sampling_steps=2] [--member=N]

FOLDER/policy.stablehlo is a program for CPU, CUDA and TPU that `jax.export` loads, FOLDER/policy.npz holds the weights
for `gtp_jax/numpy_policy.py`, which takes NumPy alone, and FOLDER/policy.json says what they are. --member counts as
results.json does; it is needed where a run has several agents, tasks or settings. The program is loaded again and
compared with the agent before this ends.
"""

import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import json
import pathlib
import time
from collections.abc import Callable, Iterator

import jax
import jax.export
import numpy as np
from absl import flags
from ml_collections import config_flags

from experiments import cli, restored
from gtp_jax import agent, export, numpy_policy, results, tasks
from gtp_jax.errors import UserError
from gtp_jax.trust import refuse_links

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file that registers the run's objective.")
WORKDIR = flags.DEFINE_string("workdir", None, "The run's working directory.")
OUT = flags.DEFINE_string("out", None, "Folder for the policy.")
SAMPLING_STEPS = flags.DEFINE_integer("sampling_steps", 2, "K.", lower_bound=1)
MEMBER = flags.DEFINE_integer("member", None, "Which member of the run, from 0.", lower_bound=0)
TOLERANCE = 1e-5
CALLS = 1000  # that are timed


def seconds(act: Callable[[], np.ndarray]) -> float:
    """Median time of a call, the first ones aside."""
    took = []
    for _ in range(CALLS):
        clock = time.perf_counter()
        act()
        took.append(time.perf_counter() - clock)
    return float(np.median(took[CALLS // 10 :]))


def check(program: bytes, policy: numpy_policy.Policy, state, config, num_steps: int) -> str:
    """Compares the program with the agent, and says how long one action takes.

    Raises:
        UserError: they differ.
    """
    act = jax.jit(jax.export.deserialize(bytearray(program)).call)
    key, rng = np.asarray(jax.random.key_data(jax.random.key(0))), np.random.default_rng(0)
    scale, mean = np.asarray(state.obs_std)[: policy.obs_dim], np.asarray(state.obs_mean)[: policy.obs_dim]
    obs = (mean + scale * rng.normal(size=(16, policy.obs_dim))).astype(np.float32)
    padded = np.pad(obs, ((0, 0), (0, len(state.obs_mean) - policy.obs_dim)))
    act_agent = jax.jit(functools.partial(agent.act, config=config, num_steps=num_steps))
    expected = np.asarray(act_agent(state, jax.random.key(0), padded))[:, : policy.action_dim]
    difference = np.abs(np.asarray(act(key, obs)) - expected).max()
    if not difference <= TOLERANCE:
        raise UserError(f"the program's actions differ from the agent's by {difference}; please report this")
    program_ms = 1e3 * seconds(lambda: np.asarray(act(key, obs[:1]))) / config.action_chunk
    numpy_ms = 1e3 * seconds(lambda: policy(obs[0], rng)) / config.action_chunk
    return f"an action takes {program_ms:.3f} ms by the program, {numpy_ms:.3f} ms by NumPy (medians of {CALLS})"


@contextlib.contextmanager
def _writing_to(out: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"the policy cannot be written to {out}: {error}; use another --out") from error


def main(stack: contextlib.ExitStack) -> None:
    if WORKDIR.value is None or OUT.value is None:
        raise UserError("--workdir and --out are needed, the directory of a run and a folder for the policy")
    cli.register(CONFIG)
    workdir, out = (pathlib.Path(path).expanduser().absolute() for path in (WORKDIR.value, OUT.value))
    refuse_links(workdir)
    run = restored.restore(workdir, stack)
    program, member, state = restored.choose(run, MEMBER.value)
    if state.failure >= 0:
        raise UserError(f"the agent of seed {member.seed} diverged; another --member may not have")
    with _writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        refuse_links(out)
        results.check_writable(out)
    task, num_steps = tasks.get(member.task), SAMPLING_STEPS.value
    arguments = {"config": member.config, "widths": program.widths(task.widths), "num_steps": num_steps}
    weights, facts = export.weights(state, **arguments), export.describe(state, **arguments)
    exported = export.program(state, **arguments)
    timed = check(exported, numpy_policy.Policy(weights, facts), state, member.config, num_steps)
    description = {
        **facts,
        "task": member.task,
        "action_chunk": member.config.action_chunk,
        "agent": program.label,
        "seed": member.seed,
        "updates": run.step,
        "dataset": run.datasets[member.task],
        "observation": "raw, float32 (b, obs_dim); normalisation is inside",
        "action": "float32 (b, action_dim) in [-1, 1]: action_chunk actions, one after another",
        "program": {
            "file": "policy.stablehlo",
            "sha256": hashlib.sha256(exported).hexdigest(),
            "platforms": list(export.PLATFORMS),
            "arguments": "key uint32 (2,), the data of a jax.random.key; observation",
        },
        "date": f"{datetime.date.today()}",
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")},
    }
    with _writing_to(out):
        export.write(out, exported, weights, description)
    print(json.dumps({name: description[name] for name in ("agent", "task", "seed", "updates", "sampling_steps")}))
    print(f"{timed}; policy in {out}")


if __name__ == "__main__":
    cli.run(main)
