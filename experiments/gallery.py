"""The parts of a report that show what agents do and think: walks, films, samples, advantages and weights."""

import contextlib
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import image

from experiments import behaviour, restored
from experiments.behaviour import Walk
from experiments.records import Record
from gtp_jax import figures, film, page, pictures, tasks
from gtp_jax.errors import UserError
from gtp_jax.page import Album
from gtp_jax.tasks import MazeTask, MultigoalTask

FRAMES = 6  # of a film


class Shown(NamedTuple):
    """Parts of the page on one run, and what could not be shown of it."""

    acts: list[str]
    judgements: list[str]
    notes: list[str]


def show(record: Record, stack: contextlib.ExitStack, album: Album) -> Shown:
    """What there is to see of a run: nothing without a checkpoint, less without data or OpenGL."""
    shown = Shown([], [], [])
    try:
        run = behaviour.first_members(restored.restore(record.path, stack))
    except UserError as error:
        shown.notes.append(f"Nothing of what {record.name} does: {error}.")
        return shown
    steps = sorted(run.config.eval.sampling_steps)
    mazes = [name for name in run.config.tasks if isinstance(tasks.get(name), MazeTask)]
    walks = behaviour.play_mazes(run, steps[-1], stack) if mazes else {}
    if mazes and not film.backend():
        shown.notes.append(f"No film of {record.name}: there is no OpenGL to render with (EGL or OSMesa).")
    for name in run.config.tasks:
        task, heading = tasks.get(name), page.heading(3, f"{record.name}: {name}, after {run.step} updates")
        if isinstance(task, MultigoalTask):
            paths = {p.label: behaviour.trajectories(task, p, run.states[p.label], steps, 0) for p in run.programs}
            shown.acts.extend([heading, _plane(record, name, paths, album)])
            continue
        data = _data(record, run, name, shown.notes)
        if name in mazes:
            found = {label: each[name] for label, each in walks.items()}
            shown.acts.extend([heading, *_maze(record, task, found, data, steps[-1], album)])
        else:
            shown.notes.append(f"No picture of {record.name}, {name}: only mazes and samples in the plane have any.")
        critics = [label for label, state in run.states.items() if state.critic is not None]
        for label in critics if data is not None else ():
            shown.judgements.extend(_judgement(record, run, label, name, data, album))
    return shown


def _data(record, run, name: str, notes: list[str]):
    problem = "is not where data sets are kept"
    try:
        if (data := behaviour.local_data(run, name)) is not None:
            return data
    except UserError as error:
        problem = f"cannot be used: {error}"
    notes.append(f"No data of {record.name}, {name}: {run.datasets[name]['id']} {problem}.")
    return None


def _plane(record: Record, name: str, paths: dict, album: Album) -> str:
    picture = album.picture(
        ["trajectories", record.name, name],
        functools.partial(pictures.draw_trajectories, tasks.get(name), paths),
        f"Samples of {', '.join(paths)} among the modes of {name}, a row an agent and a column a K.",
        "From noise to actions: samples on a mode are blue, others red, circles are the modes.",
    )
    return page.wide(picture)


def _maze(record, task: MazeTask, walks: dict[str, list[Walk]], data, k: int, album: Album) -> list[str]:
    positions = None if data is None else data.transitions.obs[:, :2]
    maps = [_map(record, task, label, found, positions, k, album) for label, found in walks.items()]
    parts = [page.pictures(maps)]
    if film.backend():  # of the agent that most often reaches the goal
        label = max(walks, key=lambda label: sum(walk.success for walk in walks[label]))
        parts += _film(record, task, label, walks[label], album)
    return parts


def _map(record, task: MazeTask, label: str, walks: Sequence[Walk], positions, k: int, album: Album) -> str:
    paths, successes = zip(*((walk.observations[:, :2], walk.success) for walk in walks))
    return album.picture(
        ["paths", record.name, label, task.name],
        functools.partial(pictures.draw_paths, task, paths, successes, positions=positions),
        f"{task.name} from above: {sum(successes)} of {len(walks)} paths of {label} lead from the start to the goal.",
        f"{label} at K = {k}, first seed"
        + ("" if positions is None else "; the darker the grey, the more of the data are there"),
    )


def _film(record, task: MazeTask, label: str, walks: Sequence[Walk], album: Album) -> list[str]:
    walk = max(walks, key=lambda walk: walk.success)  # the first that reaches the goal, or the first
    steps = np.linspace(0, len(walk.observations) - 1, FRAMES).round().astype(int)
    frames = film.render(task, walk.observations[steps], film.backend())
    end = "reaches the goal" if walk.success else "does not reach the goal"
    strip = [
        album.picture(
            ["film", record.name, label, task.name, str(number)],
            functools.partial(image.imsave, arr=frame),
            f"{label} in {task.name} at step {step}, rendered.",
            f"step {step}",
        )
        for number, (step, frame) in enumerate(zip(steps, frames))
    ]
    return [page.heading(4, f"An episode of {label}, which {end}"), page.pictures(strip, small=True)]


def _judgement(record, run, label: str, name: str, data, album: Album) -> list[str]:
    advantages, weights = behaviour.judge(run, label, name, data)
    structure = next(program for program in run.programs if program.label == label).structure
    shown = {"advantage": advantages}
    if structure.is_guided and structure.guidance == "weights":
        shown["weight"] = weights
    words = [f"advantages from {advantages.min():.3g} to {advantages.max():.3g}, median {np.median(advantages):.3g}"]
    if "weight" in shown:
        share = weights.mean() ** 2 / (weights**2).mean()
        words.append(f"weights have the mean {weights.mean():.3g}, and {100 * share:.0f} % of the transitions count")
    histograms = [
        album.picture(
            [quantity, record.name, label, name],
            functools.partial(figures.draw_distribution, values, quantity),
            f"Histogram of the {quantity}s that {label} gives to data of {name}.",
        )
        for quantity, values in shown.items()
    ]
    return [
        page.heading(3, f"{record.name}: {name}, {label}"),
        page.text(f"Of {len(advantages)} transitions: {'; '.join(words)}."),
        page.pictures(histograms),
    ]
