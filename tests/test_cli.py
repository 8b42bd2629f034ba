"""Compiled programs are kept where they can be, and where the user says."""

import os
import subprocess
import sys

import pytest
from small_run import REPOSITORY

PROGRAM = """
import jax
from experiments import cli
cli.configure_jax()
"""


def printed(program, **settings):
    """By a process that JAX_COMPILATION_CACHE_DIR says nothing to, unless the settings do."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-c", PROGRAM + program]
    return subprocess.check_output(command, cwd=REPOSITORY, env=environment | settings, text=True)


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"XDG_CACHE_HOME": "{home}/caches"}, "{home}/caches/gtp_jax/"),
        ({"HOME": "{home}", "XDG_CACHE_HOME": ""}, "{home}/.cache/gtp_jax/"),
        ({"XDG_CACHE_HOME": "{home}", "JAX_COMPILATION_CACHE_DIR": "{home}/mine"}, "{home}/mine"),
        ({"XDG_CACHE_HOME": "/dev/null"}, "None"),
    ],
    ids=["XDG_CACHE_HOME", "home", "JAX_COMPILATION_CACHE_DIR", "nowhere"],
)
def test_programs_are_kept_in(settings, expected, tmp_path):
    settings = {name: value.format(home=tmp_path) for name, value in settings.items()}
    assert printed("print(jax.config.jax_compilation_cache_dir)", **settings).startswith(expected.format(home=tmp_path))


def test_a_second_start_compiles_nothing(tmp_path):
    program = """
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.monitoring.register_event_listener(lambda event, **_: print(event))
jax.jit(lambda x: x + 1)(1.0)
"""
    first, second = (printed(program, XDG_CACHE_HOME=str(tmp_path)) for _ in range(2))
    assert first.count("cache_misses") > 0 and first.count("cache_hits") == 0
    assert second.count("cache_misses") == 0 and second.count("cache_hits") > 0
