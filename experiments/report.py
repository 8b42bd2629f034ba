"""Makes a page of pictures and tables from any number of runs: REPORT/report.html, which needs no other file.

    python -m experiments.report DIR [DIR ...] --out=REPORT

A DIR is a working directory of `experiments.train`, finished or not, or a folder of such, as `experiments.sweep` makes
it. Beside the page lie its pictures as PNG files, and its tables in tables.md and tables.tex. The agents of each last
checkpoint play a few episodes for the pictures; where data, a checkpoint or OpenGL are missing the page says so, and
nothing is downloaded. A run with an objective of its own needs --config=FILE, as for `experiments.evaluate`.
"""

import contextlib
import datetime
import importlib.util
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import flags
from ml_collections import config_flags

from experiments import cli, records
from experiments.behaviour import EPISODES
from experiments.records import Record
from gtp_jax import page, published, tables
from gtp_jax.errors import UserError
from gtp_jax.page import Album
from gtp_jax.trust import refuse_links

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file that registers the runs' objective.")
OUT = flags.DEFINE_string("out", None, "Folder for the report.")

BEST = "best (chosen on test)"
PUBLISHED = "published (K = 5)"
LAST = ("episodes", "samples", "seeds", "ms per action", "updates/s", "data set", "source")  # columns


AGGREGATES = (
    "Normalised scores of all seeds and tasks of an agent as one: the interquartile mean (IQM) leaves out a quarter of "
    "them at each end, a profile is the share of seeds above each score, and the probability of improvement P(X > Y) "
    "is that of a seed of X scoring higher than one of Y, ties counting half (Agarwal et al., 2021, arXiv 2108.13264). "
    "95 % intervals come from 2000 bootstrap samples that draw seeds anew within each task; with fewer than about five "
    "seeds they are too narrow. Agents are compared on tasks that all of them have; where they are many, X is the one "
    "with the greatest IQM."
)
CURVES = (
    "Means over seeds, with a band from the least seed to the greatest. Losses and the like are means over the updates "
    "since the last value; success rates and scores are those of the evaluations on the way and of the last one."
)
BEHAVIOUR = (
    f"The first seed of each agent at its last checkpoint. In a maze it has played {EPISODES} episodes for this page, "
    "from the start (triangle) to the goal (green); paths that reach it are blue, others red up to a cross. Elsewhere "
    "it has played one. A film is of the best episode of the agent that did best."
)
JUDGEMENTS = (
    "Advantages of data that were drawn at random, by the critic of the last checkpoint, and the weights that they "
    "have in the actor's loss, with their median as a dashed line. Where weights differ, fewer transitions count: as "
    "many as (sum w)^2 / sum w^2 says."
)


# ---------------------------------------------------------------- scores


def score_tables(runs: Sequence[Record]) -> dict[str, list[list[str]]]:
    """Rows of all finished runs, with the published scores and the best evaluations beside them, by what they are."""
    finished = [run for run in runs if run.finished]
    members = [
        {**entry, "curves": run.curves(i)} | ({"label": run.name} if len(runs) > 1 else {})
        for run in finished
        for i, entry in enumerate(run.members)
    ]

    def beside(group, k):
        cells = {}
        if theirs := published.scores(group[0]["task"]):
            cells[PUBLISHED] = ", ".join(f"{name} {score:.1f}" for name, score in theirs.items())
        metric, digits = {"success": ("success_rate", 3), "return": ("normalized_score", 1)}.get(
            tables.kind_of(group[0]), ("", 0)
        )
        curves = [member["curves"].get(f"{metric}_K{k}") for member in group]
        if all(curves):
            cells[BEST] = f"{np.mean([max(curve.values()) for curve in curves]):.{digits}f}"
        return cells

    order = list(dict.fromkeys(member["task"] for member in members))
    members.sort(key=lambda member: order.index(member["task"]))
    timings = {run.name if len(runs) > 1 else None: run.finished["timing"] for run in finished}
    found = (moved(rows, LAST) for rows in tables.scores(members, timings, beside))
    names = {"off mode": "Samples", "return": "Returns"}
    return {next((names[head] for head in rows[0] if head in names), "Scores"): rows for rows in found}


def moved(rows: Sequence[list[str]], names: Sequence[str]) -> list[list[str]]:
    """A table with the columns of these names at its end."""
    order = sorted(range(len(rows[0])), key=lambda i: names.index(rows[0][i]) + 1 if rows[0][i] in names else 0)
    return [[row[i] for i in order] for row in rows]


def describe_scores(tables_: Mapping[str, list[list[str]]], runs: Sequence[Record]) -> list[str]:
    """The tables, and what has to be known of them."""
    if not tables_:
        return [page.text("No run is finished yet: there are no scores, and the rest is what there is so far.")]
    heads = {head for rows in tables_.values() for head in rows[0]}
    lines = [
        "All are scores of the last checkpoint. Success rates have 95 % Wilson intervals over all episodes, widened "
        "where seeds differ more than by chance; normalised scores of returns have Student's t intervals over seeds."
    ]
    if BEST in heads:
        lines.append(
            f"“{BEST}” is the mean over seeds of the best of several evaluations in the course of training: too good, "
            "since the score itself chose it, and no result to report."
        )
    if PUBLISHED in heads:
        lines.append(f"Published are normalised scores: {published.SOURCE}.")
        sources = {member["dataset"]["source"] for run in runs if run.finished for member in run.members}
        if sources != {"d4rl-hdf5"}:
            lines.append("Scores on data other than D4RL's own files do not compare with the published ones.")
    return [*(page.table(rows, name) for name, rows in tables_.items()), page.items(lines)]


# ---------------------------------------------------------------- runs


def describe_run(run: Record) -> list[str]:
    """How it came about: command, date, hardware, time, versions and settings."""
    parts = [page.heading(3, run.name)]
    if run.finished:
        timing = run.finished["timing"]
        took = {name: duration(timing[f"{name}_s"]) for name in ("total", "dataset", "compile", "train", "eval")}
        parts += [
            page.code(run.finished["command"]),
            page.facts(
                {
                    "date": run.finished["date"],
                    "hardware": f"{run.finished['hardware']} ({run.finished['device']})",
                    "time": f"{took['total']}: data {took['dataset']}, compilation {took['compile']}, "
                    f"training {took['train']}, evaluation {took['eval']}",
                    "speed": f"{timing['member_updates_per_s']:.0f} member-updates/s",
                    "versions": ", ".join(f"{name} {version}" for name, version in run.finished["versions"].items()),
                }
            ),
        ]
    else:
        step = max((line["step"] for line in run.metrics), default=0)
        parts.append(page.text(f"Not finished: its metrics end at update {step}."))
    settings = {k: v for k, v in run.settings.items() if k not in ("agent", "agents")}
    agents = {records.word(name): dict(flat(fields)) for name, fields in run.settings["agents"].items()}
    fields = dict.fromkeys(field for values in agents.values() for field in values)
    columns = [["setting", *agents], *([field, *(a.get(field, "") for a in agents.values())] for field in fields)]
    return [
        *parts,
        page.details("Settings", page.table([["setting", "value"], *flat(settings)], f"Settings of {run.name}")),
        page.details("Agents", page.table(columns, f"Settings of the agents of {run.name}")),
    ]


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def flat(settings: Mapping, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names, with dots, and values of nested settings."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield records.word(f"{prefix}{name}"), records.word(text)


# ---------------------------------------------------------------- all of it


def write(runs: Sequence[Record], out: pathlib.Path, stack: contextlib.ExitStack) -> None:
    """Writes the report of some runs into a folder.

    Args:
        stack: closes what agents need to play.
    """
    from experiments import comparison, gallery  # need matplotlib, which is in the extra `report`

    album, members = Album(out), comparison.gather(runs)
    labels = list(dict.fromkeys(member.method for member in members))
    scores = score_tables(runs)
    aggregates, aggregate_tables = comparison.over_tasks(members, labels, album)
    curves = comparison.learning_curves(members, labels, album)
    shown = [gallery.show(run, stack, album) for run in runs]
    acts, judgements, notes = ([part for parts in column for part in parts] for column in zip(*shown))
    sections = {
        "Scores": describe_scores(scores, runs),
        "Over tasks": aggregates and [page.text(AGGREGATES), *aggregates],
        "By sampling steps": comparison.by_steps(members, labels, album),
        "Learning curves": curves and [page.text(CURVES), *curves],
        "What the agents do": acts and [page.text(BEHAVIOUR), *acts],
        "Advantages and weights": judgements and [page.text(JUDGEMENTS), *judgements],
        "Not shown": notes and [page.items(notes)],
        "Runs": [part for run in runs for part in describe_run(run)],
    }
    title = f"Report on {runs[0].name}" if len(runs) == 1 else f"Report on {len(runs)} runs"
    about = page.text(f"Made on {datetime.date.today()} of {', '.join(run.name for run in runs)}.")
    whole = page.page(title, [about], {name: parts for name, parts in sections.items() if parts})
    (out / "report.html").write_text(whole, encoding="utf-8")
    every = {**scores, **dict(aggregate_tables)}
    markdown = (f"## {tables.markdown_text(name)}\n\n{tables.markdown(rows)}\n" for name, rows in every.items())
    (out / "tables.md").write_text("\n".join(markdown), encoding="utf-8")
    latex = (f"% {name}\n{tables.latex(rows)}\n" for name, rows in every.items())
    whole = "\n".join(["% These take \\usepackage{booktabs}.\n", *latex])
    (out / "tables.tex").write_text(whole, encoding="utf-8")


def main(stack: contextlib.ExitStack, *folders: str) -> None:
    if OUT.value is None:
        raise UserError("--out is needed, a folder for the report")
    if not importlib.util.find_spec("matplotlib"):
        raise UserError("a report needs matplotlib: pip install -e '.[report]'")
    cli.register(CONFIG)
    runs = records.read(records.find(folders))
    out = pathlib.Path(OUT.value).expanduser().absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
        refuse_links(out)
        write(runs, out, stack)
    except OSError as error:
        raise UserError(f"the report cannot be written to {out}: {error}; use another --out") from error
    print(f"report of {len(runs)} runs: {out / 'report.html'}")


if __name__ == "__main__":
    cli.configure_jax()
    cli.run(main, argument="one or more working directories", most=sys.maxsize)
