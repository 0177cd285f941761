"""tools/find_duplicates.py: planted copies found and nothing else, groups that do not straddle splits."""

import csv
import itertools
import json
import os

import cv2
import numpy as np
import pandas as pd
import pytest

from tools import bench, find_duplicates, make_demo_booru, select_tags
from Utils import grouping, images, ledgers, matching, neighbors, selection, sketches
from Utils.booru.parents import parents

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
def found(booru, tmp_path_factory):
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
    broken = {one["path"]: one["reason"] for one in shown["broken"]}
    assert set(broken.values()) == {"truncated JPEG", "empty file"}
    assert shown["images"] == len(list((booru / "512px").glob("*/*.jpg")))
    assert all(0 <= float(row["distance"]) <= 1 for row in rows(tmp_path / "groups.csv"))


def test_parents_are_joined_in(booru, found):
    known = {}
    for row in rows(found):
        known[int(row["post_id"])] = row["parent_id"]
    relations = parents("fire-eggs", booru / "danbooru.db")
    assert relations
    assert {child: int(parent) for child, parent in known.items() if parent} == relations
    members = rows(found)
    assert list(members[0]) == ["group", "post_id", "path", "distance", "parent_id"]
    assert [int(row["group"]) for row in members] == sorted(int(row["group"]) for row in members)


def test_no_group_is_in_two_splits_of_a_dataset(booru, tmp_path):
    """Copies of one picture in all splits: the training post stays, the test set is clean of it."""
    folder, sources = tmp_path / "images", sorted((booru / "512px").glob("*/*.jpg"))
    database = pd.DataFrame({"id": [1, 901, 951, 902, 952, 2, 953], "rating": "s"})
    database["tag_string"] = "a b"
    database.to_json(tmp_path / "posts.jsonl", orient="records", lines=True)
    usable = [path for path in sources if sketches.sketch(path.read_bytes())["state"] == sketches.FOUND]
    for number, source in zip(database["id"], (0, 0, 0, 8, 8, 16, 24), strict=True):
        path = folder / f"{number % 1000:04d}" / f"{number}.jpg"
        path.parent.mkdir(parents=True)
        picture = images.decode(usable[source].read_bytes())
        path.write_bytes(images.encode_jpeg(picture, 95 - number // 50))
    groups = tmp_path / "groups.csv"
    assert find(folder, groups) == 0
    (tmp_path / "definition.toml").write_text(DEFINITION + 'ratings = ["s"]\n')
    words = [tmp_path / "definition.toml", "--source", "jsonl", "--from", tmp_path / "posts.jsonl"]
    words += ["--images", folder, "-o", tmp_path / "dataset", "--groups", groups]
    assert select_tags.main([str(word) for word in words]) == 0
    kept = pd.read_parquet(tmp_path / "dataset" / "posts.parquet")
    assert kept["post_id"].tolist() == [1, 2, 952, 953]
    steps = json.loads((tmp_path / "dataset" / "dataset.json").read_text())["selection"]["posts"]
    assert steps[-1] == {"rule": "near-duplicate in an earlier split", "before": 7, "after": 4}


@pytest.mark.parametrize("seed", range(20))
def test_splits_never_share_a_group(seed):
    random = np.random.default_rng(seed)
    ids = random.choice(10_000, 300, replace=False)
    splits = random.integers(0, 3, 300).astype(np.int8)
    others = np.arange(10_000, 10_050)  # posts that no split took
    members = np.concatenate([random.choice(ids, 200, replace=False), others])
    groups = pd.DataFrame({"group": random.integers(0, 60, 250), "post_id": members})
    leavers = selection.group_leavers(groups, ids, splits)
    split_of = dict(zip(ids.tolist(), splits.tolist(), strict=True))
    for _, members in groups.groupby("group")["post_id"]:
        there = [number for number in members if number in split_of]
        left = {split_of[number] for number in there if number not in leavers}
        assert left == ({min(split_of[number] for number in there)} if there else set())


# Hashes and pictures


def drawing(seed, height=512, width=512):
    """Shapes on a ground: (H, W, 3)."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), random.integers(60, 200, 3), np.uint8)
    image[:, : width // 3] = random.integers(0, 255, 3)
    for _ in range(25):
        middle = tuple(int(x) for x in random.integers(0, (width, height)))
        color = tuple(int(x) for x in random.integers(0, 256, 3))
        cv2.ellipse(image, middle, tuple(int(x) for x in random.integers(15, 120, 2)), 30, 0, 360, color, -1)
    return image


def sketch(image, quality=95):
    return sketches.sketch(images.encode_jpeg(image, quality))


def differing(first, second):
    return [
        int(np.bitwise_count(a ^ b).sum()) for a, b in zip(first["hashes"], second["hashes"], strict=True)
    ]


def distance(first, second, **shifts):
    return float(matching.distances(first[None], second[None], **shifts)[0])


@pytest.mark.parametrize("seed", range(4))
def test_recompression_rescaling_and_padding_change_little(seed):
    wide = drawing(seed, 320, 512)
    source = sketch(wide)
    changed = {
        "recompressed": sketch(wide, 35),
        "smaller": sketch(images.resize(cv2.copyMakeBorder(wide, 96, 96, 0, 0, 0, value=(255,) * 3), 301)),
        "black": sketch(images.pad_square(wide, 0)),
        "pink": sketch(cv2.copyMakeBorder(wide, 96, 96, 0, 0, cv2.BORDER_CONSTANT, value=(190, 180, 250))),
    }
    for kind, other in changed.items():
        whole, content = differing(source, other)
        assert content <= 8, kind
        assert distance(source, other) < 0.5, kind
        if kind in ("recompressed", "smaller"):
            assert whole <= 8
    assert np.abs(source["box"].astype(int) - changed["black"]["box"]).max() <= 3
    stranger = sketch(drawing(seed + 100, 320, 512))
    assert min(differing(source, stranger)) > neighbors.RADIUS
    assert distance(source, stranger) > 1


def test_crops_are_near_and_large_ones_only_where_they_may_be():
    image = drawing(7)
    image[:3] = image[-3:] = drawing(8)[:3]  # no border of one color
    source = sketch(image)
    cropped = sketch(images.resize(np.ascontiguousarray(image[15:500, 4:505]), 512))
    assert distance(source, cropped) <= 1
    assert min(differing(source, cropped)) <= neighbors.RADIUS
    large = sketch(images.resize(np.ascontiguousarray(image[30:480, 35:490]), 512))
    assert distance(source, large) == np.inf
    assert distance(source, large, shift=0.12) <= 1


def test_a_changed_detail_or_another_place_is_another_picture():
    image = drawing(3)
    detail = image.copy()
    cv2.circle(detail, (256, 256), 40, (255, 255, 255), -1)
    cv2.circle(detail, (256, 256), 20, (0, 0, 0), -1)
    assert distance(sketch(image), sketch(detail)) > 1
    figure = np.full((512, 512, 3), 255, np.uint8)
    figure[100:300, 100:300] = drawing(4, 200, 200)
    moved = np.roll(figure, (60, 90), (0, 1))
    assert differing(sketch(figure), sketch(moved))[1] <= 8  # the contents are the same
    assert distance(sketch(figure), sketch(moved)) == np.inf


def test_images_of_one_color_are_left_alone(tmp_path, capsys):
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(images.encode_jpeg(np.full((64, 64, 3), 40 * (number // 2))))
    assert find(tmp_path, tmp_path / "out" / "groups.csv") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["groups"], len(shown["blank"])) == (0, 6)
    assert (tmp_path / "out" / "groups.csv").read_text() == "group,post_id,path,distance,parent_id\n"
    assert len(grouping.read(tmp_path / "out" / "groups.csv")) == 0


# Neighbors


def flipped(hashes, bits, random):
    copies = np.unpackbits(hashes, axis=1)
    for row in copies:
        row[random.choice(copies.shape[1], bits, replace=False)] ^= 1
    return np.packbits(copies, axis=1)


@pytest.mark.parametrize("exact", [10_000, 1])
def test_neighbors_are_those_of_comparing_all_with_all(monkeypatch, exact):
    monkeypatch.setattr(neighbors, "EXACT", exact)
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (200, 24), np.uint8)
    hashes = np.concatenate([hashes, flipped(hashes[:80], 12, random), hashes[:30]])
    pairs = neighbors.pairs(hashes)
    every = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2)
    near = set(map(tuple, np.argwhere(np.triu(every <= neighbors.RADIUS, 1)).tolist()))
    got = set(map(tuple, pairs.tolist()))
    assert got <= near
    # A copy of an equal hash is reached through that hash.
    direct = {(low, high) for low, high in near if high < 280 or low + 280 == high}
    assert len(direct - got) <= (0 if exact > 1 else 0.03 * len(direct))
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_a_thousand_equal_hashes_do_not_make_a_million_pairs():
    pairs = neighbors.pairs(np.ones((1000, 24), np.uint8))
    assert len(pairs) < 10_000
    assert set(grouping.components(1000, pairs).tolist()) == {0}
    assert neighbors.pairs(np.zeros((0, 24), np.uint8)).shape == (0, 2)


# Groups


@pytest.mark.parametrize("seed", range(10))
def test_every_member_is_near_its_leader_in_any_order(seed):
    random = np.random.default_rng(seed)
    places = random.random(60) * 20

    def compare(first, second):
        return np.abs(places[first] - places[second]).astype(np.float32)

    pairs = np.array(list(itertools.combinations(range(60), 2)))
    groups = grouping.by_pairs(60, pairs, compare(*pairs.T), compare)
    assert np.allclose(groups.distances, compare(np.arange(60), groups.leaders))
    assert (groups.distances <= grouping.LOOSE).all()
    assert (groups.leaders[groups.leaders] == groups.leaders).all()
    order = random.permutation(len(pairs))
    again = grouping.by_pairs(60, pairs[order], compare(*pairs[order].T), compare)
    assert np.array_equal(groups.leaders, again.leaders)


def test_a_chain_does_not_glue_its_ends_together():
    def compare(first, second):
        return np.abs(first - second).astype(np.float32) * 0.9

    chain = np.array([(at, at + 1) for at in range(99)])
    groups = grouping.by_pairs(100, chain, compare(*chain.T), compare)
    assert np.bincount(groups.leaders).max() <= 3
    assert groups.refused > 30


def test_components_are_those_of_a_walk():
    random = np.random.default_rng(0)
    edges = random.integers(0, 300, (170, 2))
    found = grouping.components(300, edges)
    for start in range(300):
        seen, todo = {start}, [start]
        while todo:
            at = todo.pop()
            more = {*edges[edges[:, 0] == at, 1].tolist(), *edges[edges[:, 1] == at, 0].tolist()} - seen
            seen, todo = seen | more, todo + sorted(more)
        assert found[start] == min(seen)


def test_families_join_groups_through_posts_that_are_not_there():
    groups = grouping.Groups(np.array([0, 0, 2, 3, 4]), np.zeros(5, np.float32), 0)
    joined = grouping.with_families(groups, np.array([10, 11, 12, 13, 13]), {12: 99, 11: 99, 77: 13})
    assert joined.leaders.tolist() == [0, 0, 0, 3, 3]
    assert np.isnan(joined.distances).tolist() == [False, False, True, False, True]


def test_parents_of_other_sources(tmp_path):
    lines = [{"id": 1, "parent_id": None}, {"id": "2", "parent_id": "1"}, {"id": 3, "parent_id": 3}, [4]]
    for line in lines[:3]:
        line["tag_string"] = "a"
    (tmp_path / "posts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert parents("jsonl", tmp_path / "posts.jsonl") == {2: 1}
    frame = pd.DataFrame({"id": [1, 2, 3], "parent_id": [None, 1, 1]})
    frame.to_parquet(tmp_path / "posts.parquet")
    assert parents("parquet", tmp_path / "posts.parquet") == {2: 1, 3: 1}


# What is kept, what is said


def test_a_run_that_was_stopped_goes_on_and_files_that_changed_are_read_again(booru, tmp_path, monkeypatch):
    folder, seen, real = tmp_path / "images", [], sketches.sketch
    folder.mkdir()
    for at, path in enumerate(sorted((booru / "512px").glob("*/*.jpg"))[:12]):
        (folder / f"{at}.jpg").write_bytes(path.read_bytes())
    monkeypatch.setattr(find_duplicates, "_JOB", 4)

    def counted(data):
        if len(seen) == 6:
            raise KeyboardInterrupt
        seen.append(data)
        return real(data)

    monkeypatch.setattr(sketches, "sketch", counted)
    assert find(folder, tmp_path / "groups.csv") == 130
    assert not (tmp_path / "groups.csv").exists()
    with (tmp_path / "groups.sketches" / "pictures.bin").open("ab") as file:
        file.write(b"a row that was not finished")
    seen.clear()
    monkeypatch.setattr(sketches, "sketch", lambda data: seen.append(data) or real(data))
    assert find(folder, tmp_path / "groups.csv") == 0
    assert len(seen) == 8
    first = (tmp_path / "groups.csv").read_bytes()
    os.utime(folder / "3.jpg", (1, 1))
    assert find(folder, tmp_path / "groups.csv", "--overwrite") == 0
    assert len(seen) == 9
    assert (tmp_path / "groups.csv").read_bytes() == first


def test_a_ledger_is_one_process_and_one_format(tmp_path):
    with ledgers.Ledger(tmp_path / "kept", {"facts": "u1"}, 1) as ledger:
        ledger.append([7, 9], facts=[1, 2])
        assert ledger.find([9, 8, 7]).tolist() == [1, -1, 0]
        with pytest.raises(ValueError, match="facts has 1 bytes for 2 rows"):
            ledger.append([1, 2], facts=[1])
        with pytest.raises(find_duplicates.UserError, match="in use by another process"):
            ledgers.Ledger(tmp_path / "kept", {"facts": "u1"}, 1)
    with ledgers.Ledger(tmp_path / "kept", {"facts": "u1"}, 1) as ledger:
        assert ledger.read("facts", ledger.find([9, 7])).tolist() == [2, 1]
    with ledgers.Ledger(tmp_path / "kept", {"facts": "u1"}, 2) as ledger:
        assert ledger.rows == 0


def test_a_model_proposes_pairs_too(booru, tmp_path, monkeypatch, capsys):
    import Models

    model = Models.build("ResNet/test", image_size=32, num_labels=5)
    model.save(tmp_path / "model.keras")
    folder = tmp_path / "images"
    folder.mkdir()
    image = drawing(7)
    image[:3] = image[-3:] = drawing(8)[:3]
    large = images.resize(np.ascontiguousarray(image[30:480, 35:490]), 512)
    for number, picture in enumerate([image, drawing(1), large, drawing(2), drawing(5)]):
        (folder / f"{number}.jpg").write_bytes(images.encode_jpeg(picture))
    monkeypatch.setattr(neighbors, "RADIUS", 192)  # an untrained model sees little
    assert find(folder, tmp_path / "plain.csv") == 0
    assert groups_of(tmp_path / "plain.csv") == set()
    monkeypatch.setattr(neighbors.pairs, "__defaults__", (192, 16, "neighbors"))
    assert find(folder, tmp_path / "groups.csv", "--run", tmp_path / "model.keras") == 0
    assert groups_of(tmp_path / "groups.csv") == {frozenset((0, 2))}
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "0"], "--workers"), (["--limit", "nan"], "--limit"),
        (["--source", "fire-eggs"], "--from"), (["--from", "x"], "--source"),
        (["--source", "fire-eggs", "--from", "none.db"], "none.db"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_paragraph(booru, tmp_path, capsys, words, said):
    assert find(booru / "512px", tmp_path / "groups.csv", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept_and_an_empty_folder_is_said(tmp_path, capsys, found):
    before = found.read_bytes()
    assert find(tmp_path, found) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert found.read_bytes() == before
    assert find(tmp_path, tmp_path / "groups.csv") == 2
    assert "no image found" in capsys.readouterr().err


def test_the_benchmark_finds_its_copies(capsys):
    assert bench.main(["duplicates", "--hashes", "2000", "--peer-queries", "20", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, peer = result["figures"].values()
    assert result["ratios"]["of the peer"] == ours / peer
    assert result["setup"]["copies found"] > 0.95
    assert bench.main(["duplicates", "--hashes", "3"]) == 2
