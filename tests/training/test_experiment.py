"""What follows from recipe, dataset and devices, and how a run is described before it begins."""

import dataclasses
import pathlib

import keras
import numpy as np
import pandas as pd
import pytest

from Generators.training_records import TrainingRecords
from Utils.command.cli import UserError
from Utils.data.dataset_folder import Dataset
from Utils.data.repeat_factors import RepeatFactors
from Utils.recipe.recipe import Recipe
from Utils.training import experiment, schedules
from Utils.training.devices import Devices

TWO = Devices("2 GPUs", "GPU", 2, True)


@pytest.fixture
def dataset():
    tags = pd.DataFrame({"tag_id": [1, 2], "name": ["red", "blue"], "weight": [1.0, 0.5]})
    return Dataset(pathlib.Path("data"), "data", tags, {}, 64, ("train",))


def test_facts_follow_from_the_devices(dataset):
    recipe = Recipe(batch_size_per_device=8)
    facts = experiment.derive_facts(recipe, dataset, TWO, records=100)
    assert facts == {
        "devices": "2 GPUs", "batch_size": 16, "records": 100, "steps_per_epoch": 6, "contents": {},
    }  # fmt: skip


def test_what_the_recipe_names_is_digested(dataset, tmp_path):
    labels = tmp_path / "unknown.csv"
    labels.write_text("post_id,tag\n1,red\n")
    recipe = Recipe(unknown_labels=str(labels), tag_weights="weight")
    contents = experiment.derive_facts(recipe, dataset, TWO, records=100)["contents"]
    assert set(contents) == {"--unknown-labels", "--tag-weights"}
    other = dataclasses.replace(dataset, tags=dataset.tags.assign(weight=[1.0, 0.25]))
    changed = experiment.derive_facts(recipe, other, TWO, records=100)["contents"]
    assert changed["--tag-weights"] != contents["--tag-weights"]
    assert changed["--unknown-labels"] == contents["--unknown-labels"]


def test_a_teacher_is_digested_and_described(dataset):
    class Teacher:
        digest, text = "abc", "a teacher"

    facts = experiment.derive_facts(Recipe(), dataset, TWO, 100, TrainingRecords(teacher=Teacher()))
    assert (facts["contents"], facts["teacher"]) == ({"--teacher": "abc"}, "a teacher")


def test_an_epoch_is_as_long_as_a_pass_with_its_repeats(dataset):
    repeats = RepeatFactors(np.arange(100), np.full(100, 1.5), 0)
    facts = experiment.derive_facts(
        Recipe(batch_size_per_device=8), dataset, TWO, 100, TrainingRecords(repeats=repeats)
    )
    assert facts["steps_per_epoch"] == 150 // 16
    assert facts["records"] == 100
    assert facts["repeats"] == repeats.text
    assert facts["contents"] == {"--sampling": repeats.digest}


def test_no_record_is_an_error_that_names_the_fold(dataset):
    with pytest.raises(UserError, match="the training split of data is empty"):
        experiment.derive_facts(Recipe(), dataset, TWO, records=0)
    with pytest.raises(UserError, match="data, fold 0/2 left out, is empty"):
        experiment.derive_facts(Recipe(fold="0/2"), dataset, TWO, records=0)
    shards = {"records": {"train": {"shards": [{"file": "x", "records": 100}]}}}
    with pytest.raises(UserError, match="--fold 0/999 leaves out none of the 100"):
        experiment.derive_facts(Recipe(fold="0/999"), dataclasses.replace(dataset, manifest=shards), TWO, 100)


def test_batch_norm_is_measured_on_no_more_images_than_there_are(dataset):
    experiment.derive_facts(Recipe(batch_norm_images=100), dataset, TWO, records=100)
    with pytest.raises(UserError, match="may be up to 100, the training records; got 101"):
        experiment.derive_facts(Recipe(batch_norm_images=101), dataset, TWO, records=100)


def test_the_summary_says_what_a_run_would_be(dataset):
    recipe = Recipe(batch_size_per_device=8, epochs=10, learning_rate=1e-3, learning_rate_batch_size=16)
    facts = experiment.derive_facts(recipe, dataset, TWO, records=100)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    schedule = schedules.build(recipe, 6, 16)
    described = experiment.Experiment(
        recipe, dataset, TWO, facts, iter, None, model=model, trained_model=model, schedule=schedule
    )
    summary = described.summary()
    assert summary["model"] == "ConvNext/T, 320 px, 2 labels"
    assert summary["weights"] == "fresh, classifier at the tags' frequencies"
    assert summary["parameters"] == "10"
    assert summary["global batch"] == "16 (8 on each device)"
    assert summary["steps"] == "6 an epoch (100 records), 60 in 10 epochs"
    assert summary["learning rate"] == "0.001 at first, 0.001 at the peak, 1e-05 at last"
