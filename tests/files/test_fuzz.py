"""Every door through which a file is read: a damaged file is read, or is one error that names it, at once."""

import contextlib
import dataclasses
import os
import pathlib
import sqlite3
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from helpers import small_releases
from helpers.mutants import mutant

from Models.porting import original_zoo, timm_folder
from Utils.command.cli import UserError, WorkError
from Utils.data import dataset_folder, definition
from Utils.evaluation import threshold_table
from Utils.files import (
    arrays,
    csv_tables,
    parquet_files,
    sqlite_files,
    text_files,
    tfrecord,
    zip_files,
)
from Utils.files.atomic import read_json
from Utils.labels import decisions
from Utils.recipe import sweeps
from Utils.serving import onnx_tagger
from Utils.tags import tag_list

PER_DOOR = 30
MANY = 3000  # in `make test-slow`


@dataclasses.dataclass(frozen=True)
class Door:
    """A reader, and a valid small file for it."""

    name: str  # of the file
    write: Callable[[pathlib.Path], Any]
    read: Callable[[pathlib.Path], Any]
    cost: int = 1  # as many times fewer mutants
    seconds: float = 1.0  # for one mutant


def write_posts(path):
    rows = {
        "post_id": range(9),
        "split": ["train"] * 9,
        "path": ["0001/1.jpg"] * 9,
        "label_indexes": [[0, 2]] * 9,
    }
    pq.write_table(pa.table(rows, schema=pa.schema(list(dataset_folder.POST_COLUMNS.items()))), path)


def write_database(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE tags (tag_id INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO tags VALUES (?, ?)", [(row, f"tag_{row}") for row in range(200)])
    database.close()


def read_database(path):
    with (
        sqlite_files.named(path),
        contextlib.closing(sqlite_files.open_read_only(path)) as database,
    ):
        return database.execute("SELECT tag_id, name FROM tags").fetchall()


def write_h5(path):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        layer = file.create_group("dense")
        layer.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        layer.create_dataset("dense/kernel:0", data=np.ones((4, 3), "float32"))
        layer.create_dataset("dense/bias:0", data=np.ones(3, "float32"), compression="gzip")


def write_records(path):
    with tfrecord.Writer(path) as file:
        for post in range(4):
            file.write_record(tfrecord.encode_example(post, b"a picture", [1, 2]))


def write_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            file.writestr(name, name * 20)


def write_onnx(path):
    small_releases.make(path.with_name("release"))
    path.with_name("release").joinpath("model.onnx").rename(path)


def write_timm(path):
    path.with_name("config.json").write_text('{"architecture": "x"}')
    safetensors.numpy.save_file({"a": np.ones((2, 3), "float32"), "b": np.ones(4, "float32")}, path)


TOML = 'name = "x"\nimage_size = 64\nratings = ["g", "s"]\nmin_tag_share = 0.5\n[splits]\ntrain = [0, 899]\n'
YAML = "method: grid\nparameters:\n  lr: {values: [0.1, 0.2]}\n  ema: &a {value: 1}\n  b: *a\nrun_cap: 3\n"
LIST = "tag_id,name,category,count\n1,solo,0,20\n2,cat,4,3\n3,other,9,1\n"
DECISION = (
    '{"post_id": 1, "tag": "solo", "tag_id": 2, "decision": "yes", "time": "2024", "reviewer": "r"}\n'
    '{"post_id": 2, "tag": "solo", "tag_id": 2, "decision": "no", "time": "2024", "reviewer": "r"}\n'
)
MANIFEST = '{"name": "x", "image_size": 64, "records": {"train": {"shards": [{"file": "a", "records": 3}]}}}'
THRESHOLDS = "scope,category,tag_id,name,threshold\nall,,,all,0.35\ntag,0,1,solo,0.5\n"
DOORS = [
    Door("posts.parquet", write_posts, lambda path: parquet_files.read(
        path, "posts", dataset_folder.POST_COLUMNS)),
    Door("any.parquet", write_posts, lambda path: [
        table.to_pylist() for table in parquet_files.batches(path, "posts", list, 4)]),
    Door("a.npy", lambda path: np.save(path, np.ones((5, 3), "float32")), arrays.read),
    Door("b.npy", lambda path: np.save(path, np.arange(9)), lambda path: np.array(
        arrays.read(path, rank=1, kinds="iu", mapped=True))),
    Door("dataset.json", lambda path: path.write_text(MANIFEST), lambda path: read_json(
        path, dataset_folder._SHAPE)),
    Door("definition.toml", lambda path: path.write_text(TOML), definition.read_definition),
    Door("groups.toml", lambda path: path.write_text(TOML), lambda path: text_files.read_toml(
        path, "groups")),
    Door("sweep.yaml", lambda path: path.write_text(YAML), lambda path: sweeps.runs(sweeps.read(path))),
    Door("a.csv", lambda path: path.write_text(LIST), lambda path: csv_tables.read(path, "tags", ("name",))),
    Door("b.csv", lambda path: path.write_text(LIST), lambda path: csv_tables.read_texts(path, "tags")),
    Door("selected_tags.csv", lambda path: path.write_text(LIST), tag_list.read),
    Door("thresholds.csv", lambda path: path.write_text(THRESHOLDS), threshold_table.read),
    Door("decisions.jsonl", lambda path: path.write_text(DECISION), decisions.read),
    Door("a.db", write_database, read_database),
    Door("a.h5", write_h5, original_zoo.read, cost=10, seconds=15),  # each is tried in a process of its own
    Door("model.safetensors", write_timm, lambda path: timm_folder.read(path.parent)),
    Door("a.onnx", write_onnx, lambda path: onnx_tagger.open_session(path, 1)),
    Door("a.tfrecord", write_records, lambda path: [*tfrecord.read_records(path)]),
    Door("model.keras", write_zip, lambda path: zip_files.require_whole(path, "a Keras model")),
]  # fmt: skip
IDS = [door.name for door in DOORS]


def cpu_seconds():
    """Of this process and those that it started: the clock's are of what else the machine does, too."""
    return sum(os.times()[:4])


def faults(door, folder, numbers):
    """What is wrong with how the door takes the mutants."""
    path = folder / door.name
    door.write(path)
    door.read(path)  # the whole file is read
    content = path.read_bytes()
    for number in numbers:
        damage, data = mutant(content, number)
        path.write_bytes(data)
        start = cpu_seconds()
        try:
            door.read(path)
        except (UserError, WorkError) as error:
            if door.name not in str(error):
                yield f"{damage}: the file is not named: {error}"
        except Exception as error:
            yield f"{damage}: {type(error).__name__}: {error}"
        if cpu_seconds() - start > door.seconds:
            yield f"{damage}: it took {cpu_seconds() - start:.1f} s"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.reliability(
    "a damaged file of any format: bytes flipped, cut, repeated, zeroed", "one error that names it"
)
@pytest.mark.parametrize("door", DOORS, ids=IDS)
def test_a_damaged_file_is_read_or_named(door, tmp_path):
    assert [*faults(door, tmp_path, range(PER_DOOR // door.cost))] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", DOORS, ids=IDS)
def test_thousands_of_damaged_files_are_read_or_named(door, tmp_path):
    assert [*faults(door, tmp_path, range(PER_DOOR, MANY // door.cost))] == []
