"""What the critic of a run in a maze knows of the way to the goal, beside what its policy makes of it.

    python -m experiments.credit DIR [DIR ...] [--out=FILE.json] [--config=FILE]

DIR are working directories of `experiments.train`, or of `experiments.sweep`, in mazes, whose agents have a critic and
whose data are at hand. It prints a table with a row for each member, and draws its critic's values over the maze beside
the true distance to the goal, DIR/values-[AGENT-]TASK-SEED.png with the numbers that members differ in (needs
matplotlib). The columns:

- value: rank correlation of the critic's V(s) with the negative true distance to the goal, over the data's states;
- advantage: rank correlation of its advantages with how much nearer the next AHEAD steps of the data come to the goal;
- weighted: metres that these steps come nearer on the mean, by the weights of the policy (all data together: about 0);
- led: share of the maze's cells in which that is above 0;
- success: of the last checkpoint, at the greatest K of the run's own evaluation.

They say what the critic knows on the whole. Whether an agent arrives may hang on one cell: see the picture, and the
walks that `experiments.evaluate --pictures` draws.
"""

import contextlib
import importlib.util
import pathlib
import sys
from collections.abc import Iterator

from absl import flags
from ml_collections import config_flags

from experiments import behaviour, cli, records, restored, wayfinding
from gtp_jax import results, tables, tasks
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file that registers the run's objective.")
OUT = flags.DEFINE_string("out", None, "File that the table is written to too, as `experiments.tables` takes it.")


def checked(path: pathlib.Path, stack: contextlib.ExitStack) -> restored.Restored:
    """A run in mazes, all of whose agents have a critic.

    Raises:
        UserError: it is another.
    """
    run = restored.restore(path, stack)
    for program in run.programs:
        if not program.structure.uses_critic:
            raise UserError(f"{program.label} of {path} has no critic to ask")
    for name in run.config.tasks:
        if not isinstance(tasks.get(name), MazeTask):
            raise UserError(f"{name} of {path} is no maze")
    return run


def rows_of(record: records.Record, run: restored.Restored, methods: Iterator[str]) -> Iterator[list[str]]:
    """A row of the table for each member of a run, whose values are drawn on the way.

    Raises:
        UserError: its data are not at hand, or its files tell of other members.
    """
    data = {name: behaviour.local_data(run, name) for name in run.config.tasks}
    if missing := [name for name, found in data.items() if found is None]:
        raise UserError(f"the data of {', '.join(missing)} of {record.path} are not at hand")
    for (program, row, entry), method in zip(records.rows(record, run), methods):
        member = program.members[row]
        task = tasks.get(member.task)
        found, positions, value, distance = wayfinding.credit(run, program, row, data[task.name])
        scores = entry.get("eval")
        success = f"{scores[max(scores, key=int)]['success_rate']:.2f}" if scores else ""
        yield [record.name, method, task.name, f"{member.seed}", *(f"{x:.2f}" for x in found.values()), success]
        if importlib.util.find_spec("matplotlib"):
            from gtp_jax import pictures

            numbers = [f"{name}={getattr(member.config, name):g}" for name in program.swept]
            label = [program.label] * (len(run.programs) > 1)
            parts = ["values", *label, *numbers, *task.name.split("/"), f"seed{member.seed}"]
            pictures.draw_values(task, positions, value, distance, record.path / f"{'-'.join(parts)}.png")


def main(stack: contextlib.ExitStack, *folders: str) -> None:
    cli.register(CONFIG)
    found = records.read(records.find(folders))
    runs = [checked(record.path, stack) for record in found]
    methods = iter(records.methods(found))
    out = OUT.value and pathlib.Path(OUT.value).expanduser()
    try:
        drawn = [record.path for record in found if importlib.util.find_spec("matplotlib")]
        for folder in [*drawn, *([out.absolute().parent] if out else [])]:
            results.check_writable(folder)
        rows = [row for record, run in zip(found, runs) for row in rows_of(record, run, methods)]
        table = [["run", "agent", "task", "seed", *wayfinding.COLUMNS, "success"], *rows]
        print(f"\n{tables.markdown(table)}")
        if out:
            results.write_json(out, {"credit": table, **results.provenance(1)})
    except OSError as error:
        raise UserError(f"pictures or the table cannot be written: {error}") from error


if __name__ == "__main__":
    cli.configure_jax()
    cli.run(main, argument="one or more working directories", most=sys.maxsize)
