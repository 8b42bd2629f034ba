"""Generated data of OGBench's tasks are in its layout, exact, reproducible, whole or absent, and say what they are."""

import contextlib

import numpy as np
import pytest
from ogbench.utils import load_dataset

from gtp_jax import environments
from gtp_jax.data import generate_ogbench, npz_source, sources, workers
from gtp_jax.errors import UserError
from gtp_jax.tasks import get

MAZE, CUBE, PUZZLE = (
    get("ogbench/pointmaze-medium-navigate"),
    get("ogbench/cube-single-play"),
    get("ogbench/puzzle-3x3-play"),
)


ARMS = [pytest.param(task, marks=pytest.mark.slow) for task in (CUBE, PUZZLE)]  # whose simulator is slow


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OGBENCH_DATASET_DIR", str(tmp_path / "ogbench"))
    return tmp_path / "ogbench"


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(generate_ogbench, "EPISODE_LENGTH", 60)


@pytest.fixture(scope="module", params=[MAZE, *ARMS], ids=lambda task: task.name)
def played(request):
    """A task and its first episode, 180 steps of it."""
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(generate_ogbench.Player(request.param, 0)) as player:
        patch.setattr(generate_ogbench, "EPISODE_LENGTH", 180)
        return request.param, player(0)


def make(task=MAZE, num_transitions=100, seed=0, num_workers=1):
    path = generate_ogbench.generate(task, num_transitions, seed, num_workers=num_workers, progress=False)
    with np.load(path) as file:
        return dict(file)


# ------------------------------------------------------------------------------------------------- an episode


def test_columns_are_those_of_the_package(played):
    task, episode = played
    shapes = {name: values.shape[1:] for name, values in episode.columns.items()}
    assert episode.num_transitions == 180 and shapes["observations"] + shapes["actions"] == task.widths
    assert set(shapes) - {"button_states"} == {"observations", "actions", "terminals", "qpos", "qvel"}
    assert ("button_states" in shapes) == (task is PUZZLE)


def test_actions_are_normalised(played):
    _, episode = played
    assert np.abs(episode.columns["actions"]).max() <= 1


def test_something_happens(played):
    """The point is in several cells, the cube somewhere else, a button of another colour."""
    task, episode = played
    if task is MAZE:
        assert len(np.unique(np.round(episode.columns["observations"] / 4), axis=0)) >= 5
    if task is CUBE:
        assert np.linalg.norm(np.ptp(episode.columns["qpos"][:, 14:17], axis=0)) > 0.05
    if task is PUZZLE:
        assert np.ptp(episode.columns["button_states"], axis=0).any()


def test_recorded_actions_of_a_point_lead_from_state_to_state(short):
    """An arm's controller has a state of its own."""
    with contextlib.closing(generate_ogbench.Player(MAZE, 0)) as player:
        columns = player(0).columns
    with contextlib.closing(environments.make_ogbench(MAZE)) as env:
        env.reset(seed=0)
        for row in (3, 50):
            env.unwrapped.set_state(columns["qpos"][row].astype(float), columns["qvel"][row].astype(float))
            next_obs, *_ = env.step(columns["actions"][row])
            np.testing.assert_allclose(next_obs, columns["observations"][row + 1], atol=1e-4)


@pytest.mark.parametrize("task", [MAZE, ARMS[0]], ids=lambda task: task.name)
def test_an_episode_depends_neither_on_those_before_nor_on_numpys_generator(task, short):
    with contextlib.closing(generate_ogbench.Player(task, seed=5)) as player:
        left = player(1)
        player(0)
        np.random.seed(3)
        right = player(1)
    for name in left.columns:
        np.testing.assert_array_equal(left.columns[name], right.columns[name], err_msg=name)


# ------------------------------------------------------------------------------------------------- a file


def test_the_package_reads_it(short):
    made = make()
    read = load_dataset(generate_ogbench.path(MAZE, 100, 0), add_info=True)
    assert read["observations"].shape == (100, 2) and read["actions"].shape == (100, 2)
    assert np.flatnonzero(made["terminals"]).tolist() == [60, 101]  # rows of last states


def test_they_become_transitions_that_say_where_they_are_from(short):
    make()
    found = sources.resolve(MAZE, "generated", num_transitions=100, seed=0, say=lambda line: None)
    assert found.record() == {
        "id": "gtp_jax-pointmaze-medium-navigate-v0-100-seed0-v1.npz",
        "source": "generated",
        "num_transitions": 100,
    }


def test_a_renamed_file_is_still_known_as_generated(short, tmp_path):
    make()
    other = tmp_path / f"{MAZE.dataset}.npz"
    generate_ogbench.path(MAZE, 100, 0).rename(other)
    assert sources.resolve(MAZE, str(other), num_transitions=1, seed=0).source == "generated"


def test_data_do_not_depend_on_the_number_of_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_AHEAD", 0)  # as few episodes as it takes
    alone = make(num_transitions=2500)
    assert np.count_nonzero(alone["terminals"]) == 3
    monkeypatch.setenv("OGBENCH_DATASET_DIR", str(tmp_path / "other"))
    for name, values in make(num_transitions=2500, num_workers=2).items():
        np.testing.assert_array_equal(values, alone[name])


def test_another_seed_makes_other_data(short):
    assert not np.array_equal(make()["actions"], make(seed=1)["actions"])


def test_an_existing_file_is_not_touched_unless_asked(short, folder):
    make()
    with pytest.raises(FileExistsError, match="exists already"):
        make()
    generate_ogbench.generate(MAZE, 100, 0, num_workers=1, progress=False, overwrite=True)
    assert len(list(folder.iterdir())) == 1


def test_a_failure_leaves_nothing_behind(monkeypatch, folder):
    monkeypatch.setattr(generate_ogbench.Player, "__call__", lambda self, index: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make()
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_noticed_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(generate_ogbench.Player, "__call__", lambda self, index: 1 / 0)
    monkeypatch.setenv("OGBENCH_DATASET_DIR", "/proc/nothing")
    with pytest.raises(OSError):
        make()


def test_data_that_cannot_be_made_are_refused_before_anything_is_written(folder):
    for task in ("ogbench/antmaze-large-navigate", "ogbench/humanoidmaze-medium-navigate"):
        with pytest.raises(UserError, match="cannot be made here"):
            sources.resolve(get(task), "generated", num_transitions=10, seed=0)
    assert not folder.exists()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(environments.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install ogbench"):
        make()


def test_a_file_of_ogbench_is_not_taken_for_generated(tmp_path):
    np.savez(tmp_path / "data.npz", observations=np.zeros((3, 2)))
    assert not npz_source.is_generated(tmp_path / "data.npz")
