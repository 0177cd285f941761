"""Utils/data/sources/sidecar_folders.py: tags in files beside images, in the forms of three programs."""

import numpy as np
import pytest
from helpers import jpeg

from Utils.command.cli import UserError
from Utils.data.sources.sidecar_folders import parse_sidecar, read_sidecars
from Utils.images import image_folder
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
    assert parse_sidecar(text) == (rating, tags)


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
        ("a/bare.jpg", "no sidecar"), ("a/cat.txt", "file missing"), ("lost.txt", "file missing"),
    ]  # fmt: skip
    assert source.rating_counts() == {"g": 1}


def test_sidecars_beside_nothing_say_what_is_there(tmp_path):
    sidecar_folder(tmp_path, {"a.txt": "x", "b/c.jpeg": None})
    with pytest.raises(UserError, match=r"of 1 text files .* holds 1 folders and 1 .txt files such as a.txt"):
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
