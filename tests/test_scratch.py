"""Folders for what is being made are gone at the end, however that comes."""

import signal
import subprocess
import sys

import pytest

from gtp_jax.data import scratch


def test_a_folder_is_there_until_the_end(tmp_path):
    with scratch.folder(tmp_path) as place:
        (place / "file").write_text("half")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_gone_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), scratch.folder(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_has_left_goes_with_the_next_one(tmp_path):
    code = (
        "import os, pathlib, sys; from gtp_jax.data import scratch\n"
        "with scratch.folder(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert killed.returncode == -signal.SIGKILL and list(tmp_path.iterdir())
    with scratch.folder(tmp_path) as place:
        assert list(tmp_path.iterdir()) == [place]


def test_the_folder_of_somebody_who_is_at_work_stays(tmp_path):
    with scratch.folder(tmp_path) as theirs, scratch.folder(tmp_path) as ours:
        assert {*tmp_path.iterdir()} == {theirs, ours}
