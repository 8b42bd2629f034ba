"""How many cores there are to use."""

import os
import pathlib


def available_cores() -> int:
    """Cores this process may use; under SLURM or in a cpuset they can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cpu_info(name: str) -> str:
    """What Linux says of the first core under a name such as "model name" or "flags"; empty elsewhere."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
