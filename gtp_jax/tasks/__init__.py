"""The registry of tasks: what is evaluated, what counts as success, which data belong to it."""

from gtp_jax.tasks import ogbench, returns
from gtp_jax.tasks.mazes import ANTMAZE, D4RL_MAZES, MAZES, POINTMAZE, SUCCESS_RADIUS, Cell, MazeTask
from gtp_jax.tasks.multigoal import MODE_RADIUS, MultigoalTask
from gtp_jax.tasks.ogbench import OGBenchTask
from gtp_jax.tasks.returns import ReturnTask

__all__ = [
    "ANTMAZE",
    "Cell",
    "D4RL_MAZES",
    "MAZES",
    "MODE_RADIUS",
    "MazeTask",
    "MultigoalTask",
    "OGBenchTask",
    "POINTMAZE",
    "ReturnTask",
    "SUCCESS_RADIUS",
    "TASKS",
    "Task",
    "get",
    "variants",
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


def variants(family: str) -> tuple[str, ...]:
    """Of a family such as gym, the tasks without its name, such as hopper-medium of gym/hopper-medium."""
    return tuple(name.removeprefix(f"{family}/") for name in TASKS if name.startswith(f"{family}/"))
