"""Makes a data set of maze navigation in the local Minari store, without a download.

    python -m experiments.make_dataset antmaze/umaze --num_transitions=200000 --seed=0

The data stand in for D4RL's, see `gtp_jax.data.generate`. MINARI_DATASETS_PATH says where the store is. About 1400
antmaze transitions a second on each core. Exit status: 0 if the data set is there, 2 after one line on stderr if not.
"""

import contextlib
from concurrent.futures.process import BrokenProcessPool

import minari
import numpy as np
from absl import flags
from minari.storage import get_dataset_path

from experiments import cli
from gtp_jax.data import generate
from gtp_jax.errors import UserError
from gtp_jax.tasks import SUCCESS_RADIUS, MazeTask, get

_NUM_TRANSITIONS = flags.DEFINE_integer("num_transitions", 200_000, "Transitions in all.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed; the same one makes the same data.", lower_bound=0)
_NUM_WORKERS = flags.DEFINE_integer("num_workers", None, "Processes; one a core if not given.", lower_bound=1)
_FORCE = flags.DEFINE_bool("force", False, "Make the data set again if it exists.")


def summary(task: MazeTask, name: str) -> str:
    """What is in the data set of that id, in five lines."""
    dataset, near = minari.load_dataset(name), 0
    for episode in dataset.iterate_episodes():
        distance = np.linalg.norm(episode.observations["achieved_goal"][1:] - task.goal_xy, axis=1)
        near += np.count_nonzero(distance <= SUCCESS_RADIUS)
    return (
        f"id:          {name}\n"
        f"path:        {get_dataset_path(name)}\n"
        f"transitions: {dataset.total_steps}\n"
        f"episodes:    {dataset.total_episodes}\n"
        f"at goal:     {near} transitions within {SUCCESS_RADIUS} m of the evaluation goal"
    )


def main(_: contextlib.ExitStack, task_name: str) -> None:
    try:
        task = get(task_name)
        if not isinstance(task, MazeTask):
            raise UserError(f"{task_name} has no data set to make: training draws its data when it needs them")
        name = generate.dataset_id(task, _NUM_TRANSITIONS.value, _SEED.value)
        if get_dataset_path(name).exists() and not _FORCE.value:
            print(f"{name} exists already; --force makes it again")
        else:
            generate.generate(
                task, _NUM_TRANSITIONS.value, _SEED.value, num_workers=_NUM_WORKERS.value, overwrite=_FORCE.value
            )
    except OSError as error:
        raise UserError(f"the Minari store does not work, MINARI_DATASETS_PATH can name another: {error}") from error
    except (ValueError, BrokenProcessPool) as error:
        raise UserError(str(error)) from error
    try:
        print(summary(task, name))
    except Exception as error:  # on damaged files h5py and Minari raise nearly everything there is
        problem = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise UserError(f"data set {name} cannot be read ({problem}); --force makes it again") from error


if __name__ == "__main__":
    cli.run(main, argument="the name of one task, such as antmaze/umaze")
