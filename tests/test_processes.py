"""Several processes on one machine train, stop, die and go on as one process would, bit for bit."""

import os
import shutil
import signal
import socket

import pytest
from small_run import SMALL, digests, metrics, read, wait_until

FOUR = (
    *SMALL,
    "--config.num_seeds=4",
    "--config.num_steps=1200",
    "--config.eval.episodes=1",
    "--config.eval.interval=600",
)
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def start_two(start):
    """Starts two processes, of two devices each, of one run."""

    def run(workdir, *arguments):
        join = (f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2")
        arguments = (*FOUR, f"--workdir={workdir}", *join, *arguments)
        return [start("train", *arguments, f"--process_id={i}", **TWO_DEVICES) for i in (0, 1)]

    return run


def ended(processes, seconds=300):
    """Status and stderr of each."""
    outputs = [process.communicate(timeout=seconds) for process in processes]
    return [(process.returncode, errors) for process, (_, errors) in zip(processes, outputs)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, succeed):
    """The same run in one process."""
    workdir = tmp_path_factory.mktemp("alone")
    succeed("train", *FOUR, f"--workdir={workdir}", **TWO_DEVICES)
    return workdir


@pytest.fixture(scope="module")
def killed(tmp_path_factory, start_two):
    """The working directory of two processes, of which one was killed, and how the other ended."""
    workdir = tmp_path_factory.mktemp("killed")
    processes = start_two(workdir)
    wait_until(processes[0], (workdir / "checkpoints" / "100").exists)
    os.killpg(processes[1].pid, signal.SIGKILL)
    return workdir, ended(processes, seconds=150)[0]


@pytest.fixture(scope="module")
def stopped(killed, start_two):
    """How both ended, started again from there, when one of them was told to stop."""
    workdir, _ = killed
    begun = max(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*[0-9]"))
    processes = start_two(workdir)
    wait_until(processes[0], (workdir / "checkpoints" / f"{begun + 100}").exists)
    processes[1].send_signal(signal.SIGTERM)
    return workdir, ended(processes, seconds=20)


@pytest.fixture(scope="module")
def completed(stopped, start_two, tmp_path_factory):
    """The working directory when both went on from there to the end."""
    workdir = shutil.copytree(stopped[0], tmp_path_factory.mktemp("completed") / "run")
    assert [status for status, _ in ended(start_two(workdir))] == [0, 0]
    return workdir


def test_the_death_of_one_process_ends_the_other(killed):
    _, (status, _) = killed
    assert status != 0


def test_a_signal_to_one_process_stops_both(stopped):
    _, ends = stopped
    assert [status for status, _ in ends] == [128 + signal.SIGTERM] * 2, ends


def test_two_processes_end_with_the_parameters_and_scores_of_one(completed, alone):
    members = [read(workdir / "results.json")["members"] for workdir in (completed, alone)]
    assert [member["seed"] for member in members[0]] == [0, 1, 2, 3] and members[0] == members[1]


def test_two_processes_log_what_one_logs(completed, alone):
    assert metrics(completed) == metrics(alone)


def test_each_process_writes_the_events_of_its_own_members(completed):
    assert all(any((completed / f"tensorboard/pointmaze/umaze-seed{seed}").iterdir()) for seed in range(4))


@pytest.mark.slow
def test_one_process_goes_on_from_the_checkpoint_of_two(stopped, succeed, alone, tmp_path):
    workdir = shutil.copytree(stopped[0], tmp_path / "run")
    assert "resumed from update" in succeed("train", *FOUR, f"--workdir={workdir}", **TWO_DEVICES)
    assert digests(workdir) == digests(alone)


@pytest.mark.slow
def test_two_processes_go_on_from_the_checkpoint_of_one(start, start_two, alone, tmp_path):
    process = start("train", *FOUR, f"--workdir={tmp_path}", **TWO_DEVICES)
    wait_until(process, (tmp_path / "checkpoints" / "300").exists)
    process.send_signal(signal.SIGTERM)
    assert ended([process])[0][0] == 128 + signal.SIGTERM
    assert [status for status, _ in ended(start_two(tmp_path))] == [0, 0]
    assert digests(tmp_path) == digests(alone)


def test_a_mistake_is_one_line_in_each_process(start_two, tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "other")
    for status, errors in ended(start_two(tmp_path)):
        assert status == 2 and "metrics.jsonl is a link" in errors.splitlines()[-1]


@pytest.mark.slow
def test_more_processes_than_members_are_refused(start_two, tmp_path):
    for status, errors in ended(start_two(tmp_path, "--config.num_seeds=1")):
        assert status == 2 and "1 members leave some of 2 processes nothing to do" in errors.splitlines()[-1]


@pytest.mark.slow
def test_other_configs_are_refused_by_all(start, tmp_path):
    join = (f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2", f"--workdir={tmp_path}")
    both = [start("train", *FOUR, *join, f"--config.seed={i}", f"--process_id={i}", **TWO_DEVICES) for i in (0, 1)]
    for status, errors in ended(both):
        assert status == 2 and "were given different configs" in errors.splitlines()[-1]


@pytest.mark.parametrize("flag", ["--coordinator=localhost:1", "--num_processes=2", "--process_id=0"])
def test_flags_of_processes_go_together(flag, start):
    ((status, errors),) = ended([start("train", *FOUR, flag)])
    assert status == 2 and "go together" in errors
