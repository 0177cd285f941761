"""Facts about this machine that every operating system reports differently."""

import os

from Utils.command.cli import UserError


def num_cores() -> int:
    """Return how many processor cores this process may use, at least 1.

    A container or ``taskset`` may allow fewer than the machine has, which only some systems tell (Linux does;
    macOS and Windows do not).
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def require_linux(command: str) -> None:
    """Raise UserError on other systems: for commands that keep processes to cores and read their memory."""
    if not hasattr(os, "sched_setaffinity"):
        raise UserError(f"{command} needs Linux, which keeps processes to cores and tells their peak memory")
