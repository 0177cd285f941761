"""Every source of posts gives the same stream: one small booru, written in each format there is."""

import gzip
import json
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from Utils.data import sources
from Utils.data.sources import stream
from Utils.images import image_folder, picture_index, places
from Utils.tags.tag_list import name_id

NAMES = {0: ["1girl", "blue_eyes", "o_o"], 1: ["someone"], 3: ["fate"], 4: ["saber_(fate)"], 5: ["highres"]}
WORDS = {0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta"}
CODES = {name: code for code, names in NAMES.items() for name in names}
IDS = {name: 10 + at for at, name in enumerate(CODES)}


def drawn(count=60, seed=0):
    """Posts in no order: ``[(id, rating, deleted, md5, {names})]``."""
    random = np.random.default_rng(seed)
    ids = random.permutation(5 * np.arange(count) + 3).tolist()
    has = random.random((count, len(CODES))) < 0.4
    return [
        (
            n,
            "gsqe"[n % 4],
            n % 7 == 0,
            f"{n:032x}",
            {name for name, is_tagged in zip(CODES, row, strict=True) if is_tagged},
        )
        for n, row in zip(ids, has, strict=True)
    ]


def by_category(names):
    return {
        f"tag_string_{word}": " ".join(sorted(n for n in names if CODES[n] == code))
        for code, word in WORDS.items()
    }


def current(post):
    number, rating, deleted, md5, names = post
    fields = {"id": number, "rating": rating, "is_deleted": deleted, "md5": md5, "score": 3}
    return fields | {"tag_string": " ".join(sorted(names))} | by_category(names)


def gwern(post):
    number, rating, deleted, md5, names = post
    tags = [{"id": str(IDS[n]), "name": n, "category": str(CODES[n])} for n in sorted(names)]
    return {"id": str(number), "rating": rating, "is_deleted": deleted, "md5": md5, "tags": tags}


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def write_fire_eggs(folder, posts):
    connection = sqlite3.connect(folder / "posts.db")
    connection.execute("CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT, is_deleted INT)")
    connection.execute("CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT)")
    connection.execute("CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id))")
    connection.executemany("INSERT INTO images VALUES (?, ?, ?)", [post[:3] for post in posts])
    counts = {name: sum(name in post[4] for post in posts) for name in CODES}
    rows = [(IDS[name], name, CODES[name], count) for name, count in counts.items()]
    connection.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", rows)
    connection.executemany(
        "INSERT INTO imageTags VALUES (?, ?)", [(p[0], IDS[n]) for p in posts for n in p[4]]
    )
    connection.commit()
    connection.close()
    return sources.read_fire_eggs(folder / "posts.db")


def write_deepdanbooru(folder, posts):
    records = [current(post) for post in posts]
    connection = sqlite3.connect(folder / "posts.sqlite")
    connection.execute(f"CREATE TABLE posts({', '.join(records[0])})")
    marks = ", ".join("?" * len(records[0]))
    connection.executemany(f"INSERT INTO posts VALUES ({marks})", [tuple(r.values()) for r in records])
    connection.commit()
    connection.close()
    return sources.read_deepdanbooru(folder / "posts.sqlite")


def write_gwern(folder, posts):
    (folder / "metadata").mkdir()
    (folder / "metadata" / "2021000000000000").write_text(lines(map(gwern, posts[:40])))
    with gzip.open(folder / "metadata" / "2021000000000001.json.gz", "wt") as file:
        file.write(lines(map(gwern, posts[40:])))
    (folder / "metadata" / "tags.json").write_text(lines([{"id": 1, "name": "1girl", "post_count": 7}]))
    (folder / "metadata" / "README.md").write_text("no post")
    return sources.read_json_lines(folder / "metadata")


def write_current(folder, posts):
    (folder / "posts.jsonl").write_text("\ufeff" + lines(map(current, posts)))
    return sources.read_json_lines(folder / "posts.jsonl")


def write_array(folder, posts):
    (folder / "posts.json").write_text(json.dumps([current(post) for post in posts]))
    return sources.read_json_lines(folder / "posts.json")


def write_parquet(folder, posts):
    (folder / "p").mkdir()
    for at, part in enumerate((posts[:25], posts[25:])):
        table = pa.Table.from_pylist([current(post) for post in part])
        pq.write_table(table, folder / "p" / f"{at}.parquet", row_group_size=9)
    return sources.read_parquet(folder / "p")


def write_parquet_of_lists(folder, posts):
    table = pa.Table.from_pylist([gwern(post) for post in posts])
    pq.write_table(table, folder / "lists.parquet")
    return sources.read_parquet(folder / "lists.parquet")


def write_sidecars(folder, posts):
    """kohya, Hydrus and gallery-dl in turns; none of the three knows a status."""
    for at, post in enumerate(posts):
        number, rating, _, _, names = post
        (folder / f"{number}.jpg").touch()
        spaced = [f"{WORDS[CODES[n]]}:{n.replace('_', ' ')}" for n in sorted(names)]
        if at % 3 == 2:
            (folder / f"{number}.jpg.json").write_text(json.dumps(current(post)))
        elif at % 3:
            (folder / f"{number}.jpg.txt").write_text("\n".join([f"rating:{rating}", "", *spaced]))
        else:
            text = ", ".join([f"rating:{rating}", *spaced]).replace("(", "\\(").replace(")", "\\)")
            (folder / f"{number}.txt").write_text(text + "\n")
    return sources.read_sidecars(folder)


WRITERS = [
    write_fire_eggs, write_deepdanbooru, write_gwern, write_current, write_array, write_parquet,
    write_parquet_of_lists, write_sidecars,
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("block", [1, 7, 8192])
def test_every_source_gives_the_same_stream(tmp_path, monkeypatch, write, block):
    monkeypatch.setattr(stream, "BLOCK_SIZE", block)
    posts = drawn()
    source = write(tmp_path, posts)
    names = dict(zip(source.tags["tag_id"], source.tags["name"], strict=True))
    read = {}
    for part in source.blocks():
        assert len(part.ids) <= block
        assert (np.diff([*read, *part.ids])[-len(part.ids) :] > 0).all() if read else True
        for i, number in enumerate(part.ids.tolist()):
            tags = part.tag_ids[part.offsets[i] : part.offsets[i + 1]]
            assert (np.diff(tags) > 0).all()
            status = int(part.status[i]) if "sidecars" not in source.kind else None
            read[number] = (chr(part.ratings[i]), status, {names[tag] for tag in tags.tolist()})
    has_status = "sidecars" not in source.kind
    assert read == {n: (r, int(d) if has_status else None, tags) for n, r, d, _, tags in posts}
    assert source.num_posts == len(posts)
    assert source.rating_counts() == dict.fromkeys("gsqe", 15)
    counts = {name: sum(name in post[4] for post in posts) for name in CODES}
    assert dict(zip(source.tags["name"], source.tags["count"], strict=True)) == counts
    assert dict(zip(source.tags["name"], source.tags["category"], strict=True)) == CODES
    has_ids = "fire" in source.kind or write in (write_gwern, write_parquet_of_lists)
    assert {name: tag_id for tag_id, name in names.items()} == (
        IDS if has_ids else {n: name_id(n) for n in CODES}
    )
    assert source.rejected == ()
    assert source.keep_unrated == (source.kind == "sidecars")


def test_a_file_may_be_named_by_the_md5_as_deepdanbooru_does(tmp_path):
    """And by anything else that the md5 column holds; a name goes before an id."""
    stems = {5: f"{5:032x}", 6: "my own name", 7: "6", 8: f"{8:032X}", 9: "gone", 10: None}
    records = [{"id": number, "md5": stem, "tag_string": "1girl"} for number, stem in stems.items()]
    (tmp_path / "p.jsonl").write_text(lines(records))
    for name in (f"00/{5:032x}.jpg", "my/my own name.png", "my/my own name.jpg", "6.jpg", f"00/{8:032x}.webp",
                 "0010/10.jpg"):  # fmt: skip
        (tmp_path / "i" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "i" / name).touch()
    source, files = (
        sources.read_json_lines(tmp_path / "p.jsonl"),
        picture_index.index(tmp_path / "i", named=True),
    )
    (block,) = source.blocks()
    numbers = files.find(block.ids, block.keys)
    assert (numbers >= 0).tolist() == [True, True, True, True, False, True]
    names = [f"00/{5:032x}.jpg", "my/my own name.jpg", "6.jpg", f"00/{8:032x}.webp", "0010/10.jpg"]
    assert files.paths(numbers[numbers >= 0]) == names
    assert files.paths(numbers[:2]) == names[:2]
    assert files.paths(numbers[5:]) == names[4:]
    assert source.keep_unrated  # no post has a rating


PICTURES = {"a/5.jpg": 90, "b/5.jpg": None, "x.jpg": 77, "12.jpg": 13, "v.1/none": None}  # id in its JSON


def in_sidecars(folder):
    """Captions, which go before JSON."""
    for name in PICTURES:
        (folder / f"{name}.txt").write_text("solo, hat")


def in_metadata(folder):
    """Hugging Face's, without ids."""
    rows = [{"file_name": name, "text": "solo, hat"} for name in PICTURES if name != "b/5.jpg"]
    (folder / "metadata.jsonl").write_text(lines(rows))


def in_trainer_metadata(folder):
    """kohya's, with the paths of another machine."""
    table = {f"/home/a/pictures/{name}": {"tags": "solo, hat"} for name in PICTURES if "/" not in name}
    (folder / "meta_cap.json").write_text(json.dumps(table))


def in_parquet(folder):
    rows = [{"file_name": name, "tags": "solo hat"} for name in PICTURES]
    pq.write_table(pa.Table.from_pylist(rows), folder / "posts.parquet")


def in_csv(folder):
    rows = [f"{name},solo hat\n" for name in PICTURES]
    (folder / "posts.csv").write_text("".join(["file_name,tags\n", *rows]))


def in_posts_with_ids(folder):
    known = {"a/5.jpg": 90, "b/5.jpg": 5, "x.jpg": 77, "12.jpg": 12}
    rows = [{"id": number, "tag_string": "solo hat"} for number in known.values()]
    (folder / "posts.jsonl").write_text(lines(rows))
    return known


@pytest.mark.parametrize(
    "write", [in_sidecars, in_metadata, in_trainer_metadata, in_parquet, in_csv, in_posts_with_ids]
)
@pytest.mark.reliability("The same pictures, described by each kind of source", "each has one id everywhere")
def test_a_picture_has_the_same_id_whatever_the_source(tmp_path, write):
    for name, number in PICTURES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n")
        if number is not None:
            (tmp_path / name).with_suffix(".json").write_text(json.dumps({"id": number}))
    listed = image_folder.post_ids(list(PICTURES), places.open_place(tmp_path))
    id_of = dict(zip(PICTURES, listed, strict=True)) | (write(tmp_path) or {})
    if write is in_posts_with_ids:
        assert len({*id_of.values()} - {5, 12, 77, 90}) == 1
    origin = tmp_path if write is in_sidecars else next(tmp_path.glob("[pm]*.*"))
    kind = sources.detect(origin).kind
    source = sources.read(kind, origin, tmp_path)
    (block,) = source.blocks()
    paths = block.paths
    if paths is None:
        files = picture_index.index(tmp_path, named=True, by_path=True)
        paths = files.paths(files.find(block.ids, block.keys))
    assert paths
    assert {path: id_of[path] for path in paths} == dict(zip(paths, block.ids.tolist(), strict=True))
