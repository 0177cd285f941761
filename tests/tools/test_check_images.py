"""tools/check_images.py as a command; what it says of every odd file is in test_bad_pictures.py."""

import json

import pytest
from helpers import jpeg
from PIL import Image

from tools import check_images
from Utils.files import locking
from Utils.images import formats, image_limits, places

HEIC = b"\0\0\0\x18ftypheic"


def test_a_run_that_was_stopped_continues_where_it_was(tmp_path, monkeypatch, capsys):
    (tmp_path / "i").mkdir()
    for number in range(9):
        (tmp_path / "i" / f"{number}.jpg").write_bytes(jpeg(1, 32) if number % 3 else b"")
    words = ["--images", str(tmp_path / "i"), "-o", str(tmp_path / "r.csv"), "--workers", "2", "--json"]
    monkeypatch.setattr(check_images, "CHUNK", 2)
    real, checked = check_images.examine, []

    def examine(root, path):
        checked.append(path)
        if len(checked) == 5:
            raise KeyboardInterrupt
        return real(root, path)

    monkeypatch.setattr(check_images, "examine", examine)
    assert check_images.main(words) == 130
    assert not (tmp_path / "r.csv").exists()
    checked = [None] * 9
    assert check_images.main(words) == 0
    assert len(checked) < 9 + 9 - 2
    report = json.loads(capsys.readouterr().out)
    assert report == {
        "images": 9,
        "rejected": 3,
        "reasons": {"empty file": 3},
        "wrong_suffixes": {},
    }
    assert (tmp_path / "r.csv").read_text() == "post_id,path,reason\n" + "".join(
        f"{number},{number}.jpg,empty file\n" for number in (0, 3, 6)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "r.csv"]
    assert check_images.main(words) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.reliability(
    "Pictures are restored while check_images.py is interrupted", "they are checked as they are now"
)
def test_notes_of_files_that_have_changed_are_not_believed(tmp_path, capsys):
    (tmp_path / "i").mkdir()
    for number in range(3):
        (tmp_path / "i" / f"{number}.jpg").write_bytes(b"")
    output = tmp_path / "r[1].csv"  # a name with letters of glob's
    place = places.open_place(tmp_path / "i")
    notes = check_images.note_prefix(output, place, [str(image_limits.MAX_PIXELS), *place.members()])
    assert len(list(check_images.check_chunks(place, place.members(), notes, 1))[0][0]) == 3
    (tmp_path / "i" / "1.jpg").write_bytes(jpeg(1, 32))
    words = ["--images", str(tmp_path / "i"), "-o", str(output)]
    assert check_images.main(words) == 0
    assert [line.split(",")[0] for line in output.read_text().splitlines()[1:]] == ["0", "2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "r[1].csv"]


@pytest.mark.reliability(
    "A picture with the suffix of another format", "used; the wrong suffixes are counted"
)
def test_of_two_runs_with_one_output_the_second_is_told(tmp_path, capsys):
    """Each deletes the notes when it has ended, which the other would read."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(jpeg(1, 32))
    words = ["--images", str(tmp_path / "images"), "-o", str(tmp_path / "rejected.csv")]
    with locking.sole_writer(tmp_path / "rejected.csv"):
        assert check_images.main(words) == 2
    assert "rejected.csv is being written by another process" in capsys.readouterr().err
    assert check_images.main(words) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"images", "rejected.csv"}


def test_a_wrong_suffix_is_reported_but_not_rejected(tmp_path, capsys):
    (tmp_path / "i").mkdir()
    for name, image_format in {"1.jpg": "PNG", "2.JPG": "WEBP", "3.png": "JPEG", "4.jpg": "JPEG"}.items():
        with (tmp_path / "i" / name).open("wb") as file:
            Image.new("RGB", (8, 8)).save(file, image_format)
    assert check_images.main(["--images", str(tmp_path / "i"), "-o", str(tmp_path / "r.csv")]) == 0
    assert (tmp_path / "r.csv").read_text() == "post_id,path,reason\n"
    assert [line.split(":")[0].strip() for line in capsys.readouterr().out.splitlines()] == [
        "1 JPEG data in .png files",
        "1 PNG data in .jpg files",
        "1 WEBP data in .jpg files",
        "4 images, 0 rejected",
    ]


@pytest.mark.reliability(
    "Thumbnails, trash, hidden files and formats that are not read, among pictures", "passed by and counted"
)
def test_skipped_files_are_reported(tmp_path, capsys, monkeypatch):
    names = ("a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/a.jpg", "$RECYCLE.BIN/$R1.jpg",
             "__MACOSX/._a.jpg", ".hidden.jpg", "b.jxl", "c.JXL", "d.heic", "f.svg", "a.txt")  # fmt: skip
    for name in names:
        (tmp_path / "i" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "i" / name).write_bytes(jpeg(1, 8))
    monkeypatch.setattr(formats, "find_spec", lambda name: None)  # no plugins
    for name, start in (
        ("b.jxl", b"\xff\x0a"),
        ("c.JXL", b"\xff\x0a"),
        ("d.heic", HEIC),
        ("f.svg", b"<svg/>"),
    ):
        (tmp_path / "i" / name).write_bytes(start + bytes(90))
    (tmp_path / "i" / "g.heic").write_bytes(jpeg(2, 8))  # what some phones send
    assert check_images.main(["--images", str(tmp_path / "i"), "-o", str(tmp_path / "r.csv")]) == 0
    shown = capsys.readouterr()
    assert "2 images, 0 rejected" in shown.out
    assert "1 JPEG data in .heic files: not rejected" in shown.out
    assert "passed by: 5 of systems and hidden, 2 .jxl, 1 .heic, 1 .svg\n" in shown.err


def test_a_folder_without_images_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    for folder, fault in ((tmp_path, "1 .txt file"), (tmp_path / "no", "found nothing")):
        assert check_images.main(["--images", str(folder), "-o", str(tmp_path / "r.csv")]) == 2
        assert fault in capsys.readouterr().err
