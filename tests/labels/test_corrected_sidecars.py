"""Utils/labels/corrected_sidecars.py: decisions come back to the files beside the pictures, as they were."""

import json
import os

import numpy as np
import pytest
from helpers import jpeg
from helpers.archives import write_tar

from Utils.command.cli import UserError
from Utils.data.sources.sidecar_folders import read_sidecars
from Utils.files import locking
from Utils.images import image_folder, places
from Utils.labels import corrected_sidecars


def folder_of(folder, **files):
    """Write pictures and sidecars; names have ``__`` for a point and ``_in_`` for a folder."""
    for name, content in files.items():
        path = folder / name.replace("_in_", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def verdicts(folder, **by_picture):
    """Verdicts by picture: ``a__jpg={"hat": True}``."""
    place = places.open_place(folder)
    paths = image_folder.image_paths(place)
    ids = dict(zip(paths, image_folder.post_ids(paths, place), strict=True))
    answers = {}
    for picture, of_tag in by_picture.items():
        post = ids[picture.replace("_in_", "/").replace("__", ".")]
        answers |= {(post, number): pair for number, pair in enumerate(of_tag.items())}
    return answers


def test_each_format_keeps_its_own(tmp_path):
    picture = jpeg(0, 8)
    record = {"id": 9, "tag_string_general": "solo", "tag_string_character": "rem", "tag_string": "solo rem"}
    folder = folder_of(
        tmp_path, a__jpg=picture, a__txt="1girl, long hair\r\nA girl with a hat stands here.",
        b__jpg=picture, b__jpg__txt="character:rem\nlong hair\nsolo\n",
        c__jpg=picture, c__caption="1girl,long_hair", d__jpg=picture, d__txt="1girl, solo".encode("utf-16"),
        f__jpg=picture, f__txt="1girl, solo".encode("utf-16-be"),
        e__jpg=picture, e__json=json.dumps(record, indent=2), sub_in_a__jpg=picture, sub_in_a__txt="solo",
    )  # fmt: skip
    answers = verdicts(
        folder, a__jpg={"hat": True, "1girl": False}, b__jpg={"solo": False, "1girl": True},
        c__jpg={"rem": True}, d__jpg={"solo": False, "long_hair": True}, e__jpg={"1girl": True, "rem": False},
        sub_in_a__jpg={"solo": True}, f__jpg={"1girl": False},
    )  # fmt: skip
    before = {path.name: path.read_bytes() for path in folder.glob("*.*") if path.suffix != ".jpg"}
    done = corrected_sidecars.correct(folder, answers)
    assert (folder / "a.txt").read_bytes() == b"long hair, hat\r\nA girl with a hat stands here."
    assert (folder / "b.jpg.txt").read_text() == "character:rem\nlong hair\n1girl\n"
    assert (folder / "c.caption").read_text() == "1girl,long_hair,character:rem"
    assert (folder / "d.txt").read_bytes().decode("utf-16") == "1girl, long hair"
    assert (folder / "f.txt").read_bytes() == "solo".encode("utf-16-be")  # without a mark, as it was
    new = json.loads((folder / "e.json").read_text())
    assert (new["tag_string_general"], new["tag_string_character"]) == ("solo 1girl", "")
    assert (folder / "e.json").read_text().startswith('{\n  "id": 9,\n  "tag_string_general"')
    assert (done.added, done.removed) == (5, 5)
    assert set(done.changed) == {"a.txt", "b.jpg.txt", "c.caption", "d.txt", "e.json", "f.txt"}
    assert not (folder / "sub" / "a.txt.bak").exists()  # it said so already
    for name in done.changed:
        assert (folder / f"{name}.bak").read_bytes() == before[name]


def test_captions_with_blanks_between_tags_keep_them(tmp_path):
    """Also one whose words alone do not say that they are several tags."""
    folder = folder_of(
        tmp_path, a__jpg=jpeg(0, 8), a__txt="1girl solo long_hair\n", b__jpg=jpeg(1, 8), b__txt="1girl solo",
    )  # fmt: skip
    answers = verdicts(folder, a__jpg={"hat": True, "solo": False}, b__jpg={"1girl": False, "rem": True})
    assert corrected_sidecars.correct(folder, answers).changed == ["a.txt", "b.txt"]
    assert (folder / "a.txt").read_text() == "1girl long_hair hat\n"
    assert (folder / "b.txt").read_text() == "solo rem"


@pytest.mark.reliability("decisions are applied twice", "nothing changes, the first old sidecar stays")
def test_twice_is_once_and_the_first_old_file_stays(tmp_path):
    folder = folder_of(tmp_path, a__jpg=jpeg(0, 8), a__txt="solo, hat")
    first = verdicts(folder, a__jpg={"hat": False, "1girl": True})
    assert corrected_sidecars.correct(folder, first).changed == ["a.txt"]
    after = (folder / "a.txt").read_bytes()
    again = corrected_sidecars.correct(folder, first)
    assert (again.added, again.removed, again.changed) == (0, 0, [])
    assert (folder / "a.txt").read_bytes() == after
    corrected_sidecars.correct(folder, verdicts(folder, a__jpg={"solo": False}))
    assert (folder / "a.txt").read_text() == "1girl"
    assert (folder / "a.txt.bak").read_text() == "solo, hat"


@pytest.mark.reliability(
    "decisions about one of two pictures that share a sidecar", "it gets its own; the other keeps its tags"
)
def test_a_sidecar_of_two_pictures_is_divided(tmp_path):
    folder = folder_of(
        tmp_path, a__jpg=jpeg(0, 8), a__png=jpeg(1, 8), a__TXT="solo, hat",
        b__jpg=jpeg(2, 8), b__png=jpeg(3, 8), b__json='{"tags": ["solo", "hat"]}',
    )  # fmt: skip
    answers = verdicts(folder, a__jpg={"hat": False, "sky": True}, b__png={"solo": False})
    done = corrected_sidecars.correct(folder, answers)
    assert sorted(done.divided) == sorted(done.changed) == ["a.jpg.TXT", "b.png.json"]
    assert not corrected_sidecars.correct(folder, answers).changed
    source = read_sidecars(folder)
    name_of = dict(zip(source.tags["tag_id"], source.tags["name"], strict=True))
    (block,) = source.blocks()
    assert block.paths is not None
    tags = np.split([name_of[tag] for tag in block.tag_ids.tolist()], block.offsets[1:-1])
    assert {path: set(names) for path, names in zip(block.paths, tags, strict=True)} == {
        "a.jpg": {"solo", "sky"}, "a.png": {"solo", "hat"}, "b.jpg": {"solo", "hat"}, "b.png": {"hat"},
    }  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="Windows does not lock folders")
def test_a_folder_is_corrected_by_one_at_a_time(tmp_path):
    folder = folder_of(tmp_path, a__jpg=jpeg(0, 8), a__txt="solo")
    answers = verdicts(folder, a__jpg={"hat": True})
    with locking.holding(folder), pytest.raises(UserError, match="in use by another process"):
        corrected_sidecars.correct(folder, answers)
    assert (folder / "a.txt").read_text() == "solo"
    assert corrected_sidecars.correct(folder, answers).changed == ["a.txt"]


def test_what_cannot_be_corrected_is_said_and_left(tmp_path):
    folder = folder_of(
        tmp_path, a__jpg=jpeg(0, 8), a__txt=b"caf\xe9, hat", b__jpg=jpeg(1, 8), c__jpg=jpeg(2, 8),
        c__json="[1]",
    )  # fmt: skip
    answers = verdicts(folder, a__jpg={"hat": False}, b__jpg={"hat": True}, c__jpg={"hat": True})
    done = corrected_sidecars.correct(folder, answers | {(12345, 0): ("hat", True)})
    assert set(done.unreadable) == {"a.txt", "c.json"}
    assert done.without_sidecar == ["b.jpg"]
    assert 12345 not in done.posts
    assert (folder / "a.txt").read_bytes() == b"caf\xe9, hat"


def test_archives_are_not_rewritten(tmp_path):
    (tmp_path / "x.tar").write_bytes(bytes(10240))
    with pytest.raises(UserError, match=r"x\.tar is no folder on this machine"):
        corrected_sidecars.correct(tmp_path / "x.tar", {})


def test_sidecars_in_archives_are_not_rewritten(tmp_path):
    files = {"1.jpg": jpeg(1, 8), "1.txt": b"solo"}
    write_tar(tmp_path / "a.tar", files)
    with pytest.raises(UserError, match="in archives: 1 picture with decisions; .* Unpack them once"):
        corrected_sidecars.correct(tmp_path, {(1, 0): ("hat", True)})
    answer = json.dumps({"post": {"id": 3, "tags": "solo"}})
    folder_of(tmp_path, **{"2__jpg": files["1.jpg"], "2__txt": "solo", "3__jpg": b"", "3__json": answer})
    done = corrected_sidecars.correct(tmp_path, {(post, 0): ("hat", True) for post in (1, 2, 3)})
    assert done.changed == ["2.txt"]
    assert done.unreadable == {
        "3.json": "an interface's answer, in which tags are not rewritten",
        "a.tar/1.txt": "it lies in an archive, which is not rewritten",
    }


def test_a_tag_that_a_caption_cannot_hold_is_said_and_nothing_is_written(tmp_path):
    picture = jpeg(0, 8)
    folder = folder_of(
        tmp_path, a__jpg=picture, a__txt="solo, hat", b__jpg=picture, b__json='{"tags": ["hat"]}'
    )
    answers = verdicts(folder, a__jpg={"a,b": True}, b__jpg={"a,b": True})
    done = corrected_sidecars.correct(folder, answers)
    assert done.unreadable == {"a.txt": "its commas would make several tags of 'a,b'"}
    assert (folder / "a.txt").read_text() == "solo, hat" and not (folder / "a.txt.bak").exists()
    assert json.loads((folder / "b.json").read_text()) == {"tags": ["hat", "a,b"]}
