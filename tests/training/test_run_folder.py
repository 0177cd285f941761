"""Utils/training/run_folder.py and checkpoints.py: what a folder promises, what may continue, what
survives damage."""

import csv
import dataclasses
import json

import helpers
import keras
import numpy as np
import pytest

from Utils.command.cli import UserError, WorkError
from Utils.data import dataset_folder
from Utils.recipe.recipe import Recipe, read_recipe
from Utils.training import checkpoints, loop, run_folder

FACTS = {"batch_size": 8, "steps_per_epoch": 4, "records": 32}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return dataset_folder.load(helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=4))


def opened(folder, dataset, recipe=None, **facts):
    return run_folder.Run(folder, "demo", recipe or Recipe(), dataset, {**FACTS, **facts})


def test_a_new_folder_explains_itself(tmp_path, dataset):
    with opened(tmp_path / "run", dataset) as run:
        assert not run.continued
    assert read_recipe(tmp_path / "run" / "recipe.json") == ("demo", Recipe().to_dict())
    made = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert made["batch_size"] == 8
    assert made["packages"]["keras"] == keras.__version__
    assert "git" in made
    assert json.loads((tmp_path / "run" / "dataset.json").read_text()) == dataset.manifest
    assert (
        (tmp_path / "run" / "selected_tags.csv").read_text().startswith("tag_id,name,category,count\n1,blue,")
    )


def test_the_same_command_continues(tmp_path, dataset):
    opened(tmp_path / "run", dataset).__exit__()
    with opened(tmp_path / "run", dataset, Recipe(epochs=200, tracker="none", checkpoint_every="5m")) as run:
        assert run.continued
    made = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert len(made["continued"]) == 1
    assert read_recipe(tmp_path / "run" / "recipe.json")[1]["epochs"] == 200


@pytest.mark.parametrize(
    ("change", "facts", "said"),
    [
        ({"learning_rate": 0.5}, {}, "--learning-rate was 0.0005, is 0.5"),
        ({"crop": (0.5, 1.0)}, {}, "--crop was [0.87, 0.998], is [0.5, 1.0]"),
        ({}, {"batch_size": 16}, "batch size was 8, is 16"),
        ({}, {"records": 31}, "records was 32, is 31"),
        ({"epochs": 99}, {}, "--epochs may rise, not fall"),
    ],
)
def test_what_would_change_the_result_is_named(tmp_path, dataset, change, facts, said):
    opened(tmp_path / "run", dataset).__exit__()
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(UserError) as error:
        opened(tmp_path / "run", dataset, Recipe(**change), **facts)
    assert said in str(error.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_another_tag_list_is_refused(tmp_path, dataset):
    opened(tmp_path / "run", dataset).__exit__()
    other = dataclasses.replace(dataset, tags=dataset.tags.assign(tag_id=dataset.tags["tag_id"] + 1))
    with pytest.raises(UserError, match="another tag list"):
        opened(tmp_path / "run", other)


def test_other_records_are_refused(tmp_path, dataset):
    opened(tmp_path / "run", dataset).__exit__()
    manifest = {**dataset.manifest, "records": {"train": {"shards": [{"records": 4, "sha256": "0"}]}}}
    with pytest.raises(UserError, match="the dataset has other train records"):
        opened(tmp_path / "run", dataclasses.replace(dataset, manifest=manifest))


def test_what_a_flag_names_is_compared_by_its_content(tmp_path, dataset):
    opened(tmp_path / "run", dataset, contents={"--unknown-labels": "a"}).__exit__()
    opened(tmp_path / "run", dataset, contents={"--unknown-labels": "a"}).__exit__()
    with pytest.raises(UserError, match="what --unknown-labels names has changed"):
        opened(tmp_path / "run", dataset, contents={"--unknown-labels": "b"})


def test_a_run_from_before_a_field_was_there_continues(tmp_path, dataset):
    opened(tmp_path / "run", dataset).__exit__()
    place = tmp_path / "run" / "recipe.json"
    fields = json.loads(place.read_text())
    del fields["augment_on"]
    place.write_text(json.dumps(fields))
    with pytest.raises(UserError, match="--augment-on was host, is device"):
        opened(tmp_path / "run", dataset, Recipe(augment_on="device"))
    with opened(tmp_path / "run", dataset) as run:
        assert run.continued


def test_more_devices_with_smaller_shares_may_continue(tmp_path, dataset):
    opened(tmp_path / "run", dataset, Recipe(batch_size_per_device=8)).__exit__()
    opened(tmp_path / "run", dataset, Recipe(batch_size_per_device=4)).__exit__()


def test_a_folder_that_is_no_run_is_left_alone(tmp_path, dataset):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        opened(tmp_path, dataset)
    with pytest.raises(UserError, match="is a file"):
        opened(tmp_path / "thesis.tex", dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_whose_making_was_killed_is_made_anew(tmp_path, dataset):
    opened(tmp_path / "run", dataset).__exit__()
    (tmp_path / "run" / "recipe.json").unlink()
    with opened(tmp_path / "run", dataset, Recipe(learning_rate=0.5)) as run:
        assert not run.continued


def test_two_cannot_train_in_one_folder(tmp_path, dataset):
    with opened(tmp_path / "run", dataset), pytest.raises(UserError, match="another process trains"):
        opened(tmp_path / "run", dataset)
    opened(tmp_path / "run", dataset).__exit__()


def test_history_has_one_row_an_epoch(tmp_path):
    history = run_folder.History(tmp_path / "history.csv")
    history.append({"epoch": 1, "loss": 0.5, "val_f1": 0.25})
    history.append({"epoch": 2, "loss": 0.25, "val_f1": float("nan")})
    history.append({"epoch": 3, "loss": 0.125, "val_f1": 0.75})
    again = run_folder.History(tmp_path / "history.csv")
    assert again.best("val_f1") == 0.75
    assert again.best("val_recall") == -np.inf
    again.keep(2)
    again.append({"epoch": 3, "loss": 0.0625, "val_f1": 0.5})
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[2]["loss"] == "0.0625"


def model():
    keras.backend.clear_session()
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.5, seed=1)])
    made.compile(keras.optimizers.Adam(0.1, use_ema=True), "mse")
    made.optimizer.build(made.trainable_variables)
    return made


def test_the_state_is_everything_that_training_changes():
    trained, x = model(), np.random.default_rng(0).random((8, 3)).astype("float32")
    before = checkpoints.capture(trained)
    trained.fit(x, x @ np.ones((3, 4), "float32"), epochs=2, verbose=0)
    after = checkpoints.capture(trained)
    same = [name for name in before if np.array_equal(before[name], after[name])]
    assert all("learning_rate" in name for name in same), same
    assert any("seed_generator" in name for name in after)
    assert any("average" in name for name in after)
    fresh = model()
    checkpoints.restore(fresh, after)
    restored = checkpoints.capture(fresh)
    assert all(np.array_equal(restored[name], after[name]) for name in after)


def test_a_state_of_another_model_is_refused():
    state = checkpoints.capture(model())
    name = next(name for name in state if name.startswith("model/") and name.endswith("kernel"))
    with pytest.raises(WorkError, match="shape"):
        checkpoints.restore(model(), {**state, name: np.zeros((3, 5), "float32")})
    with pytest.raises(WorkError, match="lacks 1 variables"):
        checkpoints.restore(model(), {key: value for key, value in state.items() if key != name})
    with pytest.raises(WorkError, match="has 1 that are not"):
        checkpoints.restore(model(), {**state, "model/other": np.zeros(1)})


def test_the_last_ones_are_kept_and_the_newest_whole_one_is_used(tmp_path, capsys):
    for step in (2, 4, 6):
        checkpoints.save(tmp_path, step, {"model/a": np.full(3, step)}, keep=2)
    names = ["newest.json", "step-000000004.npz", "step-000000006.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    step, state = checkpoints.load(tmp_path)
    assert (step, state["model/a"].tolist()) == (6, [6, 6, 6])
    assert loop._state_after(6, tmp_path)[0] == 6
    newest = checkpoints.newest(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-1])
    assert checkpoints.load(tmp_path)[0] == 4
    with pytest.raises(WorkError, match="step 6 is damaged"):  # the stream of data is already after it
        loop._state_after(6, tmp_path)
    assert "damaged" in capsys.readouterr().err
    (tmp_path / names[1]).unlink()
    with pytest.raises(WorkError, match="no checkpoint"):
        checkpoints.load(tmp_path)


def test_half_written_checkpoints_are_swept_away(tmp_path):
    assert checkpoints.load(tmp_path) == (0, None)
    (tmp_path / ".step-000000009.npz.123.part.npz").write_bytes(b"half")
    checkpoints.save(tmp_path, 10, {"model/a": np.zeros(1)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newest.json", "step-000000010.npz"]


def test_a_state_with_a_nan_is_told():
    assert checkpoints.is_finite({"a": np.zeros(2), "b": np.arange(3)})
    assert not checkpoints.is_finite({"a": np.array([0.0, np.nan])})
