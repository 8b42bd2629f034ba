"""Generated data are Minari's own format, exact, reproducible, whole or absent; the command says what is wrong."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import minari
import numpy as np
import pytest
from small_run import REPOSITORY

from gtp_jax import environments
from gtp_jax.data import controllers, generate_mazes, planner
from gtp_jax.tasks import get

POINT, ANT, D4RLS_ANT = get("pointmaze/umaze"), get("antmaze/umaze"), get("antmaze/d4rl-umaze")


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    return tmp_path / "store"


def make(task=POINT, num_transitions=500, seed=0, num_workers=1):
    name = generate_mazes.generate(task, num_transitions, seed, num_workers=num_workers, progress=False)
    return list(minari.load_dataset(name).iterate_episodes())


def python(*arguments, **keywords):
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, **keywords
    )


# ------------------------------------------------------------------------------------------------- contents


@pytest.mark.parametrize("task", [POINT, ANT], ids=lambda task: task.name)
def test_layout_is_that_of_minari_maze_data(task):
    episodes = make(task)
    size = 27 if task.is_ant else 4
    assert sum(len(episode.rewards) for episode in episodes) == 500
    for episode in episodes:
        steps = len(episode.rewards)
        shapes = {name: (value.shape, value.dtype) for name, value in episode.observations.items()}
        assert shapes == {
            "observation": ((steps + 1, size), np.float64),
            "achieved_goal": ((steps + 1, 2), np.float64),
            "desired_goal": ((steps + 1, 2), np.float64),
        }
        assert episode.actions.dtype == np.float32 and np.abs(episode.actions).max() <= 1.0
        assert episode.terminations.dtype == bool and not episode.terminations.any()


def test_every_episode_ends_in_one_truncation():
    for episode in make():
        np.testing.assert_array_equal(np.flatnonzero(episode.truncations), [len(episode.rewards) - 1])


def test_rewards_are_the_environments():
    episodes = make(num_transitions=1000)
    assert sum(episode.rewards.sum() for episode in episodes) >= len(episodes) - 1
    for episode in episodes:
        distance = np.linalg.norm(
            (episode.observations["achieved_goal"] - episode.observations["desired_goal"])[1:], axis=1
        )
        np.testing.assert_array_equal(episode.rewards, distance <= 0.45)


def test_starts_and_goals_lie_in_different_cells_of_the_task():
    for episode in make(num_transitions=2000):
        start = POINT.cell_of(episode.observations["achieved_goal"][0])
        goals = [POINT.cell_of(xy) for xy in episode.observations["desired_goal"]]
        assert start in POINT.data_starts and set(goals) <= set(POINT.data_goals) and start != goals[0]


def test_at_a_goal_the_walk_goes_on_to_one_in_another_cell():
    episode = make(num_transitions=POINT.horizon)[0]
    goals, reached = episode.observations["desired_goal"][1:], episode.rewards[:-1] > 0
    assert reached.sum() > 1
    np.testing.assert_array_equal(np.any(goals[1:] != goals[:-1], axis=1), reached)
    cells = [POINT.cell_of(xy) for xy in goals]
    assert all(cells[t] != cells[t + 1] for t in np.flatnonzero(reached))


def test_only_the_horizon_ends_a_walk_among_many_goals():
    assert [len(episode.rewards) for episode in make(num_transitions=2 * POINT.horizon)] == 2 * [POINT.horizon]


def test_the_only_goal_ends_a_walk():
    (episode,) = make(ANT, num_transitions=ANT.horizon)[:1]
    assert np.flatnonzero(episode.rewards).tolist() == [len(episode.rewards) - 1]


def test_a_single_goal_is_exactly_the_evaluation_goal_and_starts_vary():
    episodes = make(ANT, num_transitions=1000)
    starts = np.array([episode.observations["achieved_goal"][0] for episode in episodes])
    assert all(np.all(episode.observations["desired_goal"] == ANT.goal_xy) for episode in episodes)
    assert np.abs(starts - ANT.cell_centre(ANT.start)).max() <= 0.5 and np.unique(starts[:, 0]).size == len(starts)


def test_total_is_exact_down_to_one_transition():
    for total in (1, 2, 137):
        assert sum(len(episode.rewards) for episode in make(num_transitions=total)) == total


def test_the_motion_of_a_recorded_episode_can_be_played_again():
    walker = generate_mazes.Walker(ANT, seed=3)
    episode, env = walker(0), environments.make_maze(ANT, 0.5)
    cells = {"reset_cell": np.array(episode.start), "goal_cell": np.array(episode.first_goal)}
    env.reset(seed=episode.seed, options=cells)
    replay = np.array([env.step(action)[0]["observation"] for action in episode.actions[:50]])
    np.testing.assert_array_equal(replay, episode.observations["observation"][1:51])


def test_minari_lists_the_data_set_and_knows_its_origin():
    make(num_transitions=50)
    (name, metadata), *others = minari.list_local_datasets().items()
    assert name == "gtp_jax/pointmaze/umaze-50-seed0-v1" == generate_mazes.dataset_id(POINT, 50, 0) and not others
    assert "gtp_jax" in metadata["author"] and "not D4RL's data" in metadata["description"]
    assert minari.load_dataset(name).recover_environment().spec.id == POINT.env_id


def test_more_noise_makes_other_data_under_another_name():
    names = [
        generate_mazes.generate(POINT, 100, 0, noise=noise, num_workers=1, progress=False) for noise in (None, 1.0)
    ]
    assert names[1] == "gtp_jax/pointmaze/umaze-100-seed0-noise100-v1"
    usual, noisy = (next(minari.load_dataset(name).iterate_episodes()).actions for name in names)
    assert not np.array_equal(usual, noisy)


def test_an_ant_fills_the_corridors_and_ends_at_the_goal_itself():
    walker, rng = generate_mazes.Walker(ANT, seed=0), np.random.default_rng(0)
    plans = np.stack([walker._plan(rng, ANT.start, ANT.goal, ANT.goal_xy) for _ in range(200)])
    centres = planner.plan(ANT, ANT.start, ANT.goal, ANT.goal_xy)
    shift = np.abs(plans - centres).max(axis=(0, 2))
    assert np.all(shift[:-1] > 0.9) and np.all(shift[:-1] <= 1.0) and shift[-1] == 0


def test_a_points_waypoints_are_the_cells_centres():
    walker = generate_mazes.Walker(POINT, seed=0)
    plan = walker._plan(None, POINT.start, POINT.goal, POINT.goal_xy)
    np.testing.assert_array_equal(plan, planner.plan(POINT, POINT.start, POINT.goal, POINT.goal_xy))


# ------------------------------------------------------------------------------------------------- reproducibility


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        np.testing.assert_array_equal(a.actions, b.actions)
        np.testing.assert_array_equal(a.rewards, b.rewards)
        for name in a.observations:
            np.testing.assert_array_equal(a.observations[name], b.observations[name])


def test_data_do_not_depend_on_the_number_of_workers(tmp_path, monkeypatch):
    alone = make(num_transitions=1500)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "other"))
    assert_same(alone, make(num_transitions=1500, num_workers=3))


def test_a_longer_data_set_begins_with_the_shorter_one():
    short, long = make(num_transitions=400), make(num_transitions=800)
    assert_same(short[:-1], long[: len(short) - 1])


def test_another_seed_makes_other_data():
    assert not np.array_equal(make(seed=0)[0].actions, make(seed=1)[0].actions)


def test_an_episode_does_not_depend_on_those_before():
    first, second = generate_mazes.Walker(ANT, seed=5), generate_mazes.Walker(ANT, seed=5)
    first(0)
    np.testing.assert_array_equal(first(1).actions, second(1).actions)


# ------------------------------------------------------------------------------------------------- walking


@pytest.mark.parametrize("task", [ANT, D4RLS_ANT], ids=lambda task: task.name)
def test_shipped_ant_controllers_reach_the_goal_of_umaze_in_nine_of_ten_episodes(task):
    walker = generate_mazes.Walker(task, seed=0)
    assert sum(walker(index).rewards[-1] for index in range(10)) >= 9


def test_an_ant_on_its_back_ends_the_episode(monkeypatch):
    monkeypatch.setattr(controllers, "is_upright", lambda observation: False)
    assert generate_mazes.Walker(ANT, seed=0)(0).num_transitions == generate_mazes.MAX_FALLEN_STEPS + 1


def test_environments_leave_no_file_behind():
    assert not os.path.exists(environments.make_maze(ANT, 0.5).unwrapped.tmp_xml_file_path)


# ------------------------------------------------------------------------------------------------- robustness


def test_an_existing_data_set_is_not_touched_unless_asked(store):
    make(num_transitions=50)
    with pytest.raises(FileExistsError, match="umaze-50-seed0-v1 exists already"):
        make(num_transitions=50)
    generate_mazes.generate(POINT, 50, 0, num_workers=1, progress=False, overwrite=True)
    assert len(minari.list_local_datasets()) == 1 and not list(store.glob(".*"))


@pytest.mark.parametrize("arguments", [(0, 0, 1), (-5, 0, 1), (10, -1, 1), (10, 0, 0)])
def test_counts_out_of_range_are_errors(arguments):
    num_transitions, seed, num_workers = arguments
    with pytest.raises(ValueError, match="need"):
        generate_mazes.generate(POINT, num_transitions, seed, num_workers=num_workers)


def test_a_failure_leaves_nothing_behind(store, monkeypatch):
    monkeypatch.setattr(generate_mazes.Walker, "__call__", lambda self, index: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make()
    assert not minari.list_local_datasets() and not list(store.glob(".*"))


def processes_below(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not pathlib.Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_kill_leaves_neither_half_a_data_set_nor_workers(store):
    code = "from gtp_jax import tasks; from gtp_jax.data import generate_mazes; " + (
        "generate_mazes.generate(tasks.get('pointmaze/umaze'), 10**8, 0, num_workers=2)"
    )
    program = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size > 100_000 for path in store.glob(".gtp_jax-*/new/data/main_data.hdf5")):
        assert program.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    workers = processes_below(program.pid)
    program.send_signal(signal.SIGKILL)
    program.wait()
    assert len(workers) >= 2 and minari.list_local_datasets() == {} and not (store / "gtp_jax").exists()
    while any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_workers_import_neither_jax_nor_the_callers_program(tmp_path):
    script = tmp_path / "unguarded.py"  # were it imported by a worker, it would generate again, without end
    script.write_text(
        "import sys\nfrom gtp_jax import tasks\nfrom gtp_jax.data import generate_mazes\n"
        "assert 'jax' not in sys.modules\n"
        "print(generate_mazes.generate(tasks.get('pointmaze/umaze'), 300, 0, num_workers=2, progress=False))\n"
    )
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    result = python(script, env={**os.environ, "PYTHONPATH": paths})
    assert (result.returncode, result.stdout) == (0, "gtp_jax/pointmaze/umaze-300-seed0-v1\n"), result.stderr


# ------------------------------------------------------------------------------------------------- the command


def make_dataset(*arguments, **keywords):
    return python("-m", "experiments.make_dataset", *arguments, **keywords)


def test_command_reports_what_it_made_and_that_it_exists():
    made = make_dataset("pointmaze/umaze", "--num_transitions=300", "--num_workers=1")
    assert made.returncode == 0, made.stderr
    for line in ("id:          gtp_jax/pointmaze/umaze-300-seed0-v1", "transitions: 300", "at goal:"):
        assert line in made.stdout
    again = make_dataset("pointmaze/umaze", "--num_transitions=300")
    assert again.returncode == 0 and "exists already" in again.stdout
    forced = make_dataset("pointmaze/umaze", "--num_transitions=300", "--num_workers=1", "--force")
    assert forced.returncode == 0 and forced.stdout == made.stdout


def test_command_makes_a_harder_grade_also_where_minari_has_no_set():
    made = make_dataset("antmaze/d4rl-umaze", "--num_transitions=100", "--num_workers=1", "--noise=0.5")
    assert made.returncode == 0, made.stderr
    assert "id:          gtp_jax/antmaze/d4rl-umaze-100-seed0-noise50-v3" in made.stdout


def test_command_finds_what_it_made_of_a_noise_with_three_decimals():
    made = make_dataset("pointmaze/umaze", "--num_transitions=100", "--num_workers=1", "--noise=0.015")
    assert made.returncode == 0, made.stderr


def test_command_says_that_a_data_set_is_damaged(store):
    assert make_dataset("pointmaze/umaze", "--num_transitions=300", "--num_workers=1").returncode == 0
    os.truncate(store / "gtp_jax/pointmaze/umaze-300-seed0-v1/data/main_data.hdf5", 5000)
    result = make_dataset("pointmaze/umaze", "--num_transitions=300")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "umaze-300-seed0-v1 cannot be read" in result.stderr and "--force makes it again" in result.stderr


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ((), "0 arguments were given; it takes the name of one task"),
        (("pointmaze/umaze", "antmaze/umaze"), "2 arguments were given; it takes the name of one task"),
        (("antmaze/giant",), "unknown task 'antmaze/giant'; known tasks: antmaze/umaze"),
        (("pointmaze/umaze", "--num_transitions=0"), "flag --num_transitions=0"),
        (("pointmaze/umaze", "--num_transitions=many"), "--num_transitions=many"),
        (("pointmaze/umaze", "--num_workers=-1"), "flag --num_workers=-1"),
        (("pointmaze/umaze", "--seed=-1"), "flag --seed=-1"),
        (("pointmaze/umaze", "--noise=-1"), "flag --noise=-1"),
        (("ogbench/cube-single-play", "--noise=1"), "only mazes have data of several grades"),
        (("pointmaze/umaze", "--num_transition=5"), "Unknown command line flag 'num_transition'"),
    ],
)
def test_command_refuses_bad_input_in_one_line(arguments, complaint):
    result = make_dataset(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr and len(result.stderr.splitlines()) == 1


def test_command_names_a_store_it_cannot_write(tmp_path):
    (tmp_path / "file").touch()
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(tmp_path / "file")}
    result = make_dataset("pointmaze/umaze", "--num_transitions=5", env=environment)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "MINARI_DATASETS_PATH" in result.stderr and str(tmp_path / "file") in result.stderr


def test_goals_of_d4rls_ant_are_spread_as_those_of_its_evaluation(monkeypatch):
    walker = generate_mazes.Walker(D4RLS_ANT, 0)
    monkeypatch.setattr(generate_mazes.controllers, "is_upright", lambda observation: False)  # each walk is soon over
    with contextlib.closing(walker):
        goals = np.array([walker(i).observations["desired_goal"][0] for i in range(20)])
    offsets = goals - D4RLS_ANT.cell_centre(D4RLS_ANT.goal)
    assert offsets.min() >= 0 and offsets.max() <= 1.5 and np.ptp(offsets, axis=0).min() > 0.5
