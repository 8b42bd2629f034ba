"""Trains every combination of some values in as few runs of `experiments.train` as can hold them, and makes one table.

    python -m experiments.sweep --config=configs/antmaze.py[:VARIANT] --workdir=DIR --grid='FIELD=VALUE|VALUE|...' \\
        [--grid=...] [--config.FIELD=VALUE ...] [--share=I/N]

Tasks, the agent's numbers, its names and `preset` share a run; any other field (widths, batch size, updates ...) takes
a run for each value, in a folder of DIR that is named by it. The runs follow one another. Given again, the command
leaves out what is done and goes on with what was interrupted. With --share=1/4 this process takes every fourth run from
the first on; others, perhaps on machines that share DIR, take those of 2/4, 3/4 and 4/4. Each ends with the table of
all that is done by then, and writes its members to DIR/sweep.json.

Exit status 1 means that some runs failed, each with an error of its own, and 2 a mistake in what was asked for, which
is found before the first run starts.
"""

import contextlib
import dataclasses
import itertools
import json
import pathlib
import re
import signal
import subprocess
import sys
from typing import NamedTuple

import ml_collections
from absl import flags
from ml_collections import config_flags

from experiments import cli, train
from experiments.workdir import refuse_other
from gtp_jax import results, tables
from gtp_jax.agent_config import NUMBERS, AgentConfig
from gtp_jax.errors import UserError
from gtp_jax.trust import refuse_links

GRID = flags.DEFINE_multi_string("grid", [], "FIELD=VALUE|VALUE|..., once for each field that is to have several.")
SHARE = flags.DEFINE_string("share", "1/1", "I/N: every N-th run from the I-th on is this process's.")

NUMBER_FIELDS = [f"agent.{name}" for name in NUMBERS]
NAME_FIELDS = ["preset", *(f"agent.{field.name}" for field in dataclasses.fields(AgentConfig) if field.type is str)]
OWN_FLAGS = [f"{dashes}{name}" for dashes in ("-", "--") for name in ("grid", "share", "workdir")]


class Run(NamedTuple):
    """One run of `experiments.train`."""

    name: str  # of its folder and in the table: the values that it does not share
    config: ml_collections.ConfigDict
    arguments: list[str]  # all but --workdir


def passed_on(argv: list[str]) -> list[str]:
    """The arguments that every run gets too, as they were given."""
    kept, rest = [], iter(argv)
    for argument in rest:
        flag, equals, _ = argument.partition("=")
        if flag not in OWN_FLAGS:
            kept.append(argument)
        elif not equals:
            next(rest, None)  # the flag's value
    return kept


def read(arguments: list[str]) -> tuple[ml_collections.ConfigDict, dict]:
    """The config of a run with these arguments, and by field what they change in it."""
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    cli.parse(values, ["train", *arguments], known_only=True)
    return config.value, config_flags.get_override_values(values["config"])


def plan(grid: list[str], arguments: list[str]) -> list[Run]:
    """The fewest runs that hold every combination.

    Args:
        grid: FIELD=VALUE|VALUE|... each.
        arguments: of every run, with --config and without --workdir.

    Raises:
        UserError: one line on what cannot be trained, or would be trained twice.
    """
    taken = set(read(arguments)[1])
    shared, own = list(arguments), {}
    for each in grid:
        field, _, values = each.partition("=")
        values = values.split("|")
        if not all([field, *values]):
            raise UserError(f"--grid={each} must be FIELD=VALUE|VALUE|..., as in --grid='agent.eta=0|3|10'")
        if field in taken:
            raise UserError(f"{field} is given twice; let one --grid or --config.{field} say all of it")
        if field in ("seed", "num_seeds"):
            raise UserError(f"{field} cannot be in a --grid; --config.seed and --config.num_seeds are of all runs")
        taken.add(field)
        if field in NUMBER_FIELDS:
            shared.append(f"--config.{field}=({','.join(values)})")  # one number alone stays a number
        elif field in NAME_FIELDS:
            shared.append(f"--config.{field}={','.join(values)}")
        elif field == "tasks":
            shared.append(f"--config.tasks={tuple(values)}")
        else:
            own[field] = [f"--config.{field}={value}" for value in values]
    runs = {}
    for flags_of_run in itertools.product(*own.values()):
        config, changes = read([*shared, *flags_of_run])
        name = "-".join(f"{field.removeprefix('agent.')}={word(changes[field])}" for field in own) or "all"
        if name in runs:
            raise UserError(f"two runs would be called {name}; let no --grid name a value twice")
        runs[name] = Run(name, cli.validated(config), [*shared, *flags_of_run])
    return list(runs.values())


def share(runs: list, text: str) -> list:
    """Of N processes, those of the I-th, where the text is I/N.

    Raises:
        UserError: it is not.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= index <= count:
        raise UserError(f"--share={text} must be I/N, from 1/N to N/N")
    return runs[index - 1 :: count]


def word(value) -> str:
    """A value as part of a file's name."""
    text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return re.sub(r"[^\w.+-]+", "-", text)


def results_of(workdir: pathlib.Path) -> dict | None:
    """What results.json holds; None if the run is not done."""
    path = workdir / "results.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}; delete it to have the run done again") from error


def main(_: contextlib.ExitStack) -> None:
    if train.CONFIG.value is None or train.WORKDIR.value is None:
        raise UserError("--config and --workdir are needed, as in --config=configs/antmaze.py --workdir=runs/widths")
    root = pathlib.Path(train.WORKDIR.value).expanduser().absolute()
    runs = plan(GRID.value, passed_on(flags.FLAGS.read_flags_from_files(sys.argv[1:])))
    mine = share(runs, SHARE.value)
    workdirs = {run.name: root / run.name for run in runs}
    try:
        root.mkdir(parents=True, exist_ok=True)  # a share may be without a run that makes it
        refuse_links(root)
        for run in runs:
            refuse_other(workdirs[run.name], run.config)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"working directory {root} cannot be used: {error}; use another --workdir") from error

    # ---------------------------------------------------------------- training
    child, signals, failed = None, [], {}

    def pass_on(number, _):
        signals.append(number)
        if child:
            child.send_signal(number)  # the first makes it save and leave, a second leave at once

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    for i, run in enumerate(mine, 1):
        is_done = results_of(workdirs[run.name]) is not None
        print(f"run {i} of {len(mine)}, {run.name}" + ": done before" * is_done, flush=True)
        if is_done:
            continue
        command = [sys.executable, "-m", "experiments.train", *run.arguments, f"--workdir={workdirs[run.name]}"]
        child = subprocess.Popen(command)
        if signals:  # which came while there was nobody to pass them on to
            child.send_signal(signals[0])
        status = child.wait()
        if signals:
            raise cli.Stopped(signals[0])
        if status:
            failed[run.name] = status

    # ---------------------------------------------------------------- the table
    done = {name: found for name, workdir in workdirs.items() if (found := results_of(workdir))}
    members = [{**member, "label": name} for name, found in done.items() for member in found.pop("members")]
    print(f"\n{tables.table(members)}\n\n{len(done)} of {len(runs)} runs are done")
    try:
        results.write_json(root / "sweep.json", {"runs": done, "members": members})
    except OSError as error:
        raise UserError(f"{root / 'sweep.json'} cannot be written: {error}") from error
    print(f"members in {root / 'sweep.json'}")
    if failed:
        names = ", ".join(f"{name} (status {status})" for name, status in failed.items())
        sys.exit(f"error: {len(failed)} of {len(mine)} runs failed, for reasons given above: {names}")


if __name__ == "__main__":
    cli.run(main)
