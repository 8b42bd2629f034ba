"""Trains a population of agents, one compiled program for each structure, and writes everything to a working directory.

    python -m experiments.train --config=configs/antmaze.py[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE ...]

Running again with the same --workdir resumes from the last checkpoint. Exit status 2 means a mistake in what was asked
for; it comes with one line that says what to do. Several processes may share a run: docs/distributed.md.
"""

import contextlib

from absl import flags
from ml_collections import config_flags
from tqdm import tqdm

from experiments import cli
from experiments.run import Run
from experiments.workdir import Workdir
from gtp_jax import processes, tables
from gtp_jax.errors import UserError

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with an optional :VARIANT.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything goes; runs/TASK-TIME if not given.")
DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "This is one of several processes, which JAX can find: on a TPU pod, under SLURM or MPI."
)
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where JAX cannot find it.")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes, with --coordinator.", lower_bound=1)
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.", lower_bound=0)


def main(stack: contextlib.ExitStack) -> None:
    given = [flag.value is not None for flag in (COORDINATOR, NUM_PROCESSES, PROCESS_ID)]
    if any(given) and not all(given):
        raise UserError("--coordinator, --num_processes and --process_id go together")
    if DISTRIBUTED.value or all(given):
        processes.join(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
    with processes.together():
        config = cli.validated(CONFIG.value)

    workdir = stack.enter_context(contextlib.closing(Workdir(WORKDIR.value, config)))
    run = Run(config, workdir, stack)
    stack.push(run.save_if_stopped)
    with tqdm(total=config.num_steps, initial=run.step, desc="training", unit="update", smoothing=0.05) as bar:
        run.train(bar, stack)
    entries, timing = run.finish()
    if processes.is_first():
        print(f"\n{tables.table(entries, timing)}\n")
        print(
            f"{timing['total_s']:.0f} s in all, {timing['member_updates_per_s']:.0f} member-updates/s; "
            f"results in {workdir.path / 'results.json'}"
        )


if __name__ == "__main__":
    cli.configure_jax()
    cli.run(main)
