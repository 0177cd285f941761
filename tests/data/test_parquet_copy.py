"""Utils/data/parquet_copy.py: pictures of Parquet files in any order, under their names."""

import pickle

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.archives import write_parquet, write_tar

from Utils.command.cli import UserError
from Utils.data import parquet_copy
from Utils.files.atomic import to_path
from Utils.images import codec, places

FILES = {f"{row}.jpg": bytes([65 + row]) * (row + 1) for row in range(7)}
PLAIN = {"compression": "NONE", "use_dictionary": False}


@pytest.mark.parametrize("how", [{}, PLAIN], ids=["compressed", "plain"])
@pytest.mark.parametrize("is_folder", [False, True])
def test_members_keep_their_names_and_can_be_read_in_any_order(tmp_path, is_folder, how):
    write_parquet(tmp_path / "p" / "a.parquet", FILES, **how)
    write_parquet(tmp_path / "p" / "b.parquet", {"x/8.jpg": b"8"}, **how)
    write_tar(tmp_path / "p" / "c.tar", FILES)
    (tmp_path / "p" / "9.jpg").write_bytes(b"nine")
    place = places.open_place(tmp_path / "p" if is_folder else tmp_path / "p" / "a.parquet")
    members = [name for name in place.members() if "3.jpg" not in name]
    expected = {name: place.open(name) for name in members}
    copies = tmp_path / "copies"
    ready = parquet_copy.readable_in_any_order(place, [members[::-1], members[:2]], copies)
    assert {name: ready.open(name) for name in members} == expected
    assert ready.reading_order(members) is None
    suffixes = [path.suffix for path in sorted(copies.iterdir())] if copies.exists() else []
    assert suffixes == ([] if how else [".npy", ".values"] * (1 + is_folder))
    part = pickle.loads(pickle.dumps(ready.part(members[:1])))
    assert part.open(members[0]) == expected[members[0]]
    with pytest.raises(FileNotFoundError):
        ready.open("nothing.jpg")


def test_copies_of_an_earlier_run_are_used(tmp_path, monkeypatch):
    place = places.open_place(write_parquet(tmp_path / "a.parquet", FILES))
    parquet_copy.readable_in_any_order(place, [list(FILES)], tmp_path / "copies")
    monkeypatch.setattr(parquet_copy, "_copy", None)
    again = parquet_copy.readable_in_any_order(place, [list(FILES)], tmp_path / "copies")
    assert again.open("2.jpg") == FILES["2.jpg"]


@pytest.mark.reliability(
    "A Parquet file is added, exchanged or left out while packing is interrupted",
    "each post keeps its own picture",
)
def test_copies_of_other_files_or_rows_are_not_taken_for_these(tmp_path):
    folder, copies = tmp_path / "p", tmp_path / "copies"
    for name in ("b", "c"):
        write_parquet(folder / f"{name}.parquet", {f"{name}{row}.jpg": bytes([row]) for row in range(4)})
    members = places.open_place(folder).members()
    parquet_copy.readable_in_any_order(places.open_place(folder), [members], copies)
    write_parquet(
        folder / "a.parquet", {f"a{row}.jpg": b"a" for row in range(4)}
    )  # the first one from now on
    write_parquet(folder / "c.parquet", {f"c{row}.jpg": bytes([9 - row]) for row in range(4)})
    for asked in (members, members[1:5]):
        place = places.open_place(folder)
        ready = parquet_copy.readable_in_any_order(place, [asked], copies)
        assert [ready.open(name) for name in asked] == [place.open(name) for name in asked]


def test_copies_on_another_file_system_are_read_by_one_request_a_picture(tmp_path):
    write_parquet(tmp_path / "a.parquet", FILES)
    files, remote = fsspec.filesystem("memory"), "memory://copied/place"
    files.pipe_file("/copied/place/a.parquet", (tmp_path / "a.parquet").read_bytes())
    members = [f"a.parquet/{name}" for name in FILES]
    place = places.open_place(remote)
    ready = parquet_copy.readable_in_any_order(place, [members], to_path("memory://copied/progress"))
    requests, cat_file = [], files.cat_file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(files), "cat_file", lambda self, path, **how: requests.append(path) or cat_file(path, **how)
        )
        assert [ready.open(name) for name in members] == list(FILES.values())
    assert len(requests) == len(FILES)
    assert set(requests) == {name for name in files.ls("/copied/progress", detail=False) if ".values" in name}


def test_other_places_are_as_they_were(tmp_path):
    place = places.open_place(write_tar(tmp_path / "a.tar", FILES))
    names = iter([list(FILES), ["not asked for"]])
    assert parquet_copy.readable_in_any_order(place, names, tmp_path / "copies") is place
    assert next(names) == ["not asked for"]
    assert not (tmp_path / "copies").exists()


@pytest.mark.reliability("A damaged row group of a Parquet file, while packing", "its pictures are rejected")
def test_members_of_a_damaged_row_group_say_so_and_the_others_are_copied(tmp_path):
    path = tmp_path / "a.parquet"
    rows = [{"bytes": content, "path": name} for name, content in FILES.items()]
    pq.write_table(pa.table({"image": rows}), path, row_group_size=2, use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data[start : start + 30] = b"\xff" * 30
    path.write_bytes(data)
    place = places.open_place(path)
    ready = parquet_copy.readable_in_any_order(place, [list(FILES)], tmp_path / "copies")
    for name, content in FILES.items():
        if name in ("2.jpg", "3.jpg"):
            with pytest.raises(codec.ImageError, match=r"in a\.parquet row group 1 is damaged"):
                ready.open(name)
        else:
            assert ready.open(name) == content


def test_a_file_that_was_exchanged_for_another_is_refused(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", FILES, **PLAIN)
    place = places.open_place(path)
    ready = parquet_copy.readable_in_any_order(place, [list(FILES)], tmp_path / "copies")
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(UserError, match=r"a\.parquet is not as it was"):
        ready.open("2.jpg")
