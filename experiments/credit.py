"""What the critic of a run in a maze knows of the way to the goal, beside what its policy makes of it.

    python -m experiments.credit DIR [DIR ...] [--out=FILE.json] [--config=FILE]

DIR are working directories of `experiments.train` whose agents have a critic, in mazes, with their data at hand. It
prints a table with a row for each member, and draws its critic's values over the maze beside the true distance to the
goal, DIR/values-[AGENT-]TASK-SEED.png (with matplotlib). The columns:

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
import json
import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from experiments import behaviour, cli, restored
from gtp_jax import results, tables, tasks
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask
from gtp_jax.trust import refuse_links

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file that registers the run's objective.")
OUT = flags.DEFINE_string("out", None, "File that the table is written to too, as `experiments.tables` takes it.")


def successes(workdir: pathlib.Path, num_members: int) -> list[float | None]:
    """Success of every member at the run's greatest K; None where the run is not finished."""
    try:
        members = json.loads((workdir / "results.json").read_text())["members"]
        return [member["eval"][max(member["eval"], key=int)]["success_rate"] for member in members]
    except (OSError, ValueError, KeyError, TypeError):
        return [None] * num_members


def rows_of(workdir: pathlib.Path, stack: contextlib.ExitStack) -> list[list[str]]:
    """A row of the table for each member of a run, whose values are drawn on the way.

    Raises:
        UserError: it is no run in a maze with a critic, or its data are not at hand.
    """
    refuse_links(workdir)
    run = restored.restore(workdir, stack)
    scores = iter(successes(workdir, sum(len(program.members) for program in run.programs)))
    data = {name: behaviour.local_data(run, name) for name in run.config.tasks}
    rows = []
    for program in run.programs:
        if not program.structure.uses_critic:
            raise UserError(f"{program.label} of {workdir} has no critic to ask")
        for row, (member, score) in enumerate(zip(program.members, scores)):
            task = tasks.get(member.task)
            if not isinstance(task, MazeTask):
                raise UserError(f"{task.name} of {workdir} is no maze")
            if data[task.name] is None:
                raise UserError(f"the data of {task.name} of {workdir} are not at hand")
            found, positions, value, distance = behaviour.credit(task, run, program.label, row, data[task.name])
            numbers = [f"{name}={getattr(member.config, name):g}" for name in program.swept]
            cells = [f"{each:.2f}" for each in found.values()]
            success = "" if score is None else f"{score:.2f}"
            rows.append(
                [workdir.name, " ".join([program.label, *numbers]), task.name, f"{member.seed}", *cells, success]
            )
            if importlib.util.find_spec("matplotlib"):
                from gtp_jax import pictures

                label = [program.label] * (len(run.programs) > 1)
                parts = ["values", *label, *numbers, *task.name.split("/"), f"seed{member.seed}"]
                pictures.draw_values(task, positions, value, distance, workdir / f"{'-'.join(parts)}.png")
    return rows


def main(stack: contextlib.ExitStack, *folders: str) -> None:
    if CONFIG.value is not None:
        len(CONFIG.value)  # reading it runs the file, and what that registers is there
    rows = [row for folder in folders for row in rows_of(pathlib.Path(folder).expanduser().absolute(), stack)]
    table = [["run", "agent", "task", "seed", *behaviour.CREDIT, "success"], *rows]
    print(f"\n{tables.markdown(table)}")
    if OUT.value is not None:
        try:
            results.write_json(pathlib.Path(OUT.value).expanduser(), {"credit": table, **results.provenance(1)})
        except OSError as error:
            raise UserError(f"the table cannot be written to {OUT.value}: {error}; use another --out") from error


if __name__ == "__main__":
    cli.configure_jax()
    cli.run(main, argument="one or more working directories", most=sys.maxsize)
