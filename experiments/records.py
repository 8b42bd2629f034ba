"""What runs have written of themselves: settings, metrics and scores, checked, since they may come from strangers."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments import restored
from gtp_jax import tables
from gtp_jax.agent_config import NUMBERS
from gtp_jax.errors import UserError
from gtp_jax.population import Program
from gtp_jax.trust import refuse_links

LONGEST_WORD = 500  # letters of a text in a file of a run; a command can be as long


class Record(NamedTuple):
    """A run, as its working directory tells it.

    Members are dictionaries as in results.json, or without scores if the run is not finished: `task`, `agent`, `seed`,
    `hparams`, `diverged`, and with scores `dataset` and `eval`.
    """

    name: str  # unlike that of the other runs
    path: pathlib.Path
    settings: dict[str, Any]  # config.json
    members: list[dict]  # in the order of the values in metrics.jsonl
    finished: dict[str, Any] | None  # the rest of results.json
    metrics: list[dict]  # lines of metrics.jsonl

    def curves(self, index: int) -> dict[str, dict[int, float]]:
        """The metrics of one member, by name and update; the scores with those of the last evaluation."""
        curves = {}
        for line in self.metrics:
            for name, values in line.items():
                if name != "step" and not math.isnan(values[index]):
                    curves.setdefault(name, {})[line["step"]] = values[index]
        for k, score in self.members[index].get("eval", {}).items():
            for name in ("success_rate", "normalized_score"):
                if f"{name}_K{k}" in curves:
                    curves[f"{name}_K{k}"][self.settings["num_steps"]] = score[name]
        return curves


def find(folders: Sequence[str]) -> list[pathlib.Path]:
    """The working directories among folders, and right below those which are none, as in that of a sweep.

    Raises:
        UserError: a folder is not there, holds no run, or holds a link.
    """
    found = []
    for folder in folders:
        path = pathlib.Path(folder).expanduser().absolute()
        if not path.is_dir():
            raise UserError(f"{path} is no folder; give working directories of experiments.train")
        is_run = (path / "config.json").exists()
        inside = [path] if is_run else sorted(file.parent for file in path.glob("*/config.json"))
        if not inside:
            raise UserError(f"{path} holds no run: there is no config.json, nor in the folders right below it")
        refuse_links(path)
        found += inside
    return list(dict.fromkeys(found))


def read(paths: Sequence[pathlib.Path]) -> list[Record]:
    """The runs in some working directories, of `find`.

    Raises:
        UserError: one of them holds a file that is not as `experiments.train` writes it.
    """
    names = [path.name for path in paths]
    names = [word(path if names.count(path.name) > 1 else path.name) for path in paths]
    return [_read(path, name) for path, name in zip(paths, names)]


def _read(path: pathlib.Path, name: str) -> Record:
    settings, file = restored.settings(path), path / "config.json"
    try:
        if not all(isinstance(fields, dict) for fields in settings["agents"].values()):
            raise ValueError("agents must have settings")
        if not all(isinstance(n, int) and n > 0 for n in [settings["num_steps"], *settings["eval"]["sampling_steps"]]):
            raise ValueError("num_steps and eval.sampling_steps must be whole numbers of at least 1")
        file = path / "results.json"
        if file.exists():
            finished = json.loads(file.read_text())
            members = [_member(member) for member in finished["members"]]
            finished = _finished(finished, members)
        else:
            finished, members = None, _members_to_be(path, settings)
        file = path / "metrics.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        # A run that goes on may have written half of its last line.
        metrics = [_metrics(json.loads(line), len(members)) for line in lines if line.endswith("\n")]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}".replace("\n", " ")[:LONGEST_WORD]
        raise UserError(f"{file} is not as this version writes it ({problem}); leave its run out") from error
    return Record(name, path, settings, members, finished, metrics)


def rows(record: Record, run: restored.Restored) -> list[tuple[Program, int, dict]]:
    """Each member of a run: its program, its row in that, and what the run's files say of it.

    Raises:
        UserError: they tell of other members than the checkpoint has.
    """
    found = [(program, row) for program in run.programs for row in range(len(program.members))]
    trained = [(program.members[row].task, program.label, program.members[row].seed) for program, row in found]
    if trained != [(member["task"], member["agent"], member["seed"]) for member in record.members]:
        raise UserError(f"{record.path / 'results.json'} tells of other members than config.json; leave its run out")
    return [(*each, member) for each, member in zip(found, record.members)]


def methods(records: Sequence[Record]) -> list[str]:
    """What to call the agent of each member of all runs: the same for the same task only if it is the same agent.

    The name is the agent's label with the numbers in which agents of that label differ on a task; and the run's name,
    where on a task they differ in more than numbers, or have the same seed. Tasks may have settings of their own.
    """
    entries = [(record.name, member) for record in records for member in record.members]
    swept = tables.swept([member for _, member in entries], lambda member: (member["agent"], member["task"]))
    numbers = {
        label: dict.fromkeys(n for (own, _), ns in swept.items() if own == label for n in ns) for label, _ in swept
    }

    def name_of(member):
        values = (f"{number}={member['hparams'][number]:g}" for number in numbers[member["agent"]])
        return " ".join([member["agent"], *values])

    structures, seeds = {}, {}
    for _, member in entries:
        key = name_of(member), member["task"]
        words = {name: value for name, value in member["hparams"].items() if name not in NUMBERS}
        structures.setdefault(key, []).append(words)
        seeds.setdefault(key, []).append(member["seed"])
    unclear = {
        name
        for name, task in structures
        if any(words != structures[name, task][0] for words in structures[name, task])
        or len(set(seeds[name, task])) < len(seeds[name, task])
    }
    return [f"{name_of(m)} ({run})" if name_of(m) in unclear else name_of(m) for run, m in entries]


# ---------------------------------------------------------------- checking


def _members_to_be(path: pathlib.Path, settings: dict) -> list[dict]:
    return [
        {
            "task": member.task,
            "agent": program.label,
            "seed": member.seed,
            "hparams": _hparams(dataclasses.asdict(member.config)),
            "diverged": False,
        }
        for program in restored.programs(path, settings)
        for member in program.members
    ]


def _member(member: dict) -> dict:
    scores = {str(int(k)): {word(n): _score(n, v) for n, v in row.items()} for k, row in member["eval"].items()}
    if not scores or any(row["episodes"] < 1 for row in scores.values()):
        raise ValueError("a member was not evaluated")
    dataset = member["dataset"]
    return {
        "task": word(member["task"]),
        "agent": word(member["agent"]),
        "seed": int(member["seed"]),
        "hparams": _hparams(member["hparams"]),
        "diverged": bool(member["diverged"]),
        "dataset": {name: word(dataset[name]) for name in ("id", "source", "num_transitions")},
        "eval": scores,
    }


def _hparams(values: dict) -> dict:
    words = {word(name): word(list(v) if isinstance(v, tuple) else v) for name, v in values.items()}
    return words | {name: _number(values[name]) for name in NUMBERS}


def _score(name: str, value):
    if isinstance(value, list):
        return [_number(each) for each in value]
    return int(value) if name == "episodes" else _number(value)


def _finished(content: dict, members: list[dict]) -> dict:
    timing = _numbers(content["timing"])
    for member in members:  # what a table takes for granted
        for k in member["eval"]:
            timing["action_ms"][member["agent"]][k]
    return {
        "timing": timing,
        "versions": {word(name): word(version) for name, version in content["versions"].items()},
        **{name: word(content[name]) for name in ("command", "date", "device", "hardware")},
    }


def _numbers(tree):
    return {word(k): _numbers(v) for k, v in tree.items()} if isinstance(tree, dict) else _number(tree)


def _metrics(line: dict, num_members: int) -> dict:
    checked = {"step": int(line.pop("step"))}
    for name, values in line.items():
        if len(values) != num_members:
            raise ValueError(f"{name} has {len(values)} values for {num_members} members")
        checked[word(name)] = [math.nan if value is None else _number(value) for value in values]
    return checked


def _number(value) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    return float(value)


def word(value) -> str:
    """A text without letters that a terminal would take for a command."""
    return "".join(c if c.isprintable() else "?" for c in str(value)[:LONGEST_WORD])
