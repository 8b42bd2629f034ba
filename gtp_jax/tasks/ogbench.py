"""Single-task variants of OGBench (Park et al., 2025), whose package has the environments."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class OGBenchTask:
    """Scored by success, where the episode ends.

    Attributes:
        name: "ogbench/cube-single-play".
        env_id: of the package's registry; the first of its five tasks stands for the environment.
        dataset: name of its file without the ending.
        widths: of what the policy sees and of an action.
        horizon: steps after which an episode is cut off.
    """

    name: str
    env_id: str
    dataset: str
    widths: tuple[int, int]
    horizon: int

    @property
    def data_env_id(self) -> str:
        """Of the environment with all its goals, in which the data are collected."""
        return self.env_id.replace("-singletask", "")

    def normalized_score(self, episode_return: float) -> float:
        return 100.0 * episode_return


def _task(name: str, widths: tuple[int, int], horizon: int) -> OGBenchTask:
    env, _ = name.rsplit("-", 1)
    return OGBenchTask(f"ogbench/{name}", f"{env}-singletask-v0", f"{name}-v0", widths, horizon)


TASKS: dict[str, OGBenchTask] = {
    task.name: task
    for task in [
        *(_task(f"pointmaze-{size}-navigate", (2, 2), 1000) for size in ("medium", "large", "giant")),
        *(_task(f"antmaze-{size}-navigate", (29, 8), 1000) for size in ("medium", "large", "giant")),
        *(_task(f"humanoidmaze-{size}-navigate", (69, 21), 2000) for size in ("medium", "large")),
        _task("antsoccer-arena-navigate", (42, 8), 1000),
        _task("cube-single-play", (28, 5), 200),
        _task("cube-double-play", (37, 5), 500),
        _task("scene-play", (40, 5), 750),
        _task("puzzle-3x3-play", (55, 5), 500),
        _task("puzzle-4x4-play", (83, 5), 500),
    ]
}
