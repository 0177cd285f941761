"""Utils/command/installed.py: a Python without the project's packages is one error, not a traceback."""

import importlib
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from Utils.command import installed

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.reliability("The environment is not activated", "one error that names the line to type")
@pytest.mark.parametrize("script", ["train.py", "tools/tag_images.py", "tools/studies/labels.py"])
def test_a_python_without_packages_is_one_error(script, tmp_path):
    # -S leaves out site-packages, where they are; the working directory is not the clone.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, "-S", str(ROOT / script), "x"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "numpy, pandas, pyarrow" in done.stderr


@pytest.mark.parametrize("other", [True, False])
def test_the_remedy_is_the_environment_of_the_clone_or_the_installation(monkeypatch, tmp_path, capsys, other):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    monkeypatch.setattr(installed, "ROOT", tmp_path)
    monkeypatch.setattr(installed, "PACKAGES", ("no_such_package",))
    monkeypatch.setattr(sys, "prefix", "/usr" if other else str(tmp_path / ".venv"))
    with pytest.raises(SystemExit) as left:
        installed.check()
    assert left.value.code == 2
    remedy = f"source {tmp_path}/.venv/bin/activate" if other else "pip install -r requirements.txt"
    assert f"first: {remedy} " in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["tools", "tools/studies"])
def test_a_script_runs_the_code_of_its_own_clone(tmp_path, folder):
    """Two clones and one environment, in which the first is installed."""
    (tmp_path / "Utils").mkdir()
    (tmp_path / "Utils" / "__init__.py").touch()
    for guide in ("tools/Utils", "tools/studies/Utils"):
        # Another process may be writing there at this moment.
        shutil.copytree(ROOT / guide, tmp_path / guide, ignore=shutil.ignore_patterns("__pycache__"))
    script = tmp_path / folder / "hello.py"
    script.write_text("import Utils; print(Utils.__file__)")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "Utils" / "__init__.py"), done.stderr


@pytest.mark.parametrize("name", ["tools.Utils", "tools.studies.Utils"])
def test_as_a_part_of_tools_the_guide_does_nothing(name):
    """Programs that walk through packages import it by its full name."""
    before = [*sys.path]
    assert importlib.import_module(name).__name__ == name
    assert sys.path == before
