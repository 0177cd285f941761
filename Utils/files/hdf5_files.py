"""HDF5 files of others, tried in a process of its own before this one opens them.

HDF5 has no checksums by default, and its library loops without end, or ends the process, at some damage.
"""

import math
import pathlib
import signal
import subprocess
import sys

from Utils.command.cli import UserError

# Of the processor, since a busy machine or disk keeps any file waiting: to start Python, and to read.
_SECONDS, _BYTES_A_SECOND = 10, 20e6
_PATIENCE = 12  # times as many of the clock
_MOST_RATIO = 1100  # of unpacked to packed bytes; deflate reaches 1032 on zeros
_LIMIT = """
import contextlib
with contextlib.suppress(ImportError, ValueError):  # not on Windows; a lower limit stays
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, resource.getrlimit(resource.RLIMIT_CPU)[1]))
"""
_READ_ALL = f"""
import pathlib, sys
import h5py

def read(name, item):
    for key in item.attrs:
        item.attrs[key]
    if isinstance(item, h5py.Dataset):
        ratio = {_MOST_RATIO} if item.compression else 1
        if item.nbytes > ratio * pathlib.Path(sys.argv[1]).stat().st_size:
            sys.exit(f"{{name}} of the shape {{item.shape}} is larger than the file")
        item[()]

try:
    with h5py.File(sys.argv[1], "r") as file:
        read("/", file)
        file.visititems(read)
except Exception as error:
    sys.exit(" ".join(f"{{type(error).__name__}} {{error}}".split())[:300])
"""


def require_readable(path: pathlib.Path) -> None:
    """Raise UserError that names the file where not every value and attribute of it can be read in time."""
    seconds = math.ceil(_SECONDS + path.stat().st_size / _BYTES_A_SECOND)
    words = [sys.executable, "-c", _LIMIT.format(seconds=seconds) + _READ_ALL, str(path)]
    try:
        result = subprocess.run(
            words, capture_output=True, text=True, timeout=_PATIENCE * seconds, check=False
        )
    except subprocess.TimeoutExpired:
        fault = f"it is not read within {_PATIENCE * seconds:g} s"
    else:
        if result.returncode == 0:
            return
        ended = f"the HDF5 library ended with {result.returncode}"
        if result.returncode == -getattr(signal, "SIGXCPU", 0):
            ended = f"it is not read within {seconds} s"
        fault = ended if result.returncode < 0 else (result.stderr.strip().splitlines() or [ended])[-1]
    raise UserError(f"{path} is damaged or no HDF5 file: {fault}")
