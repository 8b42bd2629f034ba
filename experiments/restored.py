"""Runs as their working directories hold them, which may come from strangers: settings, and agents as last saved."""

import contextlib
import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from gtp_jax import checkpoint, population, tasks
from gtp_jax import config as gtp_config
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import AgentState
from gtp_jax.data import sources
from gtp_jax.errors import UserError
from gtp_jax.objectives import OBJECTIVES
from gtp_jax.placement import Placement
from gtp_jax.population import Program
from gtp_jax.rollouts import Episodes, Evaluator


class Restored(NamedTuple):
    """A run at its last checkpoint."""

    config: ml_collections.ConfigDict
    programs: list[Program]
    states: dict[str, AgentState]  # by label, NumPy with a row for each member
    datasets: dict[str, dict]  # `sources.Dataset.record` of each task
    step: int


def settings(workdir: pathlib.Path) -> dict[str, Any]:
    """What config.json holds.

    Raises:
        UserError: it is not that of a run.
    """
    try:
        content = json.loads((workdir / "config.json").read_text())
        ml_collections.ConfigDict(content)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f"{workdir} does not hold a run: {error}") from error
    return content


def programs(workdir: pathlib.Path, content: dict[str, Any]) -> list[Program]:
    """What a run of these settings trains.

    Raises:
        UserError: they are of another version, make no sense, or name an objective that is not registered.
    """
    config, found = ml_collections.ConfigDict(content), []
    try:
        gtp_config.validate_members(config)
        for label, fields in content["agents"].items():
            if "/" in label or not label.isprintable():
                raise UserError(f"{workdir} holds a run of {label!r}, which cannot name a picture's file")
            if (name := str(fields["objective"])) not in OBJECTIVES:
                raise UserError(f"objective {name!r} is not registered; give the run's --config=FILE too")
            if missing := sorted({field.name for field in dataclasses.fields(AgentConfig)} - set(fields)):
                raise KeyError(f"agent.{missing[0]}")
            fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
            found.append(Program(label, gtp_config.members(config, gtp_config.combinations(fields))))
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{workdir} holds a run of another version of gtp_jax: {error}") from error
    return found


def restore(workdir: pathlib.Path, stack: contextlib.ExitStack) -> Restored:
    """A run at its last checkpoint; a run that is still going on may be read too.

    Args:
        stack: closes the checkpoints.

    Raises:
        UserError: there is none, or it is not one of the run that config.json describes.
    """
    content = settings(workdir)
    checkpoints = stack.enter_context(contextlib.closing(checkpoint.Checkpoints(workdir, read_only=True)))
    if checkpoints.latest_step is None:
        raise UserError(f"{workdir} holds no checkpoint yet")
    config, found = ml_collections.ConfigDict(content), programs(workdir, content)
    widths = {name: tasks.get(name).widths for name in config.tasks}
    like = {p.label: population.abstract(p, widths, batch_size=1, num_steps=config.num_steps) for p in found}
    saved, progress = checkpoints.restore_members(like), checkpoints.progress()
    sources.check_records(progress, config.tasks)
    states = {label: state for label, (state, _) in saved.items()}
    return Restored(config, found, states, progress["datasets"], checkpoints.latest_step)


def choose(run: Restored, number: int | None):
    """(program, member, state) of one member; the first if all are seeds of one agent.

    Raises:
        UserError: there is no such member, or it is not clear which is meant.
    """
    found = [(program, i) for program in run.programs for i in range(len(program.members))]
    agents = {(p.label, p.members[i].task, p.members[i].config) for p, i in found}
    if number is None and len(agents) > 1:
        raise UserError(f"the run has {len(agents)} agents; --member=N chooses, from 0 to {len(found) - 1}")
    if (number or 0) >= len(found):
        raise UserError(f"--member={number} must be below {len(found)}, of which there are so many")
    program, i = found[number or 0]
    return program, program.members[i], jax.tree.map(lambda leaf: leaf[i], run.states[program.label])


def play(
    evaluator: Evaluator,
    program: Program,
    placement: Placement,
    state: AgentState,
    num_steps: int,
    log: list[tuple[np.ndarray, np.ndarray]] | None = None,
) -> list[Episodes]:
    """An episode of each member of a program in each of its environments, acting with K = num_steps.

    Args:
        state: on the devices, a row for each slot of the placement.
        log: takes the observations (M, E, O) and actions (M, E, D) of every environment step.
    """
    act = population.actor(structure=program.structure, placement=placement)

    return evaluator(
        lambda obs, t: act(state, obs, t, num_steps=num_steps),
        f"evaluation of {program.label}, K={num_steps}",
        chunk=program.structure.action_chunk,
        log=log,
    )
