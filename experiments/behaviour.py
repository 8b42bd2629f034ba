"""What the agents of a run do and think at its last checkpoint: walks, samples, advantages and weights."""

import contextlib
import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments import datasets, restored
from gtp_jax import agent, tasks
from gtp_jax import placement as placing
from gtp_jax.actor import trajectory
from gtp_jax.agent_config import AgentConfig
from gtp_jax.agent_state import AgentState, Batch
from gtp_jax.data import rewards, sources
from gtp_jax.errors import UserError
from gtp_jax.population import Program
from gtp_jax.rollouts import Episodes, Evaluator
from gtp_jax.tasks import MultigoalTask, Task

EPISODES = 10  # of one member of each maze
TRANSITIONS = 20_000  # that are judged


class Episode(NamedTuple):
    """What one episode of T steps came to."""

    seed: int  # of the environment's reset
    observations: np.ndarray  # (T + 1, O), without the last where no other episode was still going on
    actions: np.ndarray  # (T, D)
    total: float  # of its rewards
    success: bool


def episodes(
    task: Task, evaluator: Evaluator, played: Sequence[Episodes], log: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[Episode]:
    """Those of all members of a task, from the observations (M, E, O) and actions (M, E, D) of every step."""
    observations, actions = (np.stack(column)[..., :n] for column, n in zip(zip(*log), task.widths))
    return [
        Episode(evaluator.seed + e, observations[: n + 1, i, e], actions[:n, i, e], float(total), bool(success))
        for i, each in enumerate(played)
        if evaluator.tasks[i] is task
        for e, (n, total, success) in enumerate(zip(each.lengths, each.returns, each.successes))
    ]


def trajectories(task: MultigoalTask, program: Program, state: AgentState, steps: Sequence[int], seed: int):
    """What the task's first member makes of the same noise: from it to actions, (K + 1, 1000, D) by K.

    Args:
        state: with a row for each member.
    """
    row = next(i for i, member in enumerate(program.members) if member.task == task.name)
    state, config = jax.tree.map(lambda leaf: leaf[row], state), program.members[row].config
    obs = np.zeros((1000, len(state.obs_mean)))
    arguments = (config, state.actor_ema, jax.random.key(seed), obs, state.action_mask)
    return {k: np.asarray(trajectory(*arguments, k))[..., : task.widths[1]] for k in steps}


def first_members(run: restored.Restored) -> restored.Restored:
    """The run with one member of each program and task: the first that is guided, or the first.

    Where members of a program differ in numbers, its label says which they have.
    """

    def reduce(program):
        members = program.members
        order = sorted(range(len(members)), key=lambda i: not members[i].config.is_guided)
        rows = sorted({members[i].task: i for i in reversed(order)}.values())
        values = (f"{name}={getattr(members[rows[0]].config, name):g}" for name in program.swept)
        few = Program(" ".join([program.label, *values]), tuple(members[i] for i in rows))
        return few, jax.tree.map(lambda leaf: leaf[rows], run.states[program.label])

    reduced = [reduce(program) for program in run.programs]
    return run._replace(
        programs=[program for program, _ in reduced], states={program.label: state for program, state in reduced}
    )


def play(
    run: restored.Restored, names: Sequence[str], num_episodes: int, num_steps: int, stack: contextlib.ExitStack
) -> dict[str, dict[str, list[Episode]]]:
    """Episodes of the members of a run in some of its tasks, by the program's label and the task's name.

    Args:
        run: of `first_members`.
        num_steps: K.
        stack: closes the environments.
    """
    rows = [i for i, m in enumerate(run.programs[0].members) if m.task in names]
    members = [run.programs[0].members[i] for i in rows]  # all programs have the same tasks
    evaluator = Evaluator([tasks.get(member.task) for member in members], num_episodes, run.config.eval.seed)
    stack.callback(evaluator.close)
    found = {}
    for turn, program in enumerate(run.programs):
        few = Program(program.label, tuple(program.members[i] for i in rows))
        placement, log = placing.spread(len(rows), turn), []
        state = placement.put(jax.tree.map(lambda leaf: leaf[rows], run.states[program.label]))
        played = restored.play(evaluator, few, placement, state, num_steps, log)
        found[program.label] = {t.name: episodes(t, evaluator, played, log) for t in evaluator.tasks}
    return found


def local_data(run: restored.Restored, name: str) -> sources.Dataset | None:
    """The data that a task was trained on, rewards as in training, or None if they are not at hand.

    Raises:
        UserError: they are damaged, or config.json does not say what training made of their rewards.
    """
    if (transform := run.config.get("reward")) not in rewards.TRANSFORMS:
        raise UserError(f"reward = {transform!r} must be one of {', '.join(rewards.TRANSFORMS)}")
    found = sources.local(tasks.get(name), run.datasets[name])
    return found and datasets.with_rewards(found, transform)


def judge(run: restored.Restored, program: Program, row: int, data: sources.Dataset):
    """Which transitions (N,) of the data were judged, at most `TRANSITIONS`, and the `agent.Judgement` of a member."""
    member, state = program.members[row], jax.tree.map(lambda leaf: leaf[row], run.states[program.label])
    ahead, kind = (program.structure.num_step_returns, program.structure.action_chunk), program.kind(member)
    blocks, returns = datasets.arranger({member.task: data})([kind], *ahead)
    block, returns = blocks[member.task], returns[kind]
    chosen = np.random.default_rng(0).permutation(len(block[0]))[:TRANSITIONS]
    obs, action, next_obs = (column[chosen] for column in block)
    reward, discount = (column[chosen] for column in returns)

    def widened(columns, width):
        return np.pad(columns, ((0, 0), (0, width - columns.shape[1])))

    widths = len(state.obs_mean), len(state.action_mask)
    batch = Batch(widened(obs, widths[0]), widened(action, widths[1]), reward, widened(next_obs, widths[0]), discount)
    judged = _judge(program.structure)(state, jax.random.key(0), batch)
    return datasets.drawn(member.task, data, ahead[0])[chosen], jax.tree.map(np.asarray, judged)


@functools.cache
def _judge(structure: AgentConfig):
    return jax.jit(functools.partial(agent.judge, config=structure))
