"""Dumps: folders with a model's predictions on a set of images, one row an image, one column a tag.

A dump folder holds ``probabilities.npy`` (N, L), ``labels.npy`` (N, L) uint8, ``image_ids.npy`` (N,) int64,
``selected_tags.csv`` and ``dump.json``, which only informs. Matrices are mapped, never read whole.
"""

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.cli import UserError, found
from Utils.evaluation import chunked_matrix
from Utils.files import arrays, csv_tables
from Utils.files.atomic import read_json, write_json
from Utils.files.output_folders import FolderKind, replacing_folder
from Utils.tags import tag_categories, tag_list

PROBABILITIES, LABELS, IDS, TAGS, INFO = (
    "probabilities.npy", "labels.npy", "image_ids.npy", tag_list.FILE, "dump.json",
)  # fmt: skip
# Of the pictures of a place, with the size of each file: another size is another picture.
PICTURES, PICTURE_COLUMNS = "images.csv", ("post_id", "path", "bytes")
MODEL_DIGEST = "model_sha256"  # in dump.json: `model_files.digest_in_run` of the model
DTYPES = ("float16", "float32")
DUMP = FolderKind(
    "a dump", (INFO, PROBABILITIES, TAGS),
    (LABELS, IDS, PICTURES, "rejected.csv", tag_categories.FILE),
    inventory=INFO,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Dump:
    """Predictions and, where images are labeled, the labels; row i is one image, column j one tag."""

    folder: pathlib.Path
    probabilities: np.ndarray  # (N, L) float16, float32 or float64
    labels: Any  # (N, L) ndarray, anything but 0 is true; None if nobody labeled the images
    image_ids: Any  # (N,) int64 ndarray; None if the images have no ids
    tags: pd.DataFrame  # L rows
    info: dict[str, Any]  # dump.json, {} if there is none

    @property
    def name(self) -> str:
        """The run's name if dump.json has it, else the folder's."""
        return str(self.info.get("run_name") or self.folder.resolve().name)

    def require_predicted_by(self, model_sha256: str) -> None:
        """Raise UserError where dump.json has the hash of another model file: its scores are another model's.

        A run that went on has another best.keras. Only dumps of runs' models have a hash.
        """
        if self.info.get(MODEL_DIGEST) not in (None, model_sha256):
            raise UserError(
                f"{self.folder} was predicted with another model file than this one ({MODEL_DIGEST} in "
                f"{INFO}): the run went on since, or it was its other model (--which). Predict again"
            )

    def number(self, name: str) -> float:
        """Return a number of 0 or more that dump.json has; NaN where it has none, which only informs."""
        value = self.info.get(name)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
            return math.nan
        return float(value)

    @functools.cached_property
    def picture_sizes(self) -> dict[int, int]:
        """The bytes of the files that were predicted, by post id; empty where images.csv has none."""
        path, (post, _, size) = self.folder / PICTURES, PICTURE_COLUMNS
        rows = csv_tables.read_texts(path, "the pictures of a dump") if path.is_file() else []
        pairs = ((row.get(post) or "", row.get(size) or "") for row in rows)
        return {
            int(number): int(length) for number, length in pairs if number.isdecimal() and length.isdecimal()
        }

    def require_labels(self) -> "Dump":
        """Return the dump; raise UserError if it has no labels to score against."""
        if self.labels is None:
            raise UserError(f"{self.folder} has no {LABELS}, so there is nothing to score against")
        return self


def load(folder: str | os.PathLike) -> Dump:
    """Open a dump folder as a `Dump`, its matrices memory-mapped.

    Raises UserError if a file is missing or no plain .npy, or shapes and tags disagree.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"a dump folder was expected at {folder}; found {found(folder)}")
    if not (folder / PROBABILITIES).exists():
        maker = programs.prog("predict.py")
        raise UserError(
            f"{folder} is no dump: it has no {PROBABILITIES}; {maker} makes dumps, one folder each"
        )
    labels, ids, info = folder / LABELS, folder / IDS, folder / INFO
    return _checked(
        Dump(
            folder,
            matrix(folder / PROBABILITIES),
            matrix(labels) if labels.exists() else None,
            matrix(ids, 1) if ids.exists() else None,
            tag_list.read(folder / TAGS),
            read_json(info, dict) if info.exists() else {},
        )
    )


def load_runs(folder: str | os.PathLike) -> list[Dump]:
    """Open a dump folder, or all dumps of a folder in the order of their names: runs of one recipe."""
    folder = pathlib.Path(folder)
    runs = [] if (folder / PROBABILITIES).exists() else sorted(folder.glob(f"[!.]*/{PROBABILITIES}"))
    return [load(path.parent) for path in runs] or [load(folder)]


def load_files(probabilities: str | os.PathLike, labels: Any, tags: Any) -> Dump:
    """Return a `Dump` made from three separate files, as the original project wrote them."""
    path = pathlib.Path(probabilities)
    dump = Dump(path.with_suffix(""), matrix(path), matrix(labels), None, tag_list.read(tags), {})
    return _checked(dump)


def matrix(path: Any, rank: int = 2) -> np.ndarray:
    """Memory-map one .npy file of ``rank`` dimensions; pickled objects are refused."""
    return arrays.read(path, rank=rank, mapped=True)


def _checked(dump: Dump) -> Dump:
    rows, columns = dump.probabilities.shape
    if dump.probabilities.dtype not in (np.float16, np.float32, np.float64):
        raise UserError(
            f"probabilities must be float16 or float32; {dump.folder} has {dump.probabilities.dtype}"
        )
    if dump.labels is not None and dump.labels.shape != (rows, columns):
        raise UserError(f"{dump.folder}: labels {dump.labels.shape} and probabilities {rows, columns} differ")
    if dump.labels is not None and dump.labels.dtype.kind not in "biuf":
        raise UserError(f"{dump.folder}: labels must be numbers, 0 or 1; got {dump.labels.dtype}")
    if dump.image_ids is not None and dump.image_ids.shape != (rows,):
        raise UserError(f"{dump.folder}: {len(dump.image_ids)} image ids for {rows} rows of probabilities")
    if dump.image_ids is not None and dump.image_ids.dtype.kind not in "iu":
        raise UserError(f"{dump.folder}: image ids must be whole numbers; got {dump.image_ids.dtype}")
    if dump.image_ids is not None and dump.image_ids.max(initial=0) > np.iinfo(np.int64).max:
        raise UserError(f"{dump.folder}: image ids are below 2**63; got {dump.image_ids.max()}")
    if len(dump.tags) != columns:
        raise UserError(f"{dump.folder}: {len(dump.tags)} tags for {columns} columns of probabilities")
    _check_values(dump)
    _check_digests(dump)
    return dump


def _check_digests(dump: Dump) -> None:
    """Raise UserError where image_ids.npy was exchanged since the dump was written, and its rows were not.

    Every row would be another image's, and nothing else could tell. Labels may be exchanged on purpose (by
    encode_tags.py), which is only said. A dump.json without digests tells nothing, and is not needed.
    """
    digests = dump.info.get("sha256")
    if not isinstance(digests, dict):
        return
    for name, values, dtype in ((IDS, dump.image_ids, np.int64), (LABELS, dump.labels, np.uint8)):
        if values is None or name not in digests or _digest(values, dtype) == digests[name]:
            continue
        if name == LABELS:
            print(
                f"{dump.folder / name} is not the one that was written with the dump: its row i must be the "
                f"labels of image i of {IDS}",
                file=sys.stderr,
            )
        elif _digest(dump.probabilities, dump.probabilities.dtype) == digests.get(PROBABILITIES):
            raise UserError(
                f"{dump.folder / name} is not the one that was written with {PROBABILITIES} (SHA-256 in "
                f"{INFO}), so that a row would be another image's; restore it, or remove sha256 from {INFO} "
                "if the numbers were exchanged on purpose"
            )
    _check_tags(dump, digests)


def _check_tags(dump: Dump, digests: dict[str, Any]) -> None:
    """Raise UserError where the tag list is not the one of the columns: sorted, or another one.

    Every column would be another tag's. Ids, categories and counts may be others.
    """
    if digests.get(TAGS) in (None, _digest_of_names(dump.tags)):
        return
    if _digest(dump.probabilities, dump.probabilities.dtype) == digests.get(PROBABILITIES):
        raise UserError(
            f"{dump.folder / TAGS} has other tags, or in another order, than when {PROBABILITIES} was "
            f"written (SHA-256 in {INFO}), so that a column would be another tag's; restore it, or remove "
            f"sha256 from {INFO} if tags were renamed on purpose"
        )


def _digest_of_names(tags: pd.DataFrame) -> str:
    return hashlib.sha256("\n".join(tags["name"]).encode()).hexdigest()


def _digest(matrix: Any, dtype: Any) -> str:
    """Return the SHA-256 of an array's values, row by row, stored as ``dtype``: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    matrix = matrix if matrix.ndim == 2 else np.array(matrix)[:, None]
    for (block,) in chunked_matrix.row_blocks(matrix):
        digest.update(np.ascontiguousarray(block, dtype).data)
    return digest.hexdigest()


def _check_values(dump: Dump) -> None:
    """Raise UserError that names file, row and column of a value outside its range.

    One pass over both files: a label of -1, or a soft one, would count as a true one, and logits that were
    dumped as probabilities as certainties.
    """
    matrices = [dump.probabilities] if dump.labels is None else [dump.probabilities, dump.labels]
    row = 0
    for block, *labels in chunked_matrix.row_blocks(*matrices):
        if not _all_from_0_to_1(block):
            _refuse_value(
                dump.probabilities, row, ~((block >= 0) & (block <= 1)), "a probability lies between 0 and 1"
            )
        for label_block in labels:
            if not _all_0_or_1(label_block):
                rule = "a label is 0 or 1 (-1, unknown and soft labels are not scored)"
                _refuse_value(dump.labels, row, (label_block != 0) & (label_block != 1), rule)
        row += len(block)


def _all_from_0_to_1(block: np.ndarray) -> bool:
    """Whether no bit pattern is above that of 1: negative numbers and NaN are, too. False also for -0."""
    bits = chunked_matrix.raw_bits(block)
    return bool(bits.max(initial=0) <= chunked_matrix.raw_bits(np.ones(1, block.dtype))[0])


def _all_0_or_1(block: np.ndarray) -> bool:
    if block.dtype.kind in "biu":
        return block.dtype.kind == "b" or bool(block.min(initial=0) >= 0 and block.max(initial=0) <= 1)
    return bool(((block == 0) | (block == 1)).all())


def _refuse_value(matrix: Any, first_row: int, wrong: np.ndarray, rule: str) -> None:
    """Raise UserError for the first wrong value of a block; there is none where -0 alone was odd."""
    if not wrong.any():
        return
    row, column = (int(place) for place in np.argwhere(wrong)[0])
    row += first_row
    raise UserError(f"{matrix.filename}: {rule}; got {matrix[row, column]} in row {row}, column {column}")


class Writer:
    """Writes a dump batch by batch to disk, so that it may be larger than memory."""

    def __init__(self, folder: pathlib.Path, num_labels: int, dtype: Any, labels: bool):
        self.folder, self.rows = folder, 0  # a folder beside the final one, renamed when all is written
        self._arrays = {
            PROBABILITIES: _GrowingArray(folder / PROBABILITIES, np.dtype(dtype), (num_labels,)),
            IDS: _GrowingArray(folder / IDS, np.dtype(np.int64), ()),
        }
        if labels:
            self._arrays[LABELS] = _GrowingArray(folder / LABELS, np.dtype(np.uint8), (num_labels,))

    def add(self, probabilities: np.ndarray, image_ids: Any, labels: np.ndarray | None = None) -> None:
        """Append a batch: probabilities (B, L), image_ids (B,), and labels (B, L) in a dump with labels."""
        arrays = {PROBABILITIES: probabilities, IDS: image_ids, LABELS: labels}
        batches = {name: np.asarray(arrays[name]) for name in self._arrays}
        if len({len(batch) for batch in batches.values()}) != 1:
            raise ValueError(f"a batch has one length; got {[len(batch) for batch in batches.values()]}")
        for name, batch in batches.items():
            self._arrays[name].add(batch)
        self.rows += len(probabilities)

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the values of every file, by name."""
        return {name: array.digest.hexdigest() for name, array in self._arrays.items()}

    def close(self) -> None:
        """Rewrite the headers, now that the number of rows is known."""
        for array in self._arrays.values():
            array.close()


class _GrowingArray:
    """One .npy file that grows; NumPy leaves room in the header for the first axis to grow."""

    def __init__(self, path: pathlib.Path, dtype: np.dtype, shape: tuple[int, ...]):
        self.dtype, self.shape, self.rows, self.digest = dtype, shape, 0, hashlib.sha256()
        self.file = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        description = np.lib.format.dtype_to_descr(self.dtype)
        shape = (self.rows, *self.shape)
        header = {"descr": description, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, header)

    def add(self, batch: np.ndarray) -> None:
        if batch.shape[1:] != self.shape:
            raise ValueError(f"rows of shape {self.shape} are expected; got {batch.shape[1:]}")
        data = np.ascontiguousarray(batch, self.dtype).data
        self.file.write(data)
        self.digest.update(data)
        self.rows += len(batch)

    def close(self) -> None:
        if not self.file.closed:
            self.file.seek(0)
            self._write_header()
            self.file.close()


@contextlib.contextmanager
def writing(
    folder: Any,
    tags: pd.DataFrame,
    *,
    dtype: Any = "float32",
    labels: bool = True,
    info: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Iterator[Writer]:
    """Yield a `Writer` for a new dump folder, which is complete or absent.

    Args:
        folder: to write; UserError if it exists, unless ``overwrite``.
        tags: one row a column of the matrices.
        dtype: of the probabilities, one of DTYPES.
        labels: False for images that nobody labeled.
        info: for dump.json; may still be filled in while writing.
        overwrite: replace an existing dump.
    """
    if str(np.dtype(dtype)) not in DTYPES:
        raise UserError(f"a dump is stored as {' or '.join(DTYPES)}; got {dtype}")
    with replacing_folder(folder, DUMP, overwrite) as beside:
        writer = Writer(beside, len(tags), dtype, labels)
        with contextlib.closing(writer):
            yield writer
        tag_list.write(tags, beside / TAGS)
        facts = {"num_images": writer.rows, "num_labels": len(tags), **(info or {})}
        names = {TAGS: _digest_of_names(tag_list.read(beside / TAGS))}
        write_json(beside / INFO, facts | {"sha256": writer.digests() | names})


def select(
    tags: pd.DataFrame, category: str | int | None = None, start: int = 0, end: int = -1
) -> np.ndarray:
    """Return the columns of a category whose ranks by count lie from ``start`` to before ``end``: int64.

    Raises UserError if there are none.

    Args:
        tags: a tag list.
        category: name or code, None for all.
        start: first rank; 0 is the most popular tag within the category.
        end: -1 means all.
    """
    columns = np.arange(len(tags))
    scope = "the tag list"
    if category is not None:
        names = tag_categories.names_of(tags)
        code = tag_categories.code_of(category, names)
        columns = np.flatnonzero(tags["category"].to_numpy() == code)
        scope = f"category {tag_categories.name_of(code, names).removeprefix('category ')}"
    if start < 0 or end < -1:
        raise UserError(f"ranks count from 0, and an end of -1 means all; got start {start}, end {end}")
    ranks = tag_list.popularity_ranks(tags.iloc[columns])
    selected = columns[(ranks >= start) & ((ranks < end) | (end == -1))]
    if not len(selected):
        last = "the last" if end == -1 else end
        raise UserError(f"no tags are selected: {scope} has {len(columns)} tags; got ranks {start} to {last}")
    return selected
