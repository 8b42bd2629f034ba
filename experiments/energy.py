"""How well the policies of runs clone: energy scores of what they draw where held-out data act.

    python -m experiments.energy DIR [DIR ...] [--sampling_steps=1,2,3,5,10] [--dataset=generated] [--seed=1]
        [--out=FILE.json] [--config=FILE]

DIR are working directories of `experiments.train` or `experiments.sweep`. The score of an action a is
E|A - a| - E|A - A'|/2 with A, A' drawn by the policy, in units of actions: the less the better, and least for the
policy that the data come from. It is of 10,000 transitions of held-out data or all that there are, with 8 draws each
from the same noise for all agents of a task: of data made as the run's were but with --seed, or of --dataset, a Minari
id or a file. The table has the mean over the seeds of an agent with its 95 % interval (Student's t), which is about
new seeds on these held-out data, a column each K; FILE has the score of each seed too. Only cloning is judged: no
critic ranks what is drawn, of a chunk the first action counts, and a policy that a critic guides is meant to differ
from the data.
"""

import contextlib
import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from experiments import cli, cloning, records, restored
from gtp_jax import results, tables
from gtp_jax.errors import UserError

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file that registers the runs' objective.")
SAMPLING_STEPS = flags.DEFINE_list("sampling_steps", ["1", "2", "3", "5", "10"], "Values of K.")
DATASET = flags.DEFINE_string("dataset", "generated", "Held-out data, as --config.dataset of experiments.train.")
SEED = flags.DEFINE_integer("seed", 1, "Of held-out data that are made.", 0, cli.LARGEST_SEED)
OUT = flags.DEFINE_string("out", None, "File that the table is written to too, as `experiments.tables` takes it.")


def main(stack: contextlib.ExitStack, *folders: str) -> None:
    cli.register(CONFIG)
    steps = cli.whole_numbers(SAMPLING_STEPS)
    found = records.read(records.find(folders))
    runs = [restored.restore(record.path, stack) for record in found]
    members = [(record, run, *row) for record, run in zip(found, runs) for row in records.rows(record, run)]
    out = OUT.value and pathlib.Path(OUT.value).expanduser().absolute()
    try:
        if out:
            results.check_writable(out.parent)
        names = dict.fromkeys(name for run in runs for name in run.config.tasks)
        known = {name: [run.datasets[name] for run in runs if name in run.datasets] for name in names}
        data = {name: cloning.held_out(name, DATASET.value, SEED.value, known[name]) for name in names}
        groups = {}
        for (record, run, program, row, entry), method in zip(members, records.methods(found)):
            seed = f"{entry['seed']}{' (diverged)' * entry['diverged']}"
            scores = [cloning.score(run, program, row, data[entry["task"]], k) for k in steps]
            groups.setdefault((record.name, method, entry["task"], run.step), []).append((seed, scores))
        rows = [["run", "agent", "task", "updates", "held-out data", *(f"K = {k}" for k in steps), "seeds"]]
        for (name, method, task, step), each in groups.items():
            seeds, scores = zip(*each)
            cells = [tables.mean_cell(of_seeds, 4) for of_seeds in zip(*scores)]
            rows.append([name, method, task, f"{step}", data[task].id, *cells, ", ".join(seeds)])
        print(f"\n{tables.markdown(rows)}")
        if out:
            scores = [[*group, *each] for group, of_seeds in groups.items() for each in of_seeds]
            results.write_json(out, {"energy": rows, "scores": scores, **results.provenance(1)})
    except OSError as error:
        raise UserError(f"the table cannot be made: {error}") from error


if __name__ == "__main__":
    cli.configure_jax()
    cli.run(main, argument="one or more working directories", most=sys.maxsize)
