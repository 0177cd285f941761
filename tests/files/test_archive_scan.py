"""Utils/files/archive_scan.py: what makes a table of members; `test_archive_index.py` has the archives."""

import hashlib

import pytest
from helpers.archives import write_parquet, write_tar

from Utils.files import archive_scan


def test_keys_of_names_are_the_same_on_every_machine():
    digest = hashlib.blake2b("あ.jpg".encode(), digest_size=8).digest()
    assert archive_scan.key_of("あ.jpg") == int.from_bytes(digest, "little")


@pytest.mark.parametrize("name", ["", "a/x.tar"])
def test_keys_are_of_names_below_their_archive(tmp_path, name):
    path = write_tar(tmp_path / "x.tar", {"1.jpg": b"abc", "./2.jpg": b"d"})
    table, notes = archive_scan.index_archive(str(path), name)
    assert table.schema == archive_scan.SCHEMA
    prefix = f"{name}/" if name else ""
    assert table["name"].to_pylist() == ["1.jpg", "2.jpg"]
    assert table["key"].to_pylist() == [archive_scan.key_of(f"{prefix}{row}.jpg") for row in (1, 2)]
    assert table["size"].to_pylist() == [3, 1]
    assert notes == []


def test_rows_of_parquet_files_that_share_a_name_keep_all_their_pictures(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", {"a.jpg": b"1", "b.jpg": b"2"})
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    pq.write_table(table.take([0, 1, 0]), path)
    assert archive_scan.index_archive(str(path), "")[0]["name"].to_pylist() == ["0/a.jpg", "b.jpg", "2/a.jpg"]
