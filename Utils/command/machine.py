"""Facts about this machine that every operating system reports differently."""

import os
import pathlib
import platform

from Utils.command.cli import UserError

CPU_INFO = pathlib.Path("/proc/cpuinfo")


def num_cores() -> int:
    """Return how many processor cores this process may use, at least 1.

    A container or ``taskset`` may allow fewer than the machine has, which only some systems tell (Linux does;
    macOS and Windows do not).
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def max_open_files() -> int | None:
    """Return how many files, sockets among them, this process may hold open; None where nothing tells."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def cpu_name() -> str:
    """Return the processor's name; "" where the system does not tell."""
    return _cpu_info("model name") or platform.processor()


def has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 in units of their own (Intel's AMX)."""
    return "amx_bf16" in _cpu_info("flags").split()


def _cpu_info(field: str) -> str:
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # a system other than Linux
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition("\t")[0] == field), "")


def require_linux(command: str) -> None:
    """Raise UserError on other systems: for commands that keep processes to cores and read their memory."""
    if not hasattr(os, "sched_setaffinity"):
        raise UserError(f"{command} needs Linux, which keeps processes to cores and tells their peak memory")


def peak_megabytes() -> float | None:
    """Return the largest resident size of this process so far, pages of mapped files included.

    None on systems other than Linux.
    """
    return _status_megabytes("VmHWM")


class MemoryGrowth:
    """By how much this process grows at most from now on, whatever it needed before."""

    def __init__(self) -> None:
        self._start = _status_megabytes("VmRSS")
        try:  # lets the peak begin anew at the present size
            pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            self._start = None

    def peak_megabytes(self) -> float | None:
        """Return the largest growth so far; None where the system does not tell."""
        peak = peak_megabytes()
        return None if self._start is None or peak is None else max(0.0, peak - self._start)


def _status_megabytes(name: str) -> float | None:
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), None)
