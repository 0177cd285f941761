"""HDF5 files of others, tried in a process of its own before this one opens them.

HDF5 has no checksums by default, and its library loops without end, or ends the process, at some damage.
"""

import pathlib
import subprocess
import sys

from Utils.command.cli import UserError

_SECONDS, _BYTES_A_SECOND = 10, 20e6  # to start Python and read a small file; the slowest disk in use
_MOST_RATIO = 1100  # of unpacked to packed bytes; deflate reaches 1032 on zeros
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
    limit = _SECONDS + path.stat().st_size / _BYTES_A_SECOND
    words = [sys.executable, "-c", _READ_ALL, str(path)]
    try:
        result = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        fault = f"it is not read within {limit:.0f} s"
    else:
        if result.returncode == 0:
            return
        ended = f"the HDF5 library ended with {result.returncode}"
        fault = ended if result.returncode < 0 else (result.stderr.strip().splitlines() or [ended])[-1]
    raise UserError(f"{path} is damaged or no HDF5 file: {fault}")
