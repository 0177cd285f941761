"""Utils/images/census.py: sentences about what a place holds."""

from types import SimpleNamespace

from Utils.images.census import Census
from Utils.images.place import HiddenFiles


def test_files_are_counted_by_suffix_with_an_example():
    census = Census()
    census.count("", ["a.jpg", "b.JPG", "notes"])
    census.count("x", ["c.jpg"])
    text = census.describe("p")
    assert text.startswith("p holds 1 folder and 2 .jpg files such as a.jpg, ")
    assert "1 other file such as notes" in text
    assert "1 .JPG file such as b.JPG" in text
    assert census.rows(["d.jpg", "e"]) == (["d", "e"], [0, 2])
    assert census.suffixes == [".jpg", ".JPG", ""]


def test_what_is_passed_by_is_one_sentence_each():
    census, hidden = Census(), HiddenFiles()
    assert census.passed_by() == ""
    for name in (".a.jpg", "b.PNG", "c.txt"):
        hidden.add(name)
    census.add_hidden(hidden)
    census.others.update([".heic", ".svg", ".heic"])
    census.missing_plugins.add("HEIC needs pillow-heif")
    census.notes = ("x.tar: passed by 1 links",)
    assert census.passed_by().splitlines() == [
        "passed by: 2 of systems and hidden, 2 .heic, 1 .svg",
        "HEIC needs pillow-heif",
        "x.tar: passed by 1 links",
    ]


def test_archives_that_were_set_aside_are_counted_and_named_with_what_to_do():
    census = Census()
    census.add_unreadable(SimpleNamespace(path="p", unreadable=()))
    assert census.passed_by() == ""
    census.add_unreadable(SimpleNamespace(path="p", unreadable=(("a.zip", "it is empty"),)))
    assert census.passed_by() == (
        "set aside: 1 archive that cannot be read, and all pictures in it: p/a.zip (it is empty). Restore it "
        "and run again to have these, too"
    )
    more = tuple((f"{number:04d}.tar", "cut off") for number in range(1100))
    census.add_unreadable(SimpleNamespace(path="q", unreadable=more))
    assert census.passed_by().startswith(
        "set aside: 1,101 archives that cannot be read, and all pictures in them"
    )
    assert census.passed_by().count("cut off") == 19
    assert "and 1081 more. Restore them and run again" in census.passed_by()
