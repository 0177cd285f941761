"""Utils/data/default_definition.py: values that fit the posts, and a text that reads back the same."""

import pandas as pd
import pytest

from Utils.data import default_definition
from Utils.data.definition import Definition, definition_from_dict, read_definition


def tags(*counts, categories=None):
    categories = categories or [0] * len(counts)
    names = [f"tag_{number}" for number in range(len(counts))]
    return pd.DataFrame({"name": names, "category": categories, "count": counts})


def propose(num_posts, frame=None, side=800, name="mine"):
    return default_definition.propose(name, num_posts, tags(num_posts) if frame is None else frame, side)


def test_more_posts_mean_more_pictures_a_tag_and_smaller_shares():
    numbers = [3, 12, 60, 300, 1500, 8000, 40_000, 200_000, 900_000]
    definitions = [propose(number)[0] for number in numbers]
    least = [definition.min_tag_images for definition in definitions]
    assert least == sorted(set(least))
    assert least[0] == 1
    judged = [1 - definition.shares["train"] for definition in definitions]
    assert judged == sorted(judged, reverse=True)
    assert "test" in definitions[-1].shares
    assert all(definition.ratings == ("g", "s", "q", "e") for definition in definitions)


def test_the_minimum_never_drops_every_tag():
    definition, reasons = propose(300, tags(1, 2, 3))
    assert definition.min_tag_images == 3
    assert "5 would leave no tag" in reasons["min_tag_images"]


def test_categories_are_those_of_the_source_without_meta_and_ratings():
    frame = tags(9, 9, 9, 9, 9, categories=[4, 5, 9, 0, 10])
    assert propose(9, frame)[0].categories == (0, 4, 10)
    assert propose(9, tags(9, categories=[5]))[0].categories == (0,)


@pytest.mark.parametrize(("side", "stored"), [(50, 64), (64, 64), (300, 384), (512, 512), (4000, 512)])
def test_pictures_are_stored_no_larger_than_they_are(side, stored):
    assert propose(9, side=side)[0].image_size == stored


@pytest.mark.parametrize(("name", "clean"), [("my set", "my_set"), ("…", "_"), (".x", "x"), ("", "dataset")])
def test_any_folder_gives_a_name(name, clean):
    assert propose(9, name=name)[0].name == clean


def test_the_text_reads_back_as_the_same_definition(tmp_path):
    definition, reasons = propose(300)
    text = default_definition.to_toml(definition, reasons)
    (tmp_path / "definition.toml").write_text(text, encoding="utf-8")
    assert read_definition(tmp_path) == definition
    assert all(f"# {reason}" in text for reason in reasons.values())
    odd = Definition("x", exclude_tags=('a"b\\', "猫", "\x7f"), ratings_map={"s": "general"}, include_tags=())
    (tmp_path / "definition.toml").write_text(default_definition.to_toml(odd), encoding="utf-8")
    assert read_definition(tmp_path) == odd


def test_quality_words_are_spelled_as_tags():
    words = default_definition.QUALITY_WORDS
    assert definition_from_dict({"name": "x", "exclude_tags": list(words)}).exclude_tags == words
