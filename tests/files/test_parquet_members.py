"""Utils/files/parquet_members.py: files in rows of Parquet files."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.archives import write_parquet

from Utils.files import parquet_members
from Utils.files.ranges import RangeReader

FILES = {f"{row}.jpg": bytes([row]) * (row + 1) for row in range(7)}


def test_rows_are_files(tmp_path):
    reader = RangeReader(write_parquet(tmp_path / "x.parquet", FILES))
    assert parquet_members.image_column(reader) == "image"
    members = list(parquet_members.scan(reader))
    assert [member.name for member in members] == list(FILES)
    rows = parquet_members.RowReader(reader)
    for member in reversed(members):
        assert rows.read(member.row) == FILES[member.name]
    for row in (7, -1):
        with pytest.raises(parquet_members.ParquetError, match=f"no row {row}"):
            rows.read(row)


def test_rows_without_a_path_are_named_by_their_number(tmp_path):
    path = tmp_path / "x.parquet"
    image = [{"bytes": b"a", "path": None}, {"bytes": None, "path": "b.jpg"}]
    pq.write_table(pa.table({"id": [5, 6], "image": image}), path)
    reader = RangeReader(path)
    assert [*parquet_members.scan(reader)] == [("row-0", 0, True), ("b.jpg", 1, False)]
    assert parquet_members.values(reader, "id") == [5, 6]
    assert parquet_members.values(reader, "no") == []
    rows = parquet_members.RowReader(reader)
    assert [rows.read(0), rows.read(1)] == [b"a", b""]
    hashes, texts, files = [b"\xff" * 64] * 2, [b"long hair " * 9] * 2, [b"\0" * 65, b"bc"]
    pq.write_table(pa.table({"md5": hashes, "tags": texts, "jpg": files}), path)
    reader = RangeReader(path)
    assert parquet_members.image_column(reader) == "jpg"
    assert [m.name for m in parquet_members.scan(reader)] == ["row-0", "row-1"]
    assert parquet_members.RowReader(reader).read(1) == b"bc"


def test_rows_of_one_path_have_their_number_before_it(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": [{"bytes": b"a", "path": name} for name in ("a", "b", "a")]}), path)
    assert [m.name for m in parquet_members.scan(RangeReader(path))] == ["0/a", "b", "2/a"]


def test_row_groups_are_kept_in_bounded_memory(tmp_path, monkeypatch):
    rows = parquet_members.RowReader(RangeReader(write_parquet(tmp_path / "x.parquet", FILES)))
    reads = []
    read_group = rows._read_group
    monkeypatch.setattr(rows, "_read_group", lambda group: reads.append(group) or read_group(group))
    for row in (0, 1, 2, 0, 6):
        rows.read(row)
    assert reads == [0, 1, 3]
    monkeypatch.setattr(parquet_members, "_CACHED_BYTES", 0)
    for row in (4, 5, 0):
        rows.read(row)
    assert reads == [0, 1, 3, 2, 0]
    assert len(rows._groups) == 1
    monkeypatch.setattr(parquet_members, "_CACHED_BYTES", 40)  # two groups: that used last stays
    for row in (2, 0, 4, 0):
        rows.read(row)
    assert reads[5:] == [1, 2]


def test_other_parquet_files_hold_no_pictures(tmp_path):
    pq.write_table(pa.table({"id": [1], "tags": ["solo"]}), tmp_path / "x.parquet")
    reader = RangeReader(tmp_path / "x.parquet")
    assert parquet_members.image_column(reader) is None
    with pytest.raises(parquet_members.ParquetError, match="no column of pictures .* it has id, tags"):
        list(parquet_members.scan(reader))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and so on")
    with pytest.raises(parquet_members.ParquetError, match="damaged or no Parquet"):
        parquet_members.image_column(RangeReader(tmp_path / "x.parquet"))


def test_what_is_damaged_behind_a_whole_footer_is_said(tmp_path):
    path = tmp_path / "x.parquet"
    images = [{"bytes": bytes(99), "path": f"{number}.jpg"} for number in range(2000)]
    table = pa.table({"id": list(range(2000)), "image": images})
    pq.write_table(table, path, compression="NONE", use_dictionary=False)
    content = bytearray(path.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    content[4:footer] = b"\xff" * (footer - 4)
    path.write_bytes(content)
    reader = RangeReader(path)
    with pytest.raises(parquet_members.RowGroupError, match="row group 0 is damaged"):
        parquet_members.RowReader(reader).read(5)
    for read in (
        lambda: parquet_members.values(reader, "id"),
        lambda: [*parquet_members.scan(reader)],
    ):
        with pytest.raises(parquet_members.ParquetError, match="damaged"):
            read()
