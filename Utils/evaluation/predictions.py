"""Dumps: the predictions of a model on a set of images, one row an image, one column a tag.

A dump folder holds ``probabilities.npy`` (N, L), ``labels.npy`` (N, L) uint8, ``image_ids.npy`` (N,) int64,
``selected_tags.csv`` and ``dump.json``, which only informs. Matrices are mapped, never read whole.
"""

import contextlib
import dataclasses
import pathlib

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.files.atomic import read_json, replacing_folder, require_file, write_json
from Utils.tags import tag_list

PROBABILITIES, LABELS, IDS, TAGS, INFO = (
    "probabilities.npy", "labels.npy", "image_ids.npy", "selected_tags.csv", "dump.json",
)  # fmt: skip
DTYPES = ("float16", "float32")


@dataclasses.dataclass(frozen=True)
class Dump:
    """Predictions with what they are compared to; row i of everything is one image, column j one tag."""

    folder: pathlib.Path
    probabilities: np.ndarray  # (N, L) float16, float32 or float64
    labels: np.ndarray | None  # (N, L), anything but 0 is true; None where nobody labeled the images
    image_ids: np.ndarray | None  # (N,) int64
    tags: pd.DataFrame  # L rows
    info: dict  # dump.json, {} where there is none

    @property
    def name(self):
        """The run's name where dump.json has it, else the folder's."""
        return str(self.info.get("run_name") or self.folder.resolve().name)

    def require_labels(self):
        """Return the dump; raise UserError where it has no labels to score against."""
        if self.labels is None:
            raise UserError(f"{self.folder} has no {LABELS}, so there is nothing to score against")
        return self


def load(folder):
    """Open a dump folder as a `Dump`, its matrices mapped.

    Raises UserError where a file is missing or no plain .npy, or shapes and tags disagree.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise UserError(f"a dump folder was expected at {folder}; found {found}")
    labels, ids, info = folder / LABELS, folder / IDS, folder / INFO
    return _checked(
        Dump(
            folder,
            matrix(folder / PROBABILITIES),
            matrix(labels) if labels.exists() else None,
            matrix(ids, 1) if ids.exists() else None,
            tag_list.read(folder / TAGS),
            _info(info) if info.exists() else {},
        )
    )


def load_runs(folder):
    """Open a dump folder, or all dumps in a folder of them, by name: runs of one model, such as its seeds."""
    folder = pathlib.Path(folder)
    within = [] if (folder / PROBABILITIES).exists() else sorted(folder.glob(f"[!.]*/{PROBABILITIES}"))
    return [load(path.parent) for path in within] or [load(folder)]


def of_files(probabilities, labels, tags):
    """Make a `Dump` of three files that lie anywhere, such as those of the original project."""
    path = pathlib.Path(probabilities)
    dump = Dump(path.with_suffix(""), matrix(path), matrix(labels), None, tag_list.read(tags), {})
    return _checked(dump)


def matrix(path, rank=2):
    """Map one .npy file of ``rank`` dimensions; pickled objects are refused."""
    path = require_file(path, "an array (.npy)")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        array = _empty(path)
        if array is None:
            raise UserError(f"{path} is no .npy file of numbers: {error}") from error
    if getattr(array, "ndim", None) != rank:
        raise UserError(f"{path} must have {rank} dimensions; got {getattr(array, 'shape', 'an archive')}")
    return array


def _empty(path):
    """An array without a single value, which cannot be mapped; None where it is not that."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        return None
    return array if array.size == 0 else None


def _info(path):
    info = read_json(path)
    if not isinstance(info, dict):
        raise UserError(f"{path} must hold one JSON object; got {type(info).__name__}")
    return info


def _checked(dump):
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
    if len(dump.tags) != columns:
        raise UserError(f"{dump.folder}: {len(dump.tags)} tags for {columns} columns of probabilities")
    return dump


class Writer:
    """Writes a dump batch by batch: what is written is on disk, so a dump may be larger than memory."""

    def __init__(self, folder, num_labels, dtype, labels):
        self.folder, self.rows = folder, 0  # the folder is still beside its place
        kinds = {PROBABILITIES: (np.dtype(dtype), (num_labels,)), IDS: (np.dtype(np.int64), ())}
        if labels:
            kinds[LABELS] = (np.dtype(np.uint8), (num_labels,))
        self._arrays = {name: _Rows(folder / name, *kind) for name, kind in kinds.items()}

    def add(self, probabilities, image_ids, labels=None):
        """Append a batch: probabilities (B, L), image_ids (B,), and labels (B, L) in a dump with labels."""
        given = {PROBABILITIES: probabilities, IDS: image_ids, LABELS: labels}
        batches = {name: np.asarray(given[name]) for name in self._arrays}
        if len({len(batch) for batch in batches.values()}) != 1:
            raise ValueError(f"a batch has one length; got {[len(batch) for batch in batches.values()]}")
        for name, batch in batches.items():
            self._arrays[name].add(batch)
        self.rows += len(probabilities)

    def close(self):
        """Write the headers, which hold the number of rows."""
        for array in self._arrays.values():
            array.close()


class _Rows:
    """One .npy file that grows; NumPy leaves room in the header for the first axis to grow."""

    def __init__(self, path, dtype, shape):
        self.dtype, self.shape, self.rows = dtype, shape, 0
        self.file = path.open("wb")
        self._header()

    def _header(self):
        description = np.lib.format.dtype_to_descr(self.dtype)
        shape = (self.rows, *self.shape)
        header = {"descr": description, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, header)
        return self.file.tell()

    def add(self, batch):
        if batch.shape[1:] != self.shape:
            raise ValueError(f"rows of shape {self.shape} are expected; got {batch.shape[1:]}")
        self.file.write(np.ascontiguousarray(batch, self.dtype).data)
        self.rows += len(batch)

    def close(self):
        if not self.file.closed:
            self.file.seek(0)
            self._header()
            self.file.close()


@contextlib.contextmanager
def writing(folder, tags, *, dtype="float32", labels=True, info=None, overwrite=False):
    """Yield a `Writer` for a new dump folder, which is complete or absent.

    tag_list: DataFrame, one row a column; labels: False for images that nobody labeled; info: what dump.json
    says, may still be filled in while writing. Raises UserError where the folder exists, unless overwrite.
    """
    if str(np.dtype(dtype)) not in DTYPES:
        raise UserError(f"a dump is stored as {' or '.join(DTYPES)}; got {dtype}")
    with replacing_folder(folder, overwrite) as beside:
        writer = Writer(beside, len(tags), dtype, labels)
        with contextlib.closing(writer):
            yield writer
        tag_list.write(tags, beside / TAGS)
        write_json(beside / INFO, {"num_images": writer.rows, "num_labels": len(tags), **(info or {})})


def select(tags, category=None, start=0, end=-1):
    """Return the columns of a selection: of a category, the ranks by count from ``start`` to before ``end``.

    category: name or code, None for all; rank 0 is the most popular tag within the category; end -1: all.
    Returns rising int64 columns. Raises UserError where nothing is left.
    """
    columns = np.arange(len(tags))
    what = "the tag list"
    if category is not None:
        code = tag_list.category_code(category)
        columns = np.flatnonzero(tags["category"].to_numpy() == code)
        what = f"category {tag_list.category_name(code)}"
    if start < 0 or end < -1:
        raise UserError(f"ranks count from 0, and an end of -1 means all; got start {start}, end {end}")
    ranks = tag_list.popularity_ranks(tags.iloc[columns])
    chosen = columns[(ranks >= start) & ((ranks < end) | (end == -1))]
    if not len(chosen):
        upto = "the last" if end == -1 else end
        raise UserError(f"no tags are selected: {what} has {len(columns)} tags; got ranks {start} to {upto}")
    return chosen
