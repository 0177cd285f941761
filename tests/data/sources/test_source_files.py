"""Utils/data/sources/source_files.py: a file, or the files below a folder."""

import pytest

from Utils.command.cli import UserError
from Utils.data.sources.source_files import find_files


def test_files_are_found_below_a_folder_by_suffix_in_any_case(tmp_path):
    for name in ("b/2.JSON", "a.json", "b/1", "c.txt", "d.json/e.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [str(file.relative_to(tmp_path)) for file in find_files(tmp_path, (".json", ""), "a file")]
    assert names == ["a.json", "b/1", "b/2.JSON", "d.json/e.json"]
    assert find_files(tmp_path / "c.txt", (".json",), "a file") == [tmp_path / "c.txt"]  # as it was named


def test_datasets_among_the_files_are_left_out(tmp_path):
    for name in ("1.json", "out/dataset.json", "out/selected_tags.csv", "out/deep/2.json", "tags/3.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "tags/selected_tags.csv").touch()  # a tag list alone makes no dataset
    names = [str(file.relative_to(tmp_path)) for file in find_files(tmp_path, (".json",), "a file")]
    assert names == ["1.json", "tags/3.json"]


def test_no_file_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"no file that ends in .gz \(no suffix\); it holds notes.txt"):
        find_files(tmp_path, (".gz", ""), "a file")
    with pytest.raises(UserError, match="a file or a folder .* was expected at .*no; found nothing"):
        find_files(tmp_path / "no", (".gz",), "a file")
