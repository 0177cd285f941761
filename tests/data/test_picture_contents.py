"""Utils/data/picture_contents.py: equal bytes have one hash, what is no picture has its reason."""

import hashlib

import pandas as pd
from helpers import jpeg

from Utils.data import picture_contents
from Utils.images import image_reader
from Utils.images.places import open_place


def test_hash_side_and_reason_come_in_the_order_of_the_paths(tmp_path):
    data = jpeg(1, (20, 30))
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "c.jpg").write_bytes(b"")
    paths = ["a.jpg", "b.jpg", "c.jpg", "gone.jpg"] * 200
    facts = list(picture_contents.read(paths, lambda path: image_reader.read_bytes(tmp_path / path)))
    assert facts == facts[:4] * 200
    assert facts[0] == (hashlib.sha256(data).hexdigest(), 30, "")
    assert [fact[:2] for fact in facts[1:4]] == [("", 0)] * 3
    assert facts[3][2] == "No such file or directory"
    assert all(reason for *_, reason in facts[1:4])


def test_pictures_that_are_others_than_a_datasets_are_counted(tmp_path, capsys):
    names = [f"{number}.jpg" for number in range(1, 251)]
    contents = [jpeg(number, (8, 8)) for number in range(len(names))]
    for name, data in zip(names, contents, strict=True):
        (tmp_path / name).write_bytes(data)
    numbers = [picture_contents.number_of(hashlib.sha256(data).hexdigest()) for data in contents]
    frame = pd.DataFrame({"post_id": range(1, 251), "picture": [0, *numbers[1:]]})
    frame.to_parquet(tmp_path / "posts.parquet")
    place, path_of = open_place(tmp_path), dict(enumerate(names, 1))
    picture_contents.warn_of_others(tmp_path, place, path_of)
    assert capsys.readouterr().err == "", "the first was no picture for select_tags"
    picture_contents.warn_of_others(tmp_path, place, dict(enumerate([*names[1:], "gone.jpg"], 1)))
    said = capsys.readouterr().err
    assert f"98 of 98 pictures looked at in {tmp_path} are other files than those that {tmp_path}" in said
    frame.drop(columns="picture").to_parquet(tmp_path / "posts.parquet")
    picture_contents.warn_of_others(tmp_path, place, dict.fromkeys(path_of, "7.jpg"))
    assert capsys.readouterr().err == ""
