"""The card tells what is known of a release, says what is not, and is the same text from the same facts."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
import yaml

from Utils.report import model_card

MANIFEST = {
    "name": "small",
    "source": {"kind": "fire-eggs"},
    "definition": {
        "splits": {"train": [0, 899], "validation": [950, 999]},
        "ratings": ["g", "s"],
        "exclude_status": ["deleted", "banned"],
        "min_tags_per_image": 3,
        "min_tag_count": 60,
        "min_tag_images": 50,
        "max_tags": 2380,
    },
    "records": {"train": {"records": 2495}, "validation": {"records": 141}},
}


def frame(*rows):
    return pd.DataFrame(rows, columns=["tag_id", "name", "category", "count"])


@pytest.fixture
def facts():
    rows = [(9, "general", 9, 50), (1, "1girl", 0, 1200), (2, "a|b", 0, 60), (3, "reimu", 4, 70)]
    table = pd.DataFrame({"scope": ["all"], "threshold": [0.25], "rule": ["max-f1"]})
    return model_card.Facts(
        name="mine",
        layout="wd",
        image_size=448,
        parameters=1234567,
        tags=frame(*rows),
        other_tags=frame((5, "touhou", 3, 90)),
        model="ViT/B16",
        timm="vit_base_patch16_224",
        recipe={"model": "ViT/B16", "loss": "bce", "epochs": 3, "ema": 0.0, "model_options": ["depth=1"]},
        history={"epoch": 2, "images": 4000, "val_f1": 0.54321, "val_threshold": 0.3456},
        manifest=MANIFEST,
        formats={
            "onnx": {"path": "model.onnx", "written": True, "maximum": 1e-6, "p999": 1e-7},
            "onnx_float16": {"path": "extra/onnx_float16/model.onnx", "written": True, "maximum": 2e-3,
                             "p999": 1e-3, "f1_difference": -0.0004},
            "onnx_int8": {"path": "extra/onnx_int8/model.onnx", "written": False, "maximum": 0.5,
                          "p999": 0.2, "why": "static: the loss of F1 is 0.2, over 0.01"},
        },
        thresholds=table,
    )  # fmt: skip


@pytest.mark.reliability(
    "a model card that says what nobody knows", "it says what dataset.json and the export say, no more"
)
def test_the_card_says_what_the_dataset_and_the_export_say(facts):
    def card(source, **changes):
        manifest = {**MANIFEST, "source": source}
        return model_card.render(dataclasses.replace(facts, manifest=manifest, **changes))

    assert "rated g or s, with" in card({"kind": "jsonl"})
    for source in ({"kind": "sidecars"}, {"kind": "jsonl", "keeps_unrated": True}):
        assert "rated g or s or without a rating, with" in card(source)
    assert "export with `--embedding`" in card({"kind": "jsonl"})
    assert "export with `--embedding`" not in card({"kind": "jsonl"}, embedding=True)
    assert "`wd-v1-4-convnextv2-tagger-v2` or `Z3D-E621-Convnext`" in card({"kind": "jsonl"})


def section(card, title):
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_front_matter_is_read_by_hubs(facts):
    card = model_card.render(facts)
    assert card == model_card.render(facts)
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["pipeline_tag"] == "image-classification"
    assert front["library_name"] == "timm"
    assert "license" not in front
    assert "No license is stated" in card
    licensed = dataclasses.replace(facts, license="mit", timm="")
    front = yaml.safe_load(model_card.render(licensed).split("---\n")[1])
    assert (front["license"], front["library_name"]) == ("mit", "onnx")
    assert "No license" not in model_card.render(licensed)


def test_data_and_training(facts):
    card = model_card.render(facts)
    assert "4 tags (1 rating, 2 general and 1 character)" in card
    assert "1,234,567 parameters" in card
    data = section(card, "Data")
    assert "| train | 2,495 |" in data
    assert "| validation | 141 |" in data
    assert "| general | 2 | 630 | 60 |" in data
    assert "| copyright | 1 | 90 | 90 |" in data  # of the flavor with all tags
    assert "rated g or s, with at least 3 tags; without posts that are deleted or banned" in data
    training = section(card, "Training")
    assert "| `model_options` | depth=1 |" in training
    assert "`ema`" not in training  # off
    assert "| images seen | 4,000 |" in training
    assert "not known" in section(model_card.render(dataclasses.replace(facts, recipe={})), "Training")
    assert "Nothing is known" in section(model_card.render(dataclasses.replace(facts, manifest={})), "Data")


def test_formats_that_were_left_out_are_named_with_the_reason(facts):
    files = section(model_card.render(facts), "Files")
    assert "| extra/onnx_float16/model.onnx | differs from Keras by 0.002 at most" in files
    assert "F1 by -0.0004" in files
    assert "onnx_int8 was asked for and left out: static: the loss of F1 is 0.2, over 0.01." in files
    assert "| extra/onnx_int8" not in files


def test_without_a_dump_the_scores_are_those_of_the_run(facts):
    scores = section(model_card.render(facts), "Scores")
    assert "micro F1 0.5432 at the threshold 0.3456" in scores
    assert "--dump" in scores
    nothing = dataclasses.replace(facts, history={}, thresholds=None)
    assert "None were measured" in section(model_card.render(nothing), "Scores")
    assert "0.35" in section(model_card.render(nothing), "Thresholds")


def test_with_dumps_every_category_has_an_interval(facts):
    random = np.random.default_rng(0)
    labels = (random.random((40, 4)) < 0.4).astype(np.uint8)
    noisy = np.clip(labels + random.normal(0, 0.4, labels.shape), 0, 1).astype(np.float32)
    dump = types.SimpleNamespace(
        info={"split": "validation"}, name="x", labels=labels, probabilities=noisy, tags=facts.tags
    )
    split, images, rows = model_card.headline_of(dump)
    assert (split, images) == ("validation", 40)
    card = model_card.render(dataclasses.replace(facts, headlines=((split, images, rows),)))
    scores = section(card, "Scores")
    assert "validation, 40 images:" in scores
    model = rows[0]["model"]
    assert model["F1_low"] < model["F1"] < model["F1_high"]
    assert f"| all | 4 | {model['F1']:.4f} | {model['F1_low']:.4f} to {model['F1_high']:.4f} |" in scores
    assert {"| rating |", "| general |", "| character |"} <= {line[: line.find("|", 2) + 1]
                                                             for line in scores.splitlines()}  # fmt: skip
    assert f"all {model['thres']:.4f}" in section(card, "Thresholds")


def test_the_card_says_how_every_client_loads_the_folder(facts):
    usage = section(model_card.render(facts), "How to use it")
    for words in (
        "tag_images.py mine",
        "--format hydrus",
        "serve.py mine",
        "--repo_id mine",
        "models/TaggerOnnx/NAME/",
        "`mine.csv`",
        "wd14-tagger-standalone",
        "hf-hub",
        "imgutils",
    ):
        assert words in usage, words  # fmt: skip
    assert "None was run on this release" in " ".join(usage.split())
    small = model_card.render(dataclasses.replace(facts, image_size=320, timm=""))
    assert "does not take it" in section(small, "How to use it")
    assert "wdv3" not in section(small, "How to use it")
    assert "The side is 320, not 448" in small
    full = model_card.render(dataclasses.replace(facts, layout="full"))
    assert "kohya" not in full
    assert "None was run on this release" not in full
    assert "need the layout `wd`" in " ".join(full.split())


def test_history_ends_at_the_epoch_of_the_model(tmp_path):
    path, by_f1 = tmp_path / "history.csv", ("val_f1", False)
    assert model_card.history_until(path, by_f1).empty
    path.write_text("epoch,val_f1,val_loss\n1,0.2,inf\n2,0.5,3\n3,0.4,2\n4,0.4,2.5\n")
    assert model_card.history_until(path, by_f1)["epoch"].tolist() == [1, 2]
    assert model_card.history_until(path, ("val_loss", True))["epoch"].tolist() == [1, 2, 3]
    assert model_card.history_until(path, ("val_macro_f1", False))["epoch"].tolist() == [1, 2, 3, 4]
    assert model_card.history_until(path, None)["epoch"].tolist() == [1, 2, 3, 4]
