"""Small tar, zip and Parquet files of pictures, the same bytes every time."""

import io
import pathlib
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_tar(
    path: pathlib.Path,
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]],
    tar_format: int = tarfile.PAX_FORMAT,
) -> pathlib.Path:
    """Write a tar of ``{member: content}``, in this order."""
    pairs = files.items() if isinstance(files, Mapping) else files
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tar_format) as archive:
        for name, content in pairs:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_zip(
    path: pathlib.Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED
) -> pathlib.Path:
    """Write a zip file of ``{member: content}``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def write_parquet(
    path: pathlib.Path, files: Mapping[str, bytes], rows_in_group: int = 2, **how: Any
) -> pathlib.Path:
    """Write a Parquet file with a column ``image`` as Hugging Face has it; ``how``: of `pq.write_table`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": content, "path": name} for name, content in files.items()]
    table = pa.table({"image": rows, "tags": ["1girl solo"] * len(rows)})
    pq.write_table(table, path, row_group_size=rows_in_group, **how)
    return path
