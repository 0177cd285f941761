"""tools/write_records.py: every post is one record, killed or in parts, or rejected with its reason."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import jpeg, small_dataset
from helpers.packed_datasets import everything, odd_booru, rejections, stored, write

from tools import select_tags, write_records
from Utils.data import dataset_folder, shard_writer
from Utils.files import job_engines, tfrecord
from Utils.images import codec, image_folder, image_reader
from Utils.tags import tag_list

pytestmark = pytest.mark.usefixtures("same_commit")

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_every_post_is_one_record_and_jpegs_at_size_pass_through(tmp_path):
    dataset = small_dataset(tmp_path)
    table = pq.read_table(dataset / "posts.parquet").to_pandas()
    loaded = dataset_folder.load(dataset)
    for split in loaded.splits:
        rows = table[table["split"] == split].set_index("post_id")
        packed = stored(dataset, split)
        assert sorted(number for number, _, _ in packed) == sorted(rows.index)
        assert loaded.post_ids(split).tolist() == [number for number, _, _ in packed]
        for number, data, labels in packed:
            assert data == (tmp_path / "images" / rows["path"][number]).read_bytes()
            assert labels == rows["label_indexes"][number].tolist()


def test_the_manifest_is_true(tmp_path):
    dataset = small_dataset(tmp_path)
    manifest = json.loads((dataset / "dataset.json").read_text())
    for split, entry in manifest["records"].items():
        assert entry["records"] == len(np.load(dataset / split / "ids.npy"))
        assert entry["records"] == sum(shard["records"] for shard in entry["shards"])
        assert [len(np.load(dataset / split / "ids.npy"))] == [entry["records"]]
        for index, shard in enumerate(entry["shards"]):
            assert shard["file"] == f"{split}/small-{index:05d}-of-{len(entry['shards']):05d}.tfrecord"
            data = (dataset / shard["file"]).read_bytes()
            assert (shard["bytes"], shard["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
            assert tfrecord.count_records(dataset / shard["file"]) == shard["records"]
    assert np.load(dataset / "train" / "ids.npy").dtype == np.int64
    assert sorted(path.name for path in dataset.iterdir()) == [
        "dataset.json", "dropped_tags.csv", "posts.parquet", "rejected.csv", "selected_tags.csv",
        "tag_splits.csv", "test", "train", "validation",
    ]  # fmt: skip


def test_train_is_shuffled_by_the_seed_and_the_rest_is_in_order(tmp_path):
    dataset = small_dataset(tmp_path)
    loaded = dataset_folder.load(dataset)
    ids = loaded.post_ids("train")
    assert (np.diff(loaded.post_ids("validation")) > 0).all()
    assert (np.diff(ids) > 0).any()
    assert (np.diff(ids) < 0).any()
    assert write(dataset, "--shard-size", "16", "--seed", "1", "--overwrite") == 0
    reshuffled = dataset_folder.load(dataset).post_ids("train")
    assert sorted(reshuffled) == sorted(ids)
    assert reshuffled.tolist() != ids.tolist()


def test_broken_files_are_rejected_and_odd_ones_made_square(tmp_path, capsys):
    dataset, odd = odd_booru(tmp_path)
    assert write(dataset, "--shard-size", "8") == 0
    shown = capsys.readouterr().out
    assert "rejected" in shown
    reasons = rejections(dataset)
    assert set(reasons) == {odd[kind] for kind in ("truncated", "empty", "text", "gone")}
    assert reasons[odd["gone"]] == "file missing"
    assert "1 PNG data in .jpg files" in shown
    stored_images = {}
    for split in dataset_folder.load(dataset).splits:
        stored_images |= {number: data for number, data, _ in stored(dataset, split)}
    assert len(stored_images) == 36
    for kind in ("png", "wide", "large", "gray", "turned"):
        data = stored_images[image_folder.post_id(odd[kind])]
        source = (tmp_path / "images" / odd[kind]).read_bytes()
        assert data == codec.encode_jpeg(codec.prepare(source, 32), 95)
        assert codec.probe(data) == ("JPEG", 32, 32)
    table = pq.read_table(dataset / "posts.parquet").to_pandas()
    assert set(table["post_id"]) == set(stored_images) | {image_folder.post_id(path) for path in reasons}


@pytest.mark.reliability(
    "select_tags --overwrite or write_records --overwrite while a dataset is packed",
    "refused; the records have the labels of their posts",
)
@pytest.mark.skipif(os.name == "nt", reason="Windows does not lock folders")
def test_a_dataset_that_is_packed_is_not_replaced(tmp_path, monkeypatch, capsys):
    dataset = small_dataset(tmp_path, records=False)
    write_shard, codes = shard_writer.write_shard, []
    words = "--source", "fire-eggs", "--from", tmp_path / "danbooru.db", "--images", tmp_path / "images"
    select = [str(tmp_path / "definition.toml"), *map(str, words), "-o", str(dataset), "--overwrite"]

    def write_while_others_begin(job):
        codes.append((select_tags.main(select), write_records.main([str(dataset), "--overwrite"])))
        return write_shard(job)

    monkeypatch.setattr(shard_writer, "write_shard", write_while_others_begin)
    assert write(dataset, "--shard-size", "60") == 0
    assert set(codes) == {(2, 2)}
    assert "dataset is in use by another process" in capsys.readouterr().err
    assert dataset_folder.load(dataset).splits


def test_a_killed_run_continues_to_the_same_bytes(tmp_path, monkeypatch):
    """Stopped before and after every rename there is; the next run ends as if nothing had happened."""
    dataset, _ = odd_booru(tmp_path)
    shutil.copytree(dataset, tmp_path / "start")
    assert write(dataset, "--shard-size", "16") == 0
    expected, rename, stops = everything(dataset), pathlib.Path.replace, 0
    for stop in range(1000):
        shutil.rmtree(dataset)
        shutil.copytree(tmp_path / "start", dataset)
        calls = []

        def replace(self, target, calls=calls, stop=stop):
            calls.append(target)
            if len(calls) == stop // 2 + 1:
                if stop % 2:
                    rename(self, target)
                raise KeyboardInterrupt
            return rename(self, target)

        monkeypatch.setattr(pathlib.Path, "replace", replace)
        code = write(dataset, "--shard-size", "16", "--workers", "1")
        monkeypatch.setattr(pathlib.Path, "replace", rename)
        if code == 0:
            break
        stops += 1
        assert code == 130
        (dataset / "train").mkdir(exist_ok=True)
        (dataset / "train" / ".small-00000-of-00003.tfrecord.1.part.tfrecord").write_bytes(b"half")
        assert write(dataset, "--shard-size", "16", "--workers", "1") == 0
        assert everything(dataset) == expected
    assert stops == 2 * (
        1 + 2 * 5 + 1 + 1 + 3
    )  # plan, five shards and notes, rejected.csv, dataset.json, three ids


def test_a_run_killed_by_the_system_continues(tmp_path):
    """All its processes get SIGKILL at the hundredth image, in the thirteenth shard."""
    dataset = small_dataset(tmp_path, records=False, num_posts=300)
    shutil.copytree(dataset, tmp_path / "whole")
    code = (
        "import itertools, os, sys; from tools import write_records as w; w.git_commit = lambda: '0' * 40\n"
        "from Utils.data import shard_writer; real, count = shard_writer.image_content, itertools.count(1)\n"
        "shard_writer.image_content = lambda *a: (next(count) == 100 and os.killpg(0, 9), real(*a))[1]\n"
        "sys.exit(w.main())"
    )
    words = ["--images", str(tmp_path / "images"), "--shard-size", "8", "--workers", "1"]
    command = [sys.executable, "-c", code, str(dataset), *words]
    assert subprocess.run(command, cwd=ROOT, start_new_session=True).returncode == -signal.SIGKILL
    assert 3 <= len(list(dataset.glob("train/*.tfrecord"))) < 30
    assert json.loads((dataset / "dataset.json").read_text())["records"] is None
    for folder in (dataset, tmp_path / "whole"):
        assert write_records.main([str(folder), *words]) == 0
    assert everything(dataset) == everything(tmp_path / "whole")


def test_parts_together_give_the_same_bytes(tmp_path, capsys):
    dataset = small_dataset(tmp_path, records=False)
    shutil.copytree(dataset, tmp_path / "whole")
    words = ["--images", str(tmp_path / "images"), "--shard-size", "8"]
    assert write_records.main([str(tmp_path / "whole"), *words, "--workers", "1"]) == 0
    for index in (2, 0, 1):
        assert json.loads((dataset / "dataset.json").read_text())["records"] is None
        capsys.readouterr()
        assert write(dataset, "--shard-size", "8", "--part", f"{index}/3") == 0
        assert ("left to other parts" in capsys.readouterr().out) == (index != 1)
    assert everything(dataset) == everything(tmp_path / "whole")
    assert write(dataset, "--shard-size", "8", "--part", "0/3") == 0
    assert "is complete" in capsys.readouterr().out


def test_a_second_run_says_so_and_checks_sizes(tmp_path, capsys):
    dataset = small_dataset(tmp_path)
    before = everything(dataset)
    capsys.readouterr()
    assert write(dataset, "--shard-size", "16") == 0
    assert "is complete: 60 records in 6 shards; nothing to do" in capsys.readouterr().out
    assert everything(dataset) == before
    assert write(dataset, "--shard-size", "8") == 2
    assert "started with shard_size = 16, now it is 8" in capsys.readouterr().err
    shard = next(dataset.glob("train/*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert write(dataset, "--shard-size", "16") == 1
    assert shard.name in capsys.readouterr().err
    assert write(dataset, "--shard-size", "16", "--overwrite") == 0
    assert everything(dataset) == before


def test_continuing_with_other_arguments_is_an_error(tmp_path, capsys):
    dataset = small_dataset(tmp_path, records=False)
    assert write(dataset, "--shard-size", "8", "--part", "0/2") == 0
    assert write(dataset, "--shard-size", "16") == 2
    assert "started with shard_size = 8, now it is 16" in capsys.readouterr().err
    assert write(dataset, "--shard-size", "8", "--seed", "3") == 2
    assert write(dataset, "--shard-size", "16", "--overwrite") == 0
    assert len(list(dataset.glob("train/*.tfrecord"))) == len(dataset_folder.load(dataset).shards("train"))


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--part", "3/3"], "I from 0 to N - 1"),
        (["--part", "x"], "I from 0 to N - 1"),
        (["--part", "0/2", "--overwrite"], "other parts"),
        (["--shard-size", "0"], "--shard-size: must be a whole number of at least 1"),
        (["--workers", "0"], "--workers: must be a whole number of at least 1"),
        (["--images", "nowhere"], "none of 60 images is there"),
        (["--labels-only"], "belong together"),
        (["--labels-only", "--reuse", "x", "--check"], "leave --check and --frames out"),
        (["--reuse", "somewhere"], "belong together"),
        (["--labels-only", "--reuse", "nowhere"], "a dataset folder was expected at nowhere"),
    ],
)
def test_wrong_use_is_explained(tmp_path, capsys, words, fault):
    dataset = small_dataset(tmp_path, records=False)
    assert write(dataset, *words) == 2
    assert fault in capsys.readouterr().err


def test_a_folder_that_select_tags_did_not_make(tmp_path, capsys):
    assert write_records.main([str(tmp_path), "--images", str(tmp_path)]) == 2
    assert "select_tags" in capsys.readouterr().err


def test_nothing_but_broken_images_is_a_failure(tmp_path, capsys):
    dataset = small_dataset(tmp_path, records=False, num_posts=40)
    for path in (tmp_path / "images").rglob("*.jpg"):
        path.write_bytes(b"")
    assert write(dataset) == 1
    assert "no image could be packed: 40 empty file" in capsys.readouterr().err


def test_a_disk_that_fails_stops_the_work_instead_of_rejecting(tmp_path, capsys, monkeypatch):
    dataset = small_dataset(tmp_path, records=False)
    real, calls = image_reader.read_bytes, []

    def content(place):
        calls.append(place)
        if len(calls) > 30:
            raise OSError(5, "Input/output error")
        return real(place)

    monkeypatch.setattr(image_reader, "read_bytes", content)
    assert write(dataset, "--shard-size", "8") == 1
    assert "Input/output error" in capsys.readouterr().err
    monkeypatch.undo()
    assert write(dataset, "--shard-size", "8") == 0
    assert dataset_folder.load(dataset).num_records("train") == 53


@pytest.mark.reliability("posts.parquet with labels outside the tag list", "refused, the post named")
@pytest.mark.parametrize(("label", "reason"), [(12, "has the label 12"), (-1, "has the label -1")])
def test_labels_outside_the_tag_list_are_refused(tmp_path, capsys, label, reason):
    dataset = small_dataset(tmp_path, records=False)
    table = pq.read_table(dataset / "posts.parquet").to_pandas()
    table.at[7, "label_indexes"] = np.array([0, label], np.int32)
    table.to_parquet(dataset / "posts.parquet")
    assert write(dataset) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert f"post {table['post_id'][7]} " in error
    assert not list(dataset.glob("*/*.tfrecord"))


def test_a_post_in_two_rows_of_posts_parquet_is_refused(tmp_path, capsys):
    dataset = small_dataset(tmp_path, records=False)
    table = pq.read_table(dataset / "posts.parquet").to_pandas()
    table.loc[7, "post_id"] = table["post_id"][8]
    table.to_parquet(dataset / "posts.parquet")
    assert write(dataset) == 2
    assert f"post {table['post_id'][8]} in more than one row" in capsys.readouterr().err


@pytest.mark.reliability(
    "A tag list of another dataset beside posts.parquet", "refused by the hash of the list"
)
def test_posts_are_not_packed_beside_another_tag_list(tmp_path, capsys):
    dataset = small_dataset(tmp_path, records=False)
    tags = tag_list.read(dataset / "selected_tags.csv")
    tag_list.write(tags.iloc[::-1], dataset / "selected_tags.csv")
    assert write(dataset) == 2
    assert "is not the tag list" in capsys.readouterr().err


def test_names_that_are_no_numbers_go_through_the_whole_chain(tmp_path):
    (tmp_path / "p" / "sub").mkdir(parents=True)
    names = ["a cat.jpg", "sub/a cat.jpg", "äöü 猫.png", "12.jpg", "x.y.jpg"]
    for number, name in enumerate(names):
        data = jpeg(number, 32)
        if name.endswith(".png"):
            data = cv2.imencode(".png", np.full((20, 30, 3), 99, np.uint8))[1].tobytes()
        (tmp_path / "p" / name).write_bytes(data)
        (tmp_path / "p" / name).with_suffix(".txt").write_text(f"solo, hat {number}")
    text = 'name = "own"\nimage_size = 32\nmin_tag_count = 0\nmin_tag_images = 0\nmin_tags_per_image = 0\n'
    (tmp_path / "d.toml").write_text(text + "splits = {train = [0, 999]}")
    words = [str(tmp_path / "d.toml"), "--source", "sidecars", "--from", str(tmp_path / "p")]
    assert select_tags.main([*words, "-o", str(tmp_path / "dataset")]) == 0
    assert write_records.main([str(tmp_path / "dataset"), "--images", str(tmp_path / "p")]) == 0
    loaded = dataset_folder.load(tmp_path / "dataset")
    tags = {n: set(loaded.tags["name"][labels]) for n, _, labels in stored(tmp_path / "dataset", "train")}
    digests = {name: int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) >> 1 for name in names}
    digests["12.jpg"] = 12
    assert tags == {digests[name]: {"solo", f"hat_{number}"} for number, name in enumerate(names)}
    assert sorted(loaded.post_ids("train")) == sorted(digests.values())


@pytest.mark.slow
def test_ray_gives_the_same_bytes(tmp_path):
    pytest.importorskip("ray")
    dataset = small_dataset(tmp_path, records=False)
    shutil.copytree(dataset, tmp_path / "whole")
    words = ["--images", str(tmp_path / "images"), "--shard-size", "8", "--workers", "2"]
    assert write_records.main([str(tmp_path / "whole"), *words]) == 0
    assert write_records.main([str(dataset), *words, "--engine", "ray"]) == 0
    assert everything(dataset) == everything(tmp_path / "whole")


def test_without_ray_its_engine_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(job_engines.importlib.util, "find_spec", lambda name: None)
    assert write_records.main([str(tmp_path), "--images", str(tmp_path), "--engine", "ray"]) == 2
    assert "requirements-ray.txt" in capsys.readouterr().err


def test_check_finds_damage_in_what_would_pass_through(tmp_path):
    dataset = small_dataset(tmp_path, records=False, num_posts=20)
    damaged = min((tmp_path / "images").rglob("*.jpg"), key=lambda path: int(path.stem))
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-20] + data[-2:])
    words = ["--images", str(tmp_path / "images")]
    assert write_records.main([str(dataset), *words]) == 0
    assert rejections(dataset) == {}
    assert write_records.main([str(dataset), *words, "--check"]) == 2  # other records would come of it
    assert write_records.main([str(dataset), *words, "--check", "--overwrite"]) == 0
    (reason,) = rejections(dataset).values()
    assert reason.startswith("damaged JPEG: Corrupt JPEG data")
