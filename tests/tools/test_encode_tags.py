"""tools/encode_tags.py: the labels of brute force, from every kind of order of ids and tags."""

import sqlite3

import helpers
import numpy as np
import pandas as pd
import pytest

from tools import encode_tags
from Utils.data.sources import stream
from Utils.tags import tag_list


@pytest.fixture
def booru(tmp_path):
    """A drawn booru: its folder, ids, tags, and which post has which tag."""
    folder = helpers.small_booru(tmp_path / "booru", num_posts=30, size=8)
    database = sqlite3.connect(folder / "danbooru.db")
    pairs = set(database.execute("SELECT image_id, tag_id FROM imageTags"))
    ratings = dict(database.execute("SELECT image_id, rating FROM images"))
    database.close()
    return folder, sorted(ratings), pairs, ratings


def tag_file(path, rows):
    tag_list.write(pd.DataFrame(rows, columns=["tag_id", "name", "category", "count"]), path)
    return str(path)


def encode(booru, folder, lines, listed, *words):
    (folder / "ids.txt").write_text("\n".join(map(str, lines)) + "\n", encoding="utf-8")
    source = ["--source", "fire-eggs", "--from", str(booru / "danbooru.db")]
    words = [str(folder / "ids.txt"), *source, "--tags", listed, "-o", str(folder / "labels.npy"), *words]
    return encode_tags.main(words)


def test_rows_and_columns_are_those_asked_for(booru, tmp_path, capsys, monkeypatch):
    folder, ids, pairs, _ = booru
    monkeypatch.setattr(stream, "BLOCK_SIZE", 7)
    monkeypatch.setattr(encode_tags, "ROWS_AT_A_TIME", 4)
    rng = np.random.default_rng(0)
    asked = rng.permutation(ids)[:20].tolist() + [ids[3], ids[3]]
    columns = [9, 2, 5, 999, 1]
    rows = [(number, f"tag_{number}", 0, 5) for number in columns]
    rows[2] = (777, "tag_5", 0, 5)  # another id: matched by its name
    assert encode(folder, tmp_path, asked, tag_file(tmp_path / "tags.csv", rows)) == 0
    labels = np.load(tmp_path / "labels.npy", allow_pickle=False)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[int((post, tag) in pairs) for tag in columns] for post in asked]
    assert labels[:, 3].sum() == 0
    assert "1 of 5 tags are unknown to the source" in capsys.readouterr().err

    again = [f"{post % 1000:04d}/{post}.jpg" for post in asked]
    assert encode(folder, tmp_path, again, str(tmp_path / "tags.csv")) == 2, "what exists is kept"
    before = (tmp_path / "labels.npy").read_bytes()
    assert encode(folder, tmp_path, again, str(tmp_path / "tags.csv"), "--overwrite") == 0
    assert (tmp_path / "labels.npy").read_bytes() == before
    np.save(tmp_path / "ids.npy", asked)
    words = ["--source", "fire-eggs", "--from", str(folder / "danbooru.db"), "--overwrite"]
    words += ["--tags", str(tmp_path / "tags.csv"), "-o", str(tmp_path / "labels.npy")]
    assert encode_tags.main([str(tmp_path / "ids.npy"), *words]) == 0
    assert (tmp_path / "labels.npy").read_bytes() == before


def test_ratings_become_labels(booru, tmp_path, capsys):
    folder, ids, pairs, ratings = booru
    rows = [(9999999 - i, name, 9, 1) for i, name in enumerate(tag_list.RATINGS)] + [(3, "tag_3", 0, 1)]
    listed = tag_file(tmp_path / "tags.csv", rows)
    assert encode(folder, tmp_path, ids, listed) == 0
    assert "unknown" not in capsys.readouterr().err
    labels = np.load(tmp_path / "labels.npy")
    expected = [[ratings[post] == letter for letter in "gsqe"] + [(post, 3) in pairs] for post in ids]
    assert labels.astype(bool).tolist() == expected

    database = sqlite3.connect(folder / "danbooru.db")
    database.execute("UPDATE images SET rating = 'q' WHERE rating = 'g'")
    database.commit()
    database.close()
    assert encode(folder, tmp_path, ids, listed, "--overwrite") == 2
    assert "before April 2022" in capsys.readouterr().err
    ratings_map = ["--ratings-map", "s=general", "q=explicit"]
    assert encode(folder, tmp_path, ids, listed, "--overwrite", *ratings_map) == 0
    mapped_labels = np.load(tmp_path / "labels.npy")
    assert np.array_equal(mapped_labels[:, [0, 3]], labels[:, [1, 0]])
    assert encode(folder, tmp_path, ids, listed, "--overwrite", "--ratings-map", "s=safe") == 2


def test_sidecars_are_encoded_by_the_hash_of_the_path(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, text in (("b.png", "blue eyes, smile"), ("a.jpg", "smile"), ("7.jpg", "hat\nblue eyes")):
        (pictures / name).write_bytes(helpers.jpeg(1, 8))
        (pictures / name).with_suffix(".txt").write_text(text)
    listed = tag_file(tmp_path / "tags.csv", [(1, "smile", 0, 1), (2, "blue_eyes", 0, 1)])
    (tmp_path / "ids.txt").write_text("7.jpg\nb.png\n\na.jpg\n")
    words = [str(tmp_path / "ids.txt"), "--source", "sidecars", "--from", str(pictures)]
    assert encode_tags.main([*words, "--tags", listed, "-o", str(tmp_path / "labels.npy")]) == 0
    assert np.load(tmp_path / "labels.npy").tolist() == [[0, 1], [1, 1], [1, 0]]


def test_mistakes_are_named(booru, tmp_path, capsys):
    folder, ids, *_ = booru
    listed = tag_file(tmp_path / "tags.csv", [(1, "tag_1", 0, 1)])
    assert encode(folder, tmp_path, [ids[0], 5, 6], listed) == 1
    assert "2 of 3 posts are not in" in capsys.readouterr().err
    assert encode(folder, tmp_path, [ids[0], "1e3", "a/x.jpg"], listed) == 1
    said = capsys.readouterr().err
    assert "1e3" in said and "a/x.jpg" in said  # not the numbers that paths have inside
    assert not (tmp_path / "labels.npy").exists()
    assert encode(folder, tmp_path, [5, 6], listed, "--allow-missing") == 2
    assert "none of the 2 posts" in capsys.readouterr().err
    assert encode(folder, tmp_path, [ids[0], 5, 6], listed, "--allow-missing") == 0
    assert np.load(tmp_path / "labels.npy")[1:].sum() == 0
    no_tags = tag_file(tmp_path / "none.csv", [])
    cases = {
        "names no post": ([""], listed, []),
        "none.csv lists no tag": (ids, no_tags, []),
        "--ratings-map is about ratings": (ids, listed, ["--ratings-map", "s=general"]),
        "none of the 1 tags": (ids, tag_file(tmp_path / "other.csv", [(99, "elsewhere", 0, 1)]), []),
        "belongs to --source sidecars": (ids, listed, ["--images", "x"]),
    }
    for message, (lines, tag_file_, words) in cases.items():
        assert encode(folder, tmp_path, lines, tag_file_, "--overwrite", *words) == 2
        assert message in capsys.readouterr().err


def test_the_kind_is_told_from_the_path_and_pictures_of_archives_are_named_by_their_path(tmp_path, capsys):
    """Two pictures are called 1; x.jpg has its id in the JSON beside it."""
    pictures = tmp_path / "pictures"
    (pictures / "a").mkdir(parents=True)
    for name, tags in {"1": "solo", "a/1": "hat", "x": "solo"}.items():
        (pictures / f"{name}.jpg").write_bytes(helpers.jpeg(1, 8))
        (pictures / f"{name}.json").write_text(f'{{"id": {len(name)}00, "tags": "{tags}"}}')
    listed = tag_file(tmp_path / "tags.csv", [(1, "solo", 0, 5), (2, "hat", 0, 5)])
    (tmp_path / "ids.txt").write_text("a/1.jpg\nx.jpg\n1.jpg\n")
    words = [str(tmp_path / "ids.txt"), "--from", str(pictures), "--tags", listed]
    assert encode_tags.main([*words, "-o", str(tmp_path / "labels.npy")]) == 0
    assert np.load(tmp_path / "labels.npy").tolist() == [[0, 1], [1, 0], [1, 0]]
    assert "read as sidecars" in capsys.readouterr().err
