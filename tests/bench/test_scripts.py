"""Utils/bench/scripts.py: a script that fails is named, with how it ended and what it said."""

import subprocess
import time

import pytest

from Utils.bench import scripts
from Utils.command.cli import UserError, WorkError


def test_what_a_script_prints_comes_back_and_wrong_use_is_the_users(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "print(os.environ['OMP_NUM_THREADS'], *sys.argv[1:])\n"
        "sys.exit('error: no' if 'fail' in sys.argv else 0)\n"
    )
    assert scripts.run(str(script), "a", 5, variables=scripts.ONE_THREAD) == "1 a 5\n"
    with pytest.raises(WorkError, match=r"script\.py ended with exit code 1: error: no"):
        scripts.run(str(script), "fail", variables=scripts.ONE_THREAD)
    script.write_text("import os, sys\nprint('error: wrong', file=sys.stderr)\nsys.exit(2)\n")
    with pytest.raises(UserError, match="^wrong$"):
        scripts.run(str(script))


def test_a_killed_process_is_said_to_be_killed():
    scripts.require_success("x.py", 0, "fine")
    with pytest.raises(WorkError, match="x.py was killed by SIGKILL; the system kills where memory runs out"):
        scripts.require_success("x.py", -9, "")
    with pytest.raises(WorkError, match="x.py was killed by SIGTERM: last words"):
        scripts.require_success("x.py", -15, "last words\n")


def test_a_script_may_save_what_it_has_when_the_study_is_interrupted(tmp_path, monkeypatch):
    script, started, saved = (tmp_path / name for name in ("script.py", "started", "saved"))
    script.write_text(
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n"
        "    time.sleep(0.5)\n"
        "    pathlib.Path(sys.argv[2]).touch()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)\n"
    )
    communicate = subprocess.Popen.communicate

    def interrupted(self, *arguments, **keywords):
        monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
        while not started.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scripts.run(str(script), started, saved)
    assert saved.exists()
