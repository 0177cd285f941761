"""Utils/files/parquet_pages.py: positions of values in uncompressed columns, and where there are none."""

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from Utils.files import parquet_pages
from Utils.files.ranges import RangeReader

RANDOM = np.random.default_rng(0)
VALUES = [RANDOM.bytes(size) for size in (*RANDOM.integers(0, 4000, 300).tolist(), 0, 1, 70_000)]
IMAGES = pa.array([{"bytes": value, "path": f"{row}.jpg"} for row, value in enumerate(VALUES)])
PLAIN = {"compression": "NONE", "use_dictionary": False}


def positions_of(path, column="image.bytes"):
    reader = RangeReader(path)
    return parquet_pages.value_positions(reader, pq.ParquetFile(path), column)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("column", [IMAGES, pa.array(VALUES)], ids=["struct", "bytes"])
def test_each_value_is_read_alone(tmp_path, version, column):
    path, table = tmp_path / "x.parquet", pa.table({"id": range(len(VALUES)), "image": column})
    how = {"row_group_size": 100, "data_page_size": 20_000, "data_page_version": version}
    pq.write_table(table, path, **PLAIN, **how)
    positions = positions_of(path, "image.bytes" if column is IMAGES else "image")
    reader = RangeReader(path)
    assert [parquet_pages.read_value(reader, *row) for row in positions.tolist()] == VALUES
    assert parquet_pages.read_value(reader, int(positions[5, 0]), int(positions[5, 1]) + 1) is None
    assert parquet_pages.read_value(reader, path.stat().st_size, 9) is None


def test_elsewhere_a_page_is_one_request(tmp_path):
    pq.write_table(pa.table({"image": IMAGES}), tmp_path / "x.parquet", **PLAIN)
    fsspec.filesystem("memory").pipe_file("/pages/x.parquet", (tmp_path / "x.parquet").read_bytes())
    reader = RangeReader("memory://pages/x.parquet")
    requests, read = [], reader.read
    reader.read = lambda offset, length: requests.append(offset) or read(offset, length)
    positions = parquet_pages.value_positions(reader, pq.ParquetFile(tmp_path / "x.parquet"), "image.bytes")
    assert np.array_equal(positions, positions_of(tmp_path / "x.parquet"))
    assert len(requests) < 20


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "snappy", "use_dictionary": False},
        {"compression": "NONE", "use_dictionary": True},
        {"write_statistics": False, **PLAIN},
        {"column_encoding": {"image.bytes": "DELTA_BYTE_ARRAY"}, **PLAIN},
    ],
    ids=["compressed", "dictionary", "no count of nulls", "differences"],
)
def test_columns_whose_values_cannot_be_read_alone(tmp_path, how):
    pq.write_table(pa.table({"image": IMAGES}), tmp_path / "x.parquet", **how)
    assert positions_of(tmp_path / "x.parquet") is None


def test_empty_rows_and_damage_give_no_positions(tmp_path):
    path = tmp_path / "x.parquet"
    with_none = [{"bytes": b"1", "path": "1"}, {"bytes": None, "path": "2"}]
    pq.write_table(pa.table({"image": with_none}), path, **PLAIN)
    assert positions_of(path) is None
    pq.write_table(pa.table({"image": IMAGES}), path, row_group_size=50, **PLAIN)
    good, start = path.read_bytes(), pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    for at in range(start, start + 60):
        for value in (0, 0x7F, 0xFF):
            path.write_bytes(good[:at] + bytes([value]) + good[at + 1 :])
            positions = positions_of(path)  # no other error, whatever is flipped
            assert positions is None or len(positions) == len(VALUES)
