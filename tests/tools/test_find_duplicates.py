"""tools/find_duplicates.py: planted copies found and nothing else, groups that do not straddle splits."""

import csv
import json
import os

import numpy as np
import pandas as pd
import pytest
from helpers.drawn_images import drawing

from tools import find_duplicates, make_demo_booru, select_tags
from Utils.data.sources.parents import read_parents
from Utils.duplicates import fingerprints, hash_index
from Utils.evaluation import duplicate_groups
from Utils.images import codec
from Utils.images.resize import resize

DEFINITION = """name = "small"
image_size = 512
min_tag_count = 1
min_tag_images = 1
min_tag_share = 0.0
min_tags_per_image = 0
exclude_status = []
"""


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def find(images, output, *words):
    return find_duplicates.main(
        ["--images", str(images), "-o", str(output), "--workers", "1", "--json", *map(str, words)]
    )


@pytest.fixture(scope="module")
def booru(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "booru"
    assert make_demo_booru.main([str(folder), "--images", "64", "--workers", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def groups_csv(booru, tmp_path_factory):
    """groups.csv of the booru with its parent ids."""
    path = tmp_path_factory.mktemp("found") / "groups.csv"
    assert find(booru / "512px", path, "--source", "fire-eggs", "--from", booru / "danbooru.db") == 0
    return path


def planted(booru):
    """The pairs of copies and sources, as sets of post ids."""
    return {
        frozenset((int(row["image_id"]), int(row["source_id"]))) for row in rows(booru / "duplicates.csv")
    }


def groups_of(path):
    groups = {}
    for row in rows(path):
        groups.setdefault(row["group"], set()).add(int(row["post_id"]))
    return {frozenset(members) for members in groups.values()}


def test_copies_of_every_kind_are_found_and_nothing_else(booru, tmp_path, capsys):
    assert {row["kind"] for row in rows(booru / "duplicates.csv")} >= {"rescaled", "recompressed", "crop"}
    assert find(booru / "512px", tmp_path / "groups.csv") == 0
    shown = json.loads(capsys.readouterr().out)
    assert groups_of(tmp_path / "groups.csv") == planted(booru)
    broken = {image["path"]: image["reason"] for image in shown["broken"]}
    assert set(broken.values()) == {"truncated JPEG", "empty file"}
    assert shown["images"] == len(list((booru / "512px").glob("*/*.jpg")))
    assert all(0 <= float(row["distance"]) <= 1 for row in rows(tmp_path / "groups.csv"))
    assert shown["images_in_groups"] == len(rows(tmp_path / "groups.csv"))
    assert (shown["groups"], shown["largest_group"]) == (len(planted(booru)), 2)
    assert find(booru / "512px", tmp_path / "groups.csv", "--limit", "0.0001", "--overwrite") == 0
    assert json.loads(capsys.readouterr().out)["groups"] == 0


def test_parents_are_joined_in(booru, groups_csv):
    parent_of = {}
    for row in rows(groups_csv):
        parent_of[int(row["post_id"])] = row["parent_id"]
    relations = read_parents("fire-eggs", booru / "danbooru.db")
    assert relations
    assert {child: int(parent) for child, parent in parent_of.items() if parent} == relations
    members = rows(groups_csv)
    assert list(members[0]) == ["group", "post_id", "path", "distance", "parent_id"]
    assert [int(row["group"]) for row in members] == sorted(int(row["group"]) for row in members)


def test_no_group_is_in_two_splits_of_a_dataset(booru, tmp_path):
    """Copies of one picture in all splits: the training post stays, the test set is clean of it."""
    folder, sources = tmp_path / "images", sorted((booru / "512px").glob("*/*.jpg"))
    database = pd.DataFrame({"id": [1, 901, 951, 902, 952, 2, 953, 903], "rating": "s"})
    database["tag_string"] = "a b"
    database.to_json(tmp_path / "posts.jsonl", orient="records", lines=True)
    usable = [
        path for path in sources if fingerprints.fingerprint(path.read_bytes())["state"] == fingerprints.OK
    ]
    for number, source in zip(database["id"], (0, 0, 0, 8, 8, 16, 24, 32), strict=True):
        path = folder / f"{number % 1000:04d}" / f"{number}.jpg"
        path.parent.mkdir(parents=True)
        picture = codec.decode(usable[source].read_bytes())
        path.write_bytes(codec.encode_jpeg(picture, 95 - number // 50))
    groups = tmp_path / "groups.csv"
    assert find(folder, groups) == 0
    (tmp_path / "definition.toml").write_text(DEFINITION + 'ratings = ["s"]\n')
    words = [tmp_path / "definition.toml", "--source", "jsonl", "--from", tmp_path / "posts.jsonl"]
    words += ["--images", folder, "-o", tmp_path / "dataset", "--groups", groups]
    assert select_tags.main([str(word) for word in words]) == 0
    selected = pd.read_parquet(tmp_path / "dataset" / "posts.parquet")
    assert selected["post_id"].tolist() == [1, 2, 903, 952, 953]
    steps = json.loads((tmp_path / "dataset" / "dataset.json").read_text())["selection"]["posts"]
    assert steps[-1] == {"rule": "near-duplicate in an earlier split", "before": 8, "after": 5}


def test_images_of_one_color_are_left_alone(tmp_path, capsys):
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(codec.encode_jpeg(np.full((64, 64, 3), 40 * (number // 2))))
    assert find(tmp_path, tmp_path / "out" / "groups.csv") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["groups"], len(shown["blank"])) == (0, 6)
    assert (tmp_path / "out" / "groups.csv").read_text() == "group,post_id,path,distance,parent_id\n"
    assert len(duplicate_groups.read(tmp_path / "out" / "groups.csv")) == 0


def test_a_run_that_was_stopped_goes_on_and_files_that_changed_are_read_again(booru, tmp_path, monkeypatch):
    folder, seen, real = tmp_path / "images", [], fingerprints.fingerprint
    folder.mkdir()
    for at, path in enumerate(sorted((booru / "512px").glob("*/*.jpg"))[:12]):
        (folder / f"{at}.jpg").write_bytes(path.read_bytes())
    monkeypatch.setattr(find_duplicates, "_IMAGES_PER_JOB", 4)

    def counted(data):
        if len(seen) == 6:
            raise KeyboardInterrupt
        seen.append(data)
        return real(data)

    monkeypatch.setattr(fingerprints, "fingerprint", counted)
    assert find(folder, tmp_path / "groups.csv") == 130
    assert not (tmp_path / "groups.csv").exists()
    with (tmp_path / "groups.sketches" / "pictures.bin").open("ab") as file:
        file.write(b"a row that was not finished")
    seen.clear()
    monkeypatch.setattr(fingerprints, "fingerprint", lambda data: seen.append(data) or real(data))
    assert find(folder, tmp_path / "groups.csv") == 0
    assert len(seen) == 8
    first = (tmp_path / "groups.csv").read_bytes()
    os.utime(folder / "3.jpg", (1, 1))
    assert find(folder, tmp_path / "groups.csv", "--overwrite") == 0
    assert len(seen) == 9
    assert (tmp_path / "groups.csv").read_bytes() == first
    assert find(folder, tmp_path / "anew.csv") == 0
    assert (tmp_path / "anew.csv").read_bytes() == first
    (folder / "3.jpg").write_bytes((folder / "4.jpg").read_bytes())
    os.utime(folder / "3.jpg", (1, 1))  # another file of the same time
    seen.clear()
    assert find(folder, tmp_path / "groups.csv", "--overwrite") == 0
    assert len(seen) == 1


@pytest.mark.slow
def test_a_model_proposes_pairs_too(booru, tmp_path, monkeypatch, capsys):
    import Models

    model = Models.build("ResNet/test", image_size=32, num_labels=5)
    model.save(tmp_path / "model.keras")
    folder = tmp_path / "images"
    folder.mkdir()
    image = drawing(7)
    image[:3] = image[-3:] = drawing(8)[:3]
    large = resize(np.ascontiguousarray(image[30:480, 35:490]), 512)
    for number, picture in enumerate([image, drawing(1), large, drawing(2), drawing(5)]):
        (folder / f"{number}.jpg").write_bytes(codec.encode_jpeg(picture))
    monkeypatch.setattr(hash_index, "RADIUS", 192)  # an untrained model sees little
    assert find(folder, tmp_path / "plain.csv") == 0
    assert groups_of(tmp_path / "plain.csv") == set()
    monkeypatch.setattr(hash_index.near_pairs, "__defaults__", (192, 16, "neighbors"))
    assert find(folder, tmp_path / "groups.csv", "--run", tmp_path / "model.keras") == 0
    assert groups_of(tmp_path / "groups.csv") == {frozenset((0, 2))}
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "--workers"), (["--limit", "nan"], "--limit"),
        (["--source", "fire-eggs"], "--from"), (["--from", "x"], "--source"),
        (["--source", "fire-eggs", "--from", "none.db"], "none.db"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_paragraph(booru, tmp_path, capsys, words, message):
    assert find(booru / "512px", tmp_path / "groups.csv", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["groups.sketches", "groups.features"])
def test_an_output_is_not_where_fingerprints_are_kept(booru, tmp_path, capsys, name):
    assert find(booru / "512px", tmp_path / name) == 2
    assert f"{name} is the name of a folder of fingerprints" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_and_an_empty_folder_is_an_error(tmp_path, capsys, groups_csv):
    before = groups_csv.read_bytes()
    assert find(tmp_path, groups_csv) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert groups_csv.read_bytes() == before
    assert find(tmp_path, tmp_path / "groups.csv") == 2
    assert "no image found" in capsys.readouterr().err


def test_max_pixels_decides_what_is_compared(tmp_path, capsys):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(codec.encode_jpeg(drawing(1, 64, 64)))
    for limit, rows in ((4095, 0), (4096, 2)):
        words = ["--max-pixels", limit, *["--overwrite"] * (limit > 4095)]
        assert find(tmp_path / "in", tmp_path / "groups.csv", *words) == 0
        assert len((tmp_path / "groups.csv").read_text().splitlines()) == 1 + rows
    capsys.readouterr()


def write(folder, **pictures):
    """Write pictures as FOLDER/NAME.jpg."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (folder / f"{name.strip('_')}.jpg").write_bytes(codec.encode_jpeg(picture))


def test_families_are_groups_and_members_stand_by_their_ids(tmp_path):
    """10 and 9 are one picture; 8 is the parent of 10 and looks like nothing else."""
    write(tmp_path / "images", _10=drawing(1), _9=drawing(1), _8=drawing(2), _7=drawing(3))
    (tmp_path / "posts.jsonl").write_text(
        "".join(json.dumps({"id": post, "tag_string": "a", "parent_id": 8 if post == 10 else None}) + "\n"
                for post in (7, 8, 9, 10))
    )  # fmt: skip
    words = ("--source", "jsonl", "--from", tmp_path / "posts.jsonl")
    assert find(tmp_path / "images", tmp_path / "groups.csv", *words) == 0
    members = [(row["post_id"], row["distance"], row["parent_id"]) for row in rows(tmp_path / "groups.csv")]
    assert [member[0] for member in members] == ["8", "9", "10"]
    assert members[0] == ("8", "", "")
    assert members[2][2] == "8"


def test_a_speck_far_from_the_content_does_not_hide_a_copy(tmp_path):
    """It changes the hash of the content, not that of the whole."""
    plain = np.full((512, 512, 3), 255, np.uint8)
    plain[90:, 90:] = drawing(5, 422, 422)
    speck = plain.copy()
    speck[:20, :20] = 200
    write(tmp_path / "images", _1=drawing(1), _3=plain, _4=speck)
    assert find(tmp_path / "images", tmp_path / "groups.csv") == 0
    assert groups_of(tmp_path / "groups.csv") == {frozenset((3, 4))}


def test_members_of_the_second_degree_are_compared_with_more_room(tmp_path):
    """Each window lies 3% from the next: the last one is 9% from the first."""
    image = drawing(3, 700, 700)
    windows = {f"_{at}": np.ascontiguousarray(image[16 * at : 16 * at + 512, 40:552]) for at in range(4)}
    write(tmp_path / "images", **windows)
    assert find(tmp_path / "images", tmp_path / "groups.csv") == 0
    (members,) = groups_of(tmp_path / "groups.csv")
    assert len(members) > 2


def test_a_file_that_disappears_is_reported(tmp_path, monkeypatch, capsys):
    write(tmp_path / "images", _1=drawing(1), _2=drawing(1))
    listed = find_duplicates.image_folder.image_paths
    monkeypatch.setattr(
        find_duplicates.image_folder, "image_paths", lambda *given: [*listed(*given), "gone.jpg"]
    )
    assert find(tmp_path / "images", tmp_path / "groups.csv") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["groups"] == 1
    assert summary["broken"] == [{"path": "gone.jpg", "reason": "cannot be read: No such file or directory"}]
