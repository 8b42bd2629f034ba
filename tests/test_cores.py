"""A process counts the cores that it may use."""

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_process_bound_to_one_core_has_one():
    first = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, [{first}]); "
        "from gtp_jax.cores import available_cores; print(available_cores())"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "1\n"
