"""Finds, downloads or generates a task's Minari data set, and says which of these it was."""

import json
import re
import shutil
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import minari
from minari.storage.datasets_root_dir import get_dataset_path

from gtp_jax.data import generate, multigoal, transitions
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask, MultigoalTask, Task

HUB_TIMEOUT = 5.0  # seconds until the hub counts as out of reach
HUB_REPOSITORY = "farama-minari/D4RL"
_ID = re.compile(r"[\w-]+(/[\w-]+)*-v\d+")


class Dataset(NamedTuple):
    """A task's transitions and where they came from."""

    id: str
    source: str  # minari-local | minari-remote | generated
    transitions: transitions.Transitions

    def record(self) -> dict:
        """The entry of results.json."""
        return {"id": self.id, "source": self.source, "num_transitions": len(self.transitions.reward)}


def _hub_problem() -> str | None:
    """Why Minari's hub cannot be used, in a few words, or None; found out by one request without retries."""
    from huggingface_hub import HfApi  # slow to import, and not needed where the data are local

    try:
        HfApi().dataset_info(HUB_REPOSITORY, timeout=HUB_TIMEOUT)
    except Exception as error:  # the client's errors have no common base of their own
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def _is_local(dataset_id: str) -> bool:
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
    """Reads a data set of the local store.

    Raises:
        UserError: it is not there, is damaged, or does not fit the task.
    """
    path = get_dataset_path(dataset_id) / "data"
    remedy = f"delete {path.parent} and run again"
    try:
        metadata = json.loads((path / "metadata.json").read_text())
        if not {"observation_space", "action_space"} <= metadata.keys():
            # Minari would build the environment that the file names to learn its spaces.
            raise UserError("it does not record its observation and action space; it is not used")
        dataset = minari.MinariDataset(path)
        episodes = ((episode.observations, episode.actions) for episode in dataset.iterate_episodes())
        return transitions.from_episodes(task, _checked(task, episodes))
    except UserError as error:
        raise UserError(f"data set {dataset_id}: {error}") from error
    except Exception as error:  # on damaged files h5py and Minari raise nearly everything there is
        problem = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise UserError(f"data set {dataset_id} cannot be read ({problem}); {remedy}") from error


def _checked(task: MazeTask, episodes):
    """Refuses episodes of another kind of environment before anything is built from them."""
    for observations, actions in episodes:
        keys = {"observation", "achieved_goal"}
        if not isinstance(observations, dict) or not keys <= observations.keys():
            raise UserError("its observations are not those of a maze (observation, achieved_goal)")
        observation, action = (27, 8) if task.is_ant else (4, 2)
        widths = {"observation": observation, "achieved_goal": 2, "action": action}
        for name, values in {**observations, "action": actions}.items():
            if name in widths and values.shape[1:] != (widths[name],):
                raise UserError(f"its {name} has shape {values.shape[1:]}, that of {task.name} has ({widths[name]},)")
        yield observations, actions


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
    if isinstance(task, MultigoalTask):
        if dataset not in ("auto", "generated"):
            raise UserError(f"dataset = {dataset!r} must be auto or generated: {task.name} has no recorded data")
        made = multigoal.transitions(task, num_transitions, seed)
        return Dataset(f"gtp_jax/{task.name}-{num_transitions}-seed{seed}-v1", "generated", made)
    if dataset not in ("auto", "generated") and not _ID.fullmatch(dataset):
        raise UserError(f"dataset = {dataset!r} must be auto, generated or a Minari id such as {task.minari_id}")
    stand_in = generate.dataset_id(task, num_transitions, seed)
    if dataset == "auto" and not _is_local(task.minari_id) and (problem := _hub_problem()):
        say(f"{task.name}: D4RL's data set is not in the local store and Minari's hub is out of reach ({problem})")
        dataset = "generated"
    if dataset in ("generated", stand_in):
        if not _is_local(stand_in):
            say(f"{task.name}: generating {num_transitions} transitions as a stand-in for {task.minari_id}")
            try:
                generate.generate(task, num_transitions, seed)
            except OSError as error:
                raise UserError(f"{stand_in} cannot be written to the Minari store: {error}") from error
            except BrokenProcessPool as error:
                raise UserError(f"{stand_in} was not made; a process that worked at it was killed") from error
        return Dataset(stand_in, "generated", load(task, stand_in))
    dataset_id = task.minari_id if dataset == "auto" else dataset
    source = "generated" if dataset_id.startswith("gtp_jax/") else "minari-local"
    if not _is_local(dataset_id):
        say(f"{task.name}: downloading {dataset_id}")
        _download(dataset_id)
        source = "minari-remote"
    return Dataset(dataset_id, source, load(task, dataset_id))
