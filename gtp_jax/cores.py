"""How many cores there are to use."""

import os


def available_cores() -> int:
    """Cores this process may use; under SLURM or in a cpuset they can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
