"""What a critic knows of the way to a maze's goal, by the true distance, which no agent sees."""

import numpy as np
from scipy import stats

from experiments import behaviour, restored
from gtp_jax import geodesics, tasks
from gtp_jax.data import sources, transitions
from gtp_jax.population import Program
from gtp_jax.tasks import MazeTask

COLUMNS = ("value", "advantage", "weighted", "led")  # `experiments.credit` says what they are
AHEAD = {True: 50, False: 10}  # steps, of ants and of points: enough to tell a direction from a sway


def progress(task: MazeTask, data: sources.Dataset, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the goal (N,) at some transitions, and how much nearer the data come in `AHEAD` steps; metres."""
    distance, ahead = geodesics.distance(task), AHEAD[task.is_ant]
    later = transitions.n_step(data.transitions, ahead, 1.0).next_obs[chosen]
    here = distance(data.transitions.obs[chosen, :2])
    return here, here - distance(later[:, :2])


def credit(run: restored.Restored, program: Program, row: int, data: sources.Dataset):
    """`COLUMNS` of a member by name, and of N transitions position (N, 2), value (N,) and distance to the goal (N,)."""
    task = tasks.get(program.members[row].task)
    chosen, judged = behaviour.judge(run, program, row, data)
    here, nearer = progress(task, data, chosen)
    known = np.isfinite(here) & np.isfinite(nearer)  # a body that leans on a wall may be in it
    positions = data.transitions.obs[chosen, :2][known]
    here, nearer, advantage, weight, value = (each[known] for each in (here, nearer, *judged))
    _, cell = np.unique([task.cell_of(xy) for xy in positions], axis=0, return_inverse=True)
    gained = np.bincount(cell, weights=weight * nearer)  # its sign is that of the cell's weighted mean
    columns = (
        stats.spearmanr(value, -here).statistic,
        stats.spearmanr(advantage, nearer).statistic,
        np.average(nearer, weights=weight),
        np.mean(gained > 0),
    )
    return dict(zip(COLUMNS, columns)), positions, value, here
