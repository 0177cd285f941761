"""Utils/data/sources/parquet_files.py: files that cannot be read, and rows that are no posts."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from Utils.command.cli import UserError, WorkError
from Utils.data.sources.parquet_files import read_parquet


def test_a_file_without_posts_is_an_error(tmp_path):
    (tmp_path / "p.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(WorkError, match="p.parquet is damaged or no Parquet file"):
        read_parquet(tmp_path / "p.parquet")
    pq.write_table(pa.table({"id": [1], "name": ["x"]}), tmp_path / "q.parquet")
    with pytest.raises(UserError, match="needs a column id .* one of tag_string.* it has id, name"):
        read_parquet(tmp_path / "q.parquet")
    with pytest.raises(UserError, match="a Parquet file or a folder .* found nothing"):
        read_parquet(tmp_path / "r.parquet")


def test_a_row_that_is_no_post_is_named_by_its_number_in_the_file(tmp_path):
    table = pa.table({"id": [1, -1, 3], "tags": [["a"], ["b"], None]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=1)
    source = read_parquet(tmp_path)
    assert [block.ids.tolist() for block in source.blocks()] == [[1]]
    assert source.rejected == (
        (-1, "x.parquet, row 1", "post id is not from 0 to 2**63 - 1"), (3, "x.parquet, row 2", "no tags")
    )  # fmt: skip
