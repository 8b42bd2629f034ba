"""The parts of a report in which agents are compared: aggregates over tasks, scores by K, learning curves."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from experiments.records import Record, methods
from gtp_jax import aggregates, figures, page, tables
from gtp_jax.aggregates import Scores
from gtp_jax.evaluation import mean_interval, success_interval
from gtp_jax.figures import Estimate
from gtp_jax.page import Album

FIRST = ("success_rate", "actor_loss", "critic_loss")  # the curves that are seen at once, by how their names begin
THRESHOLDS = 101
MOST_PAIRED = 6  # agents; of more, the one with the greatest mean is compared with the others


class Member(NamedTuple):
    """A member of a run, with what a comparison takes from its run."""

    method: str
    entry: dict  # as in `Record.members`
    curves: dict[str, dict[int, float]]  # metrics by name and update
    action_ms: dict[str, float]  # by K


def gather(records: Sequence[Record]) -> list[Member]:
    """The members of all runs."""
    names = iter(methods(records))
    return [
        Member(next(names), entry, record.curves(i), _action_ms(record, entry))
        for record in records
        for i, entry in enumerate(record.members)
    ]


def _action_ms(record: Record, entry: dict) -> dict[str, float]:
    return record.finished["timing"]["action_ms"][entry["agent"]] if record.finished else {}


def by_task(members: Sequence[Member]) -> Iterator[tuple[str, dict[str, list[Member]]]]:
    """Each task, and its members by method."""
    for task in dict.fromkeys(member.entry["task"] for member in members):
        own = [member for member in members if member.entry["task"] == task]
        yield task, {name: [m for m in own if m.method == name] for name in dict.fromkeys(m.method for m in own)}


# ---------------------------------------------------------------- over tasks


def over_tasks(members: Sequence[Member], labels: Sequence[str], album: Album) -> tuple[list[str], list]:
    """Parts of the page, and (name, rows) of its tables. Methods are compared on tasks that all of them have.

    Samples in the plane are left out: they have no score of the kind.
    """
    parts, written = [], []
    scored = [member for member in members if "eval" in member.entry and tables.kind_of(member.entry) != "samples"]
    tasks_of = {label: tuple(sorted({m.entry["task"] for m in scored if m.method == label})) for label in labels}
    for names in dict.fromkeys(tasks for tasks in tasks_of.values() if tasks):
        group = [label for label in labels if set(names) <= set(tasks_of[label])]
        of_group = [m for m in scored if m.method in group and m.entry["task"] in names]
        if steps := set.intersection(*(set(m.entry["eval"]) for m in of_group)):
            k = max(steps, key=int)
            scores = {label: _scores(scored, label, names, k) for label in group}
            found, pictures = _aggregate(scores, f"{', '.join(names)} at K = {k}", names, labels, album)
            shown = [page.table(rows, name) for name, rows in found]
            parts += [page.heading(3, f"{', '.join(names)} at K = {k}"), *shown, page.pictures(pictures)]
            written += found
    return parts, written


def _aggregate(scores: dict[str, Scores], heading: str, names, labels: Sequence[str], album: Album):
    """Tables, (name, rows) each, and pictures of methods with scores in the same tasks."""
    group = ", ".join(scores)
    means = {label: _estimate(aggregates.interquartile_mean, each) for label, each in scores.items()}
    rows = [["agent", "IQM [95 %]", "tasks", "seeds"]]
    for label, each in scores.items():
        seeds = " + ".join(str(len(task)) for task in each)
        rows.append([label, _interval(means[label], 1), str(len(each)), seeds])
    draw = functools.partial(figures.draw_intervals, means, "interquartile mean of normalised scores", most=100.0)
    alt = f"Interquartile means of {group} with 95 % intervals; the numbers are in the table above."
    found, pictures = [(f"Interquartile means, {heading}", rows)], [album.picture(["iqm", *names], draw, alt)]
    draw = functools.partial(_draw_profiles, scores, labels)
    alt = f"Performance profiles of {group}: share of seeds above each score."
    pictures.append(album.picture(["profiles", *names], draw, alt))
    if len(scores) > 1:
        ranked = sorted(scores, key=lambda label: means[label][0], reverse=True)
        best, *others = ranked
        pairs = itertools.combinations(ranked, 2) if len(ranked) <= MOST_PAIRED else [(best, each) for each in others]
        chances = {
            f"{x} > {y}": _estimate(aggregates.probability_of_improvement, scores[x], scores[y]) for x, y in pairs
        }
        rows = [["X > Y", "P [95 %]"], *([pair, _interval(estimate, 2)] for pair, estimate in chances.items())]
        found.append((f"Probability of improvement, {heading}", rows))
        draw = functools.partial(figures.draw_intervals, chances, "P(X > Y)", most=1.0, reference=0.5)
        alt = "Probabilities of improvement with 95 % intervals; the numbers are in the table above."
        pictures.append(album.picture(["improvement", *names], draw, alt))
    return found, pictures


def _scores(members, label: str, tasks: Sequence[str], k: str) -> Scores:
    return [
        np.array(
            [m.entry["eval"][k]["normalized_score"] for m in members if (m.method, m.entry["task"]) == (label, task)]
        )
        for task in tasks
    ]


def _estimate(statistic, *scores) -> Estimate:
    low, high = aggregates.bootstrap_interval(statistic, *scores)
    return statistic(*scores), float(low), float(high)


def _interval(estimate: Estimate, digits: int) -> str:
    mean, low, high = estimate
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _draw_profiles(scores: dict[str, Scores], labels: Sequence[str], file) -> None:
    every = np.concatenate([task for each in scores.values() for task in each])
    thresholds = np.linspace(min(0.0, every.min()), max(100.0, every.max()), THRESHOLDS)
    profile = functools.partial(aggregates.performance_profile, thresholds=thresholds)
    curves = {
        label: (thresholds, profile(each), *aggregates.bootstrap_interval(profile, each))
        for label, each in scores.items()
    }
    figures.draw_curves(curves, labels, "normalised score", "share of seeds above it", file, is_share=True)


# ---------------------------------------------------------------- by K


def by_steps(members: Sequence[Member], labels: Sequence[str], album: Album) -> list[str]:
    """Scores and the time of an action against K."""
    pictures, times = [], {}
    for task, groups in by_task([member for member in members if "eval" in member.entry]):
        what, estimate = QUANTITIES[tables.kind_of(next(iter(groups.values()))[0].entry)]
        scores = {label: _at_each_step(group, estimate) for label, group in groups.items()}
        pictures.append(_against_steps(task, scores, what, labels, album, is_share=estimate != _score))
        points = {label: _at_each_step(group, _action_ms_of) for label, group in groups.items()}
        times.setdefault(repr(points), (points, []))[1].append(task)  # a run takes the time once, for all its tasks
    for points, names in times.values():
        pictures.append(_against_steps(", ".join(names), points, "ms per action", labels, album, is_share=False))
    return [page.pictures(pictures)] if pictures else []


def _against_steps(task: str, points: dict, what: str, labels: Sequence[str], album: Album, *, is_share: bool) -> str:
    return album.picture(
        [what, "by-K", task],
        functools.partial(figures.draw_by_steps, points, labels, what, is_share=is_share),
        f"{task}: {what} against the number of sampling steps, of {', '.join(points)}.",
        f"{task}: {what}",
    )


def _at_each_step(group: Sequence[Member], estimate) -> dict[int, Estimate]:
    steps = sorted({k for member in group for k in member.entry["eval"]}, key=int)
    return {int(k): estimate([member for member in group if k in member.entry["eval"]], k) for k in steps}


def _success(group: Sequence[Member], k: str) -> Estimate:
    scores = [member.entry["eval"][k] for member in group]
    rates = [score["success_rate"] for score in scores]
    return float(np.mean(rates)), *success_interval(rates, min(score["episodes"] for score in scores))


def _off_mode(group: Sequence[Member], k: str) -> Estimate:
    return _spread([member.entry["eval"][k]["off_mode"] for member in group])


def _score(group: Sequence[Member], k: str) -> Estimate:
    values = [member.entry["eval"][k]["normalized_score"] for member in group]
    if len(values) == 1:
        return *values, *values, *values
    return float(np.mean(values)), *mean_interval(values)


QUANTITIES = {
    "success": ("success rate", _success),
    "return": ("normalised score", _score),
    "samples": ("samples off every mode", _off_mode),
}


def _action_ms_of(group: Sequence[Member], k: str) -> Estimate:
    return _spread([member.action_ms[k] for member in group])


def _spread(values: Sequence[float]) -> Estimate:
    return float(np.mean(values)), min(values), max(values)


# ---------------------------------------------------------------- in the course of training


def learning_curves(members: Sequence[Member], labels: Sequence[str], album: Album) -> list[str]:
    """Every metric against updates, a line a method, with a band from the least seed to the greatest."""
    parts = []
    for task, groups in by_task([member for member in members if member.curves]):
        metrics = dict.fromkeys(name for group in groups.values() for member in group for name in member.curves)
        shown, others = [], []
        for metric in sorted(metrics, key=lambda name: (not name.startswith(FIRST[0]), name)):
            curves = {label: curve for label, group in groups.items() if (curve := _band(group, metric))}
            name = metric.replace("_", " ")
            (shown if metric.startswith(FIRST) else others).append(
                album.picture(
                    [metric, task],
                    functools.partial(
                        figures.draw_curves, curves, labels, "updates", name, is_share=metric.startswith(FIRST[0])
                    ),
                    f"{task}: {name} in the course of training, of {', '.join(curves)}.",
                )
            )
        parts += [page.heading(3, task), page.pictures(shown)]
        if others:
            parts.append(page.details(f"{len(others)} more metrics of {task}", page.pictures(others)))
    return parts


def _band(group: Sequence[Member], metric: str) -> tuple[np.ndarray, ...] | None:
    """Updates, and the mean, the least and the greatest of the seeds that have a value there."""
    curves = [member.curves[metric] for member in group if metric in member.curves]
    if not curves:
        return None
    steps = sorted({step for curve in curves for step in curve})
    values = np.array([[curve.get(step, np.nan) for step in steps] for curve in curves])
    return np.array(steps), np.nanmean(values, 0), np.nanmin(values, 0), np.nanmax(values, 0)
