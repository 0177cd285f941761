"""The run folder: what it holds, which commands may continue it, and what is left alone."""

import dataclasses
import json

import helpers
import keras
import numpy as np
import pytest

from Utils.command import accelerators, machine
from Utils.command.cli import UserError
from Utils.data import dataset_folder
from Utils.recipe.recipe import Recipe, read_recipe
from Utils.training import checkpoints, console, run_folder
from Utils.training.history import ROW

FACTS = {"batch_size": 8, "steps_per_epoch": 4, "records": 32}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return dataset_folder.load(helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=4))


def opened(folder, dataset, recipe=None, **facts):
    return run_folder.Run(folder, "demo", recipe or Recipe(), dataset, {**FACTS, **facts})


def test_a_new_folder_explains_itself(tmp_path, dataset, monkeypatch):
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--xla_tpu_x=1")
    monkeypatch.setattr(accelerators, "describe", lambda: "4 x TPU v5e")
    with opened(tmp_path / "run", dataset) as run:
        assert not run.continued
    assert read_recipe(tmp_path / "run" / "recipe.json") == ("demo", Recipe().to_dict())
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["batch_size"] == 8
    assert environment["packages"]["keras"] == keras.__version__
    assert "git" in environment
    assert environment["accelerators"] == "4 x TPU v5e"
    assert environment["processor"] == machine.cpu_name()
    assert environment["compiler_flags"]["LIBTPU_INIT_ARGS"] == "--xla_tpu_x=1"
    assert json.loads((tmp_path / "run" / "dataset.json").read_text()) == dataset.manifest
    assert (
        (tmp_path / "run" / "selected_tags.csv").read_text().startswith("tag_id,name,category,count\n1,blue,")
    )


def test_the_same_command_continues(tmp_path, dataset):
    opened(tmp_path / "run", dataset).__exit__()
    with opened(tmp_path / "run", dataset, Recipe(epochs=200, tracker="none", profile=7)) as run:
        assert run.continued
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert len(environment["continued"]) == 1
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


def test_a_run_folder_whose_creation_was_killed_is_created_again(tmp_path, dataset):
    opened(tmp_path / "run", dataset).__exit__()
    (tmp_path / "run" / "recipe.json").unlink()
    with opened(tmp_path / "run", dataset, Recipe(learning_rate=0.5)) as run:
        assert not run.continued


@pytest.mark.reliability(
    "history.csv of a run is gone, and the run is continued", "refused: best.keras stays"
)
def test_a_run_without_its_scores_is_not_continued(tmp_path, dataset):
    with opened(tmp_path / "run", dataset) as run:
        for epoch in (1, 2):
            run.history.append({**dict.fromkeys(ROW, 1), "epoch": epoch, "val_f1": 0.5 * epoch})
            run.best.touch()
            step = epoch * FACTS["steps_per_epoch"]
            checkpoints.save(run.checkpoints, step, {"a": np.zeros(1)})
    path = tmp_path / "run" / "history.csv"
    opened(tmp_path / "run", dataset).__exit__()
    run.best.unlink()
    said = r"best.keras is gone, the model of the best epoch so far, 2: put it back; or go on .* --which last"
    with pytest.raises(UserError, match=said):
        opened(tmp_path / "run", dataset)
    run.last.touch()
    with pytest.raises(
        UserError, match="put it back, or copy .*model.keras there, which is of the same epoch"
    ):
        opened(tmp_path / "run", dataset)
    path.write_text(path.read_text().replace(",0.5\n", ",2\n"))
    with pytest.raises(UserError, match="the best epoch so far, 1: put it back; or go on"):
        opened(tmp_path / "run", dataset)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"history.csv is empty, which has the scores of 2 epochs"):
        opened(tmp_path / "run", dataset)
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"history.csv is no CSV"):
        run_folder.check(tmp_path / "run", Recipe(), dataset, FACTS)
    path.unlink()
    with pytest.raises(UserError, match=r"history.csv is gone"):
        run_folder.check(tmp_path / "run", Recipe(), dataset, FACTS)


@pytest.mark.reliability("A column of a run's history.csv is renamed or gone", "refused: best.keras stays")
def test_a_run_whose_scores_have_another_name_is_not_continued(tmp_path):
    dataset = dataset_folder.load(helpers.dotted_shards(tmp_path / "data", train=4, validation=2))
    with opened(tmp_path / "run", dataset) as run:
        run.history.append({**dict.fromkeys(ROW, 1), "val_f1": 0.5, "val_threshold": 0.3})
        run.best.touch()
    opened(tmp_path / "run", dataset).__exit__()
    path = tmp_path / "run" / "history.csv"
    text = path.read_text()
    for name, other, hint in (("val_f1", "val_f", "; did you mean val_f"), ("images", "pictures", "")):
        path.write_text(text.replace(name, other))
        with pytest.raises(UserError, match=f"history.csv has no column {name}{hint}.*put it back as it was"):
            opened(tmp_path / "run", dataset)
    run.best.unlink()  # no epoch has had a score: the column may be missing
    path.write_text(text.replace("val_f1", "x"))
    opened(tmp_path / "run", dataset).__exit__()


@pytest.mark.reliability(
    "initialization.json of a run is gone, and the run is continued", "refused: no step is lost"
)
def test_a_run_does_not_begin_with_its_first_weights_again(tmp_path, dataset):
    recipe = Recipe(init_from="x")
    with opened(tmp_path / "run", dataset, recipe) as run:
        checkpoints.save(run.checkpoints, 0, {"a": np.zeros(1)})
    opened(tmp_path / "run", dataset, recipe).__exit__()  # killed before the file was written
    checkpoints.save(run.checkpoints, 1, {"a": np.zeros(1)})
    with pytest.raises(UserError, match="initialization.json is gone.* its 1 steps would be lost"):
        opened(tmp_path / "run", dataset, recipe)


def test_two_cannot_train_in_one_folder(tmp_path, dataset):
    with opened(tmp_path / "run", dataset), pytest.raises(UserError, match="another process trains"):
        opened(tmp_path / "run", dataset)
    opened(tmp_path / "run", dataset).__exit__()


def test_what_another_process_did_before_the_lock_is_not_lost(tmp_path, dataset, monkeypatch):
    lock = run_folder._lock

    def late(path):
        monkeypatch.setattr(run_folder, "_lock", lock)
        with opened(tmp_path / "run", dataset) as other:
            other.history.append({**dict.fromkeys(ROW, 1), "loss": 0.5})
        return lock(path)

    monkeypatch.setattr(run_folder, "_lock", late)
    with opened(tmp_path / "run", dataset) as run:
        assert run.continued
        assert len(run.history.rows) == 1


def test_a_host_that_is_not_the_first_only_reads(tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(console, "_silent", False)
    with pytest.raises(UserError, match="all hosts need the same --run-dir"):
        run_folder.Run(tmp_path / "run", "demo", Recipe(), dataset, FACTS, is_first_host=False)
    with opened(tmp_path / "run", dataset):
        before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
        with run_folder.Run(tmp_path / "run", "demo", Recipe(), dataset, FACTS, is_first_host=False) as run:
            run.history.append({**dict.fromkeys(ROW, 1), "loss": 0.5})
            assert run.continued
        assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    assert console._silent
