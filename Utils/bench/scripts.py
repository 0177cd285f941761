"""Scripts of this repository as processes of their own, for benchmarks and studies."""

import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from Utils.command.cli import UserError, WorkError
from Utils.files.atomic import ROOT

# One thread each: idle threads of a library would spin, which counts as CPU seconds.
ONE_THREAD: dict[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)
_MOST_SAID = 2000  # characters of what a script that failed has said


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of such a process: those of this one, and those given."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **(variables or {})}


def run(script: str, *words: object, variables: Mapping[str, str] | None = None) -> str:
    """Run a script, named by its path in the repository, with some words; return what it prints.

    Where this process is interrupted, the script gets SIGTERM and the time to save what it has. Raises
    UserError with its own words where it was used wrongly (exit code 2), else WorkError.
    """
    line = [sys.executable, str(ROOT / script), *map(str, words)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, env=environment(variables), start_new_session=True, **pipes) as process:
        try:
            output, said = process.communicate()
        except BaseException:
            process.terminate()
            process.communicate()
            raise
    if process.returncode == 2:
        raise UserError(said.strip().removeprefix("error: "))
    require_success(script, process.returncode, said)
    return output


def timed(script: str, *words: object, log: pathlib.Path) -> dict[str, float]:
    """Run a script likewise; return its seconds and those of the processor, its start included.

    ``log`` gets what it says. Raises WorkError where it fails.
    """
    line = [sys.executable, str(ROOT / script), *map(str, words)]
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("ab") as file:
        done = subprocess.run(line, cwd=ROOT, env=environment(), stdout=file, stderr=file, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    require_success(script, done.returncode, log.read_text(encoding="utf-8", errors="replace"))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - begin, "cpu_seconds": cpu}


def require_success(name: str, code: int, said: str) -> None:
    """Raise WorkError where a process failed, with what it said last; killed ones say nothing."""
    if not code:
        return
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        how += "; the system kills where memory runs out: run less beside it" * (code == -signal.SIGKILL)
    else:
        how = f"ended with exit code {code}"
    raise WorkError(f"{name} {how}: {said.strip()[-_MOST_SAID:] or 'it said nothing'}")
