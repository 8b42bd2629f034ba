"""What a run is made of: the fields every config file has, and their checking."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import ml_collections
from ml_collections import config_dict

from gtp_jax import tasks
from gtp_jax.agent_config import NUMBERS, AgentConfig
from gtp_jax.data import rewards
from gtp_jax.errors import UserError
from gtp_jax.objectives import OBJECTIVES, SETTINGS
from gtp_jax.population import Member, Program
from gtp_jax.presets import PRESETS

MAX_MEMBERS = 10_000  # of a program; all are listed before anything else is known of them


def base() -> ml_collections.ConfigDict:
    """The fields of every config, with values that suit a small run; a config file changes what its task needs."""
    config = ml_collections.ConfigDict()
    config.tasks = ("pointmaze/umaze",)  # names from gtp_jax.tasks
    config.seed = 0  # of the first member of each task
    config.num_seeds = 4  # members per task: seed, seed + 1, ...
    config.num_steps = 20_000  # updates per member
    config.batch_size = 256
    # Name in gtp_jax.presets.PRESETS: what agent fields left at None mean. This and every agent field that is a name
    # may hold several with commas between, and every agent field that is a float a tuple, as agent.eta=(0,1,3). All
    # combinations train side by side: those of names in a program each, those of numbers in one program.
    config.preset = "default"

    config.dataset = (
        "auto"  # auto (the task's own, or generated) | generated | a Minari data set's id | a .hdf5 or .npz
    )
    config.reward = "none"  # name in gtp_jax.data.rewards.TRANSFORMS: what is made of the data's rewards
    config.generate = ml_collections.ConfigDict()  # of generated data
    config.generate.num_transitions = 200_000
    config.generate.seed = 0

    config.residency = "auto"  # of the data: device | host, which sends the same batches | auto, device if it has room

    config.eval = ml_collections.ConfigDict()
    config.eval.episodes = 50  # per member and K
    config.eval.sampling_steps = (1, 2, 5)  # values of K; in the course of training only the greatest
    config.eval.interval = 10_000  # updates
    config.eval.seed = 1000  # of the environments; the same for all members

    config.log = ml_collections.ConfigDict()
    config.log.interval = 500  # updates; a line of metrics holds their means over it

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.interval = 5_000  # updates

    config.agent = ml_collections.ConfigDict()  # None: the preset's value; see gtp_jax.agent_config
    for field in dataclasses.fields(AgentConfig):
        kind = object if field.name in NUMBERS else type(getattr(PRESETS["default"], field.name))
        config.agent[field.name] = config_dict.placeholder(kind)
    return config


def of_task(family: str, variant: str, *others: str) -> ml_collections.ConfigDict:
    """`base` for one of the tasks whose names begin with that of their family.

    Args:
        others: variants that a config file has besides.

    Raises:
        ValueError: no such task.
    """
    known = tasks.variants(family)
    if variant not in known:
        raise ValueError(f"unknown variant {variant!r} of {family}; there are {', '.join((*known, *others))}")
    config = base()
    config.tasks = (f"{family}/{variant}",)
    return config


def members(config: ml_collections.ConfigDict, agents: Sequence[AgentConfig]) -> tuple[Member, ...]:
    """tasks x agents x seeds, seeds innermost.

    Raises:
        UserError: there are too many.
    """
    if (count := len(config.tasks) * len(agents) * config.num_seeds) > MAX_MEMBERS:
        raise UserError(f"{count} members of one program are too many; {MAX_MEMBERS} are allowed")
    seeds = range(config.seed, config.seed + config.num_seeds)
    return tuple(Member(task, seed, each) for task in config.tasks for each in agents for seed in seeds)


def combinations(fields: dict[str, Any]) -> list[AgentConfig]:
    """One for each combination of the values of numbers that hold several; `Program.fields` is the way back.

    Raises:
        UserError: a value is out of range, or there are none, the same twice or too many.
    """
    swept = {name: value for name, value in fields.items() if name in NUMBERS and isinstance(value, tuple)}
    if math.prod(map(len, swept.values())) > MAX_MEMBERS:
        raise UserError(f"the combinations of agent = {swept} are too many; {MAX_MEMBERS} are allowed")
    agents = [AgentConfig(**{**fields, **dict(zip(swept, values))}) for values in itertools.product(*swept.values())]
    try:
        for each in agents:
            each.validate()
    except ValueError as error:
        raise UserError(str(error)) from error
    if not agents or len(set(agents)) < len(agents):
        raise UserError(f"a tuple of agent = {swept} must hold at least one number, and none twice")
    return agents


def programs(config: ml_collections.ConfigDict) -> list[Program]:
    """One for each combination of the names asked for, with a member for each task, combination of numbers and seed.

    Raises:
        UserError: unknown preset, or a value out of range.
    """
    given = {name: value for name, value in config.agent.items() if value is not None}
    named = {name: value for name, value in given.items() if isinstance(value, str) and name not in NUMBERS}
    several = {"preset": config.preset, **named}
    several = {name: value.split(",") for name, value in several.items()}
    found = []
    for names in itertools.product(*several.values()):
        chosen = dict(zip(several, names))
        preset = chosen.pop("preset")
        if preset not in PRESETS:
            raise UserError(f"preset = {preset!r} must be one of {', '.join(PRESETS)}")
        agents = combinations({**dataclasses.asdict(PRESETS[preset]), **given, **chosen})
        label = "-".join([preset, *(chosen[name] for name in chosen if len(several[name]) > 1)])
        found.append(Program(label, members(config, agents)))
    objectives = dict.fromkeys(program.structure.objective for program in found)
    for name in SETTINGS:
        if name in given and not any(name in OBJECTIVES[objective].settings() for objective in objectives):
            asked = ", ".join(objectives)
            raise UserError(f"agent.{name} = {given[name]} has no part in agent.objective = {asked}; leave it out")
    if len({program.label for program in found}) < len(found):
        raise UserError(f"preset = {config.preset!r}, or an agent field names one of its choices twice")
    return found


def validate_members(config: ml_collections.ConfigDict) -> None:
    """Checks what evaluation needs of a config besides the agents: tasks, members, length and seeds.

    Raises:
        UserError: one line that names the field, its value and what is allowed.
    """
    for name, value in {"num_seeds": config.num_seeds, "num_steps": config.num_steps}.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{name} = {value} must be a whole number of at least 1")
    for name, value in {"seed": config.seed, "eval.seed": config.eval.seed}.items():
        if not isinstance(value, int) or not 0 <= value < 2**31:
            raise UserError(f"{name} = {value} must lie between 0 and 2^31 - 1")
    if not config.tasks or len(set(config.tasks)) != len(config.tasks):
        raise UserError(f"tasks = {config.tasks} must name at least one, and none twice")
    for name in config.tasks:
        try:
            tasks.get(name)
        except ValueError as error:
            raise UserError(str(error)) from error


def validate(config: ml_collections.ConfigDict) -> None:
    """Checks everything that can be checked without data.

    Raises:
        UserError: one line that names the field, its value and what is allowed.
    """
    validate_members(config)
    counts = {
        "batch_size": config.batch_size,
        "generate.num_transitions": config.generate.num_transitions,
        "eval.episodes": config.eval.episodes,
        "eval.interval": config.eval.interval,
        "checkpoint.interval": config.checkpoint.interval,
        "log.interval": config.log.interval,
        **{f"eval.sampling_steps[{i}]": k for i, k in enumerate(config.eval.sampling_steps)},
    }
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{name} = {value} must be a whole number of at least 1")
    if not 0 <= config.generate.seed < 2**31:
        raise UserError(f"generate.seed = {config.generate.seed} must lie between 0 and 2^31 - 1")
    steps = config.eval.sampling_steps
    if not steps or len(set(steps)) != len(steps):
        raise UserError(f"eval.sampling_steps = {steps} must name at least one, and none twice")
    if config.residency not in ("auto", "device", "host"):
        raise UserError(f"residency = {config.residency!r} must be one of auto, device, host")
    if config.reward not in rewards.TRANSFORMS:
        raise UserError(f"reward = {config.reward!r} must be one of {', '.join(rewards.TRANSFORMS)}")
    if config.dataset not in ("auto", "generated") and len(config.tasks) > 1:
        raise UserError(f"dataset = {config.dataset!r} is one data set, but there are {len(config.tasks)} tasks")
    programs(config)
