"""results.json: building it."""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import shlex
import sys
import tempfile

import jax
import numpy as np

from gtp_jax.agent_state import WATCHED, AgentState
from gtp_jax.cores import available_cores, cpu_info
from gtp_jax.placement import Placement
from gtp_jax.population import Program


def params_digest(params) -> str:
    """sha256 over the names, shapes and bytes of one member's parameters."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return f"sha256:{digest.hexdigest()}"


def check_writable(folder: pathlib.Path) -> None:
    """Raises OSError if no file can be written into a folder: now, and not after long work."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_json(path: pathlib.Path, content) -> None:
    """Writes a file whole or not at all."""
    text = json.dumps(content, indent=2)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def member_entries(
    program: Program, state: AgentState, placement: Placement, *, datasets: dict[str, dict], scores: dict[int, list]
) -> list[dict]:
    """The `members` of results.json of those members of a program that this process holds.

    Args:
        state: stacked, one row a slot of its placement.
        datasets: `sources.Dataset.record` of each task.
        scores: for each K the `evaluation.summarize` of each member.
    """
    params = placement.held_rows({"actor": state.actor_ema, "critic": state.critic})
    failures, steps = placement.held_rows((state.failure, state.step))
    entries = []
    for i, member in enumerate(placement.held_of(program.members)):
        failure = {"diverged": bool(failures[i] >= 0)}
        if failure["diverged"]:
            failure |= {"diverged_step": int(steps[i]), "diverged_quantity": WATCHED[failures[i]]}
        entries.append(
            {
                "task": member.task,
                "agent": program.label,
                "seed": member.seed,
                "hparams": dataclasses.asdict(member.config),
                **failure,
                "params_digest": params_digest(jax.tree.map(lambda x, i=i: x[i], params)),
                "dataset": datasets[member.task],
                "eval": {str(k): each[i] for k, each in scores.items()},
            }
        )
    return entries


def provenance(num_devices: int) -> dict:
    """What a reader needs to repeat a result: command, date, hardware (devices in use), versions."""
    names = [
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "orbax-checkpoint",
        "numpy",
        "gymnasium",
        "gymnasium-robotics",
        "mujoco",
        "minari",
    ]
    module = sys.modules["__main__"].__spec__
    program = f"-m {module.name}" if module else sys.argv[0]
    device = jax.devices()[0]
    on_cpu = device.platform == "cpu"
    model = cpu_info("model name")
    count = available_cores()
    cores = f"{count} core{'s' if count > 1 else ''}{f' of {model}' if model else ''}"
    return {
        "command": shlex.join(["python", *program.split(), *sys.argv[1:]]),
        "date": f"{datetime.date.today()}",
        "device": device.platform,
        "hardware": cores if on_cpu else f"{num_devices} x {device.device_kind}",
        "versions": {name: importlib.metadata.version(name) for name in names},
    }
