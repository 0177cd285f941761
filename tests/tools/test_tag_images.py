"""tools/tag_images.py: the sidecars it writes, what it leaves alone or sets aside, and how it continues."""

import contextlib
import csv
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import small_releases
from helpers.broken_images import spoil
from helpers.tagged_pictures import BLUE, EXPECTED, GREEN, RED, paint, sidecars_in, tag

from tools import select_tags
from Utils.images import codec, image_folder
from Utils.serving import onnx_tagger
from Utils.tags import sidecars

ROOT = pathlib.Path(__file__).resolve().parents[2]


# Sidecars


def test_captions_are_written_beside_the_images(release, pictures, capsys):
    assert tag(release, pictures) == 0
    assert sidecars_in(pictures) == {
        "1.txt": EXPECTED[GREEN],
        "1.png.txt": EXPECTED[BLUE],
        "2.txt": EXPECTED[RED],
        "deep/3.txt": EXPECTED[BLUE],
    }
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "9 tags at 8 px; thresholds: 0.35, characters 0.85" in shown.err
    assert "4 pictures tagged, 0 left as they were, 0 set aside" in shown.err
    assert shown.err.splitlines()[-1].startswith(f"next: python tools/select_tags.py --from {pictures} -o ")


def test_the_next_command_after_sidecars_in_a_folder_of_their_own(release, tmp_path, capsys):
    for number, color in enumerate([BLUE, GREEN, RED] * 4):
        paint(tmp_path / "in" / f"{number}.png", color)
    assert tag(release, tmp_path / "in", "-o", tmp_path / "texts") == 0
    line = capsys.readouterr().err.splitlines()[-1].removeprefix("next: python tools/select_tags.py ")
    words = [str(tmp_path / "data") if word == "DATASET" else word for word in line.split("   ")[0].split()]
    assert select_tags.main(words) == 0
    assert "texts: read as sidecars: 12 texts such as 0.txt" in capsys.readouterr().err


def test_sidecars_of_hydrus_have_namespaces(release, pictures):
    assert tag(release, pictures / "1.png", "--format", "hydrus", "--spaces", "--prefix", "seen by tiny") == 0
    lines = "seen by tiny\nrating:general\nblue sky\ncharacter:rei (eva)\n^_^\n"
    assert sidecars_in(pictures) == {"1.png.txt": lines}


def test_captions_are_spelled_for_prompts(release, pictures):
    words = ["--spaces", "--escape", "--rating", "--prefix", "style", "--threshold", "0.3", "--max-tags", "2"]
    assert tag(release, pictures / "1.png", *words) == 0
    assert sidecars_in(pictures)["1.png.txt"] == "style, rating:general, blue sky, rei \\(eva\\)\n"


def test_existing_sidecars_are_kept_replaced_or_extended(release, pictures, capsys):
    (pictures / "2.txt").write_text("by hand, red (color)\n")
    assert tag(release, pictures, "--no-recursive", "--threshold", "0.95") == 0
    first = sidecars_in(pictures)
    assert first["2.txt"] == "by hand, red (color)\n"
    assert first["1.png.txt"] == "blue_sky\n"
    assert "deep/3.txt" not in first
    capsys.readouterr()
    listed = pictures.parent / "rejected.csv"
    assert tag(release, pictures / "1.png", pictures / "2.bmp", "--rejected", listed) == 0
    assert listed.read_text() == "path,reason\n"
    assert (
        "2 left as they were, 0 set aside\nthose that were left have their sidecar" in capsys.readouterr().err
    )
    assert tag(release, pictures, "--append", "--prefix", "new") == 0
    added = sidecars_in(pictures)
    assert added["2.txt"] == "by hand, red (color), new\n"
    assert added["1.png.txt"] == "blue_sky, new, rei_(eva), ^_^\n"
    assert tag(release, pictures, "--append", "--prefix", "new") == 0
    assert sidecars_in(pictures) == added
    assert tag(release, pictures, "--overwrite") == 0
    assert sidecars_in(pictures)["2.txt"] == EXPECTED[RED]


@contextlib.contextmanager
def files_of_at_most(size):
    """Let the system refuse what makes a file larger, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.reliability("a full disk while pictures are tagged", "the work ends and names the file")
@pytest.mark.parametrize(
    ("words", "named"),
    [([], ".txt"), (["--maps", "OUT"], "/OUT"), (["--format", "json", "-o", "OUT"], ".OUT.journal")],
)
def test_without_room_the_work_ends(release, pictures, tmp_path, monkeypatch, capsys, words, named):
    monkeypatch.chdir(tmp_path)
    with files_of_at_most(8):
        assert tag(release, pictures, *words) == 1
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: File too large: ") and error.endswith(named)
    assert not sidecars_in(pictures) and not (tmp_path / "OUT").exists()


@pytest.mark.reliability("tag_images --overwrite over a person's captions", "kept as .bak, and said")
@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("a person stands in the rain.\n", True),
        ("blue sky, my_style\n", True),
        ("red \\(color\\), Blue Sky, rating:general\n", False),
        ("caf\xe9".encode("latin-1"), True),
    ],
)
def test_a_persons_words_are_kept_when_their_sidecar_is_replaced(release, pictures, capsys, text, is_kept):
    data = text if isinstance(text, bytes) else text.encode()
    for expected in ({"2.txt.bak": data}, {"2.txt.bak": data, "2.txt.bak2": data}):
        (pictures / "2.txt").write_bytes(data)
        assert tag(release, pictures, "--overwrite") == 0
        assert (pictures / "2.txt").read_text() == EXPECTED[RED]
        copies = {path.name: path.read_bytes() for path in pictures.glob("*.bak*")}
        assert copies == (expected if is_kept else {})
        assert ("kept as .bak" in capsys.readouterr().err) == is_kept
        assert tag(release, pictures, "--overwrite") == 0  # its own are replaced without a copy
        assert "kept as .bak" not in capsys.readouterr().err


@pytest.mark.reliability("A picture damaged inside, tag_images and predict", "tagged, and said with its name")
def test_a_picture_damaged_inside_is_tagged_and_said(release, pictures, capsys):
    data = codec.encode_jpeg(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    for number in range(7):
        (pictures / f"broken{number}.jpg").write_bytes(data[:-200] + b"\xff\xd9")
    assert tag(release, pictures) == 0
    error = capsys.readouterr().err
    assert "warning: 7 damaged inside but tagged all the same:" in error
    assert "broken0.jpg: damaged JPEG: Corrupt JPEG data" in error
    assert "and 2 more" in error
    assert (pictures / "broken6.txt").is_file()


def test_a_second_image_of_a_stem_is_tagged_although_the_first_has_a_caption(release, tmp_path):
    paint(tmp_path / "1.png", BLUE)
    assert tag(release, tmp_path) == 0
    paint(tmp_path / "1.jpg", GREEN)
    assert tag(release, tmp_path) == 0
    texts = sidecars_in(tmp_path)
    assert texts == {"1.txt": EXPECTED[BLUE], "1.png.txt": EXPECTED[BLUE], "1.jpg.txt": EXPECTED[GREEN]}
    assert tag(release, tmp_path) == 0
    assert sidecars_in(tmp_path) == texts


def test_a_file_is_tagged_once_however_it_is_named(release, pictures, capsys):
    link = pictures.parent / "link"
    link.symlink_to(pictures)
    assert tag(release, pictures, link, pictures / "1.png", pictures / "." / "deep", "--format", "csv") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    ratings = [row["path"] for row in rows if row["category"] == "rating"]
    assert len(ratings) == len(set(ratings)) == 4


def test_interrupted_sidecars_are_continued(release, tmp_path, monkeypatch):
    for number in range(10):
        paint(tmp_path / f"{number}.png", BLUE if number % 2 else RED)
    real, written = sidecars.write, []

    def dying(path, *words):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path)
        real(path, *words)

    monkeypatch.setattr(sidecars, "write", dying)
    assert tag(release, tmp_path, "--batch-size", "2") == 130
    assert len(sidecars_in(tmp_path)) == 5
    monkeypatch.setattr(sidecars, "write", real)
    (tmp_path / "0.txt").write_bytes(b"")  # as a machine without power leaves it
    assert tag(release, tmp_path, "--batch-size", "3") == 0
    assert sidecars_in(tmp_path) == {f"{n}.txt": EXPECTED[BLUE if n % 2 else RED] for n in range(10)}


# Bad pictures


def test_unreadable_images_are_set_aside_and_listed(release, pictures, capsys):
    reasons = spoil(pictures / "bad")
    listed = pictures.parent / "rejected.csv"
    assert tag(release, pictures, "--rejected", listed) == 0
    assert len(sidecars_in(pictures)) == 4
    with listed.open(encoding="utf-8") as file:
        rows = {pathlib.Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(rows) == set(reasons)
    for name, reason in reasons.items():
        assert rows[name].startswith(reason), name
    assert f"{len(reasons)} set aside" in capsys.readouterr().err
    assert tag(release, pictures) == 0  # the good ones are done already
    capsys.readouterr()
    assert tag(release, pictures / "bad") == 1
    assert "error: none of " in capsys.readouterr().err
    assert tag(release, pictures / "notes.md", pictures / "2.bmp") == 0
    assert "not named as a picture" in capsys.readouterr().err
    assert tag(release, pictures / "notes.md") == 1


def test_a_sidecar_that_cannot_be_written_stops_nothing(release, tmp_path, capsys):
    paint(tmp_path / "a.png", BLUE)
    paint(tmp_path / f"{'b' * 251}.png", GREEN)  # x.png.txt is too long, x.txt is not
    paint(tmp_path / f"{'b' * 251}.jpg", GREEN)
    (tmp_path / "c.txt").mkdir()
    paint(tmp_path / "c.png", RED)
    assert tag(release, tmp_path) == 0
    assert (tmp_path / "a.txt").read_text() == EXPECTED[BLUE]
    assert capsys.readouterr().err.count("the sidecar cannot be written") == 2


@pytest.mark.reliability("A picture whose name is as long as file systems allow", "it has its sidecar")
@pytest.mark.parametrize("letter", ["x", "\u9577"])
def test_a_long_name_has_its_sidecar(release, tmp_path, letter):
    names = [letter * ((length - 4) // len(letter.encode())) for length in range(225, 256)]
    for name in dict.fromkeys(names):
        paint(tmp_path / f"{name}.png", RED)
    assert tag(release, tmp_path) == 0
    assert sidecars_in(tmp_path) == {f"{name}.txt": EXPECTED[RED] for name in names}


@pytest.mark.reliability("A picture of another format than its name says", "tagged, and told")
def test_images_are_recognized_by_their_bytes(release, tmp_path, capsys):
    paint(tmp_path / "a.png", RED)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    paint(tmp_path / "other" / "b.webp", BLUE)
    (tmp_path / "other" / "b.webp").rename(tmp_path / "other" / "b")
    assert tag(release, tmp_path / "a.jpg", tmp_path / "other" / "b") == 0
    assert sidecars_in(tmp_path) == {"a.txt": EXPECTED[RED], "other/b.txt": EXPECTED[BLUE]}
    shown = capsys.readouterr().err
    assert "1 with a wrong suffix: PNG data in .jpg files" in shown
    assert "1 with a wrong suffix: WEBP data in files without suffix" in shown


def test_thumbnails_and_trash_are_passed_by(release, pictures, capsys):
    paint(pictures / "@eaDir" / "1.jpg" / "SYNOPHOTO_THUMB_M.jpg", RED)
    paint(pictures / ".thumbnails" / "1.jpg", RED)
    (pictures / "5.jxl").touch()
    assert tag(release, pictures) == 0
    assert "passed by: 2 of systems and hidden, 1 .jxl" in capsys.readouterr().err
    assert len(sidecars_in(pictures)) == 4


def test_file_names_may_have_any_bytes(release, tmp_path, capsys):
    name = os.fsdecode(b"\xff\xfe.png")
    paint(tmp_path / "a.png", BLUE)
    shutil.copy(tmp_path / "a.png", tmp_path / name)
    assert tag(release, tmp_path) == 0
    assert (tmp_path / os.fsdecode(b"\xff\xfe.txt")).read_text() == EXPECTED[BLUE]
    assert tag(release, tmp_path, "--format", "json", "-o", tmp_path / "tags.json") == 0
    assert len(json.loads((tmp_path / "tags.json").read_text(encoding="utf-8"))) == 2


# Releases


def test_a_missing_release_is_an_error_in_one_line(tmp_path, pictures, capsys):
    assert tag(tmp_path / "nowhere", pictures) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: a release folder was expected")
    assert shown.count("\n") == 1


def test_a_model_that_fails_is_no_traceback(release, pictures, monkeypatch, capsys):
    opened = onnx_tagger.open_release(release)
    opened._run = lambda images: np.full((len(images), 9), np.nan)
    monkeypatch.setattr(onnx_tagger, "open_release", lambda *_: opened)
    assert tag(release, pictures) == 1
    assert capsys.readouterr().err.count("error: ") == 1


# Wrong use


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.png"], "no picture and no folder nowhere.png"),
        ([".", "--format", "json", "--spaces"], "--spaces belongs to --format txt or hydrus"),
        ([".", "--format", "hydrus", "--escape"], "--escape belongs to --format txt"),
        ([".", "-o", "x.csv"], "--output belongs to --format json or csv"),
        ([".", "--batch-size", "0"], "--batch-size: must be a whole number of at least 1"),
        ([".", "--format", "xml"], "invalid choice"),
        ([".", "--prefix", "a\u2028b"], "--prefix: must be one line; got 'a\\u2028b'"),
        ([".", "--append", "--overwrite"], "not allowed with"),
        (["tests", "--no-recursive"], "no pictures there"),
    ],
)
def test_wrong_use_is_an_error_in_one_line(release, words, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert tag(release, *words) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_commas_in_names_need_another_format(tmp_path, pictures, capsys):
    strange = small_releases.make(tmp_path / "r", tags=small_releases.TAGS.replace("blue_sky", '"blue,sky"'))
    assert tag(strange, pictures) == 2
    assert "json or csv" in capsys.readouterr().err
    assert tag(strange, pictures, "--format", "hydrus") == 0


def test_a_release_is_tagged_without_importing_tensorflow(release, pictures):
    """A release is opened, tagged with and listed without importing keras."""
    code = (
        "import sys; from tools import tag_images; code = tag_images.main(sys.argv[1:]);"
        "assert not {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(release), str(pictures)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(sidecars_in(pictures)) == 4
    assert image_folder.is_image("1.png")
