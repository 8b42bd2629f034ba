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
from gtp_jax.tasks import MazeTask

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
        shown.acts.append(page.heading(3, f"{record.name}: {name}, after {run.step} updates"))
        if name in mazes:
            _show_maze(record, run, name, {label: each[name] for label, each in walks.items()}, steps[-1], album, shown)
        else:
            paths = {
                p.label: behaviour.trajectories(tasks.get(name), p, run.states[p.label], steps, 0) for p in run.programs
            }
            shown.acts.append(_plane(record, name, paths, album))
    return shown


def _plane(record: Record, name: str, paths: dict, album: Album) -> str:
    picture = album.picture(
        ["trajectories", record.name, name],
        functools.partial(pictures.draw_trajectories, tasks.get(name), paths),
        f"Samples of {', '.join(paths)} among the modes of {name}, a row an agent and a column a K.",
        "From noise to actions: samples on a mode are blue, others red, circles are the modes.",
    )
    return page.wide(picture)


def _show_maze(record, run, name: str, walks: dict[str, list[Walk]], k: int, album: Album, shown: Shown) -> None:
    task, data = tasks.get(name), behaviour.local_data(run, name)
    if data is None:
        shown.notes.append(
            f"Neither data nor advantages of {record.name}, {name}: its data set {run.datasets[name]['id']} is not in "
            "the local store."
        )
    positions = None if data is None else data.transitions.obs[:, :2]
    maps = [_map(record, task, label, found, positions, k, album) for label, found in walks.items()]
    shown.acts.append(page.pictures(maps))
    if film.backend():  # of the agent that most often reaches the goal
        label = max(walks, key=lambda label: sum(walk.success for walk in walks[label]))
        shown.acts.extend(_film(record, task, label, walks[label], album))
    judged = [label for label in walks if run.states[label].critic is not None] if data is not None else []
    for label in judged:
        shown.judgements.extend(_judgement(record, run, label, name, data, album))


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
