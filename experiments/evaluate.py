"""Evaluates the latest checkpoint of a run, with as many episodes and values of K as asked for.

    python -m experiments.evaluate --workdir=DIR [--sampling_steps=1,2,5,10] [--episodes=100] [--seed=N] [--pictures]

Prints a table and writes DIR/evaluation.json, laid out like results.json. With --pictures (and matplotlib) it also
draws the paths walked at the last K, DIR/paths-[AGENT-]TASK.png, or for multigoal those from noise to actions at every
K. Needs no data set. A run with an objective of its own needs --config=FILE, the config file that registers it: nothing
that lies in a working directory is run.
"""

import contextlib
import importlib.util
import pathlib

from absl import flags
from ml_collections import config_flags

from experiments import behaviour, cli, restored
from gtp_jax import placement as placing
from gtp_jax import results, tables, tasks
from gtp_jax.errors import UserError
from gtp_jax.evaluation import summarize
from gtp_jax.rollouts import Evaluator
from gtp_jax.tasks import MazeTask, MultigoalTask
from gtp_jax.trust import refuse_links

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file that registers the run's objective.")
WORKDIR = flags.DEFINE_string("workdir", None, "The run's working directory.")
SAMPLING_STEPS = flags.DEFINE_list("sampling_steps", ["1", "2", "5", "10"], "Values of K.")
EPISODES = flags.DEFINE_integer("episodes", 100, "Episodes per member and K.", lower_bound=1)
SEED = flags.DEFINE_integer(
    "seed", None, "Of the environments; that of the run's own evaluation if not given.", 0, cli.LARGEST_SEED
)
PICTURES = flags.DEFINE_bool(
    "pictures", False, "Draw the paths walked at the last K, or for multigoal those from noise."
)


def draw(workdir: pathlib.Path, programs, states, evaluator, last, steps: list[int], seed: int) -> None:
    """One picture a program and maze, of the walks at the last K, or one of all programs in the plane."""
    from gtp_jax import pictures  # needs matplotlib, which nothing else does

    for task in dict.fromkeys(evaluator.tasks):
        if isinstance(task, MultigoalTask):
            file = workdir / "trajectories.png"
            paths = {p.label: behaviour.trajectories(task, p, states[p.label], steps, seed) for p in programs}
            pictures.draw_trajectories(task, paths, file)
            print(f"drew {file}")
        for label, (played, log) in last.items() if isinstance(task, MazeTask) else ():
            found = behaviour.episodes(task, evaluator, played, log)
            name = "-".join(["paths", *[label] * (len(programs) > 1), *task.name.split("/")])
            file = workdir / f"{name}.png"
            pictures.draw_paths(task, [e.observations[:, :2] for e in found], [e.success for e in found], file)
            print(f"drew {file}")


def main(stack: contextlib.ExitStack) -> None:
    if WORKDIR.value is None:
        raise UserError("--workdir is needed, the directory of a run")
    if PICTURES.value and not importlib.util.find_spec("matplotlib"):
        raise UserError("--pictures needs matplotlib: pip install matplotlib")
    cli.register(CONFIG)
    steps = cli.whole_numbers(SAMPLING_STEPS)
    workdir = pathlib.Path(WORKDIR.value).expanduser().absolute()
    refuse_links(workdir)
    run = restored.restore(workdir, stack)
    try:
        results.check_writable(workdir)
    except OSError as error:
        raise UserError(f"working directory {workdir} cannot be written: {error}") from error
    config, programs = run.config, run.programs
    seed = config.eval.seed if SEED.value is None else SEED.value
    placements = {p.label: placing.spread(len(p.members), turn) for turn, p in enumerate(programs)}
    num_used = len({device for placement in placements.values() for device in placement.devices})
    states = {label: placement.put(run.states[label]) for label, placement in placements.items()}
    members = programs[0].members  # all programs have the same tasks and seeds
    evaluator = Evaluator([tasks.get(member.task) for member in members], EPISODES.value, seed)
    stack.callback(evaluator.close)
    print(f"{len(programs)} x {len(members)} members after {run.step} of {config.num_steps} updates")

    entries, last = [], {}
    for program in programs:
        placement, state, scores = placements[program.label], states[program.label], {}
        for k in steps:
            log = [] if PICTURES.value else None
            played = restored.play(evaluator, program, placement, state, k, log)
            scores[k] = [summarize(task, episodes) for task, episodes in zip(evaluator.tasks, played, strict=True)]
        last[program.label] = (played, log)
        entries += results.member_entries(program, state, placement, datasets=run.datasets, scores=scores)
    print(f"\n{tables.table(entries)}\n")
    content = {"step": run.step, **results.provenance(num_used), "members": entries}
    try:
        results.write_json(workdir / "evaluation.json", content)
        print(f"written to {workdir / 'evaluation.json'}")
        if PICTURES.value:
            draw(workdir, programs, run.states, evaluator, last, steps, seed)
    except OSError as error:
        raise UserError(f"working directory {workdir} cannot be written: {error}") from error


if __name__ == "__main__":
    cli.configure_jax()
    cli.run(main)
