"""What a run is made of: the fields every config file has, and their checking."""

import dataclasses
import itertools
import math

import ml_collections
from ml_collections import config_dict

from gtp_jax import tasks
from gtp_jax.agent_config import AgentConfig
from gtp_jax.errors import UserError
from gtp_jax.objectives import OBJECTIVES, SETTINGS
from gtp_jax.population import Member, Program
from gtp_jax.presets import PRESETS


def base() -> ml_collections.ConfigDict:
    """The fields of every config, with values that suit a small run; a config file changes what its task needs."""
    config = ml_collections.ConfigDict()
    config.tasks = ("pointmaze/umaze",)  # names from gtp_jax.tasks
    config.seed = 0  # of the first member of each task
    config.num_seeds = 4  # members per task: seed, seed + 1, ...
    config.num_steps = 20_000  # updates per member
    config.batch_size = 256
    # Name in gtp_jax.presets.PRESETS: what agent fields left at None mean. This, agent.objective and agent.critic may
    # hold several names with commas between; then all combinations train side by side, one program for each.
    config.preset = "default"

    config.dataset = "auto"  # auto (D4RL's data, or generated ones) | generated | a Minari data set's id
    config.generate = ml_collections.ConfigDict()  # of generated data
    config.generate.num_transitions = 200_000
    config.generate.seed = 0

    config.eval = ml_collections.ConfigDict()
    config.eval.episodes = 50  # per member and K
    config.eval.sampling_steps = (1, 2, 5)  # values of K; in the course of training only the greatest
    config.eval.interval = 10_000  # updates
    config.eval.seed = 1000  # of the environments; the same for all members

    config.checkpoint = ml_collections.ConfigDict()
    config.checkpoint.interval = 5_000  # updates

    config.agent = ml_collections.ConfigDict()  # None: the preset's value; see gtp_jax.agent_config
    for field in dataclasses.fields(AgentConfig):
        kind = type(getattr(PRESETS["default"], field.name))
        config.agent[field.name] = config_dict.placeholder(kind)
    return config


def members(config: ml_collections.ConfigDict) -> list[Member]:
    """tasks x seeds, seeds innermost."""
    return [Member(task, config.seed + i) for task in config.tasks for i in range(config.num_seeds)]


def chunk_length(config: ml_collections.ConfigDict) -> int:
    """Updates between two looks at the device: at most 500, and a divisor of every interval, so one program serves."""
    return math.gcd(500, config.num_steps, config.eval.interval, config.checkpoint.interval)


def programs(config: ml_collections.ConfigDict) -> list[Program]:
    """One for each combination of the presets, objectives and critics asked for, all with the same members.

    Raises:
        UserError: unknown preset, or a value out of range.
    """
    given = {name: value for name, value in config.agent.items() if value is not None}
    several = {"preset": config.preset, **{name: given[name] for name in ("objective", "critic") if name in given}}
    several = {name: value.split(",") for name, value in several.items()}
    found = []
    for names in itertools.product(*several.values()):
        chosen = dict(zip(several, names))
        preset = chosen.pop("preset")
        if preset not in PRESETS:
            raise UserError(f"preset = {preset!r} must be one of {', '.join(PRESETS)}")
        agent_config = dataclasses.replace(PRESETS[preset], **{**given, **chosen})
        try:
            agent_config.validate()
        except ValueError as error:
            raise UserError(str(error)) from error
        label = "-".join([preset, *(chosen[name] for name in chosen if len(several[name]) > 1)])
        found.append(Program(label, agent_config, tuple(members(config))))
    for name in SETTINGS:
        if name in given and not any(name in OBJECTIVES[p.config.objective].settings() for p in found):
            asked = ", ".join(dict.fromkeys(program.config.objective for program in found))
            raise UserError(f"agent.{name} = {given[name]} has no part in agent.objective = {asked}; leave it out")
    if len({program.label for program in found}) < len(found):
        raise UserError(f"preset = {config.preset!r}, agent.objective or agent.critic names one of its choices twice")
    return found


def validate(config: ml_collections.ConfigDict) -> None:
    """Checks everything that can be checked without data.

    Raises:
        UserError: one line that names the field, its value and what is allowed.
    """
    counts = {
        "num_seeds": config.num_seeds,
        "num_steps": config.num_steps,
        "batch_size": config.batch_size,
        "generate.num_transitions": config.generate.num_transitions,
        "eval.episodes": config.eval.episodes,
        "eval.interval": config.eval.interval,
        "checkpoint.interval": config.checkpoint.interval,
        **{f"eval.sampling_steps[{i}]": k for i, k in enumerate(config.eval.sampling_steps)},
    }
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{name} = {value} must be a whole number of at least 1")
    for name, value in {
        "seed": config.seed,
        "generate.seed": config.generate.seed,
        "eval.seed": config.eval.seed,
    }.items():
        if not 0 <= value < 2**31:
            raise UserError(f"{name} = {value} must lie between 0 and 2^31 - 1")
    for name in ("tasks", "eval.sampling_steps"):
        values = config.eval.sampling_steps if "." in name else config.tasks
        if not values or len(set(values)) != len(values):
            raise UserError(f"{name} = {values} must name at least one, and none twice")
    for name in config.tasks:
        try:
            task = tasks.get(name)
        except ValueError as error:
            raise UserError(str(error)) from error
        if task.widths != tasks.get(config.tasks[0]).widths:
            raise UserError(f"tasks of one run must have observations and actions of one width, unlike {config.tasks}")
    if config.dataset not in ("auto", "generated") and len(config.tasks) > 1:
        raise UserError(f"dataset = {config.dataset!r} is one data set, but there are {len(config.tasks)} tasks")
    if config.num_steps // chunk_length(config) > 10_000:
        raise UserError(
            f"num_steps = {config.num_steps}, eval.interval = {config.eval.interval} and checkpoint.interval = "
            f"{config.checkpoint.interval} have only {chunk_length(config)} as common divisor; take rounder numbers"
        )
    programs(config)
