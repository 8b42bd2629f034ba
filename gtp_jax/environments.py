"""Evaluation environments with D4RL's semantics, built from the task registry and never from a data file."""

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Iterator

import gymnasium
import numpy as np

from gtp_jax.errors import UserError
from gtp_jax.tasks import MODE_RADIUS, MazeTask, MultigoalTask, OGBenchTask, ReturnTask, Task

START_NOISE = 0.1  # metres; D4RL's, where gymnasium-robotics draws from a quarter of a cell
PEN_HEIGHT, DROPPED = 26, 0.075  # where an observation of Adroit's pen has its height, and metres under which it fell


class MazeEvaluation(gymnasium.Wrapper):
    """Flat observations (O,) float32, the task's start and goal, reward 1 within 0.5 of it, where the episode ends."""

    def __init__(self, env: gymnasium.Env, task: MazeTask):
        super().__init__(env)
        self._task = task
        width = self._task.flatten({k: np.zeros(s.shape) for k, s in env.observation_space.items()}).shape
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, width, np.float32)

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=start_options(self._task))
        self._goal = self._task.draw_goal(self.np_random, self._task.goal)
        place_goal(self.env, self._goal)
        return self._task.flatten(observation), info

    def step(self, action):
        observation, _, _, truncated, info = self.env.step(action)
        success = bool(self._task.reached(observation["achieved_goal"], self._goal))
        return self._task.flatten(observation), float(success), success, truncated, info | {"success": success}


def place_goal(env: gymnasium.Env, xy: np.ndarray) -> None:
    """Moves the goal of a bare maze, which its own rewards and pictures go by, to a position (2,)."""
    env.unwrapped.goal = xy
    env.unwrapped.update_target_site_pos()


def make_d4rls_ant(model) -> None:
    """Gives Gymnasium's ant, a MuJoCo model, the torque, the time step and the contacts of D4RL's.

    https://github.com/Farama-Foundation/D4RL, d4rl/locomotion/assets/ant.xml
    """
    model.opt.timestep, model.actuator_gear[:, 0] = 0.02, 30.0
    model.geom_solimp[:, :3] = 0.8, 0.8, 0.01


def make_maze(task: MazeTask, position_noise: float, **settings) -> gymnasium.Env:
    """The bare environment on the task's map, which goes on at the goal until the task's horizon.

    Args:
        position_noise: half the edge, in metres, of the square around a cell's centre that start and goal come from.
        settings: of `gymnasium.make`.
    """
    with warnings.catch_warnings():
        # v4 is what D4RL's Minari data were collected in; v5 adds 78 contact forces to the observation.
        warnings.simplefilter("ignore", DeprecationWarning)
        env = gymnasium.make(
            task.env_id,
            maze_map=[list(row) for row in task.maze_map],
            continuing_task=True,
            reset_target=False,
            max_episode_steps=task.horizon,
            disable_env_checker=True,
            **settings,
        )
    if task.d4rl_file:
        make_d4rls_ant(env.unwrapped.ant_env.model)
    env.unwrapped.position_noise_range = position_noise / task.cell_size
    os.unlink(env.unwrapped.tmp_xml_file_path)  # read once, and never removed by its writer
    return env


class Multigoal(gymnasium.Env):
    """One step: the observation is 0, and an action within `MODE_RADIUS` of a mode has reward 1."""

    def __init__(self, task: MultigoalTask):
        self._task = task
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        success = bool(self._task.distances(np.asarray(action)).min() <= MODE_RADIUS)
        return np.zeros(1, np.float32), float(success), True, False, {"success": success}


class ReturnEvaluation(gymnasium.Wrapper):
    """Flat observations (O,) float32, success as far as the environment knows of any, and D4RL's ends."""

    def __init__(self, env: gymnasium.Env, task: ReturnTask):
        super().__init__(env)
        self._task = task
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, task.widths[:1], np.float32)

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        return self._task.flatten(observation), info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        all_done = "tasks_to_complete" in info and not info["tasks_to_complete"]  # Kitchen's
        success = bool(info.get("success", all_done))
        observation = self._task.flatten(observation)
        if self._task.env_id.startswith("AdroitHandPen"):  # D4RL's ends where the pen is dropped, this one goes on
            terminated = terminated or bool(observation[PEN_HEIGHT] < DROPPED)
        return observation, float(reward), terminated, truncated, info | {"success": success}


def make_registered(task: ReturnTask, **settings) -> gymnasium.Env:
    """The bare environment, as it is registered, with the task's horizon."""
    if task.env_id.startswith("FrankaKitchen"):
        # gymnasium-robotics 1.4.2 asks whether a NumPy integer equals a member of MuJoCo's enumeration, which MuJoCo 4
        # denies; MuJoCo's own access by name gives the same numbers.
        from gymnasium_robotics.utils import mujoco_utils

        mujoco_utils.get_joint_qpos = lambda model, data, name: data.joint(name).qpos.copy()
        mujoco_utils.get_joint_qvel = lambda model, data, name: data.joint(name).qvel.copy()
    settings = {**dict(task.settings), **settings, "max_episode_steps": task.horizon}
    return gymnasium.make(task.env_id, disable_env_checker=True, **settings)


@contextlib.contextmanager
def numpys_own_generator(seed: int | None) -> Iterator[None]:
    """Seeds the generator that NumPy's users share, from which OGBench's mazes draw a start, and puts it back."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


class OGBenchEvaluation(gymnasium.Wrapper):
    """Observations (O,) float32; reward 1 at success, where the episode ends."""

    def __init__(self, env: gymnasium.Env, task: OGBenchTask):
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, task.widths[:1], np.float32)

    def reset(self, *, seed=None, options=None):
        with numpys_own_generator(seed):
            observation, info = self.env.reset(seed=seed, options=options)
        return observation.astype(np.float32), info

    def step(self, action):
        observation, _, _, truncated, info = self.env.step(action)
        success = bool(info["success"])
        return observation.astype(np.float32), float(success), success, truncated, info | {"success": success}


def register_ogbench() -> None:
    """Imports the package that has OGBench's environments.

    Raises:
        UserError: it is not installed.
    """
    if not importlib.util.find_spec("ogbench"):
        raise UserError("OGBench's tasks need the package of their environments: pip install ogbench")
    importlib.import_module("ogbench")


def make_ogbench(task: OGBenchTask, env_id: str | None = None, **settings) -> gymnasium.Env:
    """The package's own environment.

    Args:
        env_id: another than the task's, with its settings.

    Raises:
        UserError: the package is not installed.
    """
    register_ogbench()
    env = gymnasium.make(env_id or task.env_id, disable_env_checker=True, **settings)
    if hasattr(env.unwrapped, "maze_map"):
        _remove(env.unwrapped.fullpath)  # the maze's XML file, read once, and never closed or removed by its writer
    return env


def _remove(path: str) -> None:
    """Removes a file that this process may have open."""
    file = os.stat(path)
    for descriptor in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # that of the listing is gone
            if os.path.samestat(os.fstat(descriptor), file):
                os.close(descriptor)
    os.unlink(path)


def make_bare(task: MazeTask | ReturnTask, **settings) -> gymnasium.Env:
    """The environment that a task's evaluation plays in, with its own observations, rewards and ends."""
    if isinstance(task, MazeTask):
        return make_maze(task, START_NOISE, **settings)
    return make_registered(task, **settings)


def start_options(task: Task) -> dict:
    """With which that environment is reset."""
    if not isinstance(task, MazeTask):
        return {}
    return {"reset_cell": np.array(task.start), "goal_cell": np.array(task.goal)}


def make(task: Task, **settings) -> gymnasium.Env:
    """The task's evaluation environment; each one is independent and seeded at `reset`.

    Args:
        settings: of `gymnasium.make`, such as render_mode, where there is a simulator.
    """
    if isinstance(task, MultigoalTask):
        return Multigoal(task)
    if isinstance(task, ReturnTask):
        return ReturnEvaluation(make_bare(task, **settings), task)
    if isinstance(task, OGBenchTask):
        return OGBenchEvaluation(make_ogbench(task, **settings), task)
    return MazeEvaluation(make_bare(task, **settings), task)
