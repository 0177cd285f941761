import gc
import hashlib
import pathlib
import sqlite3

import numpy as np
import pytest
from helpers import jpeg, small_booru

from Utils.command.cli import UserError
from Utils.data import sources
from Utils.data.danbooru_fields import STATUSES
from Utils.data.sources import sidecar_folders, stream
from Utils.images import image_folder
from Utils.tags.tag_list import name_id


def posts(source):
    """Every post as ``(id, rating letter, status bits, tag ids)``."""
    for block in source.blocks():
        for i in range(len(block.ids)):
            tags = block.tag_ids[block.offsets[i] : block.offsets[i + 1]].tolist()
            yield int(block.ids[i]), chr(block.ratings[i]), int(block.status[i]), tags


def database(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    gc.collect()
    return path


TAGS_OF = "SELECT tag_id FROM imageTags WHERE image_id = ? ORDER BY tag_id"
MINIMAL = (
    "CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT)",
    "CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT)",
    "CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id))",
)


@pytest.mark.parametrize("block", [1, 7, 8192])
def test_a_bulk_pass_gives_what_one_query_per_post_gives(tmp_path, monkeypatch, block):
    monkeypatch.setattr(stream, "BLOCK_SIZE", block)
    path = small_booru(tmp_path, num_posts=40) / "danbooru.db"
    strays = "INSERT INTO imageTags VALUES (2, 1), (99999999, 3)"  # of posts that are not there
    database(path, "DELETE FROM imageTags WHERE image_id = 1", strays)
    source = sources.read_fire_eggs(path)
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT image_id, rating FROM images ORDER BY image_id").fetchall()
    expected = [
        (number, rating, 0, [tag for (tag,) in connection.execute(TAGS_OF, (number,))])
        for number, rating in rows
    ]
    connection.close()
    assert list(posts(source)) == expected == list(posts(source))
    assert source.num_posts == 40
    assert source.rating_counts() == {"g": 20, "s": 20}


def test_status_bits_in_every_spelling(tmp_path):
    images = (
        "CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT, is_deleted, is_flagged, is_banned TEXT,"
        " is_pending INT, hidden INT)"
    )
    rows = (
        "INSERT INTO images VALUES (1, 's', 'false', 0, NULL, 0, 0), (2, 's', 'true', 1, '0', 0, 0),"
        " (3, 'Questionable', 1, 'f', 't', 1, 0), (4, NULL, '', '1', '', NULL, 8)"
    )
    source = sources.read_fire_eggs(database(tmp_path / "x.db", images, *MINIMAL[1:], rows))
    names = [
        (letter, [name for bit, name in enumerate(STATUSES) if status >> bit & 1])
        for _, letter, status, _ in posts(source)
    ]
    assert names == [
        ("s", []),
        ("s", ["deleted", "flagged"]),
        ("q", ["deleted", "banned", "pending"]),
        ("\0", ["flagged", "hidden"]),
    ]


def test_only_the_needed_columns_are_needed(tmp_path):
    """No category, no count, no primary keys, repeated and unordered tags."""
    path = database(
        tmp_path / "x.db",
        "CREATE TABLE images(image_id INT, rating TEXT)",
        "CREATE TABLE tags(tag_id INT, name TEXT)",
        "CREATE TABLE imageTags(image_id INT, tag_id INT)",
        "INSERT INTO images VALUES (20, 'e'), (10, 's')",
        "INSERT INTO tags VALUES (1, 'a'), (2, 'b'), (3, NULL)",
        "INSERT INTO imageTags VALUES (20, 2), (20, 1), (10, 2), (20, 2), (NULL, 1), (10, NULL)",
    )
    source = sources.read_fire_eggs(path)
    assert list(posts(source)) == [(10, "s", 0, [2]), (20, "e", 0, [1, 2])]
    assert source.tags[["tag_id", "name", "category", "count"]].to_numpy().tolist() == [
        [1, "a", 0, 1],
        [2, "b", 0, 2],
    ]


def test_what_is_no_such_database_is_named(tmp_path):
    (tmp_path / "text.db").write_text(
        "this is no database at all, but long enough to have a header of its own\n" * 9
    )
    (tmp_path / "empty.db").touch()
    database(tmp_path / "deep.db", "CREATE TABLE posts(id INT)")
    database(tmp_path / "cut.db", *MINIMAL[1:], "CREATE TABLE images(image_id INT, score INT)")
    for name, said in (
        ("none.db", "found nothing"),
        (".", "found a folder"),
        ("text.db", "not a database"),
        ("empty.db", "no tables at all"),
        ("deep.db", "there are: posts"),
        ("cut.db", "table images has no column rating; it has image_id, score"),
    ):
        with pytest.raises(UserError, match=said):
            sources.read_fire_eggs(tmp_path / name)


def test_a_database_is_only_read(tmp_path):
    path = database(tmp_path / "x.db", *MINIMAL)
    path.chmod(0o444)
    before = path.read_bytes()
    assert list(sources.read_fire_eggs(path).blocks()) == []
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "rating", "tags"),
    [
        ("1girl, long hair,  blue_eyes ,", "", {"1girl": 0, "long_hair": 0, "blue_eyes": 0}),
        ("character:saber (fate)\nseries:fate/stay night\nrating:safe\nsolo\n", "s",
         {"saber_(fate)": 4, "fate/stay_night": 3, "solo": 0}),
        ("creator:someone\r\nmeta:highres\r\nRating:Explicit", "e", {"someone": 1, "highres": 5}),
        (r"saber \(fate\), :d, re:zero, o_o, rating:", "",
         {"saber_(fate)": 0, ":d": 0, "re:zero": 0, "o_o": 0, "rating:": 0}),
        ("\n \n,,\n", "", {}),
        ("solo, solo, character:solo", "", {"solo": 4}),
    ],
)  # fmt: skip
def test_sidecar_texts(text, rating, tags):
    assert sidecar_folders.parse_sidecar(text) == (rating, tags)


def sidecar_folder(folder, texts):
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(1, 16) if text is None else text.encode())
    return folder


def test_sidecars_become_posts(tmp_path):
    folder = sidecar_folder(
        tmp_path,
        {
            "7.jpg": None, "7.txt": "solo, hat", "a/cat.PNG": None, "a/cat.PNG.txt": "hat\nrating:general",
            "a/cat.txt": "wrong one", "a/bare.jpg": None, "lost.txt": "solo", "b/007.webp": None,
            "b/007.txt": "solo", "none.jpg": None, "none.txt": "",
        },
    )  # fmt: skip
    source = sources.read_sidecars(folder)
    (block,) = source.blocks()
    found = dict(zip(block.paths, [(post[0], post[1], post[3]) for post in posts(source)], strict=True))
    hat, solo = name_id("hat"), name_id("solo")
    assert found == {
        "7.jpg": (7, "\0", sorted([hat, solo])),
        "a/cat.PNG": (image_folder.post_id("a/cat.PNG"), "g", [hat]),
        "none.jpg": (image_folder.post_id("none.jpg"), "\0", []),
    }
    assert (np.diff(block.ids) > 0).all()
    assert dict(zip(source.tags["name"], source.tags["count"], strict=True)) == {"hat": 2, "solo": 1}
    assert sorted((path, reason) for _, path, reason in source.rejected) == [
        ("a/bare.jpg", "no sidecar"), ("a/cat.txt", "file missing"), ("b/007.webp", "post id taken by 7.jpg"),
        ("lost.txt", "file missing"),
    ]  # fmt: skip
    assert source.rating_counts() == {"g": 1}


def test_sidecars_beside_nothing_say_what_is_there(tmp_path):
    sidecar_folder(tmp_path, {"a.txt": "x", "b/c.jpeg": None})
    with pytest.raises(UserError, match=r"of 1 text files .* holds 1 folders and 1 .txt files such as a.txt"):
        sources.read_sidecars(tmp_path)
    with pytest.raises(UserError, match="found nothing"):
        sources.read_sidecars(tmp_path / "no")


def test_texts_and_images_may_lie_in_two_folders_of_one_structure(tmp_path):
    sidecar_folder(tmp_path / "t", {"x/1.txt": "solo"})
    sidecar_folder(tmp_path / "i", {"x/1.jpg": None})
    source = sources.read_sidecars(tmp_path / "t", tmp_path / "i")
    assert next(source.blocks()).paths == ["x/1.jpg"]


def test_an_unreadable_text_rejects_one_post(tmp_path):
    sidecar_folder(tmp_path, {"1.jpg": None, "2.jpg": None, "2.txt": "solo"})
    (tmp_path / "1.txt").write_bytes(b"\xff\xfe\xfa")
    source = sources.read_sidecars(tmp_path)
    assert [number for number, *_ in posts(source)] == [2]
    assert source.rejected[0][:2] == (1, "1.jpg")


def test_post_ids_of_files():
    digest = hashlib.sha256(b"a/cat.png").hexdigest()
    assert image_folder.post_id("0123/5123.jpg") == image_folder.post_id("x/005123.png") == 5123
    assert image_folder.post_id("a/cat.png") == int(digest, 16) >> 193
    assert image_folder.post_id(pathlib.PureWindowsPath("a\\cat.png")) == image_folder.post_id("a/cat.png")
    assert 0 <= image_folder.post_id("9" * 30 + ".jpg") < 2**63
    assert image_folder.post_id("٣.jpg") > 2**32  # a digit, not a decimal number in ASCII


def test_an_image_folder_prefers_the_usual_place_then_the_usual_suffix(tmp_path):
    names = [
        "0005/1005.png",
        "x/1005.jpg",
        "2.webp",
        "3.png",
        "3.jpg",
        "y/004.JPG",
        "z/notes.txt",
        "0006/1005.jpg",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    index = image_folder.index(tmp_path)
    assert index.ids.tolist() == [2, 3, 4, 1005]
    found = index.find(np.array([1, 2, 3, 4, 1005, 2000]))
    assert (found < 0).tolist() == [True, False, False, False, False, True]
    assert index.paths(found[1:5]) == ["2.webp", "3.jpg", "y/004.JPG", "0005/1005.png"]
    assert "5 folders" in str(index)
    assert image_folder.index(tmp_path / "x").find(np.array([7])).tolist() == [-1]
