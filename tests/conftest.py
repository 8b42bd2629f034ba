"""What tests share: two virtual devices, Minari data sets made by Minari's own writer, no way to the network or to the
user's store."""

import contextlib
import fcntl
import os
import pathlib
import platform
import signal
import subprocess
import sys
import warnings

os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nothing listens there; read when huggingface_hub is imported
if platform.machine() == "x86_64":
    # With AVX-512 XLA sums in another order in each program, so that two that do the same sums may differ in the last
    # bit (docs/reliability.md). Processes that tests start inherit it.
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_max_isa=AVX2".strip()

import gymnasium
import jax
import minari
import numpy as np
import pytest
from hypothesis import settings
from minari.data_collector import EpisodeBuffer
from small_run import REPOSITORY, SMALL

# A job in the background ignores interrupts, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
jax.config.update("jax_num_cpu_devices", 2)  # before JAX first looks at its devices
# Most of the time goes into compiling: what one run has compiled, the next one reads.
jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

# Compiling takes longer than hypothesis allows an example, and a busy machine longer still.
settings.register_profile("gtp_jax", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("gtp_jax")


@pytest.fixture(scope="module")
def quick_compilation():
    """For files that compile many programs and run each for moments."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty Minari store."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def write_dataset(store):
    """Writes a data set of maze episodes into the store; what it says of rewards and terminations is misleading."""

    def write(name: str, episodes: list[tuple[dict[str, np.ndarray], np.ndarray]]) -> None:
        observations, actions = episodes[0]
        boxes = {key: gymnasium.spaces.Box(-np.inf, np.inf, value.shape[1:]) for key, value in observations.items()}
        buffers = [
            EpisodeBuffer(
                observations=observations,
                actions=actions,
                rewards=np.full(len(actions), 7.0),
                terminations=np.arange(len(actions)) == len(actions) - 1,
                truncations=np.zeros(len(actions), bool),
            )
            for observations, actions in episodes
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about authors and environments that are not recorded
            minari.create_dataset_from_buffers(
                name,
                buffers,
                observation_space=gymnasium.spaces.Dict(boxes),
                action_space=gymnasium.spaces.Box(-1.0, 1.0, actions.shape[1:]),
                description="made by hand",
            )

    return write


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder of all workers of this session, and a way to make something in it once."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    root.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def once(name):
        """Gives a folder, and whether it has to be filled; who comes meanwhile waits."""
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield root / name, not (root / f"{name}.done").exists()
            (root / f"{name}.done").touch()

    return root, once


@pytest.fixture(scope="session")
def environment(shared):
    """A store of its own, no hub, and programs that are compiled once for all tests, and not for long."""
    root, _ = shared
    return {
        **os.environ,
        "MINARI_DATASETS_PATH": str(root / "store"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "JAX_COMPILATION_CACHE_DIR": str(root / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }


@pytest.fixture(scope="session")
def start(environment):
    """Starts a command in a process group of its own."""

    def run(program, *arguments, **changes):
        return subprocess.Popen(
            [sys.executable, "-m", f"experiments.{program}", *arguments],
            cwd=REPOSITORY,
            env={**environment, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return run


@pytest.fixture(scope="session")
def succeed(start):
    """Runs a command to its end, which has to be a good one, and returns what it prints."""

    def run(*arguments, **changes):
        process = start(*arguments, **changes)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return output

    return run


@pytest.fixture(scope="session")
def finished(shared, succeed):
    """The working directory of a run that nobody disturbed; tests only read it."""
    _, once = shared
    with once("finished") as (workdir, is_first):
        if is_first:
            output = succeed("train", *SMALL, f"--workdir={workdir}")
            (workdir / "stdout").write_text(output)
    return workdir
