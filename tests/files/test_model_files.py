"""Utils/files/model_files.py: the last model is asked of runs only."""

import pytest

from Utils.command.cli import UserError
from Utils.files import model_files


def test_the_last_model_is_that_of_a_run(tmp_path):
    file, release, run = (tmp_path / name for name in ("a.keras", "release", "run"))
    file.touch()
    (release / "extra" / "keras").mkdir(parents=True)
    (release / model_files.RELEASED_MODEL).touch()
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "model.safetensors").touch()
    for path in (file, release, tmp_path / "timm"):
        model_files.require_choice(path, "best")
        with pytest.raises(UserError, match=f"for runs, which have two models; {path} has one"):
            model_files.require_choice(path, "last")
    run.mkdir()
    model_files.require_choice(run, "last")  # that it has none yet is said elsewhere
    (run / "model.keras").touch()
    (run / "model.safetensors").touch()
    model_files.require_choice(run, "last")
    model_files.require_choice(tmp_path / "nowhere", "last")
