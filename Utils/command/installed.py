"""Whether this Python has the packages of the project; asked before a command imports any."""

import importlib.util
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("numpy", "pandas", "pyarrow")  # what every command imports at its start


def check() -> None:
    """End the process with exit code 2 and what to do, where packages are missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    activate = ROOT / ".venv" / "bin" / "activate"
    is_other = activate.is_file() and pathlib.Path(sys.prefix) != activate.parents[1]
    remedy = f"source {activate}" if is_other else "pip install -r requirements.txt"
    sys.stderr.write(
        f"error: {sys.executable} lacks packages that this command needs ({', '.join(missing)}); first: "
        f"{remedy}   (see docs/installing.md)\n"
    )
    sys.exit(2)
