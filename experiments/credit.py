"""What holds a run in a maze back: credit (does the critic know the way?) or extraction (does the policy take it?).

    python -m experiments.credit DIR [DIR ...] [--out=FILE.json] [--config=FILE]

DIR are working directories of `experiments.train` whose agents have a critic, in mazes, with their data at hand. It
prints a table, a row for each agent (means over its seeds), and for the first seed of each agent draws the critic's
values over the maze beside the true distance to the goal, DIR/values-[AGENT-]TASK.png (with matplotlib). The columns:

- value: rank correlation of the critic's values with the negative true distance to the goal, over the data's states;
- advantage: rank correlation of its advantages with how much nearer the next AHEAD steps of the data come to the goal;
- cloned, weighted: metres that these steps come nearer, the mean of the data, and by the weights of the policy;
- success: of the last checkpoint, at the greatest K of the run's own evaluation.

A policy that walks as its weighted data do comes nearer by the metres of `weighted` in AHEAD steps. If that is much and
success is not, what fails is walking; if that is little, `value` and `advantage` say whether the critic knew better.
"""

import contextlib
import importlib.util
import json
import pathlib
import sys

import numpy as np
from absl import flags
from ml_collections import config_flags
from scipy import stats

from experiments import behaviour, cli, restored
from gtp_jax import geodesics, results, tables, tasks
from gtp_jax.data import sources, transitions
from gtp_jax.errors import UserError
from gtp_jax.tasks import MazeTask
from gtp_jax.trust import refuse_links

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file that registers the run's objective.")
OUT = flags.DEFINE_string("out", None, "File that the table is written to too, as `experiments.tables` takes it.")

COLUMNS = ("value", "advantage", "cloned", "weighted")
AHEAD = {True: 50, False: 10}  # steps, of ants and of points: enough to tell a direction from a sway


def progress(task: MazeTask, data: sources.Dataset, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the goal (N,) at some transitions, and how much nearer the data come in `AHEAD` steps; metres."""
    distance, ahead = geodesics.distance(task), AHEAD[task.is_ant]
    later = transitions.n_step(data.transitions, ahead, 1.0).next_obs[chosen]
    here = distance(data.transitions.obs[chosen, :2])
    return here, here - distance(later[:, :2])


def measure(task: MazeTask, run: restored.Restored, label: str, row: int, data: sources.Dataset) -> dict:
    """The row's columns of the table, and what a picture of its values is drawn from."""
    chosen, judged = behaviour.judge(run, label, row, data)
    here, nearer = progress(task, data, chosen)
    known = np.isfinite(here) & np.isfinite(nearer)  # a body that leans on a wall may be in it
    here, nearer, advantage, weight, value = (x[known] for x in (here, nearer, *judged))
    return {
        "value": stats.spearmanr(value, -here).statistic,
        "advantage": stats.spearmanr(advantage, nearer).statistic,
        "cloned": nearer.mean(),
        "weighted": np.average(nearer, weights=weight),
        "map": (data.transitions.obs[chosen, :2][known], value, here),
    }


def successes(workdir: pathlib.Path, num_members: int) -> list[float | None]:
    """Success of every member at the run's greatest K; None where the run is not finished."""
    try:
        members = json.loads((workdir / "results.json").read_text())["members"]
        return [member["eval"][max(member["eval"], key=int)]["success_rate"] for member in members]
    except (OSError, ValueError, KeyError, TypeError):
        return [None] * num_members


def rows_of(workdir: pathlib.Path, stack: contextlib.ExitStack) -> list[list[str]]:
    """A row of the table for each agent and task of a run, whose values are drawn on the way.

    Raises:
        UserError: it is no run in a maze with a critic, or its data are not at hand.
    """
    refuse_links(workdir)
    run = restored.restore(workdir, stack)
    scores = iter(successes(workdir, sum(len(program.members) for program in run.programs)))
    rows = []
    for program in run.programs:
        if not program.structure.uses_critic:
            raise UserError(f"{program.label} of {workdir} has no critic to ask")
        groups = {}
        for row, member in enumerate(program.members):
            groups.setdefault((member.task, member.config), []).append((row, next(scores)))
        for (name, config), members in groups.items():
            task = tasks.get(name)
            if not isinstance(task, MazeTask):
                raise UserError(f"{name} of {workdir} is no maze")
            if (data := behaviour.local_data(run, name)) is None:
                raise UserError(f"the data of {name} of {workdir} are not at hand")
            found = [measure(task, run, program.label, row, data) for row, _ in members]
            numbers = [f"{name}={getattr(config, name):g}" for name in program.swept]
            rows.append([workdir.name, " ".join([program.label, *numbers]), name])
            rows[-1] += [f"{np.mean([each[column] for each in found]):.2f}" for column in COLUMNS]
            known = [score for _, score in members if score is not None]
            rows[-1].append(f"{np.mean(known):.3f}" if known else "")
            if importlib.util.find_spec("matplotlib"):
                from gtp_jax import pictures

                parts = ["values", *[program.label] * (len(run.programs) > 1), *numbers, *name.split("/")]
                pictures.draw_values(task, *found[0]["map"], workdir / f"{'-'.join(parts)}.png")
    return rows


def main(stack: contextlib.ExitStack, *folders: str) -> None:
    if CONFIG.value is not None:
        len(CONFIG.value)  # reading it runs the file, and what that registers is there
    rows = [row for folder in folders for row in rows_of(pathlib.Path(folder).expanduser().absolute(), stack)]
    table = [["run", "agent", "task", *COLUMNS, "success"], *rows]
    print(f"\n{tables.markdown(table)}")
    if OUT.value is not None:
        try:
            results.write_json(pathlib.Path(OUT.value).expanduser(), {"credit": table, **results.provenance(1)})
        except OSError as error:
            raise UserError(f"the table cannot be written to {OUT.value}: {error}; use another --out") from error


if __name__ == "__main__":
    cli.configure_jax()
    cli.run(main, argument="one or more working directories", most=sys.maxsize)
