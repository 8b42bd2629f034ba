"""results.json: building it, and the table that is printed from it."""

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
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import jax
import numpy as np

from gtp_jax.agent import WATCHED, AgentState
from gtp_jax.agent_config import NUMBERS
from gtp_jax.cores import available_cores
from gtp_jax.evaluation import success_interval
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
    return {
        "command": shlex.join(["python", *program.split(), *sys.argv[1:]]),
        "date": f"{datetime.date.today()}",
        "device": device.platform,
        "hardware": f"{available_cores()} cores" if on_cpu else f"{num_devices} x {device.device_kind}",
        "versions": {name: importlib.metadata.version(name) for name in names},
    }


def table(members: Sequence[dict], timing: Mapping[str, dict] = MappingProxyType({})) -> str:
    """A Markdown table of the `members` of results.json: one row per run, task, agent and K, pooled over seeds.

    There is a column for the run where members carry a `label`, one for the agent where there are several, and one for
    each number that differs within a run's agent. Tasks of another kind than mazes have a table of their own.

    Args:
        timing: of results.json, by agent. There is a column for `action_ms` (further by K) and, where there are several
            agents, for `updates_per_s`, the member-updates of one that trains alone.
    """
    kinds = {}
    for member in members:
        kinds.setdefault("off_mode" in next(iter(member["eval"].values())), []).append(member)
    return "\n\n".join(
        _table(group, _multigoal_cells if multigoal else _maze_cells, timing) for multigoal, group in kinds.items()
    )


def _table(members: Sequence[dict], cells_of, timing) -> str:
    keys = {
        "run": lambda member: member.get("label"),
        "agent": lambda member: member.get("agent", ""),
        "task": lambda member: member["task"],
    }
    values = {}
    for member in members:
        for name in NUMBERS:
            of_agent = values.setdefault(name, {}).setdefault((member.get("label"), member.get("agent")), set())
            of_agent.add(member.get("hparams", {}).get(name))
    for name in (name for name, agents in values.items() if max(map(len, agents.values())) > 1):
        keys[name] = lambda member, name=name: f"{member['hparams'][name]:g}"
    groups = {}
    for member in members:
        groups.setdefault(tuple(key(member) for key in keys.values()), []).append(member)
    shown = [name == "task" or len({group[i] for group in groups}) > 1 for i, name in enumerate(keys)]
    shown[0] = any("label" in member for member in members)
    rows = [[name for name, show in zip(keys, shown) if show]]
    for names, group in groups.items():
        for k in group[0]["eval"]:
            cells = cells_of(k, [member["eval"][k] for member in group], group[0]["dataset"])
            name = group[0].get("agent", "")
            if "action_ms" in timing:
                cells["ms an action"] = f"{timing['action_ms'][name][k]:.2f}"
            if timing.get("updates_per_s") and shown[1]:  # a run that an earlier version finished has none
                cells["updates/s"] = f"{timing['updates_per_s'][name]:.0f}"
            cells["seeds"] = ", ".join(f"{member['seed']}{' (diverged)' * member['diverged']}" for member in group)
            rows.append([*(name for name, show in zip(names, shown) if show), *cells.values()])
    rows[0] += cells
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells, the first row its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _maze_cells(k: str, scores: list[dict], dataset: dict) -> dict[str, str]:
    rates = [score["success_rate"] for score in scores]
    low, high = success_interval(rates, scores[0]["episodes"])
    return {
        "data set": dataset["id"],
        "source": dataset["source"],
        "K": k,
        "success rate [95 %]": f"{np.mean(rates):.3f} [{low:.3f}, {high:.3f}]",
        "normalised score": f"{np.mean([score['normalized_score'] for score in scores]):.1f}",
        "episodes": f"{len(scores)} x {scores[0]['episodes']}",
    }


def _multigoal_cells(k: str, scores: list[dict], dataset: dict) -> dict[str, str]:
    del dataset  # always the same
    shares = [share for score in scores for share in score["mode_shares"]]

    def spread(name, digits):
        values = [score[name] for score in scores]
        return f"{np.mean(values):.{digits}f} +- {np.std(values, ddof=len(values) > 1):.{digits}f}"

    return {
        "K": k,
        "off mode": spread("off_mode", 3),
        "mode shares": f"{min(shares):.2f} to {max(shares):.2f}",
        "energy distance": spread("energy_distance", 4),
        "samples": f"{len(scores)} x {scores[0]['episodes']}",
    }
