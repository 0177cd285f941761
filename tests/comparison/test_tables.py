"""Tables of a comparison: cells in full precision, gaps where there is no score."""

import csv
import json

from helpers import compared

from Utils.comparison import tables


def test_files_and_text_say_the_same(tmp_path):
    result, dumps, *_ = compared.make(tmp_path)
    facts = tables.facts(result, dumps, None, 0)
    tables.write(tmp_path, result, facts)
    read = {
        name: list(csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines()))
        for name in ("comparison", "differences", "parts", "tags")
    }
    assert [float(row["macro_AP"]) for row in read["comparison"]] == [
        tagger["macro_AP"] for tagger in facts["taggers"]
    ]
    assert read["comparison"][0]["images_per_second"] == "", "a dump has no speed"
    assert [row["second"] for row in read["differences"]] == ["good"] * 3
    assert {row["kind"] for row in read["parts"]} == {"category", "frequency"}
    assert [row["name"] for row in read["tags"]] == compared.NAMES
    assert read["tags"][0]["bad"] == "long_hair"
    assert json.loads((tmp_path / "comparison.json").read_text())["tags"] == 4
    lines = tables.text(facts).splitlines()
    assert lines[3].startswith("good ")
    assert "2 posts left out: why" in lines
    assert not any("no thresholds are published" in line for line in lines)
    facts["taggers"][0]["published"]["are_defaults"] = True
    name = facts["taggers"][0]["name"]
    said = f"{name}: no thresholds are published with it; 0.35, characters 0.85 are taken"
    assert said in tables.text(facts).splitlines()


def test_names_of_folders():
    names = ["owner/name@main", "../..", "owner_name", "owner/name", "Owner Name", "owner_name-2", ".."]
    expected = "owner_name_main _ owner_name owner_name-2 Owner_Name-3 owner_name-2-2 tagger"
    assert list(tables.file_names(names).values()) == expected.split()
