"""Utils/data/parquet_copy.py: pictures of Parquet files in tars, under their names."""

import pickle

import pytest
from helpers.archives import write_parquet, write_tar

from Utils.data import parquet_copy
from Utils.images import places

FILES = {f"{row}.jpg": bytes([65 + row]) * (row + 1) for row in range(7)}


@pytest.mark.parametrize("is_folder", [False, True])
def test_members_keep_their_names_and_can_be_read_in_any_order(tmp_path, is_folder):
    write_parquet(tmp_path / "p" / "a.parquet", FILES)
    write_parquet(tmp_path / "p" / "b.parquet", {"x/8.jpg": b"8"})
    place = places.open_place(tmp_path / "p" if is_folder else tmp_path / "p" / "a.parquet")
    members = [name for name in place.members() if "3.jpg" not in name]
    expected = {name: place.open(name) for name in members}
    copy = parquet_copy.copied(place, members[::-1], tmp_path / "copies")
    assert {name: copy.open(name) for name in members} == expected
    assert copy.reading_order(members) is None
    assert [path.name for path in sorted((tmp_path / "copies").iterdir())] == ["00000.tar", "00001.tar"][
        : 1 + is_folder
    ]
    for path in (tmp_path / "copies").iterdir():
        assert path.read_bytes().endswith(bytes(1024)), "two blocks of zeros end a tar"
    part = pickle.loads(pickle.dumps(copy.part(members[:1])))
    assert part.open(members[0]) == expected[members[0]]
    with pytest.raises(FileNotFoundError):
        copy.open("nothing.jpg")


def test_copies_of_an_earlier_run_are_used(tmp_path, monkeypatch):
    place = places.open_place(write_parquet(tmp_path / "a.parquet", FILES))
    parquet_copy.copied(place, list(FILES), tmp_path / "copies")
    monkeypatch.setattr(parquet_copy, "_write", None)
    again = parquet_copy.copied(place, list(FILES), tmp_path / "copies")
    assert again.open("2.jpg") == FILES["2.jpg"]


def test_other_places_are_not_copied(tmp_path):
    place = places.open_place(write_tar(tmp_path / "a.tar", FILES))
    assert parquet_copy.copied(place, list(FILES), tmp_path / "copies") is place
    assert not (tmp_path / "copies").exists()
