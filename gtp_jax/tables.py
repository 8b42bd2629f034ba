"""The table of scores, from the `members` of results.json, and how a table is written in Markdown and LaTeX."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from gtp_jax.agent_config import NUMBERS
from gtp_jax.evaluation import mean_interval, success_interval
from gtp_jax.tasks import TASKS, ReturnTask

_MARKDOWN = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " "})
_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\n": " ",
    }
)


def table(members: Sequence[dict], timing: Mapping[str, dict] = MappingProxyType({})) -> str:
    """The tables of `scores` in Markdown, with timing of one run for all members."""
    timings = {member.get("label"): timing for member in members}
    return "\n\n".join(map(markdown, scores(members, timings)))


def scores(
    members: Sequence[dict],
    timings: Mapping[str | None, Mapping[str, dict]],
    beside: Callable[[Sequence[dict], str], dict[str, str]] = lambda group, k: {},
) -> list[list[list[str]]]:
    """Tables of the `members` of results.json: one row per run, task, agent and K, pooled over seeds; heads first.

    There is a column for the run where members carry a `label`, one for the agent where there are several, and one for
    each number that differs within a run's agent. Tasks of another kind, see `kind_of`, have a table of their own.

    Args:
        timings: `timing` of results.json of each label. There is a column for `action_ms` (by agent, further by K) and,
            where there are several agents, for `updates_per_s`, the member-updates of one that trains alone.
        beside: further cells of the row of some members and a K, by column; what a row does not have stays empty.
    """
    kinds = {}
    for member in members:
        kinds.setdefault(kind_of(member), []).append(member)
    return [_table(group, _CELLS[kind], timings, beside) for kind, group in kinds.items()]


def comparison(members: Sequence[dict], k: str) -> list[list[str]]:
    """Success rates [95 %] at one K: a row an agent, a column a task, and the mean of those that have all.

    The greatest of a column are bold, unless all are equal. What was not measured stays empty.
    """
    agents, tasks = (list(dict.fromkeys(member[name] for member in members)) for name in ("agent", "task"))
    measured = {}
    for member in (member for member in members if k in member["eval"]):
        measured.setdefault((member["agent"], member["task"]), []).append(member["eval"][k])
    rates = {name: round(np.mean([score["success_rate"] for score in each]), 9) for name, each in measured.items()}

    def cell(agent, task):
        if (agent, task) not in measured:
            return ""
        scores, rate = measured[agent, task], rates[agent, task]
        low, high = success_interval([score["success_rate"] for score in scores], scores[0]["episodes"])
        column = [other for (_, where), other in rates.items() if where == task]
        mark = "**" if min(column) < rate == max(column) else ""
        return f"{mark}{rate:.2f} [{low:.2f}, {high:.2f}]{mark}"

    rows = [[f"K = {k}", *tasks, "mean"]]
    for agent in agents:
        own = [rates[agent, task] for task in tasks if (agent, task) in rates]
        mean = f"{np.mean(own):.2f}" if len(own) == len(tasks) else ""
        rows.append([agent, *(cell(agent, task) for task in tasks), mean])
    return rows


def kind_of(member: dict) -> str:
    """What a member with scores is scored by: samples, return or success."""
    if "off_mode" in next(iter(member["eval"].values())):
        return "samples"
    return "return" if isinstance(TASKS.get(member["task"]), ReturnTask) else "success"


def swept(members: Sequence[dict], name_of: Callable[[dict], Hashable]) -> dict[Hashable, list[str]]:
    """By name, those of `agent_config.NUMBERS` in which members of that name differ."""
    values = {}
    for member in members:
        own = values.setdefault(name_of(member), {})
        for number in NUMBERS:
            own.setdefault(number, set()).add(member.get("hparams", {}).get(number))
    return {name: [number for number, each in own.items() if len(each) > 1] for name, own in values.items()}


def _table(members: Sequence[dict], cells_of, timings, beside) -> list[list[str]]:
    keys = {
        "run": lambda member: member.get("label"),
        "agent": lambda member: member.get("agent", ""),
        "task": lambda member: member["task"],
    }
    differing = swept(members, lambda member: (member.get("label"), member.get("agent"))).values()
    for name in (name for name in NUMBERS if any(name in each for each in differing)):
        keys[name] = lambda member, name=name: f"{member['hparams'][name]:g}"
    groups = {}
    for member in members:
        groups.setdefault(tuple(key(member) for key in keys.values()), []).append(member)
    shown = [name == "task" or len({group[i] for group in groups}) > 1 for i, name in enumerate(keys)]
    shown[0] = any("label" in member for member in members)
    rows = []
    for names, group in groups.items():
        timing, agent = timings.get(group[0].get("label"), {}), group[0].get("agent", "")
        for k in group[0]["eval"]:
            cells = {name: value for name, value, show in zip(keys, names, shown) if show}
            cells |= cells_of(k, [member["eval"][k] for member in group], group[0]["dataset"])
            if "action_ms" in timing:
                cells["ms per action"] = f"{timing['action_ms'][agent][k]:.2f}"
            if timing.get("updates_per_s") and shown[1]:  # a run that an earlier version finished has none
                cells["updates/s"] = f"{timing['updates_per_s'][agent]:.0f}"
            cells["seeds"] = ", ".join(f"{member['seed']}{' (diverged)' * member['diverged']}" for member in group)
            rows.append(cells | beside(group, k))
    heads = list(dict.fromkeys(name for cells in rows for name in cells))
    return [heads, *([cells.get(name, "") for name in heads] for cells in rows)]


def mean_cell(values: Sequence[float], digits: int) -> str:
    """The mean over seeds, and its 95 % interval if there are several."""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    low, high = mean_interval(values)
    return f"{mean} [{low:.{digits}f}, {high:.{digits}f}]"


def markdown_text(words: str) -> str:
    """Text that ends no cell and holds no tag."""
    return words.translate(_MARKDOWN)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells, the first row its head."""
    rows = [list(map(markdown_text, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def latex(rows: Sequence[Sequence[str]]) -> str:
    """The same in LaTeX, with the rules of the package booktabs."""
    head, *body = (" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in rows)
    columns = "l" * len(rows[0])
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _success_cells(k: str, scores: list[dict], dataset: dict) -> dict[str, str]:
    rates = [score["success_rate"] for score in scores]
    low, high = success_interval(rates, scores[0]["episodes"])
    return {
        "data set": dataset["id"],
        "source": dataset["source"],
        "K": k,
        "success rate [95 %]": f"{np.mean(rates):.3f} [{low:.3f}, {high:.3f}]",
        "normalised score": f"{np.mean([score['normalized_score'] for score in scores]):.1f}",
        "episodes": _episodes(scores),
    }


def _episodes(scores: list[dict]) -> str:
    crashed = sum(score.get("crashed", 0) for score in scores)
    return f"{len(scores)} x {scores[0]['episodes']}" + f", {crashed} crashed" * (crashed > 0)


def _sample_cells(k: str, scores: list[dict], dataset: dict) -> dict[str, str]:
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


def _return_cells(k: str, scores: list[dict], dataset: dict) -> dict[str, str]:
    return {
        "data set": dataset["id"],
        "source": dataset["source"],
        "K": k,
        "normalised score [95 %]": mean_cell([score["normalized_score"] for score in scores], 1),
        "return": f"{np.mean([score['return_mean'] for score in scores]):.1f}",
        "episodes": _episodes(scores),
    }


_CELLS = {"success": _success_cells, "return": _return_cells, "samples": _sample_cells}
