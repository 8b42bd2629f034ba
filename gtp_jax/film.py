"""Frames of an episode, which is played again and rendered by MuJoCo in a process of its own.

Which OpenGL there is, if any, is found out when MuJoCo is imported, and a broken driver may end the process.
"""

import contextlib
import functools
import io
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np

from gtp_jax import environments, tasks
from gtp_jax.tasks import MazeTask, Task

SHAPE = (360, 360)  # pixels: height, width; of mazes
PATIENCE, EPISODE_PATIENCE = 60, 600  # seconds, after which an OpenGL counts as broken, and an episode is given up
_TRIAL = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render()"


def _run(arguments: list[str], backend: str, given: bytes = b"", **options) -> subprocess.CompletedProcess:
    settings = {"cwd": pathlib.Path(__file__).parents[1], "env": {**os.environ, "MUJOCO_GL": backend}}
    return subprocess.run([sys.executable, *arguments], input=given, capture_output=True, **settings, **options)


@functools.cache
def backend() -> str | None:
    """What MuJoCo can render with here without a screen, as MUJOCO_GL names it; None if there is nothing."""
    asked = os.environ.get("MUJOCO_GL")
    for name in [asked] if asked else ["egl", "osmesa"]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if _run(["-c", _TRIAL], name, timeout=PATIENCE).returncode == 0:
                return name
    return None


def render(task: Task, seed: int, actions: np.ndarray, steps: Sequence[int], backend: str) -> tuple[np.ndarray, float]:
    """What a camera sees of an episode at some of its steps, (N, height, width, 3) uint8, and the episode's return.

    Args:
        seed: of the environment's reset.
        actions: (T, D), all of the episode.
        steps: N, from 0, the start, to T, the end, in order.

    Raises:
        RuntimeError: the simulator or OpenGL failed, or took too long.
    """
    given = io.BytesIO()
    np.savez(given, actions=actions, steps=np.array(steps))
    arguments = ["-m", "gtp_jax.film", task.name, str(seed)]
    try:
        done = _run(arguments, backend, given.getvalue(), check=True, timeout=EPISODE_PATIENCE)
    except subprocess.SubprocessError as error:
        raise RuntimeError(f"{task.name} could not be rendered: {type(error).__name__}") from error
    with np.load(io.BytesIO(done.stdout)) as file:
        return file["frames"], float(file["total"])


def _film(task: Task, seed: int, actions: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, float]:
    env = environments.make(task, render_mode="rgb_array")
    env.reset(seed=seed)
    camera = _above(task, env.unwrapped) if isinstance(task, MazeTask) else env.render
    frames, total = {0: camera()}, 0.0
    for step, action in enumerate(actions, start=1):
        _, reward, *_ = env.step(action)
        total += reward
        if step in steps:
            frames[step] = camera()
    return np.stack([frames[step] for step in steps]), total


def _above(task: MazeTask, env) -> Callable[[], np.ndarray]:
    """A camera that follows the agent, over whose environment's own the walls stand."""
    import mujoco

    camera, renderer = mujoco.MjvCamera(), mujoco.Renderer(env.model, *SHAPE)
    camera.distance, camera.elevation, camera.azimuth = 3.2 * task.cell_size, -75.0, 90.0

    def shoot():
        camera.lookat[:2] = env.data.qpos[:2]
        renderer.update_scene(env.data, camera)
        return renderer.render()

    return shoot


if __name__ == "__main__":
    given = np.load(io.BytesIO(sys.stdin.buffer.read()))
    frames, total = _film(tasks.get(sys.argv[1]), int(sys.argv[2]), given["actions"], given["steps"])
    np.savez(sys.stdout.buffer, frames=frames, total=total)
