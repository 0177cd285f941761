"""Parquet files: columns come in the types asked for, without empty cells; anything else names the file."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from Utils.command.cli import UserError, WorkError
from Utils.files import parquet_files

COLUMNS = {"id": pa.int64(), "labels": pa.list_(pa.int32())}


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_columns_come_in_the_types_asked_for(tmp_path):
    path = write(
        tmp_path / "x.parquet", id=pa.array([1, 2, 3], pa.int8()), labels=[[1], [], [2, 3]], more=[0, 0, 0]
    )
    table = parquet_files.read(path, "posts", COLUMNS)
    assert table.schema == pa.schema(list(COLUMNS.items()))
    assert table["labels"].to_pylist() == [[1], [], [2, 3]]
    batches = list(parquet_files.batches(path, "posts", COLUMNS, 2))
    assert [batch["id"].to_pylist() for batch in batches] == [[1, 2], [3]]
    chosen = parquet_files.batches(path, "posts", lambda names: [name for name in names if name == "more"], 9)
    assert next(chosen).column_names == ["more"]
    assert parquet_files.num_rows(path) == 3
    assert parquet_files.read(path, "posts", COLUMNS, [("id", "==", 2)])["id"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"id": [1]}, "lacks the column labels; it has id"),
        ({"id": [1, None], "labels": [[1], [2]]}, "the column id has empty cells"),
        ({"id": [1, 2], "labels": [[1], [None]]}, "the column labels has empty cells"),
        ({"id": ["a"], "labels": [[1]]}, "damaged or no Parquet file"),
        ({"id": [1], "labels": [[2**40]]}, "damaged or no Parquet file"),
    ],
)
def test_what_does_not_fit_names_the_file(tmp_path, columns, fault):
    path = write(tmp_path / "x.parquet", **columns)
    with pytest.raises(UserError, match=rf"x\.parquet.*{fault}"):
        parquet_files.read(path, "posts", COLUMNS)
    with pytest.raises(UserError, match=rf"x\.parquet.*{fault}"):
        list(parquet_files.batches(path, "posts", COLUMNS, 9))


def test_damage_has_the_type_asked_for(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkError, match=r"x\.parquet is damaged"):
        list(parquet_files.batches(tmp_path / "x.parquet", "posts", COLUMNS, 9, WorkError))
