"""Utils/data/sources/parquet_files.py: files that cannot be read, and rows that are no posts."""

import json

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


@pytest.mark.reliability("One of several Parquet files with pictures is cut off", "set aside, and said")
def test_a_damaged_file_of_pictures_is_set_aside_and_one_of_posts_alone_is_an_error(tmp_path):
    for number in range(3):
        columns = {"id": [number], "tags": [["hat"]]}
        pictures = {"image": [{"bytes": b"x", "path": f"{number}.jpg"}]}
        for folder, table in (("posts", columns), ("pictures", {**columns, **pictures})):
            path = tmp_path / folder / f"{number}.parquet"
            path.parent.mkdir(exist_ok=True)
            pq.write_table(pa.table(table), path)
            if number == 1:
                path.write_bytes(path.read_bytes()[:-9])
    source = read_parquet(tmp_path / "pictures")
    assert [block.ids.tolist() for block in source.blocks()] == [[0, 2]]
    assert source.notes[-1] == "1 file set aside with all posts, unreadable: 1.parquet"
    with pytest.raises(WorkError, match=r"posts/1\.parquet is damaged or no Parquet file"):
        read_parquet(tmp_path / "posts")


def test_a_row_that_is_no_post_is_named_by_its_number_in_the_file(tmp_path):
    table = pa.table({"id": [1, -1, 3], "tags": [["a"], ["b"], None]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=1)
    source = read_parquet(tmp_path)
    assert [block.ids.tolist() for block in source.blocks()] == [[1]]
    assert source.rejected == (
        (-1, "x.parquet, row 1", "post id is not from 0 to 2**63 - 1"), (3, "x.parquet, row 2", "no tags")
    )  # fmt: skip


def test_numbers_are_the_names_that_hugging_face_gives_them(tmp_path):
    features = {
        "tags": {"feature": {"names": ["solo", "hat"], "_type": "ClassLabel"}, "_type": "Sequence"},
        "rating": {"names": ["general", "explicit"], "_type": "ClassLabel"},
    }
    table = pa.table({"id": [1, 2, 3], "tags": [[0, 1], [1], [7]], "rating": [0, 1, 1]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    source = read_parquet(tmp_path / "a.parquet")
    assert source.tags.set_index("name")["count"].to_dict() == {"solo": 1, "hat": 2}
    assert [reason for _, _, reason in source.rejected] == ["tags is neither a text nor a list of texts"]
    assert source.rating_counts() == {"g": 1, "e": 1}
