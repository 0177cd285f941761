"""Checkpoints: the state is everything that training changes, and a damaged file is passed over."""

import json

import keras
import numpy as np
import pytest

from Utils.command.cli import WorkError
from Utils.training import checkpoints


def dense_model():
    keras.backend.clear_session()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.5, seed=1)])
    model.compile(keras.optimizers.Adam(0.1, use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_the_state_is_everything_that_training_changes():
    trained, x = dense_model(), np.random.default_rng(0).random((8, 3)).astype("float32")
    before = checkpoints.capture(trained)
    trained.fit(x, x @ np.ones((3, 4), "float32"), epochs=2, verbose=0)
    after = checkpoints.capture(trained)
    same = [name for name in before if np.array_equal(before[name], after[name])]
    assert all("learning_rate" in name for name in same), same
    assert any("seed_generator" in name for name in after)
    assert any("average" in name for name in after)
    fresh = dense_model()
    checkpoints.restore(fresh, after)
    restored = checkpoints.capture(fresh)
    assert all(np.array_equal(restored[name], after[name]) for name in after)


def test_a_state_of_another_model_is_refused():
    state = checkpoints.capture(dense_model())
    name = next(name for name in state if name.startswith("model/") and name.endswith("kernel"))
    with pytest.raises(WorkError, match="shape"):
        checkpoints.restore(dense_model(), {**state, name: np.zeros((3, 5), "float32")})
    with pytest.raises(WorkError, match="lacks 1 variables"):
        checkpoints.restore(dense_model(), {key: value for key, value in state.items() if key != name})
    with pytest.raises(WorkError, match="has 1 that are not"):
        checkpoints.restore(dense_model(), {**state, "model/other": np.zeros(1)})


def test_the_newest_undamaged_checkpoint_is_loaded_and_old_ones_are_deleted(tmp_path, capsys):
    for step in (2, 4, 6):
        checkpoints.save(tmp_path, step, {"model/a": np.full(3, step)}, keep=2)
    names = ["newest.json", "step-000000004.npz", "step-000000006.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    step, state = checkpoints.load(tmp_path)
    assert (step, state["model/a"].tolist()) == (6, [6, 6, 6])
    newest = checkpoints.newest(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-1])
    assert checkpoints.load(tmp_path)[0] == 4
    assert "damaged" in capsys.readouterr().err
    (tmp_path / names[1]).unlink()
    with pytest.raises(WorkError, match="no checkpoint"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize(
    "pointer",
    [None, b"", b"[]", b'[{"file": "step-000000006.npz", "step": 7, "sha256": "0"}]', b'{"file": 1}'],
)
def test_without_its_pointer_a_folder_has_the_checkpoints_that_are_whole(tmp_path, capsys, pointer):
    for step in (2, 4, 6, 8):
        checkpoints.save(tmp_path, step, {"model/a": np.full(3, step)}, keep=4)
    path = tmp_path / checkpoints.POINTER
    listed = json.loads(path.read_bytes())
    path.unlink() if pointer is None else path.write_bytes(pointer)
    cut, flipped = (tmp_path / f"step-00000000{step}.npz" for step in (8, 6))
    cut.write_bytes(cut.read_bytes()[:-1])
    content = flipped.read_bytes()
    flipped.write_bytes(content.replace(np.full(3, 6).tobytes(), np.full(3, 7).tobytes()))
    (tmp_path / ".step-000000009.npz.1.part.npz").write_bytes(content)  # what a killed process leaves
    step, state = checkpoints.load(tmp_path)
    assert (step, state["model/a"].tolist()) == (4, [4, 4, 4])
    assert "2 checkpoints beside it are whole" in capsys.readouterr().err
    assert checkpoints.newest_step(tmp_path) == 4
    checkpoints.save(tmp_path, 5, {"model/a": np.full(3, 5)}, keep=4)
    assert json.loads(path.read_bytes())[1:] == listed[2:]


@pytest.mark.reliability("newest.json of a run, damaged in a digest", "the newest whole checkpoint is taken")
def test_a_damaged_digest_costs_no_checkpoint(tmp_path, capsys):
    for step in (2, 4):
        checkpoints.save(tmp_path, step, {"model/a": np.full(3, step)}, keep=2)
    path = tmp_path / checkpoints.POINTER
    listed = json.loads(path.read_bytes())
    listed[0]["sha256"] = "0" + listed[0]["sha256"][1:-1] + "0"
    path.write_text(json.dumps(listed))
    step, state = checkpoints.load(tmp_path)
    assert (step, state["model/a"].tolist()) == (4, [4, 4, 4])
    assert "another SHA-256 of" in capsys.readouterr().err
    (tmp_path / "step-000000004.npz").write_bytes((tmp_path / "step-000000002.npz").read_bytes()[:-9])
    assert checkpoints.load(tmp_path)[0] == 2


def test_a_damaged_pointer_with_no_whole_checkpoint_is_no_new_run(tmp_path):
    checkpoints.save(tmp_path, 2, {"model/a": np.zeros(3)}).write_bytes(b"")
    (tmp_path / checkpoints.POINTER).write_bytes(b"")
    with pytest.raises(WorkError, match="no checkpoint in"):
        checkpoints.load(tmp_path)


def test_half_written_checkpoints_are_swept_away(tmp_path):
    assert checkpoints.load(tmp_path) == (0, None)
    (tmp_path / ".step-000000009.npz.123.part.npz").write_bytes(b"half")
    checkpoints.save(tmp_path, 10, {"model/a": np.zeros(1)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newest.json", "step-000000010.npz"]


@pytest.mark.reliability("somebody keeps copies in the folder of the checkpoints", "they stay")
def test_what_is_no_checkpoint_stays(tmp_path):
    kept = {"step-000000002.good.npz", "notes.txt", "aside"}
    (tmp_path / "aside").mkdir()
    for name in kept - {"aside"}:
        (tmp_path / name).touch()
    (tmp_path / "step-000000007.orbax-checkpoint-tmp-1").mkdir()  # of a killed process
    for step in (2, 4):
        checkpoints.save(tmp_path, step, {"model/a": np.zeros(1)}, keep=1)
    assert {path.name for path in tmp_path.iterdir()} == kept | {"newest.json", "step-000000004.npz"}


def test_a_state_with_a_nan_is_not_finite():
    assert checkpoints.is_finite({"a": np.zeros(2), "b": np.arange(3)})
    assert not checkpoints.is_finite({"a": np.array([0.0, np.nan])})
