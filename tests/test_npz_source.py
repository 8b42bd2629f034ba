"""npz files: OGBench's become what OGBench's own package makes of them, and none can run code or take the memory."""

import contextlib
import io
import pathlib
import zipfile

import numpy as np
import ogbench
import pytest
from ogbench.relabel_utils import relabel_dataset
from ogbench.utils import load_dataset

from gtp_jax import environments
from gtp_jax.data import npz_source, sources
from gtp_jax.errors import UserError
from gtp_jax.tasks import get

MAZE, CUBE, HOPPER = get("ogbench/pointmaze-medium-navigate"), get("ogbench/cube-single-play"), get("gym/hopper-medium")


def record(task, act, num_episodes, num_steps):
    """Rows in OGBench's layout, its last state at the end of each episode."""
    rows = {"observations": [], "actions": [], "terminals": [], "qpos": []}
    with contextlib.closing(environments.make_ogbench(task)) as env:
        for episode in range(num_episodes):
            obs, _ = env.reset(seed=episode)
            for step in range(num_steps):
                action = act(env, obs)
                values = obs, action, step == num_steps - 1, env.unwrapped.data.qpos.copy()
                for column, value in zip(rows.values(), values):
                    column.append(value)
                obs, *_ = env.step(action)
    rows = {name: np.array(values) for name, values in rows.items()}
    return {name: v.astype(np.float32) if name != "terminals" else v for name, v in rows.items()}


def towards_goal(env, obs):
    subgoal, _ = env.unwrapped.get_oracle_subgoal(obs[:2], env.unwrapped.cur_goal_xy)
    direction = subgoal - obs[:2]
    return np.clip(direction / (np.linalg.norm(direction) + 1e-6), -1, 1)


@pytest.fixture(scope="module")
def walks():
    """The point walks to the goal by the package's own oracle, and arrives."""
    return record(MAZE, towards_goal, 2, 250)


@pytest.fixture(scope="module")
def plays():
    random = np.random.default_rng(0)
    return record(CUBE, lambda env, obs: random.uniform(-1, 1, 5), 2, 20)


@pytest.fixture
def save(tmp_path):
    def run(rows, **changes):
        path = tmp_path / "data.npz"
        np.savez(path, **{name: values for name, values in {**rows, **changes}.items() if values is not None})
        return path

    return run


@pytest.mark.parametrize("task, rows", [(MAZE, "walks"), (CUBE, "plays")])
def test_transitions_and_rewards_are_those_of_the_package(task, rows, save, request):
    path = save(request.getfixturevalue(rows))
    with contextlib.closing(environments.make_ogbench(task)) as env:
        expected = load_dataset(path, add_info=True)
        relabel_dataset(task.env_id, env, expected)
    found = npz_source.load(task, path)
    names = {"obs": "observations", "action": "actions", "next_obs": "next_observations", "reward": "rewards"}
    for ours, theirs in {**names, "discount": "masks", "end": "terminals"}.items():
        np.testing.assert_array_equal(getattr(found, ours), expected[theirs])


def test_the_walks_arrive(walks, save):
    found = npz_source.load(MAZE, save(walks))
    assert set(found.reward.tolist()) == {-1.0, 0.0} and set(found.discount.tolist()) == {0.0, 1.0}


def test_a_file_is_told_by_its_name(walks, save):
    found = sources.resolve(MAZE, str(save(walks)), num_transitions=1, seed=0)
    assert found.record() == {"id": "data.npz", "source": "ogbench", "num_transitions": 2 * 249}


def plain(num_rows=12, seen=11, acted=3):
    random = np.random.default_rng(0)
    return {
        "observations": random.normal(size=(num_rows, seen)),
        "actions": random.uniform(-1, 1, (num_rows, acted)),
        "rewards": np.arange(num_rows, dtype=float),
        "terminals": np.arange(num_rows) == 5,
    }


def test_plain_rows_are_read_by_d4rls_rule(save):
    found = npz_source.load(HOPPER, save(plain()))
    assert found.reward.tolist() == list(range(11))
    assert np.flatnonzero(found.discount == 0).tolist() == [5]


def test_rewards_of_a_maze_are_those_of_its_evaluation_goal_and_no_transition_leads_to_another_episode(save):
    task = get("pointmaze/umaze")
    rows = plain(seen=4, acted=2)
    rows["observations"][:, :2] = task.goal_xy + [0.6, 0]
    rows["observations"][3, :2] = task.goal_xy + [0.4, 0]
    found = npz_source.load(task, save(rows))
    assert len(found.reward) == 10 and np.flatnonzero(found.reward).tolist() == [2]
    np.testing.assert_array_equal(found.discount, 1 - found.reward)


class Evil:
    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path("/tmp/evil"),)


def claiming(shape) -> bytes:
    """The header of an array without the array."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


DAMAGED = {  # what is changed, and what is said of it
    "objects": ({"observations": np.array([Evil()] * 12, object)}, "holds object, not floating-point numbers"),
    "pictures": ({"observations": np.zeros((12, 8, 8, 3), np.uint8)}, "holds uint8, not floating-point numbers"),
    "another width": (
        {"observations": np.zeros((12, 17))},
        "its observations has shape (17,), that of the task has (11,)",
    ),
    "nothing of it": ({"actions": None}, "it has no actions"),
    "another length": ({"rewards": np.zeros(11)}, "its arrays differ in length"),
    "no end": ({"terminals": np.zeros(12)}, "none of its episodes ends"),
    "a single number": ({"rewards": np.float64(3)}, "its rewards has shape ()"),
    "NaN": ({"rewards": np.full(12, np.nan)}, "reward holds values that are not finite"),
    "unnormalised actions": ({"actions": np.full((12, 3), 5.0)}, "actions must lie in [-1, 1]"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_wrong_with_a_file_is_said_in_one_line(name, save):
    changes, message = DAMAGED[name]
    with pytest.raises(UserError) as caught:
        npz_source.load(HOPPER, save(plain(), **changes))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_array_that_claims_more_than_its_file_can_hold_is_refused_before_memory_is_taken(save, tmp_path):
    path = save(plain(), observations=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("observations.npy", claiming((10**12, 11)))
    with pytest.raises(UserError, match="claim to be larger than its file"):
        npz_source.load(HOPPER, path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_hides_gigabytes_in_a_few_bytes_is_refused(compression, save):
    path = save(plain(), observations=None)
    with zipfile.ZipFile(path, "a", compression) as archive:
        archive.writestr("observations.npy", claiming((12, 11)) + bytes(12 * 11 * 8))
    with pytest.raises(UserError, match="its observations is compressed in a way that NumPy does not use"):
        npz_source.load(HOPPER, path)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        npz_source.load(HOPPER, tmp_path / "data.npz")


def test_walks_through_walls_are_those_of_another_maze(walks, save):
    other = get("ogbench/pointmaze-giant-navigate")
    with pytest.raises(UserError, match="of its positions lie in walls"):
        npz_source.load(other, save(walks))


def test_an_archive_with_a_name_that_is_no_text_is_one_line(save):
    """What asks whose file it is reads it too."""
    path = save(plain())
    path.write_bytes(path.read_bytes().replace(b"rewards.npy", b"rew\xff\xferds.npy"[:11]))
    with pytest.raises(UserError) as caught:
        sources.resolve(HOPPER, str(path), num_transitions=1, seed=0)
    assert len(str(caught.value).splitlines()) == 1


def test_an_episode_of_ogbench_without_an_end_is_refused(walks, save):
    with pytest.raises(UserError, match="none of its episodes ends"):
        npz_source.load(MAZE, save(walks, terminals=np.zeros(len(walks["actions"]))))


def test_the_last_row_of_a_file_ends_an_episode_though_it_does_not_say_so(walks, save):
    ends = np.flatnonzero(walks["terminals"])
    cut = {name: values[: ends[0] + 6] for name, values in walks.items()}
    found = npz_source.load(MAZE, save(cut))
    assert len(found.end) == ends[0] + 4 and found.end[-1]


def test_without_the_package_it_says_what_to_install(monkeypatch):
    assert ogbench
    monkeypatch.setattr(environments.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install ogbench"):
        environments.make(MAZE)
