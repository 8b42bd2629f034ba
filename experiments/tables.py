"""Writes the tables of README.md and docs/*.md from results.json files.

    python -m experiments.tables

Each place in them that reads `<!-- table: docs/results/NAME.json [more.json ...] -->` ... `<!-- end -->` is filled
with the table, command, date and hardware of those files, which `experiments.train`, `.benchmark`, `.credit` or
`.energy` wrote; `comparison` in the place of `table` with success rates, agents by tasks, a table each K; `scores` with
the same and nothing else, for a page that says which one has the rest; and `parts` or `acting` with that part of a
benchmark. What is said of several runs folds away.
"""

import contextlib
import json
import pathlib
import re

from experiments import cli
from experiments.benchmarks import acting, against, parts, populations
from gtp_jax import tables as gtp_tables
from gtp_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
_PLACE = re.compile(r"(<!-- (table|comparison|scores|parts|acting): (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def _seeds(run: dict) -> str:
    """The seeds of a run and how many episodes each has played for a score."""
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(member["seed"] for member in run["members"]))
    episodes = {score["episodes"] for member in run["members"] for score in member["eval"].values()}
    return f"{seeds} with {' or '.join(map(str, sorted(episodes)))} episodes each"


def section(kind: str, paths: list[pathlib.Path]) -> str:
    """The Markdown that stands for some results.json files.

    Raises:
        UserError: files of one comparison have an agent, task and seed in common, whose scores would be pooled.
    """
    runs = [json.loads(path.read_text()) for path in paths]
    renderers = {
        "populations": populations.table,
        "against": against.table,
        "parts": parts.table,
        "acting": acting.table,
        "credit": gtp_tables.markdown,
        "energy": gtp_tables.markdown,
    }
    for name, table in renderers.items():
        if name in (runs[0] if kind == "table" else [kind]):
            (run,) = runs
            return f"{table(run[name])}\n\n`{run['command']}`, {run['hardware']}, {run['date']}.\n"
    if kind in ("comparison", "scores"):
        members = [member for run in runs for member in run["members"]]
        names = [(member["task"], member["agent"], member["seed"]) for member in members]
        if len({*names}) < len(names):
            raise UserError(f"{', '.join(path.name for path in paths)}: one agent of one task and seed is in several")
        lines = [
            f"{gtp_tables.markdown(gtp_tables.comparison(members, k))}\n"
            for k in dict.fromkeys(k for member in members for k in member["eval"])
        ]
        if kind == "scores":
            return "\n".join(lines)
        if len(runs) == 1:
            speeds = runs[0]["timing"]["updates_per_s"].items()
            lines.append(f"Member-updates/s alone: {', '.join(f'{name} {each:.0f}' for name, each in speeds)}.\n")
    elif len(runs) == 1:
        lines = [gtp_tables.table(runs[0]["members"], runs[0]["timing"]), ""]
    else:
        lines = [gtp_tables.table([{**m, "label": p.stem} for p, run in zip(paths, runs) for m in run["members"]]), ""]
    said = []
    for path, run in zip(paths, runs):
        min_ = {name: f"{run['timing'][name] / 60:.0f}" for name in ("total_s", "train_s", "dataset_s", "eval_s")}
        said.append(
            f"- `{path.stem}`: `{run['command']}`; {run['num_steps']} updates a member; seeds {_seeds(run)}; "
            f"{min_['total_s']} min in all, "
            f"of which {min_['train_s']} training, {min_['dataset_s']} data and {min_['eval_s']} evaluation; "
            f"{run['timing']['member_updates_per_s']:.0f} member-updates/s on {run['hardware']}; {run['date']}."
        )
    if len(runs) > 1:
        said = ["<details><summary>Commands, updates, seeds, time, machine, date</summary>\n", *said, "\n</details>"]
    return "\n".join([*lines, *said]) + "\n"


def pages() -> list[pathlib.Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fill(text: str, root: pathlib.Path) -> str:
    """A page's text with every table as the files below `root` have it now."""

    def replace(match: re.Match) -> str:
        return match[1] + section(match[2], [root / name for name in match[3].split()]) + match[4]

    return _PLACE.sub(replace, text)


def main(_: contextlib.ExitStack) -> None:
    for page in pages():
        page.write_text(fill(page.read_text(), ROOT))


if __name__ == "__main__":
    cli.run(main)
