"""Which data a task gets for what was asked, and what is refused; Minari's store and hub are in test_minari_source."""

import pytest

from gtp_jax.data import sources
from gtp_jax.errors import UserError
from gtp_jax.tasks import get

POINT, HOPPER, CUBE = get("pointmaze/umaze"), get("gym/hopper-medium"), get("ogbench/cube-single-play")


@pytest.mark.parametrize(
    "task, dataset, message",
    [
        (HOPPER, "generated", "there is no generator for gym/hopper-medium"),
        (HOPPER, "hopper", "must be auto, generated, a file"),
        (HOPPER, "/nowhere/hopper.hdf5", "data file /nowhere/hopper.hdf5 is not there"),
        (CUBE, "D4RL/pen/human-v2", "must be auto, generated or the path of a file"),
        (get("antmaze/d4rl-umaze"), "D4RL/antmaze/umaze-v1", "must be auto, generated or .* no other data fit it"),
        (get("multigoal"), "data.npz", "multigoal has no recorded data"),
    ],
)
def test_what_a_task_cannot_have_is_refused(task, dataset, message):
    with pytest.raises(UserError, match=message):
        sources.resolve(task, dataset, num_transitions=1, seed=0)


@pytest.mark.parametrize(
    "task, variable, file",
    [
        (HOPPER, "D4RL_DATASET_DIR", "hopper_medium-v2.hdf5"),
        (CUBE, "OGBENCH_DATASET_DIR", "cube-single-play-v0.npz"),
    ],
)
def test_auto_looks_where_the_makers_package_keeps_its_files(task, variable, file, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / file).write_bytes(b"no such format")
    with pytest.raises(UserError, match=f"data file {tmp_path / file} cannot be read"):
        sources.resolve(task, "auto", num_transitions=1, seed=0)


def test_nothing_is_downloaded_for_environments_that_are_not_installed(monkeypatch):
    monkeypatch.setattr(sources.environments.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sources.download, "fetch", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(UserError, match="pip install ogbench"):
        sources.resolve(CUBE, "auto", num_transitions=1, seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../x-v0"},
        {"id": "../x.npz"},
        {"id": "\x1b[2J.npz"},
        {"source": "\x1b[2J"},
        {"num_transitions": "1"},
        {"x": 1},
    ],
)
def test_a_record_of_data_is_refused_with(change):
    good = {"id": POINT.minari_id, "source": "minari-local", "num_transitions": 1}
    for name in (POINT.minari_id, "my own data.npz"):
        sources.check_records({"datasets": {POINT.name: {**good, "id": name}}}, [POINT.name])
    with pytest.raises(UserError, match="does not say which data"):
        sources.check_records({"datasets": {POINT.name: {**good, **change}}}, [POINT.name])
