"""Utils/data/selection_report.py: the table says what is there, what is not, and what to do next."""

import json

from helpers.own_pictures import RULES, select, source_of

from Utils.data import dataset_writer, selection_report
from Utils.data.definition import Definition
from Utils.data.selection_report import Outcome


def outcome_of(tmp_path, captions, contents=None, reasons=None, **rules):
    source, pictures = source_of(tmp_path, captions, contents)
    definition = Definition("x", splits={"train": 0.8, "validation": 0.2}, **(RULES | rules))
    selected = select(source, pictures, definition)
    (tmp_path / "out").mkdir()
    splits, images = dataset_writer.write(tmp_path / "out", source, pictures, selected, {})
    return Outcome("out", selected, splits, images, ["a note"], reasons, "the next command")


def test_tags_by_frequency_tags_without_validation_and_the_next_command(tmp_path):
    captions = [
        "all, " + ", ".join(f"t{k}" for k in range(25) if number % (k + 1) == 0) for number in range(40)
    ]
    outcome = outcome_of(tmp_path, captions)
    text, answer = selection_report.report(outcome), selection_report.summary(outcome)
    assert sorted(list(answer["most_frequent"])[:3]) == ["all", "t0", "t1"]
    assert len(answer["most_frequent"]) == len(answer["least_frequent"]) == 10
    assert not set(answer["most_frequent"]) & set(answer["least_frequent"])
    assert list(answer["least_frequent"].values()) == sorted(answer["least_frequent"].values(), reverse=True)
    assert f"{len(answer['not_in']['validation'])} of 26 tags have no picture in validation" in text
    assert "2 tags are on every picture, nothing to tell apart: " in text
    assert text.splitlines()[-1] == "next: the next command"
    assert "a note" in text
    json.dumps(answer)


def test_copies_quality_words_and_left_out_files_are_told(tmp_path):
    captions = ["masterpiece, a, b"] * 11 + [""]
    contents = [0, 0, *range(2, 12)]
    outcome = outcome_of(tmp_path, captions, contents, exclude_tags=("masterpiece",), min_tags_per_image=1)
    text = selection_report.report(outcome)
    assert "1 copy of other pictures, byte for byte" in text
    assert "words about quality left out by exclude_tags: masterpiece 11" in text
    assert "left out, in rejected.csv: 1 file: 1 fewer than 1 tag" in text
    assert "least frequent" not in text


def test_the_values_of_a_default_definition_come_with_their_reasons(tmp_path):
    outcome = outcome_of(tmp_path, ["a", "b"] * 10, reasons={"min_tag_images": "fits 20 posts"})
    assert "min_tag_images      1 (fits 20 posts)" in selection_report.report(outcome)
    assert selection_report.summary(outcome)["definition"] == {"min_tag_images": "fits 20 posts"}


def test_what_max_tags_counts_is_said(tmp_path):
    captions = [", ".join(["all", *["half"] * (k % 2), *["third"] * (k % 3 == 0)]) for k in range(20)]
    text = selection_report.report(outcome_of(tmp_path, captions, max_tags=1))
    assert "max_tags keeps the 1 tag on the most kept pictures, whatever their count in the source" in text
    assert "2 are left out, of which half is on the most, 10" in text


def test_rules_that_include_tags_ends_are_named(tmp_path):
    text = selection_report.report(outcome_of(tmp_path, ["a, b"] * 20, include_tags=("a",), max_tags=1))
    assert "include_tags names the tags: categories, min_tag_count" in text
    assert "max_tags keeps" not in text


def test_names_that_are_perhaps_mistakes_are_told(tmp_path):
    outcome = outcome_of(tmp_path, ["Solo, (hat:1.2), <lora:x:1>, :<", "solo, saber_(fate), >:)"] * 10)
    text = selection_report.report(outcome)
    assert "differ in capitals only, each a tag of its own: " in text
    assert {"Solo", "solo"} == set(text.split("of its own: ")[1].splitlines()[0].split("/"))
    assert "not tags: " not in text, "captions are read without the words of prompts"
    (sentence,) = selection_report._odd_names(["(hat:1.2)", "<lora:x:1>", ":<", "saber_(fate)"])
    assert sentence.startswith("2 names look like prompts, not tags: (hat:1.2), <lora:x:1>;")
    names = ["((smile))", "{a_b|cd}", "[hat]", "(o)_(o)", "hat)", "[[ ]]"]
    (sentence,) = selection_report._odd_names(names)
    assert sentence.startswith("4 names look like prompts, not tags: ((smile)), {a_b|cd}, [hat], hat);")


def test_captions_with_semicolons_alone_are_told(tmp_path):
    text = selection_report.report(outcome_of(tmp_path, ["1girl;long hair;solo", "steins;gate, solo"] * 10))
    assert "1 name has semicolons, as if of several tags: 1girl;long_hair;solo; if so, write commas" in text
    names = ["steins;gate", ";d", ">;<", ";_;", ";;", "a;b;c", "(;_;)"]
    assert selection_report._odd_names(names) == []
