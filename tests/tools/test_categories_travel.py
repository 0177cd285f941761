"""Categories beyond Danbooru's, from a booru's posts to a tagger's words: none is lost or called general."""

import csv
import json

import pytest
from helpers import jpeg

import train
from tools import (
    analyze_metrics,
    export_model,
    find_thresholds,
    make_report,
    predict,
    select_tags,
    tag_images,
    write_records,
)
from Utils.data import danbooru_fields
from Utils.tags import tag_categories, tag_list

TAGS = {"general": ["solo"], "character": ["a_(b)"], "species": ["canine"], "lore": ["old_(lore)"],
        "meta": ["hi_res"], "invalid": ["tagme"], "studio": ["ghibli"]}  # fmt: skip
STUDIO = danbooru_fields.parse_category("studio")  # the code made from a name that nobody numbers
NAMES = {STUDIO: "studio", 0: "general", 4: "character", 5: "species", 6: "invalid", 7: "meta", 8: "lore"}
DEFINITION = """name = "travel"
image_size = 32
splits = {train = [0, 899], validation = [900, 999]}
ratings = ["s", "q", "e"]
categories = ["general", "character", "species", "lore", "meta", "invalid", STUDIO]
min_tag_count = 1
min_tag_images = 1
min_tag_share = 0.0
min_tags_per_image = 1
"""
TRAIN = """convnext_t --model ConvNext/test --model-options depths=1,1 widths=8,16 --image-size 32
--tracker none --batch-size-per-device 4 --epochs 1 --steps-per-epoch 2 --optimizer sgd"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("travel")
    posts = []
    for number in (*range(1, 9), *range(901, 905)):
        tags = {
            name: tags for place, (name, tags) in enumerate(TAGS.items()) if (number + place) % 3 or not place
        }
        posts.append({"id": number, "rating": "s", "flags": {"deleted": False}, "file": {}, "tags": tags})
        (folder / "booru").mkdir(exist_ok=True)
        (folder / "booru" / f"{number}.jpg").write_bytes(jpeg(number, 32))
    (folder / "booru" / "posts.json").write_text(json.dumps({"posts": posts}))
    (folder / "definition.toml").write_text(DEFINITION.replace("STUDIO", str(STUDIO)))
    run(select_tags, folder / "definition.toml", "--from", folder / "booru", "-o", folder / "dataset")
    run(write_records, folder / "dataset", "--workers", "1")
    run(train, *TRAIN.split(), "--dataset", folder / "dataset", "--run-dir", folder / "run")
    run(
        predict,
        folder / "run",
        "--dataset",
        folder / "dataset",
        "--split",
        "validation",
        "-o",
        folder / "dump",
    )
    run(
        find_thresholds,
        folder / "dump",
        "-o",
        folder / "thresholds.csv",
        "--rule",
        "max-f1",
        "--per",
        "category",
    )
    run(make_report, folder / "dump", "-o", folder / "report")
    run(export_model, folder / "run", "-o", folder / "release", "--layout", "full", "--thresholds",
        folder / "thresholds.csv")  # fmt: skip
    return folder


def run(tool, *words):
    assert tool.main([str(word) for word in words]) == 0


@pytest.mark.parametrize("place", ["dataset", "run", "dump", "release"])
def test_every_list_names_its_categories(folder, place):
    frame = tag_list.read(folder / place / "selected_tags.csv")
    known = tag_categories.names_of(frame)
    of_tags = {
        name: tag_categories.name_of(code, known)
        for name, code in zip(frame["name"], frame["category"], strict=True)
    }
    assert of_tags == {tag: name for name, tags in TAGS.items() for tag in tags}
    stated = json.loads((folder / place / "categories.json").read_text())
    assert {row["category"]: row["name"] for row in stated} == NAMES
    assert sum(row["count"] for row in stated) == len(frame) == len(TAGS)


@pytest.mark.parametrize("category", ["species", "5", "lore", "meta", "7", "studio"])
def test_scores_are_selected_by_name_or_code(folder, category, capsys):
    run(analyze_metrics, "-d", folder / "dump", "-c", category, "-t", "0.5", "--json")
    assert json.loads(capsys.readouterr().out)


def test_an_unknown_name_is_an_error_that_lists_the_names(folder, capsys):
    assert analyze_metrics.main(["-d", str(folder / "dump"), "-c", "specis", "-t", "0.5"]) == 2
    error = capsys.readouterr().err
    assert "species (5)" in error
    assert "did you mean species" in error


def test_thresholds_and_report_say_the_names(folder):
    with (folder / "thresholds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    of_categories = {row["category"] for row in rows if row["scope"] == "category"}
    assert of_categories & {"species", "5"}
    assert not any(row["category"] in ("general", "0") and row["name"] == "canine" for row in rows)
    page = (folder / "report" / "report.html").read_text()
    for name in NAMES.values():
        assert name in page


def test_a_tagger_says_the_names(folder, tmp_path):
    """Hydrus gets them as namespaces, a choice of categories takes them."""
    picture = tmp_path / "1.jpg"
    picture.write_bytes(jpeg(1, 32))
    run(tag_images, folder / "release", picture, "--format", "hydrus", "--threshold", "0")
    lines = (tmp_path / "1.jpg.txt").read_text().split("\n")
    for line in ("species:canine", "lore:old_(lore)", "character:a_(b)", "studio:ghibli", "solo"):
        assert line in lines
