"""Utils/data/dataset_selection.py: a source under a definition, with pictures that are read and divided."""

import numpy as np
import pytest
from helpers.own_pictures import RULES, select, source_of

from Utils.command.cli import UserError
from Utils.data import dataset_selection
from Utils.data.dataset_selection import Pictures
from Utils.data.definition import SPLITS, Definition
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.images import picture_index


def splits_by_path(selected, pictures):
    return {
        path: SPLITS[row]
        for block in selected.blocks
        for path, row in zip(pictures.paths(block), block.splits, strict=True)
    }


def test_what_is_no_picture_and_what_has_no_tag_is_listed_and_counted(tmp_path):
    captions = ["a, b"] * 18 + ["", "a"]
    contents = [*range(18), 18, b"GIF?"]
    source, pictures = source_of(tmp_path, captions, contents)
    definition = Definition("x", splits={"train": 0.8, "validation": 0.2}, **RULES)
    selected = select(source, pictures, definition)
    reasons = {path: reason for _, path, reason in selected.rejected}
    assert set(reasons) == {"p018.jpg", "p019.jpg"}
    assert reasons["p018.jpg"] == "fewer than 1 tag"
    changed = {step["rule"]: step["before"] - step["after"] for step in selected.post_steps}
    assert (changed["fewer than 1 tag"], changed["no usable picture"]) == (1, 1)
    # The counts of tags are those of the posts that are left.
    assert sum(len(block.ids) for block in selected.blocks) == 18
    assert selected.tags["count"].tolist() == [19, 18]
    splits = splits_by_path(selected, pictures)
    assert sorted(splits.values()).count("validation") == 4


def test_renamed_copies_are_counted_and_stay_together(tmp_path):
    source, pictures = source_of(tmp_path, ["a"] * 30, [number % 15 for number in range(30)])
    definition = Definition("x", splits={"train": 0.5, "validation": 0.5}, **RULES)
    selected = select(source, pictures, definition)
    splits = splits_by_path(selected, pictures)
    assert all(splits[f"p{n:03d}.jpg"] == splits[f"p{n + 15:03d}.jpg"] for n in range(15))
    assert selected.num_copies == 15


def test_without_shares_no_picture_is_read(tmp_path):
    source, _ = source_of(tmp_path, ["a"] * 5)

    def read_bytes(path):
        raise AssertionError(path)

    definition = Definition("x", splits={"train": (0, 999)}, **RULES)
    selected = select(source, Pictures(None, read_bytes), definition)
    assert len(selected.blocks[0].ids) == 5


def test_nothing_left_says_what_went_where(tmp_path):
    source, pictures = source_of(tmp_path, ["", ""])
    definition = Definition("x", splits={"train": 1.0}, **RULES)
    with pytest.raises(UserError, match=r"left out by fewer than 1 tag: 2; p000.jpg: fewer than 1 tag"):
        select(source, pictures, definition)
    with pytest.raises(UserError, match="No picture has a tag: tools/tag_images.py"):
        select(source, pictures, definition)
    source, pictures = source_of(tmp_path / "same", ["a", "a, b"])
    with pytest.raises(
        UserError,
        match="min_tag_images = 3 passes none of 2 tags; the tag on most kept images, 'a', is on 2$",
    ):
        select(source, pictures, Definition("x", splits={"train": 1.0}, **RULES | {"min_tag_images": 3}))


def test_without_their_files_posts_say_where_they_were_looked_for(tmp_path):
    source, pictures = source_of(tmp_path / "own", ["a"] * 3)
    (tmp_path / "images").mkdir()
    elsewhere = Pictures(picture_index.index(tmp_path / "images"), pictures.read_bytes)
    with pytest.raises(
        UserError, match=r"no image found: looked for .*images/0\d{3}/\d+\.jpg .* for 3 posts"
    ):
        select(source, elsewhere, Definition("x", splits={"train": (0, 999)}, **RULES))


def test_posts_that_name_their_files_say_which_were_looked_for(tmp_path):
    picture = source_of(tmp_path / "here", ["a"])[1].read_bytes("p000.jpg")
    (tmp_path / "here/1.jpg").write_bytes(picture)
    sorter = DiskSorter(images=tmp_path)
    for name in ("C:\\x\\there\\9.jpg", "here/1.jpg", "8.jpg"):
        sorter.add_record({"file_name": name, "tags": "a"}, name)
    source = sorter.finish("jsonl", tmp_path)
    files = picture_index.index(tmp_path, named=True, by_path=True)
    pictures = Pictures(files, lambda path: (tmp_path / path).read_bytes())
    selected = select(source, pictures, Definition("x", splits={"train": 1.0}, **RULES))
    assert {path for _, path, _ in selected.rejected} == {"C:/x/there/9.jpg", "8.jpg"}
    (tmp_path / "here/1.jpg").unlink()
    files = picture_index.index(tmp_path, named=True, by_path=True)
    with pytest.raises(UserError, match="files of the names in the posts, such as C:/x/there/9.jpg"):
        select(source, Pictures(files, pictures.read_bytes), Definition("x", splits={"train": 1.0}, **RULES))


def test_the_default_definition_fits_the_pictures(tmp_path, monkeypatch):
    source, pictures = source_of(tmp_path, ["masterpiece, a, b"] * 12)
    definition, reasons = dataset_selection.default_for(source, pictures, "mine")
    assert (definition.name, definition.image_size, definition.min_tag_images) == ("mine", 64, 2)
    assert "12 posts" in reasons["min_tag_images"]
    assert reasons["image_size"].endswith("; 12 have fewer than 32, too few to see much in")
    monkeypatch.setattr(dataset_selection, "_SAMPLE", 5)
    reason = dataset_selection.default_for(source, pictures, "mine")[1]["image_size"]
    assert "; 5 of 5 that were looked at have fewer than 32" in reason
    selected = select(source, pictures, definition)
    assert set(selected.tags["name"]) == {"a", "b"}
    assert selected.dropped[["name", "rule"]].to_numpy().tolist() == [["masterpiece", "exclude_tags"]]
    assert np.unique(list(splits_by_path(selected, pictures).values())).tolist() == ["train", "validation"]
