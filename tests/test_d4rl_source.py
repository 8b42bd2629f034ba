"""D4RL's HDF5 files: the transitions are those of D4RL's own rule, and what is wrong with a file is said in a line."""

import contextlib

import gymnasium
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import read

from experiments import gallery, records
from gtp_jax import environments, film
from gtp_jax.data import d4rl_source, planner, sources
from gtp_jax.errors import UserError
from gtp_jax.page import Album
from gtp_jax.tasks import D4RL_MAZES, get

HOPPER = get("gym/hopper-medium-expert")


def write(path, columns):
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values
    return path


@pytest.fixture(scope="session")
def rollouts():
    """Rows of the real Hopper, which falls, and is cut off after 20 steps if it has not."""
    rows = {name: [] for name in ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")}
    env, random = gymnasium.make("Hopper-v5", max_episode_steps=20), np.random.default_rng(0)
    for episode in range(30):
        obs, _ = env.reset(seed=episode)
        ended = False
        while not ended:
            action = random.uniform(-1, 1, 3).astype(np.float32)
            next_obs, reward, terminal, timeout, _ = env.step(action)
            for column, value in zip(rows.values(), (obs, action, reward, terminal, timeout, next_obs)):
                column.append(value)
            obs, ended = next_obs, terminal or timeout
    env.close()
    floats = ("observations", "rewards", "next_observations")
    rows = {name: np.array(values, np.float32 if name in floats else None) for name, values in rows.items()}
    assert rows["terminals"].any() and rows["timeouts"].any()
    return rows


@pytest.fixture
def file(rollouts, tmp_path):
    """Writes the rollouts, some columns changed or (None) left out."""

    def make(**changes):
        columns = {name: values for name, values in {**rollouts, **changes}.items() if values is not None}
        return write(tmp_path / "hopper_medium_expert-v2.hdf5", columns)

    return make


def by_d4rls_rule(rows, horizon):
    """Its loop, row by row: (row, row after, whether it is terminal) of each transition."""
    found, step = [], 0
    for i in range(len(rows["rewards"]) - 1):
        cut_off = rows["timeouts"][i] if "timeouts" in rows else step == horizon - 1
        if cut_off:
            step = 0
            continue
        if rows["terminals"][i]:
            step = 0
        found.append((i, i + 1, rows["terminals"][i]))
        step += 1
    return np.array(found).T


@pytest.mark.parametrize("timeouts", [True, False], ids=["with timeouts", "without"])
def test_transitions_are_those_of_d4rls_rule(timeouts, rollouts, file):
    rows = {name: values for name, values in rollouts.items() if timeouts or name != "timeouts"}
    data = d4rl_source.load(HOPPER, file(next_observations=None, **({} if timeouts else {"timeouts": None})))
    before, after, terminal = by_d4rls_rule(rows, HOPPER.horizon)
    assert len(data.reward) == len(before) < len(rows["rewards"])
    np.testing.assert_array_equal(data.obs, rows["observations"][before])
    np.testing.assert_array_equal(data.action, rows["actions"][before])
    np.testing.assert_array_equal(data.reward, rows["rewards"][before])
    np.testing.assert_array_equal(data.next_obs, rows["observations"][after])
    np.testing.assert_array_equal(data.discount, 1.0 - terminal)


@given(ends=st.lists(st.sampled_from([0, 1, 2]), min_size=2, max_size=60), horizon=st.integers(1, 8))
def test_without_timeouts_episodes_are_cut_off_where_d4rl_does_it(ends, horizon):
    terminal = np.array(ends) == 1
    rows = {"rewards": np.zeros(len(ends)), "terminals": terminal}
    kept = np.flatnonzero(~d4rl_source._timeouts(terminal, horizon)[:-1])
    expected = by_d4rls_rule(rows, horizon)
    np.testing.assert_array_equal(kept, expected[0] if len(expected) else [])


def test_the_files_own_next_observations_are_taken(rollouts, file):
    data = d4rl_source.load(HOPPER, file())
    np.testing.assert_array_equal(data.next_obs, rollouts["next_observations"][:-1][~rollouts["timeouts"][:-1]])


def test_what_follows_on_a_transition_is_its_next_row_or_it_is_an_end(file):
    data = d4rl_source.load(HOPPER, file(next_observations=None))
    np.testing.assert_array_equal(data.next_obs[:-1][~data.end[:-1]], data.obs[1:][~data.end[:-1]])
    assert data.end[-1] and data.end[data.discount == 0].all()


SHAPE = "that of gym/hopper-medium-expert has (11,)"
DAMAGED = {  # what becomes of the columns, and what is said of it
    "a reward that is no number": (
        lambda rows: {"rewards": np.where(np.arange(len(rows["rewards"])) == 3, np.nan, rows["rewards"])},
        "reward holds values that are not finite",
    ),
    "unnormalised actions": (lambda rows: {"actions": 3 * rows["actions"]}, "actions must lie in [-1, 1]"),
    "another length": (lambda rows: {"rewards": rows["rewards"][:-1]}, "its arrays differ in length"),
    "no actions": (lambda rows: {"actions": None}, "it has no actions"),
    "nothing": (lambda rows: {name: values[:0] for name, values in rows.items()}, "has no transitions"),
    "no end": (
        lambda rows: {"timeouts": None, "terminals": np.zeros_like(rows["terminals"])},
        "none of its episodes ends",
    ),
    "another body": (lambda rows: {"observations": np.zeros((9, 17))}, f"its observation has shape (17,), {SHAPE}"),
    "pictures": (
        lambda rows: {"observations": np.zeros((9, 8, 8, 3), np.uint8)},
        f"its observation has shape (8, 8, 3), {SHAPE}",
    ),
    "bytes": (lambda rows: {"observations": np.zeros((9, 11), np.uint8)}, "holds uint8, not floating-point numbers"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_wrong_with_a_file_is_said_in_one_line(name, rollouts, file):
    change, message = DAMAGED[name]
    with pytest.raises(UserError) as caught:
        d4rl_source.load(HOPPER, file(**change(rollouts)))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(file):
    path = file()
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read"):
        d4rl_source.load(HOPPER, path)


@pytest.mark.parametrize(
    "name, remedy",
    [("antmaze/umaze", "=D4RL/antmaze/umaze-v1 .*, .*:d4rl-umaze for this"), ("pointmaze/umaze", "pointmaze/umaze-v2")],
)
def test_files_of_other_bodies_are_refused_with_what_to_take_instead(name, remedy, file):
    with pytest.raises(UserError, match=remedy):
        d4rl_source.load(get(name), file())


# ------------------------------------------------------------------------------------------------- D4RL's mazes

# D4RL's coordinates of the goal: 4 m a cell along x and up the rows along y, from where the ant starts, and on the mean
# three quarters of a metre more along each, as `maze_env.MazeEnv.goal_sampler` draws from 0 to 1 and from 0 to 0.5.
GOALS = {"umaze": (0.75, 8.75), "medium-play": (20.75, 20.75), "large-play": (32.75, 24.75)}


@pytest.mark.parametrize("variant", GOALS)
def test_what_is_at_d4rls_goal_is_rewarded_and_ends_whatever_the_file_says(variant, tmp_path):
    task, obs = get(f"antmaze/d4rl-{variant}"), np.zeros((8, 29), np.float32)
    obs[:6, :2] = np.array(GOALS[variant]) + np.array([[1, 0], [0.8, 0], [0.6, 0], [0.4, 0], [0.6, 0], [0.8, 0]])
    rows = {"observations": obs, "actions": np.zeros((8, 8)), "rewards": np.full(8, 7.0)}
    # It goes on where the file calls it terminal, and the last two rows are another walk, at the start.
    rows |= {"terminals": np.arange(8) == 3, "timeouts": np.arange(8) == 5}
    found = d4rl_source.load(task, write(tmp_path / "ant.hdf5", rows))
    assert found.reward.tolist() == [0, 0, 1, 0, 0, 0] and found.discount.tolist() == [1, 1, 0, 1, 1, 1]
    assert found.end.tolist() == [False] * 4 + [True] * 2
    np.testing.assert_allclose(found.obs[-1, :2], task.cell_centre(task.start))


def test_walks_end_where_the_body_jumps(tmp_path):
    rows = {"observations": np.zeros((4, 29)), "actions": np.zeros((4, 8)), "rewards": np.zeros(4)}
    rows["observations"][2:, 0] = 2.1
    rows |= {"terminals": np.zeros(4, bool), "timeouts": np.arange(4) == 3}
    found = d4rl_source.load(get("antmaze/d4rl-umaze"), write(tmp_path / "ant.hdf5", rows))
    assert len(found.reward) == 2 and found.end.all()


@pytest.mark.parametrize("name", D4RL_MAZES)
def test_the_goal_of_the_evaluation_is_where_it_is_in_the_files(name):
    task, variant = get(name), name.removeprefix("antmaze/d4rl-").replace("diverse", "play")
    with contextlib.closing(environments.make(task)) as env:
        start = env.reset(seed=0)[0][:2]
        np.testing.assert_allclose(start + GOALS.get(variant, GOALS["umaze"]), task.goal_xy, atol=0.11)
    assert planner.shortest_path(task.maze_map, task.start, task.goal)


def test_goals_of_evaluations_are_spread_as_d4rl_draws_them():
    task = get("antmaze/d4rl-medium-play")
    with contextlib.closing(environments.make(task)) as env:
        goals = []
        for seed in range(200):
            env.reset(seed=seed)
            goals.append(env.unwrapped.goal - task.cell_centre(task.goal))
    assert np.min(goals) >= 0 and np.max(goals) <= 1.5
    np.testing.assert_allclose(np.mean(goals, axis=0), 0.75, atol=4 * np.sqrt((1 + 0.5**2) / 12 / 200))
    np.testing.assert_allclose(np.var(goals), (1 + 0.5**2) / 12, rtol=0.2)


def test_success_is_at_the_goal_that_was_drawn():
    task = get("antmaze/d4rl-umaze")
    with contextlib.closing(environments.make(task)) as env:
        for seed in range(10):
            env.reset(seed=seed)
            ant, goal = env.unwrapped.ant_env, env.unwrapped.goal
            for offset, success in ((0.45, True), (0.55, False)):
                qpos = ant.init_qpos.copy()
                qpos[:2] = goal - [offset, 0]
                ant.set_state(qpos, np.zeros(ant.model.nv))
                assert env.step(np.zeros(8, np.float32))[2] is success


def test_d4rls_ant_has_its_torque_and_its_steps():
    with contextlib.closing(environments.make(get("antmaze/d4rl-umaze"))) as env:
        env.reset(seed=0)
        data, before = env.unwrapped.ant_env.data, env.unwrapped.ant_env.data.time
        env.step(np.ones(8, np.float32))
        np.testing.assert_allclose(data.qfrc_actuator[6:], 30.0)
        np.testing.assert_allclose(data.time - before, 0.1)


# ------------------------------------------------------------------------------------------------- the command


def test_training_takes_a_file_and_counts_its_transitions_as_d4rl_does(rollouts, file, succeed, tmp_path):
    small = ("num_steps=20", "batch_size=32", "num_seeds=1", "eval.episodes=1", "eval.sampling_steps=(1,)")
    small += ("agent.hidden_dims=(8,)", "agent.critic_hidden_dims=(8,)", "agent.target_sampling_steps=1")
    output = succeed(
        "train",
        "--config=configs/gym.py:hopper-medium-expert",
        f"--config.dataset={file()}",
        *(f"--config.{change}" for change in small),
        f"--workdir={tmp_path / 'run'}",
    )
    (member,) = read(tmp_path / "run" / "results.json")["members"]
    count = len(by_d4rls_rule(rollouts, HOPPER.horizon)[0])
    assert member["dataset"] == {"id": file().name, "source": "d4rl-hdf5", "num_transitions": count}
    score = member["eval"]["1"]
    assert score["normalized_score"] == pytest.approx(100 * (score["return_mean"] + 20.272305) / (3234.3 + 20.272305))
    assert f"{count} transitions" in output
    if film.backend():
        (record,) = records.read([tmp_path / "run"])
        with contextlib.ExitStack() as stack:
            acts, _, (note,) = gallery.show(record, stack, Album(tmp_path))
        assert "An episode of paper, which has a return of" in "".join(acts) and "No data" in note
        assert len(list(tmp_path.glob("film-*.png"))) == gallery.FRAMES


def test_a_file_is_found_again_where_d4rls_package_keeps_it_and_not_fetched(file, tmp_path, monkeypatch):
    record = sources.resolve(HOPPER, str(file()), num_transitions=1, seed=0).record()
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "empty"))
    assert sources.local(HOPPER, record) is None
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    assert sources.local(HOPPER, record).record() == record


def test_another_file_of_the_same_name_is_not_taken_for_a_runs_data(file, tmp_path, monkeypatch):
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    record = {"id": file().name, "source": "d4rl-hdf5", "num_transitions": 1}
    with pytest.raises(UserError, match="is not the one that gym/hopper-.* was trained on"):
        sources.local(HOPPER, record)
