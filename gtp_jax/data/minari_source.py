"""Minari data sets, of the local store or from the hub."""

import json
import re
import shutil
from collections.abc import Callable

import h5py
import minari
from minari.storage.datasets_root_dir import get_dataset_path

from gtp_jax.data import hdf5, transitions, turns
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask, ReturnTask
from gtp_jax.trust import refuse_links

HUB_TIMEOUT = 5.0  # seconds until the hub counts as out of reach
HUB_REPOSITORY = "farama-minari/D4RL"
ID = re.compile(r"[\w-]+(/[\w-]+)*-v\d+")
_METADATA, _ARRAYS = "metadata.json", "main_data.hdf5"


def hub_problem() -> str | None:
    """Why Minari's hub cannot be used, in a few words, or None; found out by one request without retries."""
    from huggingface_hub import HfApi  # slow to import, and not needed where the data are local

    try:
        HfApi().dataset_info(HUB_REPOSITORY, timeout=HUB_TIMEOUT)
    except Exception as error:  # the client's errors have no common base of their own
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def is_local(dataset_id: str) -> bool:
    """Whether the local store has it whole: where a download is on its way, or was broken off, a file is missing."""
    try:
        data = get_dataset_path(dataset_id) / "data"
        return (data / _METADATA).is_file() and (data / _ARRAYS).is_file()
    except OSError as error:  # Minari makes the store's folder
        raise UserError(f"the Minari store cannot be used ({error}); MINARI_DATASETS_PATH can name another") from error


def refuse_remains(dataset_id: str) -> None:
    """Raises UserError if in the place of a data set that is not local there is more than a killed download leaves."""
    path = get_dataset_path(dataset_id)
    if any(each.is_file() and each.name != _METADATA for each in path.rglob("*")):
        raise UserError(
            f"{path} lacks data/{_METADATA} or data/{_ARRAYS}, and only whole data sets in HDF5 are read; "
            "move it away and run again"
        )


def download(dataset_id: str) -> None:
    """Brings a data set into the local store, whole or not at all.

    Raises:
        UserError: it cannot be had, or something else is in its place.
    """
    refuse_remains(dataset_id)
    if problem := hub_problem():
        raise UserError(
            f"data set {dataset_id} is not in the local Minari store and its hub cannot be reached ({problem}); "
            "connect to the internet, copy it into the store, or use --config.dataset=generated"
        )
    _clear(dataset_id)  # as Minari takes the folder that a killed download left for the data set
    try:
        minari.download_dataset(dataset_id)
    except BaseException as error:
        _clear(dataset_id)
        if isinstance(error, Exception):
            raise UserError(f"data set {dataset_id} cannot be downloaded: {error}".splitlines()[0]) from error
        raise


def _clear(dataset_id: str) -> None:
    """Removes what there is of a data set, but not a whole one, which others may have brought meanwhile."""
    if not is_local(dataset_id):
        shutil.rmtree(get_dataset_path(dataset_id), ignore_errors=True)


def load(task: MazeTask | ReturnTask, dataset_id: str) -> transitions.Transitions:
    """Reads a data set of the local store, which may come from a stranger.

    Minari's reader would decode every array and space, follow every link and believe every size, so only the arrays
    that become transitions are read, and of metadata.json only the number of episodes.

    Raises:
        UserError: it is not there, is damaged, does not fit the task, or is not as Minari writes data sets.
    """
    path = get_dataset_path(dataset_id)
    try:
        refuse_links(path)
        metadata = json.loads((path / "data" / _METADATA).read_text())
        with h5py.File(path / "data" / _ARRAYS) as file:
            if metadata["total_episodes"] != len(file):
                raise UserError(f"its metadata and its file, which has {len(file)} episodes, differ; it is damaged")
            reader = hdf5.Reader(file, task.name)
            if isinstance(task, MazeTask):
                return transitions.from_episodes(task, _walks(task, reader))
            return transitions.from_recorded(task, _episodes(task, reader))
    except UserError as error:
        raise UserError(f"data set {dataset_id}: {error}") from error
    except Exception as error:  # on damaged files h5py raises nearly everything there is
        problem = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise UserError(f"data set {dataset_id} cannot be read ({problem}); move {path} away and run again") from error


def _walks(task: MazeTask, reader: hdf5.Reader):
    """Observations and actions of each episode in a maze, whose rewards are those of other goals."""
    seen, acted = task.widths
    for episode in (f"episode_{number}" for number in range(len(reader))):
        observations = {
            "observation": reader.read(f"{episode}/observations/observation", "observation", seen - 2 * task.is_ant),
            "achieved_goal": reader.read(f"{episode}/observations/achieved_goal", "achieved_goal", 2),
        }
        yield observations, reader.read(f"{episode}/actions", "action", acted)


def _episodes(task: ReturnTask, reader: hdf5.Reader):
    """Observations, actions, rewards and terminations of each episode."""
    seen, acted = task.widths
    for episode in (f"episode_{number}" for number in range(len(reader))):
        if task.keys:  # one of them, so its width is that of all
            observations = {k: reader.read(f"{episode}/observations/{k}", "observation", seen) for k in task.keys}
        else:
            observations = reader.read(f"{episode}/observations", "observation", seen)
        rewards = reader.read(f"{episode}/rewards", "rewards")
        terminations = reader.read(f"{episode}/terminations", "terminations", kinds="biuf")
        yield observations, reader.read(f"{episode}/actions", "action", acted), rewards, terminations


def once(dataset_id: str, make: Callable[[], object]) -> bool:
    """Makes a data set that is not in the local store, one at a time; whether it had to."""
    return turns.once(lambda: is_local(dataset_id), make, get_dataset_path() / ".gtp_jax.lock")
