"""Utils/data/picture_contents.py: equal bytes have one hash, what is no picture has its reason."""

import hashlib

from helpers import jpeg

from Utils.data import picture_contents
from Utils.images import image_reader


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
