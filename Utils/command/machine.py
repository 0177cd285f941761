"""Facts about this machine that every operating system reports differently."""

import os


def num_cores() -> int:
    """Return how many processor cores this process may use, at least 1.

    A container or ``taskset`` may allow fewer than the machine has, which only some systems tell (Linux does;
    macOS and Windows do not).
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
