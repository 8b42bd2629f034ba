"""Makes the data set of a maze or of an OGBench task, without a download.

    python -m experiments.make_dataset antmaze/umaze --num_transitions=200000 --seed=0
    python -m experiments.make_dataset antmaze/umaze --noise=0.5    # harder: --config.dataset=ID takes it
    python -m experiments.make_dataset ogbench/cube-single-play --num_transitions=100000

A maze's goes into the local Minari store (MINARI_DATASETS_PATH says where that is) and stands in for D4RL's, see
`gtp_jax.data.generate_mazes`; about 1400 antmaze transitions a second on each core. That of an OGBench task is a file
in its package's folder (OGBENCH_DATASET_DIR), see `gtp_jax.data.generate_ogbench`; on two cores 100,000 transitions
took 15 seconds of a point and 134 of an arm. Exit status: 0 if the data set is there, 2 after one line on stderr if
not.
"""

import contextlib
from concurrent.futures.process import BrokenProcessPool

import numpy as np
from absl import flags
from minari.storage import get_dataset_path

from experiments import cli
from gtp_jax.data import generate_mazes, generate_ogbench, sources
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask, OGBenchTask, get

_NUM_TRANSITIONS = flags.DEFINE_integer("num_transitions", 200_000, "Transitions in all.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed; the same one makes the same data.", 0, cli.LARGEST_SEED)
_NOISE = flags.DEFINE_float("noise", None, "Of a walker's actions, to make harder data.", 0.0, 10.0)
_NUM_WORKERS = flags.DEFINE_integer("num_workers", None, "Processes; one a core if not given.", lower_bound=1)
_FORCE = flags.DEFINE_bool("force", False, "Make the data set again if it exists.")


def main(_: contextlib.ExitStack, task_name: str) -> None:
    contents, dataset = {"num_transitions": _NUM_TRANSITIONS.value, "seed": _SEED.value}, "generated"
    grade = {} if _NOISE.value is None else {"noise": _NOISE.value}
    try:
        task = get(task_name)
        if isinstance(task, OGBenchTask):
            if grade:
                raise UserError(f"--noise={_NOISE.value}: only mazes have data of several grades, {task_name} has not")
            generator, path = generate_ogbench, generate_ogbench.path(task, **contents)
        elif isinstance(task, MazeTask):
            generator, dataset = generate_mazes, generate_mazes.dataset_id(task, **contents, **grade)
            path = get_dataset_path(dataset)
        else:
            raise UserError(f"{task_name} has no data set that can be made")
        if path.exists() and not _FORCE.value:
            print(f"{path} exists already; --force makes it again")
        else:
            generator.generate(task, **contents, **grade, num_workers=_NUM_WORKERS.value, overwrite=_FORCE.value)
    except OSError as error:
        places = "MINARI_DATASETS_PATH or OGBENCH_DATASET_DIR can name another place"
        raise UserError(f"the data set cannot be written, {places}: {error}") from error
    except (ValueError, BrokenProcessPool) as error:
        raise UserError(str(error)) from error
    try:
        made = sources.resolve(task, dataset, **contents)
    except UserError as error:
        raise UserError(f"{error}; --force makes it again") from error
    print(
        f"id:          {made.id}\n"
        f"path:        {path}\n"
        f"transitions: {len(made.transitions.reward)}\n"
        f"episodes:    {np.count_nonzero(made.transitions.end)}\n"
        f"at goal:     {sources.num_rewarded(made.transitions)} transitions at the goal of the evaluation"
    )


if __name__ == "__main__":
    cli.run(main, argument="the name of one task, such as antmaze/umaze")
