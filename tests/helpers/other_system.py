"""Runs a script as on a system without what Linux has: other_system.py macos|windows SCRIPT ARGUMENTS ..."""

import os
import pathlib
import runpy
import sys

LINUX = ("sched_getaffinity", "sched_setaffinity", "O_DIRECT", "posix_fadvise", "memfd_create")
POSIX = (
    "O_NONBLOCK",
    "O_CLOEXEC",
    "pread",
    "preadv",
    "pwrite",
    "pwritev",
    "fork",
    "getuid",
    "geteuid",
    "mkfifo",
)
POSIX_MODULES = ("fcntl", "resource", "pwd", "grp", "termios")


def hide(system):
    """Take away what a system lacks; libraries that are imported later do without it, too."""
    for name in (*LINUX, *(POSIX if system == "windows" else ())):
        if hasattr(os, name):
            delattr(os, name)
    if system == "windows":
        sys.modules.update(dict.fromkeys(POSIX_MODULES))


if __name__ == "__main__":
    hide(sys.argv[1])
    sys.argv = sys.argv[2:]
    sys.path[0] = str(pathlib.Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
