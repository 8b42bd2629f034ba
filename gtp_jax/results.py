"""results.json: building it, and the table that is printed from it."""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import tempfile
from collections.abc import Sequence

import jax
import numpy as np

from gtp_jax.evaluation import success_interval


def params_digest(params) -> str:
    """sha256 over the names, shapes and bytes of one member's parameters."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return f"sha256:{digest.hexdigest()}"


def versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    names = "jax jaxlib flax optax orbax-checkpoint numpy gymnasium gymnasium-robotics mujoco minari".split()
    return {name: importlib.metadata.version(name) for name in names}


def write_json(path: pathlib.Path, content) -> None:
    """Writes a file whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}", delete=False) as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def table(members: Sequence[dict]) -> str:
    """A Markdown table of the `members` of results.json: one row per task and K, pooled over seeds."""
    header = ["task", "data set", "source", "K", "success rate [95 %]", "normalised score", "episodes", "seeds"]
    rows = []
    for task in dict.fromkeys(member["task"] for member in members):
        group = [member for member in members if member["task"] == task]
        for k in group[0]["eval"]:
            scores = [member["eval"][k] for member in group]
            rates = [score["success_rate"] for score in scores]
            low, high = success_interval(rates, scores[0]["episodes"])
            rows.append(
                [
                    task,
                    group[0]["dataset"]["id"],
                    group[0]["dataset"]["source"],
                    k,
                    f"{np.mean(rates):.3f} [{low:.3f}, {high:.3f}]",
                    f"{np.mean([score['normalized_score'] for score in scores]):.1f}",
                    f"{len(group)} x {scores[0]['episodes']}",
                    ", ".join(str(member["seed"]) for member in group),
                ]
            )
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in [header, *rows]]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
