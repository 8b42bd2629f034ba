"""The parts of a report that show what agents do and think: paths, films, samples, advantages and weights."""

import contextlib
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import image

from experiments import behaviour, restored
from experiments.behaviour import Episode
from experiments.records import Record
from gtp_jax import figures, film, page, pictures, tasks
from gtp_jax.errors import UserError
from gtp_jax.page import Album
from gtp_jax.tasks import MazeTask, MultigoalTask, ReturnTask, Task

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
    kinds = {name: tasks.get(name) for name in run.config.tasks}
    mazes = [name for name, task in kinds.items() if isinstance(task, MazeTask)]
    others = [name for name, task in kinds.items() if not isinstance(task, MazeTask | MultigoalTask)]
    if (mazes or others) and not film.backend():
        shown.notes.append(f"No film of {record.name}: there is no OpenGL to render with (EGL or OSMesa).")
        others = []
    played = {label: {} for label in run.states}
    for names, num_episodes in ((mazes, behaviour.EPISODES), (others, 1)):
        for label, found in behaviour.play(run, names, num_episodes, steps[-1], stack).items() if names else ():
            played[label] |= found
    for name, task in kinds.items():
        heading = page.heading(3, f"{record.name}: {name}, after {run.step} updates")
        if isinstance(task, MultigoalTask):
            paths = {p.label: behaviour.trajectories(task, p, run.states[p.label], steps, 0) for p in run.programs}
            shown.acts.extend([heading, _plane(record, name, paths, album)])
            continue
        data = _data(record, run, name, shown.notes)
        acts = {label: found[name] for label, found in played.items() if name in found}
        if name in mazes:
            shown.acts.extend([heading, _maps(record, task, acts, data, steps[-1], album)])
        elif acts:
            shown.acts.append(heading)
        if acts and film.backend():
            shown.acts.extend(_film(record, task, acts, album, shown.notes))
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


def _maps(record, task: MazeTask, acts: dict[str, list[Episode]], data, k: int, album: Album) -> str:
    positions = None if data is None else data.transitions.obs[:, :2]
    return page.pictures([_map(record, task, label, found, positions, k, album) for label, found in acts.items()])


def _map(record, task: MazeTask, label: str, found: Sequence[Episode], positions, k: int, album: Album) -> str:
    paths, successes = zip(*((each.observations[:, :2], each.success) for each in found))
    return album.picture(
        ["paths", record.name, label, task.name],
        functools.partial(pictures.draw_paths, task, paths, successes, positions=positions),
        f"{task.name} from above: {sum(successes)} of {len(found)} paths of {label} lead from the start to the goal.",
        f"{label} at K = {k}, first seed"
        + ("" if positions is None else "; the darker the grey, the more of the data are there"),
    )


def _film(record, task: Task, acts: dict[str, list[Episode]], album: Album, notes: list[str]) -> list[str]:
    """Frames of the best episode of the agent with the best ones."""

    def worth(episode):
        return episode.success, episode.total

    label = max(acts, key=lambda label: sum(np.array(worth(each)) for each in acts[label]).tolist())
    episode = max(acts[label], key=worth)
    steps = np.linspace(0, len(episode.actions), FRAMES).round().astype(int)
    try:
        frames, total = film.render(task, episode.seed, episode.actions, steps, film.backend())
        if not np.isclose(total, episode.total):
            raise RuntimeError(f"played again, the episode in {task.name} went otherwise")
    except RuntimeError as error:
        notes.append(f"No film of {record.name}: {error}.")
        return []
    end = f"has a return of {episode.total:.1f}"
    if not isinstance(task, ReturnTask):
        end = "reaches the goal" if episode.success else "does not reach the goal"
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
    program = next(program for program in run.programs if program.label == label)
    row = [member.task for member in program.members].index(name)
    _, (advantages, weights, _) = behaviour.judge(run, program, row, data)
    shown = {"advantage": advantages}
    if program.structure.is_guided and program.structure.guidance == "weights":
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
