"""Data sets and runs of strangers: what each hostile file, made by the real writers, comes to. See docs/security.md."""

import ast
import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorstore
from small_run import REPOSITORY

from gtp_jax import checkpoint, population, tasks
from gtp_jax.agent_config import NUMBERS, AgentConfig
from gtp_jax.data import minari_source
from gtp_jax.errors import UserError

POINT = tasks.get("pointmaze/umaze")
SEEN = "episode_0/observations/observation"


@pytest.mark.parametrize("folder", ["gtp_jax", "experiments", "configs"])
def test_no_module_unpickles(folder):
    for node in (
        node for path in (REPOSITORY / folder).rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
    ):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & {"pickle", "dill", "cloudpickle", "joblib", "shelve"}
        assert getattr(node, "arg", None) != "allow_pickle" or node.value.value is False


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module `evil` that can be imported, and the file that is there once it was."""
    (tmp_path / "evil.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'mark')!r}).touch(); Env = None")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "mark"


def change_json(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# ------------------------------------------------------------------------------------------------- data sets


@pytest.fixture
def folder(store, write_dataset):
    """The data folder of a good data set with three transitions, for a test to spoil."""
    observations = {"observation": np.zeros((4, 4)), "achieved_goal": np.zeros((4, 2))}
    write_dataset(POINT.minari_id, [(observations, np.zeros((3, 2), np.float32))])
    assert len(minari_source.load(POINT, POINT.minari_id).reward) == 3
    return store / POINT.minari_id / "data"


def virtual(file, outside):
    layout = h5py.VirtualLayout((4, 4), "f8")
    layout[:] = h5py.VirtualSource(outside, "x", (4, 4))
    file.create_virtual_dataset(SEEN, layout)


def array(rows=4, dtype="f8", **settings):
    return lambda file, _: file.create_dataset(SEEN, (rows, 4), dtype, **settings)


# What is put in the place of the observations, given a path outside the folder, where nothing is.
ARRAYS = {
    "external link": (lambda file, outside: file.update({SEEN: h5py.ExternalLink(outside, "x")}), "is a link"),
    "soft link": (lambda file, _: file.update({SEEN: h5py.SoftLink("/x")}), "is a link"),
    "virtual array": (virtual, "lies in another file"),
    "bytes elsewhere": (lambda file, outside: array(external=[(outside, 0, 128)])(file, 0), "lies in another file"),
    "a hundred thousand rows": (array(10**5, chunks=(1024, 4)), "claim to be larger than its file"),
    "a trillion rows": (array(10**12, chunks=(1024, 4)), "claim to be larger than its file"),
    "rows whose bytes overflow": (array(2**59, chunks=(1024, 4)), "claim to be larger than its file"),
    "pieces that unpack to 2 GB": (array(maxshape=(None, 4), chunks=(2**26, 4), compression="gzip"), "in pieces of"),
    "zeros that unpack to 3 GB": (array(10**8, chunks=(1024, 4), compression="gzip"), "claim to be larger than"),
    "bytes of an unknown compression": (array(chunks=(4, 4), compression=305, allow_unknown_filter=True), "unknown"),
    "strings": (array(dtype=h5py.string_dtype()), "not floating-point"),
    "bytes of unknown meaning": (array(dtype="V8"), "not floating-point"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_observations_are_refused_that_are(name, folder, tmp_path):
    put, message = ARRAYS[name]
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        del file[SEEN]
        put(file, tmp_path / "outside")
    assert (folder / "main_data.hdf5").stat().st_size < 100_000
    with pytest.raises(UserError, match=message):
        minari_source.load(POINT, POINT.minari_id)


@pytest.mark.parametrize(
    "fields", [{"total_steps": 10**12}, {"dataset_id": "../x-v0"}, {"action_space": '{"type": "os.system"}'}]
)
def test_metadata_change_nothing_by(fields, folder):
    change_json(folder / "metadata.json", **fields)
    assert len(minari_source.load(POINT, POINT.minari_id).reward) == 3


def test_arrays_that_training_does_not_use_are_not_read(folder):
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        file.create_dataset("episode_0/infos/x", (10**12,), "f4", chunks=(1024,))
    minari_source.load(POINT, POINT.minari_id)


@pytest.mark.parametrize("name", ["metadata.json", "main_data.hdf5"])
@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), os.mkfifo], ids=["link", "pipe"])
def test_a_data_folder_with_a_link_or_a_pipe_is_refused(name, make, folder):
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(UserError, match=f"{name} is a link, a pipe or a device"):
        minari_source.load(POINT, POINT.minari_id)


def test_a_data_set_has_nothing_imported_that_it_names(folder, evil):
    spec = json.dumps({"id": "Evil-v0", "entry_point": "evil:Env", "additional_wrappers": [], "kwargs": {}})
    change_json(folder / "metadata.json", env_spec=spec, eval_env_spec=spec, data_format="evil")
    minari_source.load(POINT, POINT.minari_id)
    assert not evil.exists()


# ------------------------------------------------------------------------------------------------- checkpoints

STATE = {"w": np.ones((3, 2), np.float32)}


@pytest.fixture
def saved(tmp_path):
    """The folder of one good checkpoint."""
    with contextlib.closing(checkpoint.Checkpoints(tmp_path / "run")) as checkpoints:
        checkpoints.save(1, STATE, {"step": 1})
    return tmp_path / "run" / "checkpoints" / "1"


def restored(saved, shape=(3, 2)):
    with contextlib.closing(checkpoint.Checkpoints(saved.parents[1])) as checkpoints:
        return checkpoints.progress(), checkpoints.restore({"w": jax.ShapeDtypeStruct(shape, jnp.float32)})


def test_a_checkpoint_has_nothing_imported_that_it_names(saved, evil):
    names = {"state": "evil.Env", "progress": "evil.Env"}
    change_json(saved / "_CHECKPOINT_METADATA", item_handlers=names)
    restored(saved)
    for name, content in [("_METADATA", b'{"tree_metadata": "evil.Env"}'), ("checkpoint", b"cevil\nEnv\n.")]:
        (saved / "state" / name).write_bytes(content)  # the second is a pickle
        with pytest.raises(UserError, match="cannot be restored"):
            restored(saved)
    assert not evil.exists()


LARGE = {"shape": (10**6, 10**6), "chunks": (1000, 1000)}
STATES = {  # what the checkpoint says of it, the shape that the config asks for, what is said
    "terabytes in both": (LARGE, LARGE["shape"], "would take 4000 GB, its files have 0.000 GB"),
    "other shapes than the config": (LARGE, (3, 2), "w has shape (1000000, 1000000), not (3, 2)"),
    "terabytes in the config": ({}, LARGE["shape"], "w has shape (3, 2), not (1000000, 1000000)"),
    "large pieces": ({"chunks": (10**4, 2)}, (3, 2), "stored in pieces larger than itself"),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_is_refused_with(name, saved):
    stored, like, message = STATES[name]
    arrays = tensorstore.KvStore.open({"driver": "ocdbt", "base": f"file://{saved}/state/"}).result()
    content = {**json.loads(arrays.read("w/.zarray").result().value), **stored}
    arrays.write("w/.zarray", json.dumps(content)).result()
    with pytest.raises(UserError, match=re.escape(message)):
        restored(saved, like)


# ------------------------------------------------------------------------------------------------- working directories


def agents(label="bc", **fields):
    config = AgentConfig(hidden_dims=(8,), critic_hidden_dims=(8,), objective="regression", eta=0.0)
    return {"agents": {label: {**dataclasses.asdict(config), **fields}}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The working directory of an untrained run of multigoal."""
    workdir = tmp_path_factory.mktemp("run")
    ((label, values),) = agents()["agents"].items()
    program = population.Program(label, (population.Member("multigoal", 0, AgentConfig(**values)),))
    shapes = population.abstract(program, {"multigoal": (1, 2)}, batch_size=1, num_steps=10)
    states = {"bc": jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)}
    record = {"id": "gtp_jax/multigoal-10-seed0-v1", "source": "generated", "num_transitions": 10}
    with contextlib.closing(checkpoint.Checkpoints(workdir)) as checkpoints:
        checkpoints.save(10, states, {"datasets": {"multigoal": record}, "slots": {"bc": [0]}})
    fields = {"tasks": ["multigoal"], "seed": 0, "num_seeds": 1, "num_steps": 10, "eval": {"seed": 0}}
    (workdir / "config.json").write_text(json.dumps({**fields, **agents()}))
    return workdir


CONFIGS = {
    "nothing but good": ({}, "written to"),
    "a huge network": (agents(hidden_dims=[10**6, 10**6]), "cannot be restored"),
    "a width that is no number": (agents(hidden_dims=["x"]), "must be some whole numbers"),
    "a billion candidates": (agents(num_candidates=10**9), "num_candidates = 1000000000 must be at most 1000"),
    "a billion members": ({"num_seeds": 10**9}, "1000000000 members of one program are too many"),
    "a billion combinations": (agents(**dict.fromkeys(NUMBERS[:3], [*range(1, 1001)])), "are too many"),
    "an environment": ({"tasks": ["evil:Env"]}, "unknown task 'evil:Env'"),
    "a function": (agents(objective="evil:loss"), "'evil:loss' is not registered"),
    "a path for a name": (agents("/x"), "a run of '/x'"),
    "text for a number": ({"num_steps": "10"}, "num_steps = 10 must be a whole number"),
    "deep nesting": ({}, "maximum recursion depth exceeded"),
}


@pytest.fixture(scope="module")
def evaluated(run, tmp_path_factory):
    """What the command says of each of `CONFIGS`; one process, since importing takes longer than evaluating."""
    root = tmp_path_factory.mktemp("hostile")
    for name, (change, _) in CONFIGS.items():
        shutil.copytree(run, root / name)
        change_json(root / name / "config.json", **change)
    (root / "deep nesting" / "config.json").write_text("[" * 100_000)
    code = """
import contextlib, pathlib, sys
from experiments import evaluate
for workdir in pathlib.Path(sys.argv[1]).iterdir():
    evaluate.flags.FLAGS(["", f"--workdir={workdir}", "--sampling_steps=1", "--episodes=2"])
    print("###", workdir.name)
    try:
        with contextlib.ExitStack() as stack: evaluate.main(stack)
    except BaseException as error: print(f"{type(error).__name__}: {error}")
"""
    result = subprocess.run([sys.executable, "-c", code, root], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return dict(part.split("\n", 1) for part in result.stdout.split("### ")[1:])


@pytest.mark.parametrize("name", CONFIGS)
def test_evaluate_meets_a_config_that_holds(name, evaluated):
    refused = evaluated[name].startswith("UserError: ") and len(evaluated[name].splitlines()) == 1
    assert CONFIGS[name][1] in evaluated[name] and (refused or name == "nothing but good")


@pytest.mark.parametrize("program", ["train --config=configs/multigoal.py", "evaluate"])
def test_a_program_writes_through_no_link_of_its_working_directory(program, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").symlink_to(tmp_path / "mine")
    command = [sys.executable, "-m", *f"experiments.{program}".split(), f"--workdir={tmp_path / 'run'}"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 2 and "metrics.jsonl is a link" in result.stderr and not (tmp_path / "mine").exists()
