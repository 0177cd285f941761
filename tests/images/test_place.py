"""Utils/images/place.py: names that are hidden, and what every place has in common; see test_places.py."""

import pytest
from helpers.archives import write_parquet, write_tar

from Utils.command.cli import UserError
from Utils.images import codec, image_folder, image_reader, place, places


@pytest.mark.parametrize("name", [".a", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "._a.jpg"])
def test_hidden_names(name):
    assert place.is_hidden(name)


@pytest.mark.parametrize("name", ["a", "a.b", "eaDir", ".", "..", "MACOSX"])
def test_visible_names(name):
    assert not place.is_hidden(name)
    assert place.join("", name) == name
    assert place.join("a/b", name) == f"a/b/{name}"


def test_members_that_are_too_large_are_no_pictures(tmp_path, monkeypatch):
    archive = places.open_place(write_tar(tmp_path / "x.tar", {"1.jpg": b"abc"}))
    monkeypatch.setattr(image_reader, "MOST_BYTES", 2)
    with pytest.raises(codec.ImageError, match="too large a file: 3 bytes"):
        archive.open("1.jpg")


def test_only_parquet_files_are_read_faster_in_another_order(tmp_path):
    files = {f"{row}.jpg": bytes([row]) for row in range(5)}
    asked = ["3.jpg", "0.jpg", "4.jpg"]
    assert places.open_place(write_tar(tmp_path / "x.tar", files)).reading_order(asked) is None
    parquet = places.open_place(write_parquet(tmp_path / "x.parquet", files))
    assert parquet.reading_order(asked) == [1, 0, 2]
    assert parquet.reading_order([*asked, "9.jpg"]) is None  # one that is missing is said when it is read


def test_rows_without_a_name_are_pictures_without_a_look_into_them(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [{"bytes": b"x", "path": None}] * 3}), tmp_path / "x.parquet")
    archive = places.open_place(tmp_path / "x.parquet")
    monkeypatch.setattr(place.Place, "head", None)
    names = [f"row-{row}" for row in range(3)]  # the number of a row is that of no post
    assert image_folder.image_paths(archive) == names
    assert image_folder.post_ids(names, archive) == [image_folder.path_id(name) for name in names]


def test_a_folder_of_compressed_tars_says_what_to_do(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(UserError, match="no image found .*compressed as a whole: unpack it to a .tar"):
        image_folder.image_paths(tmp_path)


@pytest.mark.reliability("A tar that changes while it is read", "an error that names it, no other picture")
def test_an_archive_that_changes_while_it_is_read_is_an_error(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"1.jpg": b"abc", "2.jpg": b"def"})
    archive = places.open_place(path)
    assert archive.open("1.jpg") == b"abc"
    data = bytearray(path.read_bytes())
    data[1024:1536] = data[0:512]  # in place: the header of 1.jpg where that of 2.jpg was
    with path.open("r+b") as file:
        file.write(data)
    with pytest.raises(UserError, match="x.tar is not as it was"):
        archive.open("2.jpg")
