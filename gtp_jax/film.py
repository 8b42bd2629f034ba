"""Frames of a walk through a maze, rendered by MuJoCo in a process of its own.

Which OpenGL there is, if any, is found out when MuJoCo is imported, and a broken driver may end the process.
"""

import contextlib
import functools
import io
import os
import pathlib
import subprocess
import sys

import numpy as np

from gtp_jax import environments, tasks
from gtp_jax.tasks import MazeTask

SHAPE = (270, 360)  # pixels: height, width
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


def render(task: MazeTask, observations: np.ndarray, backend: str) -> np.ndarray:
    """What a camera that follows the agent sees at observations (N, O): (N, height, width, 3) uint8."""
    given = io.BytesIO()
    np.save(given, observations)
    done = _run(["-m", "gtp_jax.film", task.name], backend, given.getvalue(), check=True)
    return np.load(io.BytesIO(done.stdout))


def _frames(task: MazeTask, observations: np.ndarray) -> np.ndarray:
    import mujoco

    env = environments.make(task)
    env.reset(seed=0)  # puts the goal in its place
    model, data = env.unwrapped.model, env.unwrapped.data
    camera = mujoco.MjvCamera()
    camera.distance, camera.elevation, camera.azimuth = 3.2 * task.cell_size, -75.0, 90.0
    frames = []
    with mujoco.Renderer(model, *SHAPE) as renderer:
        for observation in observations:  # which begins with the positions of all joints
            data.qpos[:] = observation[: model.nq]
            mujoco.mj_forward(model, data)
            camera.lookat[:2] = observation[:2]
            renderer.update_scene(data, camera)
            frames.append(renderer.render())
    return np.stack(frames)


if __name__ == "__main__":
    frames = _frames(tasks.get(sys.argv[1]), np.load(io.BytesIO(sys.stdin.buffer.read())))
    np.save(sys.stdout.buffer, frames)
