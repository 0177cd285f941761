"""One booru in eleven dresses, as collections are given out: the same tag list, labels and picture bytes."""

import csv
import gzip
import hashlib
import io
import json
import sqlite3
import tarfile
import zipfile

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import jpeg

from tools import select_tags
from Utils.images import places
from Utils.tags import tag_list

DEFINITION = """name = "dress"
image_size = 32
splits = {train = [0, 899], validation = [900, 999]}
ratings = ["s", "q", "e"]
categories = [0, 1, 3, 4, 5]
min_tag_count = 1
min_tag_images = 1
min_tag_share = 0.0
min_tags_per_image = 1
"""
CATEGORIES = {0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta"}
TAGS = {  # name -> (id, category)
    "1girl": (11, 0), "long_hair": (12, 0), "d&d": (13, 0), "another's_hand": (14, 0), "^_^": (15, 0),
    "someone": (21, 1), "fate_(series)": (31, 3), "re:zero": (32, 3), "saber_(fate)": (41, 4),
    "highres": (51, 5),
}  # fmt: skip
IDS = (1, 2, 3, 17, 902, 950, 1003, 2951, 5000, 12345)
DELETED = 17


class Post:
    """A post of the booru; every tenth tag and the deleted post differ from the others."""

    def __init__(self, number):
        self.id, self.rating, self.deleted = number, "sqe"[number % 3], number == DELETED
        self.data = jpeg(number, 32)
        self.md5 = hashlib.md5(self.data).hexdigest()
        self.names = [name for place, name in enumerate(TAGS) if (number * 7 + place * 5) % 3 or place == 0]

    def by_category(self, separator=" "):
        return {
            word: separator.join(name for name in self.names if TAGS[name][1] == code)
            for code, word in CATEGORIES.items()
        }

    def danbooru(self):
        fields = {"id": self.id, "rating": self.rating, "is_deleted": self.deleted, "md5": self.md5}
        return fields | {f"tag_string_{word}": names for word, names in self.by_category().items()}


POSTS = [Post(number) for number in IDS]
DATABASE = """
CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT, is_deleted INT);
CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT);
CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id));
"""


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def pictures(folder, name):
    for post in POSTS:
        write(folder / name(post), post.data)


def by_bucket(post):
    return f"{post.id % 1000:04d}/{post.id}.jpg"


def by_md5(post):
    return f"{post.md5[:2]}/{post.md5}.jpg"


def tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def table(rows):
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def fire_eggs(folder):
    connection = sqlite3.connect(folder / "danbooru.db")
    connection.executescript(DATABASE)
    connection.executemany(
        "INSERT INTO images VALUES (?, ?, ?)", [(p.id, p.rating, p.deleted) for p in POSTS]
    )
    counts = {name: sum(name in post.names for post in POSTS) for name in TAGS}
    rows = [(*TAGS[name], name, count) for name, count in counts.items()]
    connection.executemany("INSERT INTO tags(tag_id, category, name, count) VALUES (?, ?, ?, ?)", rows)
    pairs = [(post.id, TAGS[name][0]) for post in POSTS for name in post.names]
    connection.executemany("INSERT INTO imageTags VALUES (?, ?)", pairs)
    connection.commit()
    connection.close()
    pictures(folder, by_bucket)


def jsonl(folder):
    write(folder / "posts.jsonl", "".join(json.dumps(post.danbooru()) + "\n" for post in POSTS))
    pictures(folder, by_bucket)


def jsonl_array(folder):
    """Gwern's fields, indented; the pictures are named by MD5."""
    records = [
        {"id": str(p.id), "rating": p.rating, "is_deleted": p.deleted, "md5": p.md5,
         "tags": [{"id": str(TAGS[n][0]), "name": n, "category": str(TAGS[n][1])} for n in p.names]}
        for p in POSTS
    ]  # fmt: skip
    write(folder / "posts.json", json.dumps(records, indent=2))
    pictures(folder, by_md5)


def parquet(folder):
    pq.write_table(pa.Table.from_pylist([post.danbooru() for post in POSTS]), folder / "posts.parquet")
    pictures(folder, by_bucket)


def parquet_with_pictures(folder):
    """Two shards as Hugging Face gives them out, tags as an object of lists."""
    for shard, posts in enumerate((POSTS[:6], POSTS[6:])):
        rows = [
            {"image": {"bytes": p.data, "path": f"{p.id}.jpg"}, "id": p.id, "rating": p.rating,
             "status": "deleted" if p.deleted else "active",
             "tags": {word: names.split() for word, names in p.by_category().items()}}
            for p in posts
        ]  # fmt: skip
        write(folder / "data" / "x", b"")
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / f"train-{shard:05d}-of-00002.parquet")


def sidecars(folder):
    """Hydrus' lines, kohya's captions, JSON for the deleted post, whose status no text says."""
    pictures(folder, lambda post: f"some/{post.id}.jpg")
    for post in POSTS:
        words = [
            f"{CATEGORIES[TAGS[name][1]]}:{name.replace('_', ' ')}" for name in post.names if name != "^_^"
        ]
        words += ["^_^"] * ("^_^" in post.names)
        stem = folder / "some" / str(post.id)
        if post.deleted:
            write(stem.with_suffix(".json"), json.dumps(post.danbooru()))
        elif post.id % 2:
            write(stem.with_suffix(".jpg.txt"), "\n".join([f"rating:{post.rating}", *words]))
        else:
            text = ", ".join([*words, f"rating:{post.rating}", "A sentence that says nothing of tags."])
            write(stem.with_suffix(".txt"), text.replace("(", "\\(").replace(")", "\\)"))


def webdataset(folder):
    for shard, posts in enumerate((POSTS[::2], POSTS[1::2])):
        members = [
            (f"{p.id}.{ending}", data)
            for p in posts
            for ending, data in (("jpg", p.data), ("json", json.dumps(p.danbooru()).encode()))
        ]
        tar(folder / f"{shard:05d}.tar", members)


def tars_and_parquet(folder):
    tar(folder / "a.tar", [(by_bucket(post), post.data) for post in POSTS[:4]])
    tar(folder / "b.tar", [(by_bucket(post), post.data) for post in POSTS[4:]])
    pq.write_table(pa.Table.from_pylist([post.danbooru() for post in POSTS]), folder / "metadata.parquet")


def zips(folder):
    for shard, posts in enumerate((POSTS[:3], POSTS[3:])):
        with zipfile.ZipFile(folder / f"{shard}.zip", "w") as archive:
            for post in posts:
                archive.writestr(by_md5(post), post.data)
    write(
        folder / "posts.jsonl.gz", gzip.compress("\n".join(json.dumps(p.danbooru()) for p in POSTS).encode())
    )


def e621(folder):
    header = ("id", "uploader_id", "md5", "source", "rating", "tag_string", "locked_tags", "is_deleted")
    rows = [
        (p.id, 1, p.md5, 'https://x\nsays "hi",\n', p.rating, " ".join(p.names), "", "ft"[p.deleted])
        for p in POSTS
    ]  # fmt: skip
    write(folder / "posts-2024-05-01.csv.gz", gzip.compress(table([header, *rows]).encode()))
    write(folder / "posts-2020-05-01.csv.gz", gzip.compress(table([header]).encode()))
    pictures(folder, by_md5)


def gelbooru(folder):
    entities = str.maketrans({"&": "&amp;", "'": "&#039;"})
    records = [
        {"id": p.id, "md5": p.md5, "directory": "ab/cd", "image": f"{p.md5}.jpg", "change": 1, "score": 3,
         "rating": {"s": "safe", "q": "questionable", "e": "explicit"}[p.rating],
         "status": "deleted" if p.deleted else "active", "tags": " ".join(p.names).translate(entities)}
        for p in POSTS
    ]  # fmt: skip
    answer = {"@attributes": {"limit": 100, "offset": 0, "count": len(records)}, "post": records}
    write(folder / "posts.json", json.dumps(answer))
    pictures(folder, by_md5)


DRESSES = {
    "fire-eggs": fire_eggs, "jsonl": jsonl, "jsonl array": jsonl_array, "parquet": parquet,
    "HF parquet with pictures": parquet_with_pictures, "sidecars": sidecars, "webdataset tars": webdataset,
    "plain tars + parquet": tars_and_parquet, "zips": zips, "e621 exports": e621, "Gelbooru JSON": gelbooru,
}  # fmt: skip
KINDS = {
    "jsonl array": "jsonl", "HF parquet with pictures": "parquet", "webdataset tars": "webdataset",
    "plain tars + parquet": "parquet", "zips": "jsonl", "e621 exports": "e621", "Gelbooru JSON": "jsonl",
}  # fmt: skip


def export_of_tags(folder):
    """Ids and categories, for sources that lack them: e621's export numbers meta 7."""
    path = folder / "tags-2024-05-01.csv.gz"
    rows = [(tag_id, name, 7 if category == 5 else category, 9) for name, (tag_id, category) in TAGS.items()]
    rows += [(99, "canine", 5, 100), (98, "old_(lore)", 8, 3)]  # of posts that are not here
    write(path, gzip.compress(table([("id", "name", "category", "post_count"), *rows]).encode()))
    return path


@pytest.mark.parametrize("dress", DRESSES)
def test_every_dress_gives_the_same_dataset(tmp_path, capsys, dress):
    booru, dataset = tmp_path / "booru", tmp_path / "dataset"
    booru.mkdir()
    DRESSES[dress](booru)
    write(tmp_path / "definition.toml", DEFINITION)
    words = [str(tmp_path / "definition.toml"), "--from", str(booru), "-o", str(dataset)]
    assert select_tags.main([*words, "--tags", str(export_of_tags(tmp_path))]) == 0
    assert f"read as {KINDS.get(dress, dress)}: " in capsys.readouterr().err
    kept = [post for post in POSTS if not post.deleted]
    tags = tag_list.read(dataset / "selected_tags.csv")
    rows = zip(tags["name"], tags["tag_id"], tags["category"], tags["count"], strict=True)
    assert {name: (tag_id, category) for name, tag_id, category, _ in rows} == TAGS
    assert dict(zip(tags["name"], tags["count"], strict=True)) == {
        name: sum(name in post.names for post in POSTS) for name in TAGS
    }
    posts = pq.read_table(dataset / "posts.parquet").to_pandas()
    assert posts["post_id"].tolist() == [post.id for post in kept]
    assert posts["split"].tolist() == ["train" if post.id % 1000 < 900 else "validation" for post in kept]
    names = tags["name"].to_numpy()
    assert [set(names[labels]) for labels in posts["label_indexes"]] == [set(post.names) for post in kept]
    place = places.open_place(booru)
    assert [place.open(path) for path in posts["path"]] == [post.data for post in kept]
    expected = tag_list.ordered(tags)
    assert expected["name"].tolist() == tags["name"].tolist()


@pytest.mark.parametrize(
    "dress", ["jsonl array", "HF parquet with pictures", "sidecars", "webdataset tars", "e621 exports"]
)
def test_a_booru_on_another_file_system_gives_the_same_dataset(tmp_path, dress):
    """On memory://, where nothing of it is on this machine."""
    booru, name = tmp_path / "booru", dress.replace(" ", "-")
    booru.mkdir()
    DRESSES[dress](booru)
    files = [path for path in booru.rglob("*") if path.is_file()]
    remote = fsspec.filesystem("memory")
    for path in files:
        remote.pipe_file(f"/{name}/{path.relative_to(booru).as_posix()}", path.read_bytes())
    write(tmp_path / "definition.toml", DEFINITION)
    for origin, output in ((booru, "here"), (f"memory://{name}", "there")):
        words = [str(tmp_path / "definition.toml"), "--from", str(origin), "-o", str(tmp_path / output)]
        assert select_tags.main([*words, "--tags", str(export_of_tags(tmp_path))]) == 0
    for file in ("selected_tags.csv", "posts.parquet"):
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "there" / file).read_bytes()
