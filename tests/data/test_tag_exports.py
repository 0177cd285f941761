"""Utils/data/tag_exports.py: exports of tags and aliases are read in every form; bad rows are counted."""

import gzip
import json
import subprocess
import sys

import pytest
from helpers import small_booru

from Utils.command.cli import UserError
from Utils.data import danbooru_fields, tag_exports
from Utils.files.atomic import ROOT

NAMES = ["a", "b", "c", "null", "g", "e,f"]


def rules_of(names=NAMES, **files):
    return tag_exports.read(**files).rules_for(names)[0]


def test_exports_are_read_as_csv_and_as_json(tmp_path):
    pairs = [("a", "b", "active"), ("c", "d", "deleted"), ("null", "e,f", "active"), ("g", "g", "active")]
    text = "id,antecedent_name,consequent_name,status\n"
    text += "".join(f'{row},{name},"{target}",{status}\n' for row, (name, target, status) in enumerate(pairs))
    records = [
        {"antecedent_name": name, "consequent_name": target, "status": status}
        for name, target, status in pairs
    ]
    contents = {
        "a.csv": ("\ufeff" + text).encode(),
        "b.csv": text.encode("utf-16"),
        "c.gz": gzip.compress("\n".join(map(json.dumps, records)).encode()),
        "d.json": json.dumps(records, indent=1).encode(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        rules = rules_of(aliases=tmp_path / name, implications=tmp_path / name)
        assert rules.aliases == {"a": "b", "null": "e,f"}
        assert rules.implications == {"a": ["b"], "null": ["e,f"]}
    (tmp_path / "t.csv").write_text("id,name,category,is_deprecated\n1,a,4,f\n,b,copyright,t\n")
    (tmp_path / "d.csv").write_text("name\nc\n")
    rules = rules_of(tags=tmp_path / "t.csv", deprecated=tmp_path / "d.csv")
    assert rules.tags == {"a": (1, 4), "b": (None, 3)}
    assert rules.deprecated == {"b", "c"}


def test_other_lists_of_tags_are_read(tmp_path):
    """A tag list of this project, Gelbooru's answers, names with HTML entities."""
    (tmp_path / "selected_tags.csv").write_text("tag_id,name,category,count\n5,a,4,9\n")
    assert rules_of(tags=tmp_path / "selected_tags.csv").tags == {"a": (5, 4)}
    answer = {"@attributes": {"count": 2}, "tag": [{"id": 3, "name": "a&#039;b", "count": 4, "type": 3}]}
    (tmp_path / "tags.json").write_text(json.dumps(answer))
    assert rules_of(["a'b"], tags=tmp_path / "tags.json").tags == {"a'b": (3, 3)}


@pytest.mark.parametrize("name", ["tags-2024-01-01.csv.gz", "tags.csv"])
def test_the_codes_of_e621_are_recognized_and_said(tmp_path, name):
    text = "id,name,category,post_count\n1,a,5,9\n2,b,7,9\n3,c,8,9\n4,g,2,1\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    exports = tag_exports.read(tags=tmp_path / name)
    tags = exports.rules_for(NAMES)[0].tags
    other = danbooru_fields.OTHER_CATEGORIES
    codes = {tag: category for tag, (_, category) in tags.items()}
    assert codes == {"a": other["species"], "b": 5, "c": other["lore"], "g": other["contributor"]}
    assert exports.notes == [
        f"{name}: categories as e621 numbers them: 2 contributor, 5 species, 7 meta, 8 lore"
    ]


def test_a_folder_of_e621s_exports_gives_all_three(tmp_path):
    pairs = "id,antecedent_name,consequent_name,created_at,status\n1,a,b,2020-01-01,active\n"
    for name, text in {
        "tags-2024-01-01.csv.gz": "id,name,category,post_count\n1,old,0,9\n",
        "tags-2024-02-01.csv.gz": "id,name,category,post_count\n1,a,0,9\n",
        "tag_aliases-2024-02-01.csv.gz": pairs,
        "tag_implications-2024-02-01.csv.gz": pairs.replace("a,b", "b,c"),
    }.items():
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    rules = rules_of(tags=tmp_path)
    assert (rules.aliases, rules.implications, rules.tags) == ({"a": "b"}, {"b": ["c"]}, {"a": (1, 0)})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no tags-\*.csv"):
        tag_exports.read(tags=tmp_path / "empty")


@pytest.mark.reliability("rows of a tag export that cannot be read", "counted, told with examples, left out")
def test_a_bad_row_is_counted_and_the_others_are_read(tmp_path):
    text = "id,name,category\n1,a,0\nx,b,0\n3,c\n4,,0\n5,g,?\n6,null,4\n"
    (tmp_path / "t.csv").write_text(text)
    exports = tag_exports.read(tags=tmp_path / "t.csv")
    assert exports.rules_for(NAMES)[0].tags == {"a": (1, 0), "null": (6, 4)}
    (note,) = exports.notes
    assert note.startswith(f"warning: 4 rows of {tmp_path / 't.csv'} left out, unreadable: line 3: id")
    assert "line 4: another number of cells than the first line; line 5: no name" in note


def test_a_row_with_half_a_surrogate_pair_is_left_out(tmp_path):
    rows = (
        r'{"antecedent_name": "a\ud800", "consequent_name": "b"}',
        '{"antecedent_name": "c", "consequent_name": "d"}',
    )
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    exports = tag_exports.read(aliases=tmp_path / "a.jsonl")
    assert exports.rules_for(["c"])[0].aliases == {"c": "d"}
    assert "line 1: half a surrogate pair in antecedent_name" in exports.notes[0]


@pytest.mark.parametrize(
    ("columns", "rows", "left_out"),
    [
        ("", ["a,b", "b,a"], "b -> a"),
        ("id,", ["9,a,b", "1,b,c", "2,c,a"], "a -> b"),
        ("created_at,", ["2021-05-01,a,b", "2023-01-01,b,c", "2019-01-01,c,a"], "b -> c"),
    ],
)
def test_a_circle_of_aliases_is_broken_at_its_newest(tmp_path, columns, rows, left_out):
    (tmp_path / "a.csv").write_text(f"{columns}antecedent_name,consequent_name\n" + "\n".join([*rows, ""]))
    rules, (note,) = tag_exports.read(aliases=tmp_path / "a.csv").rules_for(["a"])
    assert f"the newest, {left_out}, is left out" in note
    assert len(rules.aliases) == len(rows) - 1
    assert len({rules.resolve(name) for name in "ab"}) == 1  # both still lead to one tag


def test_of_two_aliases_of_one_tag_the_older_counts(tmp_path):
    (tmp_path / "a.csv").write_text("id,antecedent_name,consequent_name\n7,a,b\n3,a,c\n")
    rules, (note,) = tag_exports.read(aliases=tmp_path / "a.csv").rules_for(["a"])
    assert rules.aliases == {"a": "c"}
    assert "'a' is an alias of 'c' and of 'b'; the older counts" in note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\na\n", "lacks the column antecedent_name"),
        ("antecedent_name\na\n", "lacks the column consequent_name"),
        ('{"antecedent_name": "a"}\n', "has no row that can be read: .* no consequent_name"),
        ('{"antecedent_name": \n', "cannot be read to its end"),
        (
            "antecedent_name,consequent_name\na\n",
            "has no row that can be read: line 2: another number of cells",
        ),
        ("antecedent_name,consequent_name\na,b", "does not end in a line break"),
        ("", "is empty"),
        (b"\xff\xfe", "is empty"),
        (b"\x1f\x8bno gzip", "cannot be read to its end"),
    ],
)
def test_a_file_that_is_no_export_is_named(tmp_path, text, message):
    (tmp_path / "x").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"x .*{message}|x {message}"):
        tag_exports.read(aliases=tmp_path / "x")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_rows_need_less_than_300_mb(tmp_path):
    """The whole command: measured 2026-11, peak 211 MB and 5 s more than without the export."""
    folder = small_booru(tmp_path, num_posts=20)
    with (tmp_path / "tags.csv").open("w") as file:
        file.write("id,name,category,post_count\n")
        file.writelines(f"{number},tag_{number},0,3\n" for number in range(1, 10**6 + 1))
    words = [str(folder / "definition.toml"), "--from", str(folder / "danbooru.db"), "--images"]
    words += [str(folder / "images"), "-o", str(folder / "d"), "--tags", str(tmp_path / "tags.csv")]
    # The system's own count of this process: getrusage begins with the memory of the one that started it.
    code = "from tools import select_tags; import sys; assert select_tags.main(sys.argv[1:]) == 0; "
    code += "print(open('/proc/self/status').read())"
    status = subprocess.run(
        [sys.executable, "-c", code, *words],
        check=True,
        timeout=300,
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    (peak,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak < 300 * 1024  # in kB


def test_names_with_spaces_are_those_of_the_posts(tmp_path):
    (tmp_path / "t.csv").write_text("name,category\n long hair ,4\n")
    (tmp_path / "a.csv").write_text("antecedent_name,consequent_name\nlong hair,very long hair\n")
    rules = rules_of(["long_hair"], tags=tmp_path / "t.csv", aliases=tmp_path / "a.csv")
    assert rules.tags == {"long_hair": (None, 4)}
    assert rules.aliases == {"long_hair": "very_long_hair"}


def test_a_file_that_concerns_none_of_the_tags_is_said(tmp_path):
    (tmp_path / "t.csv").write_text("name,category\nDog,4\ncat,4\n")
    (tmp_path / "a.csv").write_text("antecedent_name,consequent_name\na,b\n")
    exports = tag_exports.read(tags=tmp_path / "t.csv", aliases=tmp_path / "a.csv")
    said = f"{tmp_path}/t.csv: of 2 rows, such as that of 'Dog', none is about a tag that is here"
    assert exports.rules_for(["a", "dog"])[1] == [said]
    assert exports.rules_for(["a", "cat"])[1] == []


def test_an_export_without_a_row_that_counts_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("antecedent_name,consequent_name,status\na,b,true\nc,d,deleted\n")
    (tmp_path / "t.csv").write_text("name,category\n")
    exports = tag_exports.read(tags=tmp_path / "t.csv", aliases=tmp_path / "a.csv")
    assert exports.rules_for(["a"])[1] == [
        f"warning: {tmp_path}/t.csv has no row that counts",
        f"warning: {tmp_path}/a.csv has no row that counts; of aliases and implications only active ones do",
    ]


def test_names_in_several_rows_that_differ_are_said(tmp_path):
    rows = ["1,a,0", "2,a,4", "3,b,0", "3,b,0", "4,c,0", "5,c,3"]
    (tmp_path / "t.csv").write_text("\n".join(["id,name,category", *rows, ""]))
    rules, notes = tag_exports.read(tags=tmp_path / "t.csv").rules_for(["a", "b"])
    assert rules.tags == {"a": (2, 4), "b": (3, 0)}
    assert len(notes) == 1
    assert notes[0].endswith("with other ids or categories; the last row counts: a")
