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
PATIENCE = 60  # seconds, after which an OpenGL counts as broken
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


def render(task: Task, seed: int, actions: np.ndarray, steps: Sequence[int], backend: str) -> np.ndarray:
    """What a camera sees of an episode at some of its steps: (N, height, width, 3) uint8.

    Args:
        seed: of the environment's reset.
        actions: (T, D), all of the episode.
        steps: N, from 0, the start, to T, the end, in order.
    """
    given = io.BytesIO()
    np.savez(given, actions=actions, steps=np.array(steps))
    done = _run(["-m", "gtp_jax.film", task.name, str(seed)], backend, given.getvalue(), check=True)
    return np.load(io.BytesIO(done.stdout))


def _frames(task: Task, seed: int, actions: np.ndarray, steps: np.ndarray) -> np.ndarray:
    env = environments.make(task, render_mode="rgb_array")
    env.reset(seed=seed)
    camera = _above(task, env.unwrapped) if isinstance(task, MazeTask) else env.render
    frames = {0: camera()}
    for step, action in enumerate(actions, start=1):
        env.step(action)
        if step in steps:
            frames[step] = camera()
    return np.stack([frames[step] for step in steps])


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
    frames = _frames(tasks.get(sys.argv[1]), int(sys.argv[2]), given["actions"], given["steps"])
    np.save(sys.stdout.buffer, frames)
