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
print(jax.config.jax_compilation_cache_dir)
"""


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
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {name: value.format(home=tmp_path) for name, value in settings.items()}
    printed = subprocess.check_output([sys.executable, "-c", PROGRAM], cwd=REPOSITORY, env=environment, text=True)
    assert printed.startswith(expected.format(home=tmp_path))


def test_a_second_start_compiles_nothing(tmp_path):
    program = PROGRAM + "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
    program += "jax.monitoring.register_event_listener(lambda event, **_: print(event))\n"
    program += "jax.jit(lambda x: x + 1)(1.0)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    first, second = (
        subprocess.check_output([sys.executable, "-c", program], cwd=REPOSITORY, env=environment, text=True)
        for _ in range(2)
    )
    assert first.count("cache_misses") > 0 and first.count("cache_hits") == 0
    assert second.count("cache_misses") == 0 and second.count("cache_hits") > 0
