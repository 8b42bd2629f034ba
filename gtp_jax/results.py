"""results.json: building it, and the table that is printed from it."""

import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import shlex
import sys
import tempfile
from collections.abc import Sequence

import jax
import numpy as np

from gtp_jax.agent import AgentState
from gtp_jax.cores import available_cores
from gtp_jax.evaluation import success_interval
from gtp_jax.population import Member


def params_digest(params) -> str:
    """sha256 over the names, shapes and bytes of one member's parameters."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return f"sha256:{digest.hexdigest()}"


def write_json(path: pathlib.Path, content) -> None:
    """Writes a file whole or not at all."""
    text = json.dumps(content, indent=2)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}", delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def member_entries(
    members: Sequence[Member], states: AgentState, *, eta: float, datasets: dict[str, dict], scores: dict[int, list]
) -> list[dict]:
    """The `members` of results.json.

    Args:
        states: stacked, one row a member.
        datasets: `minari_source.Dataset.record` of each task.
        scores: for each K the `evaluation.summarize` of each member.
    """
    entries = []
    stacked = jax.device_get({"actor": states.actor_ema, "critic": states.critic})
    for i, member in enumerate(members):
        params = jax.tree.map(lambda x, i=i: x[i], stacked)
        entries.append(
            {
                "task": member.task,
                "seed": member.seed,
                "hparams": {"eta": eta},
                "diverged": not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)),
                "params_digest": params_digest(params),
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
    return {
        "command": shlex.join(["python", *program.split(), *sys.argv[1:]]),
        "date": f"{datetime.date.today()}",
        "device": device.platform,
        "hardware": f"{available_cores()} cores" if on_cpu else f"{num_devices} x {device.device_kind}",
        "versions": {name: importlib.metadata.version(name) for name in names},
    }


def table(members: Sequence[dict]) -> str:
    """A Markdown table of the `members` of results.json: one row per task and K, pooled over seeds.

    Members that carry a `label` (the run they are of) get a column for it, and are pooled by it too.
    """
    header = ["task", "data set", "source", "K", "success rate [95 %]", "normalised score", "episodes", "seeds"]
    rows = []
    labelled = any("label" in member for member in members)
    groups = {}
    for member in members:
        groups.setdefault((member.get("label"), member["task"]), []).append(member)
    for (label, task), group in groups.items():
        for k in group[0]["eval"]:
            scores = [member["eval"][k] for member in group]
            rates = [score["success_rate"] for score in scores]
            low, high = success_interval(rates, scores[0]["episodes"])
            row = [
                task,
                group[0]["dataset"]["id"],
                group[0]["dataset"]["source"],
                k,
                f"{np.mean(rates):.3f} [{low:.3f}, {high:.3f}]",
                f"{np.mean([score['normalized_score'] for score in scores]):.1f}",
                f"{len(group)} x {scores[0]['episodes']}",
                ", ".join(f"{member['seed']}{' (diverged)' * member['diverged']}" for member in group),
            ]
            rows.append([label, *row] if labelled else row)
    header = ["run", *header] if labelled else header
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in [header, *rows]]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
