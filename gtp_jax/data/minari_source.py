"""Finds, downloads or generates a task's Minari data set, and says which of these it was."""

import fcntl
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import h5py
import minari
from minari.storage.datasets_root_dir import get_dataset_path

from gtp_jax.data import generate, multigoal, transitions
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask, MultigoalTask, Task
from gtp_jax.trust import refuse_links

HUB_TIMEOUT = 5.0  # seconds until the hub counts as out of reach
HUB_REPOSITORY = "farama-minari/D4RL"
SOURCES = ("minari-local", "minari-remote", "generated")
LARGEST_RATIO = 20  # of arrays to their file, if they are compressed
LARGEST_PIECE = 2**26  # bytes, which are unpacked at once
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
_ID = re.compile(r"[\w-]+(/[\w-]+)*-v\d+")


class Dataset(NamedTuple):
    """A task's transitions and where they came from."""

    id: str
    source: str  # one of SOURCES
    transitions: transitions.Transitions

    def record(self) -> dict:
        """The entry of results.json."""
        return {"id": self.id, "source": self.source, "num_transitions": len(self.transitions.reward)}


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
        if not right or not _ID.fullmatch(record["id"]) or record["source"] not in SOURCES:
            raise UserError(f"the checkpoint does not say which data {task} was trained on; it is damaged")


def _hub_problem() -> str | None:
    """Why Minari's hub cannot be used, in a few words, or None; found out by one request without retries."""
    from huggingface_hub import HfApi  # slow to import, and not needed where the data are local

    try:
        HfApi().dataset_info(HUB_REPOSITORY, timeout=HUB_TIMEOUT)
    except Exception as error:  # the client's errors have no common base of their own
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def is_local(dataset_id: str) -> bool:
    """Whether a data set is in the local store, so that `load` needs no network."""
    try:
        return (get_dataset_path(dataset_id) / "data").is_dir()
    except OSError as error:  # Minari makes the store's folder
        raise UserError(f"the Minari store cannot be used ({error}); MINARI_DATASETS_PATH can name another") from error


def _download(dataset_id: str) -> None:
    """Brings a data set into the local store, whole or not at all."""
    if problem := _hub_problem():
        raise UserError(
            f"data set {dataset_id} is not in the local Minari store and its hub cannot be reached ({problem}); "
            "connect to the internet, copy it into the store, or use --config.dataset=generated"
        )
    path = get_dataset_path(dataset_id)
    existed = path.exists()
    try:
        minari.download_dataset(dataset_id)
    except BaseException as error:
        if not existed:
            shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, Exception):
            raise UserError(f"data set {dataset_id} cannot be downloaded: {error}".splitlines()[0]) from error
        raise


def load(task: MazeTask, dataset_id: str) -> transitions.Transitions:
    """Reads a data set of the local store, which may come from a stranger.

    Minari's reader would decode every array and space, follow every link and believe every size, so only the arrays
    that become transitions are read, and of metadata.json only the number of episodes.

    Raises:
        UserError: it is not there, is damaged, does not fit the task, or is not as Minari writes data sets.
    """
    path = get_dataset_path(dataset_id)
    try:
        refuse_links(path)
        metadata = json.loads((path / "data" / "metadata.json").read_text())
        with h5py.File(path / "data" / "main_data.hdf5") as file:
            if metadata["total_episodes"] != len(file):
                raise UserError(f"its metadata and its file, which has {len(file)} episodes, differ; it is damaged")
            return transitions.from_episodes(task, _episodes(task, file))
    except UserError as error:
        raise UserError(f"data set {dataset_id}: {error}") from error
    except Exception as error:  # on damaged files h5py raises nearly everything there is
        problem = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise UserError(f"data set {dataset_id} cannot be read ({problem}); delete {path} and run again") from error


def _episodes(task: MazeTask, file: h5py.File):
    """Observations and actions of each episode; no array is read before its shape and size are known to be right."""
    seen, acted = task.widths
    widths = {"observations/observation": seen - 2 * task.is_ant, "observations/achieved_goal": 2, "actions": acted}
    left = LARGEST_RATIO * os.stat(file.filename).st_size
    for number in range(len(file)):
        values = {}
        for name, width in widths.items():
            array, short = _array(file, f"episode_{number}/{name}"), name.removeprefix("observations/").rstrip("s")
            if array.shape[1:] != (width,):
                raise UserError(f"its {short} has shape {array.shape[1:]}, that of {task.name} has ({width},)")
            if array.dtype.kind != "f":
                raise UserError(f"its {short} holds {array.dtype}, not floating-point numbers")
            left -= math.prod(array.shape) * array.dtype.itemsize
            if left < 0:
                raise UserError("its arrays claim to be larger than its file; it is damaged")
            values[name.removeprefix("observations/")] = array[()]
        yield values, values.pop("actions")


def _array(file: h5py.File, path: str) -> h5py.Dataset:
    """The array at a path, whose every byte lies in the file, and which no library outside HDF5 unpacks."""
    at = file
    for name in path.split("/"):
        link = at.get(name, getlink=True) if isinstance(at, h5py.Group) else None
        if link is None:
            raise UserError(f"it has no {path}: it is damaged, or its observations are not those of a maze")
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"its {path} is a link; put the array itself in its place")
        at = at[name]
    layout = at.id.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
        raise UserError(f"its {path} lies in another file; put the array itself in its place")
    if any(layout.get_filter(i)[0] not in _FILTERS for i in range(layout.get_nfilters())):
        raise UserError(f"its {path} is packed in a way unknown here; use gzip or nothing")
    if math.prod(at.chunks or ()) * at.dtype.itemsize > LARGEST_PIECE:
        raise UserError(f"its {path} is stored in pieces of more than {LARGEST_PIECE} bytes; make them smaller")
    return at


def _once(dataset_id: str, make: Callable[[], object]) -> bool:
    """Makes a data set that is not in the local store; whether it had to.

    Processes that want the same one take turns, so that the first makes it and the others find it.
    """
    if is_local(dataset_id):
        return False
    with open(get_dataset_path() / ".gtp_jax.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the process ends, however it does
        if is_local(dataset_id):
            return False
        make()
        return True


def resolve(task: Task, dataset: str, *, num_transitions: int, seed: int, say=print) -> Dataset:
    """The task's data, by what the user asked for.

    Args:
        dataset: "auto" takes D4RL's data from the local store or the hub, and the generator's where neither has
            them; "generated" always takes the generator's; anything else is the id of one Minari data set.
        num_transitions, seed: of generated data.
        say: told in one line what happens.

    Raises:
        UserError: the data cannot be had, or are damaged.
    """
    stand_in = generate.dataset_id(task, num_transitions, seed)
    if isinstance(task, MultigoalTask):
        if dataset not in ("auto", "generated", stand_in):  # which a resumed run asks for
            raise UserError(f"dataset = {dataset!r} must be auto or generated: {task.name} has no recorded data")
        return Dataset(stand_in, "generated", multigoal.transitions(task, num_transitions, seed))
    if dataset not in ("auto", "generated") and not _ID.fullmatch(dataset):
        raise UserError(f"dataset = {dataset!r} must be auto, generated or a Minari id such as {task.minari_id}")
    if dataset == "auto" and not is_local(task.minari_id) and (problem := _hub_problem()):
        say(f"{task.name}: D4RL's data set is not in the local store and Minari's hub is out of reach ({problem})")
        dataset = "generated"
    if dataset in ("generated", stand_in):

        def make():
            say(f"{task.name}: generating {num_transitions} transitions as a stand-in for {task.minari_id}")
            generate.generate(task, num_transitions, seed)

        try:
            _once(stand_in, make)
        except OSError as error:
            raise UserError(f"{stand_in} cannot be written to the Minari store: {error}") from error
        except BrokenProcessPool as error:
            raise UserError(f"{stand_in} was not made; a process that worked at it was killed") from error
        return Dataset(stand_in, "generated", load(task, stand_in))
    dataset_id = task.minari_id if dataset == "auto" else dataset

    def fetch():
        say(f"{task.name}: downloading {dataset_id}")
        _download(dataset_id)

    source = "generated" if dataset_id.startswith("gtp_jax/") else "minari-local"
    if _once(dataset_id, fetch):
        source = "minari-remote"
    return Dataset(dataset_id, source, load(task, dataset_id))
