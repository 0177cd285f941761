"""Utils/data/sources/sidecar_folders.py: tags in files beside images, in the forms of three programs."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from helpers import jpeg

from Utils.command.cli import UserError
from Utils.data.sources.sidecar_folders import NAMESPACES, rating_and_tags, read_sidecars, read_webdataset
from Utils.images import image_folder
from Utils.tags import captions
from Utils.tags.tag_list import name_id


def posts(source):
    """Every post as ``(id, rating letter, status bits, tag ids)``."""
    for block in source.blocks():
        for i in range(len(block.ids)):
            tags = block.tag_ids[block.offsets[i] : block.offsets[i + 1]].tolist()
            yield int(block.ids[i]), chr(block.ratings[i]), int(block.status[i]), tags


@pytest.mark.parametrize(
    ("text", "rating", "tags"),
    [
        ("1girl, long hair,  blue_eyes ,", "", {"1girl": 0, "long_hair": 0, "blue_eyes": 0}),
        ("character:saber (fate)\nseries:fate/stay night\nrating:safe\nsolo\n", "S",
         {"saber_(fate)": 4, "fate/stay_night": 3, "solo": 0}),
        ("creator:someone\r\nmeta:highres\r\nRating:Explicit", "e", {"someone": 1, "highres": 5}),
        (r"saber \(fate\), :d, re:zero, o_o, rating:", "",
         {"saber_(fate)": 0, ":d": 0, "re:zero": 0, "o_o": 0, "rating:": 0}),
        ("\n \n,,\n", "", {}),
        ("solo, solo, character:solo", "", {"solo": 4}),
    ],
)  # fmt: skip
def test_sidecar_texts(text, rating, tags):
    assert rating_and_tags(captions.parse(text, NAMESPACES)) == (rating, tags)


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
    source = read_sidecars(folder)
    (block,) = source.blocks()
    by_path = dict(zip(block.paths, [(post[0], post[1], post[3]) for post in posts(source)], strict=True))
    hat, solo = name_id("hat"), name_id("solo")
    assert by_path == {
        # Two images are called 7, so neither of them is post 7.
        "7.jpg": (image_folder.path_id("7.jpg"), "\0", sorted([hat, solo])),
        "b/007.webp": (image_folder.path_id("b/007.webp"), "\0", [solo]),
        "a/cat.PNG": (image_folder.post_id("a/cat.PNG"), "g", [hat]),
        "none.jpg": (image_folder.post_id("none.jpg"), "\0", []),
    }
    assert (np.diff(block.ids) > 0).all()
    assert dict(zip(source.tags["name"], source.tags["count"], strict=True)) == {"hat": 2, "solo": 2}
    assert sorted((path, reason) for _, path, reason in source.rejected) == [
        ("a/bare.jpg", "no sidecar"), ("lost.txt", "file missing"),
    ]  # fmt: skip
    assert source.rating_counts() == {"g": 1}


def test_sidecars_beside_nothing_say_what_is_there(tmp_path):
    sidecar_folder(tmp_path, {"a.txt": "x", "b/c.jpeg": None})
    with pytest.raises(UserError, match=r"of 1 such files .* holds 1 folder and 1 .txt file such as a.txt"):
        read_sidecars(tmp_path)
    with pytest.raises(UserError, match="found nothing"):
        read_sidecars(tmp_path / "no")


def test_texts_and_images_may_lie_in_two_folders_of_one_structure(tmp_path):
    sidecar_folder(tmp_path / "t", {"x/1.txt": "solo"})
    sidecar_folder(tmp_path / "i", {"x/1.jpg": None})
    source = read_sidecars(tmp_path / "t", tmp_path / "i")
    assert next(source.blocks()).paths == ["x/1.jpg"]


def test_an_unreadable_text_rejects_one_post(tmp_path):
    sidecar_folder(tmp_path, {"1.jpg": None, "2.jpg": None, "2.txt": "solo"})
    (tmp_path / "1.txt").write_bytes(b"\xff\xfe\xfa")
    source = read_sidecars(tmp_path)
    assert [number for number, *_ in posts(source)] == [2]
    assert source.rejected[0][:2] == (1, "1.jpg")


CAPTIONS = {
    "1.txt": "1girl, solo, smile\nA girl stands in front of a wall, smiling at the viewer.\n",
    "2.caption": "1girl, solo, smile", "3.tags": "1girl, solo, smile",
    "4.jpg.txt": "1girl\nsolo\nsmile", "5.TXT": "1girl, solo, smile", "6.json": '["1girl", "solo", "smile"]',
}  # fmt: skip


def test_captions_as_people_have_them(tmp_path):
    """Every ending, sentences, UTF-16 with its mark; what is left out is counted."""
    sidecar_folder(tmp_path, {f"{number}.jpg": None for number in range(1, 9)} | CAPTIONS)
    (tmp_path / "7.txt").write_bytes("1girl, solo, smile".encode("utf-16"))
    (tmp_path / "8.txt").write_bytes("1girl, caf\xe9".encode("latin-1"))
    source = read_sidecars(tmp_path)
    assert source.tags.set_index("name")["count"].to_dict() == {"1girl": 7, "solo": 7, "smile": 7}
    assert source.rejected == (
        (8, "8.jpg", "sidecar unreadable: no text in UTF-8, or in UTF-16 with its mark; save it as UTF-8"),
    )
    (note,) = source.notes
    assert note.startswith("1 sentence in captions is no tag and is left out, such as 'A girl stands")


def test_ratings_of_captions_that_are_none_are_said(tmp_path):
    texts = ("solo, rating:r18", "solo, rating:x, rating:q", "solo, rating:")
    sidecar_folder(tmp_path, {f"{number}.txt": text for number, text in enumerate(texts)})
    sidecar_folder(tmp_path, {f"{number}.jpg": None for number in range(3)})
    source = read_sidecars(tmp_path)
    assert source.notes[0].startswith("unrated: 1 post with a rating that is not known, such as 'rating:r18'")


def test_a_list_of_tags_in_json_has_categories_and_ratings_as_a_text_has(tmp_path):
    tags = ["character:rem", "series:re zero", "1girl", "rating:safe"]
    files = {"1.json": json.dumps(tags), "2.txt": ", ".join(tags)}
    sidecar_folder(tmp_path, {"1.jpg": None, "2.jpg": None} | files)
    source = read_sidecars(tmp_path)
    codes = source.tags.set_index("name")["category"].to_dict()
    assert codes == {"rem": 4, "re_zero": 3, "1girl": 0}
    assert source.tags["count"].tolist() == [2, 2, 2]
    assert source.rating_counts() == {"S": 2}


def test_captions_with_blanks_between_tags_as_boorus_write_them(tmp_path):
    """One without an underscore is split as the others are; a sentence stays one; both are said."""
    texts = {
        "1.txt": "1girl solo long_hair", "2.txt": "1girl solo", "3.txt": "long_hair blue_eyes rating:safe",
        "4.txt": "a girl with an umbrella walks through the rain", "5.json": '{"tags": "1girl solo"}',
    }  # fmt: skip
    sidecar_folder(tmp_path, {f"{number}.jpg": None for number in range(1, 6)} | texts)
    source = read_sidecars(tmp_path)
    counts = {"1girl": 3, "solo": 3, "long_hair": 2, "blue_eyes": 1}
    assert source.tags.set_index("name")["count"].to_dict() == counts
    assert source.rating_counts() == {"S": 1}
    assert source.notes == (
        "1 sentence in captions is no tag and is left out, such as 'a girl with an umbrella walks "
        "through the rain'; if these are tags, --separator blank makes every word a tag",
        "3 of 4 captions, such as '1girl solo long_hair', have blanks between their tags and no comma; "
        "--separator comma takes each as one tag",
    )
    assert "1girl_solo" in set(read_sidecars(tmp_path, separator="comma").tags["name"])
    assert "umbrella" in set(read_sidecars(tmp_path, separator="blank").tags["name"])


def test_captions_of_several_words_that_could_be_one_tag_are_said(tmp_path):
    texts = {"1.txt": "sks dog", "2.txt": "sks dog", "3.txt": "sks dog, hat"}
    sidecar_folder(tmp_path, {f"{number}.jpg": None for number in range(1, 4)} | texts)
    source = read_sidecars(tmp_path)
    assert source.tags.set_index("name")["count"].to_dict() == {"sks_dog": 3, "hat": 1}
    assert source.notes == (
        "2 of 3 captions, such as 'sks dog', are several words without a comma and were not split; "
        "--separator blank makes every word a tag",
    )


def test_the_sidecar_with_tags_counts_and_the_others_are_said(tmp_path):
    sidecar_folder(
        tmp_path,
        {
            "1.jpg": None, "1.txt": "A girl smiles at the viewer.", "1.tags": "solo", "1.caption": "hat",
            "2.jpg": None, "2.txt": "hat, ", "2.json": '{"id": 9, "tag_string": "x"}',
            "3.jpg": None, "3.json": '{"id": "abc", "tag_string_general": "solo", "rating": "s"}',
        },
    )  # fmt: skip
    source = read_sidecars(tmp_path)
    assert source.tags.set_index("name")["count"].to_dict() == {"hat": 1, "solo": 2}
    assert source.notes[0] == "recognized: records of Danbooru (1)"
    start = "3 files whose tags are not taken, beside others of the same picture: 1.txt, 1.caption, 2.json"
    assert source.notes[-1] == start
    chosen = read_sidecars(tmp_path, suffixes=(".caption",))
    assert chosen.tags["name"].tolist() == ["hat"]


def test_a_sidecar_that_another_picture_of_the_stem_takes_is_not_said_to_be_lost(tmp_path):
    """The sidecars that tag_images writes for 1.jpg and 1.png."""
    pictures = {"1.jpg": None, "1.png": None, "2.jpg": None}
    sidecar_folder(
        tmp_path, pictures | {"1.txt": "hat", "1.png.txt": "bow", "2.jpg.txt": "sun", "2.txt": "sea"}
    )
    source = read_sidecars(tmp_path)
    assert source.tags.set_index("name")["count"].to_dict() == {"hat": 1, "bow": 1, "sun": 1}
    assert source.notes == ("1 file whose tags are not taken, beside others of the same picture: 2.txt",)


def test_no_sidecar_that_can_be_read_is_an_error_with_its_reason(tmp_path):
    sidecar_folder(tmp_path, {"1.jpg": None, "2.jpg": None, "2.txt": ""})
    (tmp_path / "1.txt").write_bytes(b"\xff")
    (tmp_path / "2.txt").write_bytes(b"\xe9")
    with pytest.raises(UserError, match=r"none of 2 pictures .* 1.jpg: sidecar unreadable: no text in UTF-8"):
        read_sidecars(tmp_path)


def test_json_without_a_field_of_tags_says_which_fields_are_looked_for(tmp_path):
    sidecar_folder(tmp_path, {"1.jpg": None, "1.jpg.json": '{"tweet_id": 1, "hashtags": ["hat"]}'})
    with pytest.raises(
        UserError, match="1.jpg: sidecar unreadable: no tags. Tags in JSON .* as tag_string, "
    ):
        read_sidecars(tmp_path)


def archive(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            data = jpeg(1, 16) if content is None else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, jpeg(1, 16) if content is None else content)


@pytest.mark.parametrize("write", [archive, zipped])
def test_a_webdataset_is_read_in_place(tmp_path, write):
    """Pictures named by number, by MD5 with an id in the JSON, by anything; JSON goes before a text."""
    write(tmp_path / "a.ar", {"1.jpg": None, "1.json": '{"id": 1, "tag_string": "solo"}', "1.txt": "wrong"})
    write(
        tmp_path / "b.ar",
        {"ff.jpg": None, "ff.json": '{"id": 7, "tags": {"species": ["cat"]}, "flags": {"deleted": true}}',
         "cat.webp": None, "cat.txt": "solo, hat", "1.png": None, "1.json": '{"id": 1, "tag_string": "hat"}'},
    )  # fmt: skip
    ending = {archive: "tar", zipped: "zip"}[write]
    for name in "ab":
        (tmp_path / f"{name}.ar").rename(tmp_path / f"{name}.{ending}")
    source = read_webdataset(tmp_path)
    (block,) = source.blocks()
    rows = dict(zip(block.paths, posts(source), strict=True))
    # Two pictures are called 1, and both JSON say 1, so neither of them is post 1.
    names = ["a.%s/1.jpg", "b.%s/ff.jpg", "b.%s/cat.webp", "b.%s/1.png"]
    one, seven, cat, png = (name % ending for name in names)
    assert {path: row[0] for path, row in rows.items()} == {
        one: image_folder.path_id(one), seven: 7, cat: image_folder.path_id(cat),
        png: image_folder.path_id(png)
    }  # fmt: skip
    assert rows[seven][2:] == (1, [name_id("cat")])
    assert source.tags.set_index("name")["count"].to_dict() == {"solo": 2, "cat": 1, "hat": 2}
    assert source.kind == "webdataset"
