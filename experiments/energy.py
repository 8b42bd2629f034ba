"""How well the policies of runs clone: energy scores of what they draw where held-out data act.

    python -m experiments.energy DIR [DIR ...] [--sampling_steps=1,2,3,5,10] [--dataset=generated] [--seed=1]
        [--out=FILE.json] [--config=FILE]

DIR are working directories of `experiments.train` or `experiments.sweep`. The score of an action a is
E|A - a| - E|A - A'|/2 with A, A' drawn by the policy, in units of actions: the less the better, and least for the
policy that the data come from. It is of 3000 transitions of held-out data, with 16 draws each and the same noise for
all members: of data like the generator's that are made with --seed, or of --dataset, a Minari id or a file. The table
has the mean over the seeds of an agent with its 95 % interval (Student's t), a column each K. Only cloning is judged:
no critic ranks what is drawn, and a policy that a critic guides is meant to differ from the data.
"""

import contextlib
import dataclasses
import functools
import pathlib
import sys

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags

from experiments import cli, records, restored
from gtp_jax import agent, energy, results, tables, tasks
from gtp_jax.data import sources, transitions
from gtp_jax.errors import UserError
from gtp_jax.evaluation import mean_interval
from gtp_jax.population import Program

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file that registers the runs' objective.")
SAMPLING_STEPS = flags.DEFINE_list("sampling_steps", ["1", "2", "3", "5", "10"], "Values of K.")
DATASET = flags.DEFINE_string("dataset", "generated", "Held-out data, as --config.dataset of experiments.train.")
SEED = flags.DEFINE_integer("seed", 1, "Of held-out data that are made.", lower_bound=0)
OUT = flags.DEFINE_string("out", None, "File that the table is written to too, as `experiments.tables` takes it.")

TRANSITIONS, DRAWS = 3000, 16
MADE = 20_000  # transitions, where held-out data are made, so that they are of several episodes


def held_out(name: str, runs: list[restored.Restored]) -> sources.Dataset:
    """Data of a task that no run was trained on.

    Raises:
        UserError: one was, or they cannot be had.
    """
    found = sources.resolve(tasks.get(name), DATASET.value, num_transitions=MADE, seed=SEED.value)
    if found.id in [run.datasets[name]["id"] for run in runs if name in run.datasets]:
        raise UserError(f"{found.id} is what a run was trained on; give another --dataset or --seed")
    return found


@functools.cache
def _actor(structure, num_steps: int):
    one_drawn = dataclasses.replace(structure, num_candidates=1)
    return jax.jit(functools.partial(agent.act, config=one_drawn, num_steps=num_steps))


def score(run: restored.Restored, program: Program, row: int, data: sources.Dataset, num_steps: int) -> float:
    """Mean energy score of a member of a program on held-out data, acting with K = num_steps."""
    state = jax.tree.map(lambda leaf: leaf[row], run.states[program.label])
    actions = transitions.chunks(data.transitions, program.structure.action_chunk)
    chosen = np.random.default_rng(0).permutation(len(actions))[:TRANSITIONS]
    obs, actions = data.transitions.obs[chosen], actions[chosen]
    obs = np.pad(obs, ((0, 0), (0, len(state.obs_mean) - obs.shape[1])))  # another task of the run may be wider
    drawn = _actor(program.structure, num_steps)(state, jax.random.key(0), np.tile(obs, (DRAWS, 1)))
    drawn = np.asarray(drawn).reshape(DRAWS, len(obs), -1)[..., : actions.shape[1]]
    return float(energy.energy_score(actions, drawn).mean())


def main(stack: contextlib.ExitStack, *folders: str) -> None:
    cli.register(CONFIG)
    steps = cli.whole_numbers(SAMPLING_STEPS)
    found = records.read(records.find(folders))
    runs = [restored.restore(record.path, stack) for record in found]
    out = OUT.value and pathlib.Path(OUT.value).expanduser().absolute()
    try:
        if out:
            results.check_writable(out.parent)
        data = {name: held_out(name, runs) for name in dict.fromkeys(n for run in runs for n in run.config.tasks)}
        groups, methods = {}, iter(records.methods(found))
        for record, run in zip(found, runs):
            for program in run.programs:
                for row, member in enumerate(program.members):
                    scores = [score(run, program, row, data[member.task], k) for k in steps]
                    group = groups.setdefault((record.name, next(methods), member.task), {})
                    group[member.seed] = scores
        rows = [["run", "agent", "task", "held-out data", *(f"K = {k}" for k in steps), "seeds"]]
        for (name, method, task), scores in groups.items():
            seeds = ", ".join(map(str, scores))
            rows.append([name, method, task, data[task].id, *map(_cell, zip(*scores.values())), seeds])
        print(f"\n{tables.markdown(rows)}")
        if out:
            results.write_json(out, {"energy": rows, **results.provenance(1)})
    except OSError as error:
        raise UserError(f"the table cannot be written: {error}") from error


def _cell(values: tuple[float, ...]) -> str:
    interval = " [{:.4f}, {:.4f}]".format(*mean_interval(values)) if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{interval}"


if __name__ == "__main__":
    cli.configure_jax()
    cli.run(main, argument="one or more working directories", most=sys.maxsize)
