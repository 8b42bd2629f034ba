"""Where a task's data come from: recorded data sets in several formats, or generated ones."""

import contextlib
import pathlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np

from gtp_jax import environments
from gtp_jax.data import (
    d4rl_source,
    download,
    generate_mazes,
    generate_ogbench,
    minari_source,
    multigoal,
    npz_source,
    transitions,
    turns,
)
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask, MultigoalTask, OGBenchTask, ReturnTask, Task

SOURCES = ("minari-local", "minari-remote", "generated", "d4rl-hdf5", "ogbench", "npz")
_FILE = re.compile(r"[^/]+\.(hdf5|h5|npz)")


class Dataset(NamedTuple):
    """A task's transitions and where they came from."""

    id: str
    source: str  # one of SOURCES
    transitions: transitions.Transitions

    def record(self) -> dict:
        """The entry of results.json."""
        return {"id": self.id, "source": self.source, "num_transitions": len(self.transitions.reward)}


def num_rewarded(found: transitions.Transitions) -> int:
    """How many transitions have more than the least reward, which is 0 in mazes and -1 in OGBench's tasks."""
    return int(np.count_nonzero(found.reward > found.reward.min()))


def check_records(progress, tasks) -> None:
    """Refuses the progress of a checkpoint that does not hold what `Dataset.record` gave for each task.

    Raises:
        UserError: it says so.
    """
    kinds = {"id": str, "source": str, "num_transitions": int}
    for task in tasks:
        try:
            record = progress["datasets"][task]
            right = {name: type(value) for name, value in record.items()} == kinds
        except (AttributeError, KeyError, TypeError):
            right = False
        named = right and (minari_source.ID.fullmatch(record["id"]) or _FILE.fullmatch(record["id"]))
        if not named or not record["id"].isprintable() or record["source"] not in SOURCES:
            raise UserError(f"the checkpoint does not say which data {task} was trained on; it is damaged")


def resolve(task: Task, dataset: str, *, num_transitions: int, seed: int, say: Callable = print) -> Dataset:
    """The task's data, by what the user asked for.

    Args:
        dataset: "auto" takes the recorded data of the task, from a local copy or a server, and for mazes of Minari
            the generator's where neither has them; "generated" always takes the generator's, which mazes have and the
            points and arms of OGBench; a path that ends in .hdf5 or .npz is a file of D4RL's, OGBench's or one's own;
            anything else is the id of one Minari data set.
        num_transitions, seed: of generated data.
        say: told in one line what happens.

    Raises:
        UserError: the data cannot be had, are damaged, or do not fit the task.
    """
    if dataset.endswith((".hdf5", ".h5", ".npz")):
        return _file(task, pathlib.Path(dataset).expanduser())
    if isinstance(task, MultigoalTask):
        return _points(task, dataset, num_transitions, seed)
    if isinstance(task, MazeTask):
        if dataset == "auto" and task.minari_id and (problem := _out_of_reach(task.minari_id)):
            say(f"{task.name}: D4RL's data set is not in the local store and Minari's hub is out of reach ({problem})")
            dataset = "generated"
        # A resumed run asks for the id.
        if dataset in ("generated", generated_id(task, num_transitions, seed)):
            return _walks(task, num_transitions, seed, say)
    if dataset == "generated":
        _check_generator(task)
        return _plays(task, num_transitions, seed, say)
    if dataset == "auto" and isinstance(task, OGBenchTask):
        environments.register_ogbench()  # or nothing could be done with the file
        return _fetched(task, f"{npz_source.OGBENCH_URL}/{task.dataset}.npz", npz_source.ogbench_folder())
    if dataset == "auto" and task.minari_id is None:
        return _fetched(task, f"{d4rl_source.URL}/{task.d4rl_file}", d4rl_source.folder())
    foreign = isinstance(task, MazeTask) and task.minari_id is None and not dataset.startswith(f"gtp_jax/{task.name}-")
    if isinstance(task, OGBenchTask) or foreign:
        raise UserError(
            f"dataset = {dataset!r} must be auto, generated or the path of a file for {task.name}; no other data fit it"
        )
    return _minari(task, task.minari_id if dataset == "auto" else dataset, say)


def generated_id(task: Task, num_transitions: int, seed: int) -> str:
    """`Dataset.id` of what `resolve` makes of "generated", without making it.

    Raises:
        UserError: there is no generator for the task, or its package is not installed.
    """
    _check_generator(task)
    if isinstance(task, OGBenchTask):
        return generate_ogbench.path(task, num_transitions, seed).name
    return generate_mazes.dataset_id(task, num_transitions, seed)


def _check_generator(task: Task) -> None:
    if isinstance(task, ReturnTask):
        raise UserError(f"dataset = 'generated': there is no generator for {task.name}, only recorded data")
    if isinstance(task, OGBenchTask):
        generate_ogbench.check(task)


def local(task: Task, record: dict) -> Dataset | None:
    """The data of a `Dataset.record`, or None if they are not where data sets are kept; nothing is downloaded or made.

    Raises:
        UserError: they are damaged, do not fit the task, or are others.
    """
    name = record["id"]
    if isinstance(task, MultigoalTask):
        return None
    if minari_source.ID.fullmatch(name):
        if not minari_source.is_local(name):
            return None
        found = Dataset(name, record["source"], _in_maze(task, minari_source.load(task, name)))
    else:
        kept = [folder / name for folder in (npz_source.ogbench_folder(), d4rl_source.folder())]
        here = [path for path in kept if path.is_file()]
        if not here:
            return None
        found = _file(task, here[0])
    if found.record()["num_transitions"] != record["num_transitions"]:
        raise UserError(f"data set {name} is not the one that {task.name} was trained on")
    return found


def _in_maze(task: Task, found: transitions.Transitions) -> transitions.Transitions:
    """The same, but of another maze none.

    Raises:
        UserError: more than a tenth of the positions lie in walls; of generated walks none do, others may lean on them.
    """
    if isinstance(task, MazeTask) and (share := np.mean(~task.is_free(found.obs[:, :2]))) > 0.1:
        raise UserError(
            f"{100 * share:.0f} % of the data's positions lie in walls of {task.name}; it is of another maze"
        )
    return found


def _file(task: Task, path: pathlib.Path) -> Dataset:
    if isinstance(task, MultigoalTask):
        raise UserError(f"dataset = {str(path)!r} must be auto or generated: {task.name} has no recorded data")
    if not path.is_file():
        raise UserError(f"data file {path} is not there")
    if path.suffix == ".npz":
        found = npz_source.load(task, path)
        source = "ogbench" if isinstance(task, OGBenchTask) else "npz"
        return Dataset(path.name, "generated" if npz_source.is_generated(path) else source, _in_maze(task, found))
    return Dataset(path.name, "d4rl-hdf5", _in_maze(task, d4rl_source.load(task, path)))


def _fetched(task: ReturnTask | OGBenchTask, url: str, folder: pathlib.Path) -> Dataset:
    """From where the makers' own package keeps it, or else from their server."""
    path = folder / pathlib.Path(url).name
    download.fetch(url, path)
    return _file(task, path)


def _points(task: MultigoalTask, dataset: str, num_transitions: int, seed: int) -> Dataset:
    stand_in = generated_id(task, num_transitions, seed)
    if dataset not in ("auto", "generated", stand_in):  # which a resumed run asks for
        raise UserError(f"dataset = {dataset!r} must be auto or generated: {task.name} has no recorded data")
    return Dataset(stand_in, "generated", multigoal.transitions(task, num_transitions, seed))


def _out_of_reach(dataset_id: str) -> str | None:
    """Why a Minari data set can be had neither from the local store nor from the hub, or None."""
    if minari_source.is_local(dataset_id):
        return None
    minari_source.refuse_remains(dataset_id)
    return minari_source.hub_problem()


def _walks(task: MazeTask, num_transitions: int, seed: int, say: Callable) -> Dataset:
    stand_in = generated_id(task, num_transitions, seed)

    def make():
        say(f"{task.name}: generating {num_transitions} transitions as a stand-in for {task.original}")
        generate_mazes.generate(task, num_transitions, seed)

    with _making(stand_in, "the Minari store"):
        minari_source.once(stand_in, make)
    return Dataset(stand_in, "generated", minari_source.load(task, stand_in))


def _plays(task: OGBenchTask, num_transitions: int, seed: int, say: Callable) -> Dataset:
    path = generate_ogbench.path(task, num_transitions, seed)

    def make():
        say(f"{task.name}: generating {num_transitions} transitions as a stand-in for {task.dataset}.npz")
        generate_ogbench.generate(task, num_transitions, seed)

    with _making(path.name, str(path.parent)):
        turns.once(path.exists, make, path.with_name(f"{path.name}.lock"))
    return _file(task, path)


@contextlib.contextmanager
def _making(name: str, place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{name} cannot be written to {place}: {error}") from error
    except BrokenProcessPool as error:
        raise UserError(f"{name} was not made; a process that worked at it was killed") from error


def _minari(task: MazeTask | ReturnTask, dataset_id: str, say: Callable) -> Dataset:
    if not minari_source.ID.fullmatch(dataset_id):
        known = task.minari_id or "mujoco/hopper/medium-v0"
        raise UserError(
            f"dataset = {dataset_id!r} must be auto, generated, a file (.hdf5, .npz) or a Minari id such as {known}"
        )

    def fetch():
        say(f"{task.name}: downloading {dataset_id}")
        minari_source.download(dataset_id)

    source = "generated" if dataset_id.startswith("gtp_jax/") else "minari-local"
    with _making(dataset_id, "the Minari store"):
        if minari_source.once(dataset_id, fetch):
            source = "minari-remote"
    return Dataset(dataset_id, source, _in_maze(task, minari_source.load(task, dataset_id)))
