"""Utils/files/model_files.py: the last model is asked of runs only."""

import hashlib

import pytest

from Utils.command.cli import UserError
from Utils.files import model_files
from Utils.recipe import initial_weights
from Utils.serving import onnx_tagger


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


def test_only_a_run_s_own_file_has_a_digest(tmp_path):
    released = tmp_path / model_files.RELEASED_MODEL
    released.parent.mkdir(parents=True)
    for folder in (tmp_path, released.parent):
        (folder / "model.keras").write_bytes(b"12")
        assert model_files.digest_in_run(folder / "model.keras") is None
        (folder / "recipe.json").touch()
    assert model_files.digest_in_run(released) is None
    assert model_files.digest_in_run(tmp_path / "model.keras") == hashlib.sha256(b"12").hexdigest()
    assert model_files.digest_in_run(tmp_path / "best.keras") is None


def test_files_of_the_original_zoo_are_told_the_command_that_takes_them(tmp_path):
    saved, weights = tmp_path / "saved model", tmp_path / "a.h5"
    (saved / "variables").mkdir(parents=True)
    (saved / "variables" / "variables.index").touch()
    weights.touch()
    assert model_files.import_hint(saved) == (
        ". As a SavedModel of the original zoo it becomes a .keras file by "
        f"python tools/import_weights.py '{saved}' -o NAME.keras"
    )
    assert "As HDF5 of the original zoo" in model_files.import_hint(weights)
    for other in (tmp_path, tmp_path / "gone.h5", tmp_path / "a.keras"):
        assert model_files.import_hint(other) == ""
    with pytest.raises(UserError, match=r"a\.h5.*tools/import_weights\.py"):
        onnx_tagger.load(weights, print)
    for path in (saved, weights):
        with pytest.raises(UserError, match=r"tools/import_weights\.py"):
            initial_weights.find(path)
