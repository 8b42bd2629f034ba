"""Playing many episodes at once, in one process or in several, changes none of them, and one that fails is counted."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from small_run import REPOSITORY

from gtp_jax import environments, evaluation, rollouts
from gtp_jax.data import controllers, planner
from gtp_jax.errors import UserError
from gtp_jax.tasks import get

UMAZE, MEDIUM = get("pointmaze/umaze"), get("pointmaze/medium")


def towards_goal(task, observations):
    """Actions (..., 2) along the shortest path, from positions and velocities (..., 4) alone."""

    def act(observation):
        route = planner.plan(task, task.cell_of(observation[:2]), task.goal, task.goal_xy)
        target = planner.advance(route, 0, observation[:2], 0.3)
        return controllers.PointController()(observation, route[target] - observation[:2])

    return np.apply_along_axis(act, -1, observations)


def play_alone(task, seed, act):
    """(return, success, length) of one episode, played in the plainest way."""
    env = environments.make(task)
    observation, _ = env.reset(seed=seed)
    total = length = over = 0
    while not over:
        observation, reward, terminated, truncated, info = env.step(act(observation))
        total, length, over = total + reward, length + 1, terminated or truncated
    env.close()
    return total, info["success"], length


@pytest.fixture
def evaluate():
    """Plays the tasks' episodes with one function of (observations, time) and returns those of each task."""

    def run(tasks, num_episodes, act, seed=5, num_workers=1):
        evaluator = rollouts.Evaluator(tasks, num_episodes, seed, num_workers=num_workers)
        played = evaluator(act)
        evaluator.close()
        return played

    return run


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_batched_episodes_are_those_played_one_at_a_time(num_workers, evaluate):
    tasks = [UMAZE, MEDIUM]

    def act(observations, _):
        return np.stack([towards_goal(task, each) for task, each in zip(tasks, observations)])

    for task, episodes in zip(tasks, evaluate(tasks, 3, act, num_workers=num_workers)):
        alone = [
            play_alone(task, 5 + e, lambda observation, task=task: towards_goal(task, observation)) for e in range(3)
        ]
        assert list(zip(episodes.returns, episodes.successes, episodes.lengths)) == alone


def test_the_walk_to_the_goal_succeeds_and_rest_does_not(evaluate):
    def act(observations, _):
        return np.stack([towards_goal(UMAZE, observations[0]), np.zeros((2, 2))])

    walked, rested = evaluate([UMAZE, UMAZE], 2, act)
    assert walked.successes.all() and (walked.returns == 1).all() and (walked.lengths < UMAZE.horizon).all()
    assert not rested.successes.any() and (rested.returns == 0).all() and (rested.lengths == UMAZE.horizon).all()


def test_mujoco_never_sees_the_nan_of_a_diverged_member(evaluate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the working directory
    evaluate([UMAZE], 1, lambda *_: np.full((1, 1, 2), np.nan))
    assert list(tmp_path.iterdir()) == []


def test_finished_episodes_are_not_stepped(evaluate):
    seen = []

    def act(observations, _):
        seen.append(observations.copy())
        return np.stack([towards_goal(UMAZE, observations[0]), np.full((2, 2), 0.01)])

    (length, *_), _ = (episodes.lengths for episodes in evaluate([UMAZE, UMAZE], 2, act))
    path = np.array(seen)[:, 0, 0]
    assert len(seen) == UMAZE.horizon and not (path[length - 1] == path[length]).all()
    assert (path[length:] == path[length]).all()


def test_members_face_the_same_starts_and_episodes_different_ones(evaluate):
    first = []

    def act(observations, time):
        first.append(observations.copy())
        return np.zeros((2, 3, 2))

    evaluate([UMAZE, UMAZE], 3, act)
    np.testing.assert_array_equal(first[0][0], first[0][1])
    assert len(np.unique(first[0][0], axis=0)) == 3


def test_time_counts_the_environments_steps(evaluate):
    times = []
    evaluate([UMAZE], 1, lambda observations, time: times.append(time) or np.zeros((1, 1, 2)))
    assert times == list(range(UMAZE.horizon))


def test_a_chunk_is_carried_out_before_the_next_observation_is_asked_about():
    """Of two tasks with actions of different widths, each member's own numbers in order."""
    tasks, times, log = [UMAZE, get("antmaze/umaze")], [], []

    def act(observations, time):
        times.append(time)
        return (np.arange(24) + 24 * len(times)) / 1e6 * np.ones((2, 1, 1))

    evaluator = rollouts.Evaluator(tasks, 1)
    evaluator(act, chunk=3, log=log)
    evaluator.close()
    assert times == list(range(0, max(task.horizon for task in tasks), 3))
    taken = np.stack([actions for _, actions in log])[:6, :, 0] * 1e6
    np.testing.assert_allclose(taken[:, 0, :2].ravel(), [*range(24, 30), *range(48, 54)], rtol=1e-5)
    np.testing.assert_allclose(taken[:, 1].ravel(), range(24, 72), rtol=1e-5)


def test_an_evaluator_plays_the_same_episodes_again():
    evaluator = rollouts.Evaluator([UMAZE], 2, seed=0)
    starts = []
    for _ in range(2):
        evaluator(
            lambda observations, time: (starts.append(observations.copy()) if not time else None) or np.zeros((1, 2, 2))
        )
    evaluator.close()
    np.testing.assert_array_equal(*starts)


@pytest.fixture
def fragile(monkeypatch):
    """Makes the environment of one episode, the second, raise an error at its third step."""
    made, make = [], environments.make

    def make_one(task):
        env = make(task)
        if len(made) == 1:
            step, steps = env.step, []

            def crash(action):
                steps.append(action)
                if len(steps) == 3:
                    raise RuntimeError("the simulation is unstable")
                return step(action)

            env.step = crash
        made.append(env)
        return env

    monkeypatch.setattr(environments, "make", make_one)


def test_an_environment_that_crashes_is_counted_and_the_others_play_on(fragile, evaluate):
    act = lambda observations, _: towards_goal(UMAZE, observations)  # noqa: E731
    (episodes,) = evaluate([UMAZE], 3, act)
    assert episodes.crashed.tolist() == [False, True, False]
    assert episodes.successes[[0, 2]].all() and episodes.lengths[1] == 2
    summary = evaluation.summarize(UMAZE, episodes)
    assert (summary["episodes"], summary["crashed"], summary["success_rate"]) == (2, 1, 1.0)


def test_an_environment_that_crashed_is_replaced_for_the_next_time(fragile):
    evaluator = rollouts.Evaluator([UMAZE], 2, num_workers=1)
    act = lambda observations, _: towards_goal(UMAZE, observations)  # noqa: E731
    crashed = [evaluator(act)[0].crashed.any() for _ in range(2)]
    evaluator.close()
    assert crashed == [True, False]


# ------------------------------------------------------------------------------------------------- processes


@pytest.fixture
def in_two():
    """An evaluator of two episodes of two processes, and these."""
    before = set(multiprocessing.active_children())
    evaluator = rollouts.Evaluator([UMAZE], 2, num_workers=2)
    yield evaluator, set(multiprocessing.active_children()) - before
    evaluator.close()


def rest(observations, _):
    return np.zeros((1, 2, 2))


def test_a_killed_process_is_told_in_a_line(in_two):
    evaluator, processes = in_two
    os.kill(next(iter(processes)).pid, signal.SIGKILL)
    with pytest.raises(UserError, match="a process that plays episodes has died"):
        evaluator(rest)


def test_processes_end_when_the_evaluator_does(in_two):
    evaluator, processes = in_two
    evaluator.close()
    assert [process.exitcode for process in processes] == [0, 0]


def test_what_is_wrong_with_an_environment_is_what_the_caller_hears():
    with pytest.raises(RuntimeError, match="Nowhere"):
        rollouts.Evaluator([dataclasses.replace(get("gym/hopper-medium"), env_id="Nowhere-v0")], 2, num_workers=2)


@pytest.fixture
def run_script(tmp_path):
    """Runs a program of its own, which has an evaluator of two episodes of two processes; what it prints."""

    def run(before="", between=""):
        script = tmp_path / "unguarded.py"  # were it imported by a process, it would play again, without end
        script.write_text(
            f"import os, signal, sys, weakref\nimport numpy as np\n{before}\n"
            "from gtp_jax import children, rollouts, tasks\nassert 'jax' not in sys.modules\n"
            "evaluator = rollouts.Evaluator([tasks.get('pointmaze/umaze')], 2, num_workers=2)\n"
            f"{between}\nprint(evaluator(lambda *_: np.zeros((1, 2, 2)))[0].lengths)\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
        result = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stdout) == (0, f"[{UMAZE.horizon} {UMAZE.horizon}]\n"), result.stderr

    return run


def test_processes_import_neither_jax_nor_the_callers_program(run_script):
    run_script()


def test_signals_to_the_whole_group_leave_the_processes_playing(run_script):
    run_script(
        between="import multiprocessing\nfor child in multiprocessing.active_children():\n"
        "    os.kill(child.pid, signal.SIGINT)\n    os.kill(child.pid, signal.SIGTERM)"
    )


def test_a_program_ends_though_it_does_not_close_its_evaluator(run_script):
    """Whatever has asked to be heard at its end before."""
    run_script(before="class Early: pass\nearly = Early()\nweakref.finalize(early, int)")
