"""The registry of tasks: what is evaluated, what counts as success, which data belong to it."""

from gtp_jax.tasks import ogbench, returns
from gtp_jax.tasks.mazes import ANTMAZE, D4RL_MAZES, MAZES, POINTMAZE, SUCCESS_RADIUS, Cell, MazeTask
from gtp_jax.tasks.multigoal import MODE_RADIUS, MultigoalTask
from gtp_jax.tasks.ogbench import OGBENCH, OGBenchTask
from gtp_jax.tasks.returns import ADROIT, GYM, KITCHEN, ReturnTask

__all__ = [
    "ADROIT",
    "ANTMAZE",
    "Cell",
    "D4RL_MAZES",
    "GYM",
    "KITCHEN",
    "MAZES",
    "MODE_RADIUS",
    "MazeTask",
    "MultigoalTask",
    "OGBENCH",
    "OGBenchTask",
    "POINTMAZE",
    "ReturnTask",
    "SUCCESS_RADIUS",
    "TASKS",
    "Task",
    "get",
]

Task = MazeTask | MultigoalTask | OGBenchTask | ReturnTask
TASKS: dict[str, Task] = {**MAZES, **D4RL_MAZES, "multigoal": MultigoalTask(), **returns.TASKS, **ogbench.TASKS}


def get(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: no such task; the message lists those there are.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; known tasks: {', '.join(TASKS)}")
    return TASKS[name]
