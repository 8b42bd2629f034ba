"""Runs outlive kills, signals, full and vanished disks. docs/reliability.md has the table of faults."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from small_run import REPOSITORY, SMALL, digests, metrics, read, wait_until

from gtp_jax.checkpoint import Checkpoints

OFTEN = (*SMALL, "--config.checkpoint.interval=20")  # hardly a moment without a checkpoint being written
ENDLESS = (*OFTEN, "--config.num_steps=1000000", "--config.eval.interval=1000000")


def latest(workdir) -> int | None:
    """Of the checkpoints that are complete."""
    with contextlib.closing(Checkpoints(workdir, read_only=True)) as checkpoints:
        return checkpoints.latest_step


def newest(workdir) -> int:
    """The same by the names of the folders, and -1 if there is none."""
    return max((int(path.name) for path in workdir.glob("checkpoints/[0-9]*[0-9]")), default=-1)


def has_checkpoint(workdir):
    return lambda: newest(workdir) >= 0


def refused(process, seconds: float = 60) -> str:
    """The one line with which a run has to end."""
    _, errors = process.communicate(timeout=seconds)
    assert process.returncode == 2 and "Traceback" not in errors, errors
    return errors.splitlines()[-1]


# ------------------------------------------------------------------------------------------------- kills


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_moments_cost_nothing(kills, start, succeed, finished, tmp_path):
    """Half of them within a second of a checkpoint, when the next ones are being written, half at any time."""
    enough, undisturbed, killed = (), finished, tmp_path / "killed"
    if kills > 2:
        enough = (f"--config.num_steps={400 * kills}", f"--config.eval.interval={400 * kills}")
        succeed("train", *SMALL, *enough, f"--workdir={(undisturbed := tmp_path / 'undisturbed')}")
    moments, seen = random.Random(kills), -1
    for number in range(kills):
        process = start("train", *OFTEN, *enough, f"--workdir={killed}")
        if number % 2 == 0:
            wait_until(process, lambda seen=seen: newest(killed) > seen)
            time.sleep(moments.uniform(0, 1))
        else:
            time.sleep(moments.uniform(0, 5))  # the short form's runs take six or so
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert (now := latest(killed)) is not None and now >= seen
        seen = now
    assert seen < 300 * kills  # else the last kills met nothing
    succeed("train", *OFTEN, *enough, f"--workdir={killed}")
    assert digests(killed) == digests(undisturbed) and metrics(killed) == metrics(undisturbed)
    assert not list(killed.glob("checkpoints/*tmp*"))


# ------------------------------------------------------------------------------------------------- signals


def stop_and_go_on(process, number, workdir, succeed, finished) -> list[dict]:
    """The metrics when the run had left."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + number and f"stopped by {number.name}" in errors and "Traceback" not in errors
    left = metrics(workdir)
    assert "resumed from update" in succeed("train", *SMALL, f"--workdir={workdir}")
    assert digests(workdir) == digests(finished) and metrics(workdir) == metrics(finished)
    return left


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_saves_and_leaves_and_goes_on_as_if_nothing_had_happened(
    number, start, succeed, finished, tmp_path
):
    process = start("train", *SMALL, f"--workdir={tmp_path}")
    wait_until(process, (tmp_path / "checkpoints" / "100").exists)
    stop_and_go_on(process, number, tmp_path, succeed, finished)


def test_an_evaluation_that_a_signal_breaks_off_is_made_up_for(start, succeed, finished, tmp_path):
    process = start("train", *SMALL, f"--workdir={tmp_path}")
    # The means of the metrics are written just before it begins.
    wait_until(process, lambda: (log := tmp_path / "metrics.jsonl").exists() and '"step": 300' in log.read_text())
    left = stop_and_go_on(process, signal.SIGTERM, tmp_path, succeed, finished)
    assert left[-1]["step"] == 300 and "success_rate_K2" not in left[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_training_ends_a_run_without_a_traceback(number, start, tmp_path):
    process = start("train", *SMALL, f"--workdir={tmp_path}")
    wait_until(process, (tmp_path / "config.json").exists)
    time.sleep(1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + number and "Traceback" not in errors


@pytest.mark.parametrize("send, number", [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGINT)])
def test_a_signal_amid_a_data_set_leaves_nothing_of_it_and_no_traceback(send, number, start, tmp_path):
    process = start("make_dataset", "pointmaze/open", "--num_transitions=10000000", MINARI_DATASETS_PATH=str(tmp_path))
    wait_until(process, lambda: list(tmp_path.glob(".gtp_jax-*/new/data/*")))
    send(process.pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number and not list(tmp_path.iterdir()) and "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_amid_garbage_collection_is_not_lost(number):
    """Nothing can be raised from there, and JAX collects garbage by a function of its own."""
    code = f"""
import gc, os, time
from experiments import cli

def interrupt(phase, info):
    gc.callbacks.clear()
    os.kill(os.getpid(), {int(number)})
    time.sleep(0.1)

def main(stack):
    gc.callbacks[:] = [interrupt]
    gc.collect()
    for _ in range(100):
        time.sleep(0.1)

cli.run(main)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60).returncode == 128 + number


def test_a_signal_that_comes_twice_at_once_does_not_break_off_what_the_first_has_begun(tmp_path):
    code = f"""
import os, pathlib, signal, time
from experiments import cli

def clean_up():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    pathlib.Path({str(tmp_path / "clean")!r}).touch()

def main(stack):
    stack.callback(clean_up)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)

cli.run(main)
"""
    status = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60).returncode
    assert status == 128 + signal.SIGTERM and (tmp_path / "clean").exists()


@pytest.mark.parametrize("seconds, status", [(0, 3), (1.1, 128 + signal.SIGTERM)])
def test_a_second_signal_ends_a_program_at_once_unless_it_is_the_first_by_another_way(seconds, status):
    code = f"""
import os, signal, time
from experiments import cli
signal_of = cli.note_signals()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep({seconds})
os.kill(os.getpid(), signal.SIGTERM)
if signal_of(): raise SystemExit(3)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60).returncode == status


# ------------------------------------------------------------------------------------------------- disks


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own with room for about one checkpoint, and a way to make it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=50m", folder], check=True)
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_a_run_in_one_line_and_leaves_the_last_checkpoint_good(small_disk, start, succeed, finished):
    folder, enlarge = small_disk
    assert "No space left on device" in refused(start("train", *SMALL, f"--workdir={folder / 'run'}"))
    assert latest(folder / "run") in (100, 200)
    enlarge()
    succeed("train", *SMALL, f"--workdir={folder / 'run'}")
    assert digests(folder / "run") == digests(finished)


def test_a_last_checkpoint_that_finds_no_room_is_told_of_before_anything_is_evaluated(small_disk, start):
    folder, _ = small_disk
    large = ("agent.hidden_dims=(256,256)", "num_steps=2")
    process = start("train", *SMALL, *(f"--config.{each}" for each in large), f"--workdir={folder / 'run'}")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2 and "no checkpoint could be written" in errors
    assert "evaluation of" not in errors


def test_a_working_directory_that_vanishes_ends_a_run_in_one_line(start, tmp_path):
    process = start("train", *ENDLESS, f"--workdir={tmp_path / 'run'}")
    wait_until(process, has_checkpoint(tmp_path / "run"))
    os.rename(tmp_path / "run", tmp_path / "elsewhere")  # else the run might make new folders in what is being removed
    shutil.rmtree(tmp_path / "elsewhere")
    assert "has been removed" in (line := refused(process)) or "no checkpoint could be written" in line


@pytest.fixture
def read_only():
    """Makes a folder one in which nothing can be made or removed, until the test is over."""
    done = []

    def make(folder, sign="+"):
        # Root, as in containers, may write anywhere but where the file system itself forbids it.
        command = ["chattr", f"{sign}i"] if os.getuid() == 0 else ["chmod", f"u{'-' if sign == '+' else '+'}w"]
        if subprocess.run([*command, folder], capture_output=True).returncode:
            pytest.skip("the file system cannot do that")
        done.append(folder)

    yield make
    for folder in {*done}:
        make(folder, sign="-")


def test_a_disk_that_turns_read_only_ends_a_run_in_one_line_and_keeps_the_last_checkpoint(read_only, start, tmp_path):
    process = start("train", *ENDLESS, f"--workdir={tmp_path}")
    wait_until(process, has_checkpoint(tmp_path))
    read_only(tmp_path / "checkpoints")
    read_only(tmp_path)
    assert "no checkpoint could be written" in refused(process) and latest(tmp_path) is not None


# ------------------------------------------------------------------------------------------------- other faults


def test_a_second_run_in_a_working_directory_is_refused_and_the_first_goes_on(start, tmp_path):
    first = start("train", *ENDLESS, f"--workdir={tmp_path}")
    wait_until(first, has_checkpoint(tmp_path))
    assert "another run is using" in refused(start("train", *ENDLESS, f"--workdir={tmp_path}"))
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


def test_a_member_that_diverges_is_reported_and_the_others_are_as_without_it(succeed, finished, tmp_path):
    wild = ("--config.num_seeds=1", "--config.agent.learning_rate=(0.001,1e30)")
    output = succeed("train", *SMALL, *wild, f"--workdir={tmp_path}")
    sound, failed = read(tmp_path / "results.json")["members"]
    assert not sound["diverged"]
    assert failed["diverged"] and failed["diverged_step"] < 600 and failed["diverged_quantity"] == "actor_loss"
    assert sound["params_digest"] == digests(finished)[0] and "(diverged)" in output
