"""Data come from the local store or the generator, and say which; what is damaged is refused in one line."""

import contextlib
import json
import os
import shutil
import time

import minari
import numpy as np
import pytest
from minari_store import collect, resolve

from gtp_jax.data import generate_mazes, minari_source, sources
from gtp_jax.errors import UserError
from gtp_jax.tasks import get

ANT, POINT = get("antmaze/umaze"), get("pointmaze/umaze")
GAMMA = 0.99


@pytest.fixture(autouse=True)
def empty_store(store):
    """Every test has a Minari store of its own, and nothing in it."""


def folder(store, task):
    return store / task.minari_id / "data"


def complaint(task=POINT):
    """The one line that a data set of D4RL's name in the store is refused with."""
    with pytest.raises(UserError) as caught:
        minari_source.load(task, task.minari_id)
    assert len(str(caught.value).splitlines()) == 1 and task.minari_id in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------- where data come from


@pytest.mark.parametrize("task", [ANT, POINT], ids=lambda task: task.name)
def test_auto_prefers_d4rls_data_of_the_local_store(task, store):
    collect(task)
    found, said = resolve(task)
    assert found.record() == {"id": task.minari_id, "source": "minari-local", "num_transitions": 60} and not said


def test_d4rls_antmaze_is_read_as_29_numbers_and_8_actions():
    collect(ANT)
    t = resolve(ANT)[0].transitions
    (episode, _) = minari.load_dataset(ANT.minari_id).iterate_episodes()
    recorded = np.concatenate([episode.observations["achieved_goal"], episode.observations["observation"]], axis=1)
    np.testing.assert_array_equal(t.obs[:30], recorded[:-1].astype(np.float32))
    np.testing.assert_array_equal(t.action[:30], episode.actions)
    assert (t.obs.shape, t.action.shape) == ((60, 29), (60, 8))


def test_auto_generates_where_the_hub_is_out_of_reach_and_says_so():
    found, said = resolve(POINT)
    assert found.record() == {
        "id": "gtp_jax/pointmaze/umaze-200-seed0-v1",
        "source": "generated",
        "num_transitions": 200,
    }
    assert "hub is out of reach" in said[0] and "generating 200 transitions as a stand-in" in said[1]


def test_generated_data_are_made_once():
    resolve(POINT, "generated")
    found, said = resolve(POINT, "generated")
    assert found.source == "generated" and not said


def test_generated_is_generated_although_d4rls_data_are_there(store):
    collect(POINT)
    assert resolve(POINT, "generated")[0].source == "generated"


def test_the_id_of_generated_data_means_generated_data():
    """A run that is resumed asks for its data by their id."""
    assert resolve(POINT, "gtp_jax/pointmaze/umaze-200-seed0-v1")[0].source == "generated"


def test_another_id_of_the_local_store_is_read(store):
    collect(POINT)
    shutil.copytree(store / POINT.minari_id, store / "mine" / "copy-v3")
    assert resolve(POINT, "mine/copy-v3")[0].source == "minari-local"


def test_an_id_without_the_hub_is_refused_quickly_with_what_to_do():
    started = time.monotonic()
    with pytest.raises(UserError, match="hub cannot be reached .*--config.dataset=generated") as caught:
        resolve(POINT, POINT.minari_id)
    assert time.monotonic() - started < 10 and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["", ".", "..", "D4RL", "D4RL/pointmaze", "../store", "/etc", "umaze", "a//b-v0"])
def test_what_is_no_id_is_refused_and_the_store_left_as_it_is(name, store):
    collect(POINT)
    with pytest.raises(UserError, match="must be auto, generated, a file"):
        resolve(POINT, name)
    assert resolve(POINT)[0].source == "minari-local"


def test_a_store_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file"))
    with pytest.raises(UserError, match="MINARI_DATASETS_PATH"):
        resolve(POINT)


# ------------------------------------------------------------------------------------------------- damaged data


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_what_to_do(part, store):
    collect(POINT)
    path = folder(store, POINT) / "main_data.hdf5"
    os.truncate(path, int(part * path.stat().st_size))
    assert "cannot be read (OSError: Unable to synchronously open file" in (message := complaint())
    assert f"move {store / POINT.minari_id} away and run again" in message


def test_lost_blocks_never_show_a_traceback(store):
    """Zeros may fall on values that nobody can tell from right ones; all else has to be refused."""
    collect(POINT)
    path = folder(store, POINT) / "main_data.hdf5"
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(50):
        damaged = bytearray(whole)
        for start in rng.integers(0, 10_000, 5):  # where the structure is
            damaged[start : start + 16] = bytes(16)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            minari_source.load(POINT, POINT.minari_id)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "{}", "[" * 100_000], ids=lambda content: content[:9])
def test_metadata_that_are_not_metadata_are_refused(content, store):
    collect(POINT)
    (folder(store, POINT) / "metadata.json").write_text(content)
    complaint()


def test_metadata_with_another_number_of_episodes_are_refused(store):
    collect(POINT)
    path = folder(store, POINT) / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_episodes": 10**12}))
    assert "its metadata and its file, which has 2 episodes, differ" in complaint()


def test_without_its_metadata_a_data_set_is_refused_and_left_alone(store):
    collect(POINT)
    (folder(store, POINT) / "metadata.json").unlink()
    for asked in ("auto", POINT.minari_id):
        with pytest.raises(UserError, match="lacks data/metadata.json or data/main_data.hdf5, .*; move it away"):
            resolve(POINT, asked)
    assert (folder(store, POINT) / "main_data.hdf5").exists()


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """An environment that leaves a mark when it is imported, as a hostile file could name it."""
    (tmp_path / "trap.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'sprung')!r}).touch(); Env = None")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "sprung"


def name_trap(store, *, without=()):
    path = folder(store, POINT) / "metadata.json"
    metadata = json.loads(path.read_text())
    spec = json.loads(metadata["env_spec"]) | {"entry_point": "trap:Env", "kwargs": {}}
    metadata = {**metadata, "env_spec": json.dumps(spec)}
    path.write_text(json.dumps({key: value for key, value in metadata.items() if key not in without}))


@pytest.mark.parametrize("space", ["observation_space", "action_space"])
def test_metadata_without_spaces_do_not_have_the_environment_built_that_they_name(space, store, trap):
    collect(POINT)
    name_trap(store, without=[space])
    assert resolve(POINT)[0].source == "minari-local" and not trap.exists()


def test_the_environment_that_a_file_names_is_never_built(store, trap):
    collect(POINT)
    name_trap(store)
    assert resolve(POINT)[0].source == "minari-local" and not trap.exists()


def test_data_of_another_kind_of_maze_are_refused(store):
    collect(POINT)
    (store / ANT.minari_id).parent.mkdir(parents=True)
    (store / POINT.minari_id).rename(store / ANT.minari_id)
    assert "its observation has shape (4,), that of antmaze/umaze has (27,)" in complaint(ANT)


def test_data_of_another_maze_are_refused(store):
    large = generate_mazes.generate(get("pointmaze/large"), 1500, 0, num_workers=1, progress=False)
    with pytest.raises(UserError, match="% of the data's positions lie in walls of pointmaze/umaze"):
        sources.resolve(POINT, large, num_transitions=1, seed=0)


@pytest.mark.parametrize("name, width", [("observation", 5), ("achieved_goal", 3), ("action", 3)])
def test_a_wrong_width_is_refused_by_name(name, width, write_dataset):
    widths = {"observation": 4, "achieved_goal": 2, "action": 2} | {name: width}
    observations = {key: np.zeros((4, widths[key])) for key in ("observation", "achieved_goal")}
    write_dataset(POINT.minari_id, [(observations, np.zeros((3, widths["action"]), np.float32))])
    assert f"its {name} has shape ({width},), that of pointmaze/umaze has" in complaint()


def test_observations_that_are_no_mazes_are_refused(write_dataset):
    write_dataset(POINT.minari_id, [({"pixels": np.zeros((4, 4))}, np.zeros((3, 2), np.float32))])
    assert "not those of the task" in complaint()
