"""tools/tag_images.py: what it writes, what it leaves alone or sets aside, and how it continues."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import small_dumps, small_releases
from helpers.broken_images import spoil
from PIL import Image

from tools import tag_images
from Utils.images import codec, films, image_folder, image_reader
from Utils.serving import onnx_tagger, tag_table
from Utils.tags import sidecars

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)
# What the release of small_releases says of flat squares, at 0.35, characters 0.85:
EXPECTED = {
    BLUE: "blue_sky, rei_(eva), ^_^\n",
    GREEN: "green_grass, ^_^\n",
    RED: "red_(color)\n",
}


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    return small_releases.make(tmp_path_factory.mktemp("releases") / "tiny")


def paint(path, color, size=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size, size, 3), color, np.uint8))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for name, color in {"1.png": BLUE, "1.jpg": GREEN, "2.bmp": RED, "deep/3.webp": BLUE}.items():
        paint(folder / name, color)
    (folder / "notes.md").write_text("not a picture by its name")
    return folder


def tag(*words):
    return tag_images.main([str(word) for word in words])


def sidecars_in(folder):
    texts = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.txt")
    }
    assert not list(folder.rglob("*.part*"))
    return texts


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
    assert "all 2 pictures have their sidecar" in capsys.readouterr().err
    assert tag(release, pictures, "--append", "--prefix", "new") == 0
    added = sidecars_in(pictures)
    assert added["2.txt"] == "by hand, red (color), new\n"
    assert added["1.png.txt"] == "blue_sky, new, rei_(eva), ^_^\n"
    assert tag(release, pictures, "--append", "--prefix", "new") == 0
    assert sidecars_in(pictures) == added
    assert tag(release, pictures, "--overwrite") == 0
    assert sidecars_in(pictures)["2.txt"] == EXPECTED[RED]


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
    assert tag(release, pictures / "bad") == 1
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


# Tables


def test_json_and_csv_hold_probabilities(release, pictures, capsys):
    assert tag(release, pictures, "--format", "json") == 0
    records = json.loads(capsys.readouterr().out)
    assert [path.removeprefix(f"{pictures}/") for path in records] == [
        "1.jpg",
        "1.png",
        "2.bmp",
        "deep/3.webp",
    ]
    assert records[f"{pictures}/1.png"] == {
        "rating": "general",
        "ratings": {"general": 0.6, "sensitive": 0, "questionable": 0.1, "explicit": 0},
        "tags": {"general": {"blue_sky": 1, "^_^": 0.5}, "character": {"rei_(eva)": 0.9}},
    }
    output = pictures.parent / "tags.csv"
    assert tag(release, pictures, "--format", "csv", "-o", output) == 0
    assert capsys.readouterr().out == ""
    with output.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] in ("path", f"{pictures}/1.png")]
    first = f"{pictures}/1.png"
    assert rows == [
        list(tag_table.CSV_COLUMNS),
        [first, "rating", "general", "0.6"],
        [first, "general", "blue_sky", "1.0"],
        [first, "general", "^_^", "0.5"],
        [first, "character", "rei_(eva)", "0.9"],
    ]
    assert sidecars_in(pictures) == {}
    assert tag(release, pictures, "--format", "csv", "-o", output) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_an_empty_table_is_still_json(release, tmp_path, capsys):
    spoil(tmp_path)
    assert tag(release, tmp_path, "--format", "json") == 1
    assert json.loads(capsys.readouterr().out) == {}


def test_an_interrupted_table_is_continued(release, pictures, monkeypatch, capsys):
    whole, output = pictures.parent / "whole.json", pictures.parent / "new" / "tags.json"
    words = [release, pictures, "--format", "json", "--batch-size", "1", "-o"]
    assert tag(*words, whole) == 0
    real, seen = onnx_tagger.ServingTagger.probabilities, []

    def dying(self, batch):
        if len(seen) == 3:  # the first call is the trial of an opened release
            raise KeyboardInterrupt
        seen.append(len(batch))
        return real(self, batch)

    monkeypatch.setattr(onnx_tagger.ServingTagger, "probabilities", dying)
    assert tag(*words, output) == 130
    assert not output.exists()
    (journal,) = output.parent.iterdir()
    with journal.open("a") as file:
        file.write('{"path": "cut sho')
    monkeypatch.setattr(onnx_tagger.ServingTagger, "probabilities", real)
    assert tag(*words, output, "--threshold", "0.9") == 2
    assert f"remove {journal}" in capsys.readouterr().err
    with tag_table.Journal(pictures.parent / "both.json", {}):
        assert tag(*words, pictures.parent / "both.json") == 2
        assert "another process writes" in capsys.readouterr().err
    (pictures.parent / ".both.json.journal").unlink()
    read = []
    monkeypatch.setattr(
        image_reader,
        "read_bytes",
        lambda path, real=image_reader.read_bytes: read.append(path) or real(path),
    )
    assert tag(*words, output) == 0
    assert len(read) == 2
    assert output.read_bytes() == whole.read_bytes()
    assert list(output.parent.iterdir()) == [output]


def test_file_names_may_have_any_bytes(release, tmp_path, capsys):
    name = os.fsdecode(b"\xff\xfe.png")
    paint(tmp_path / "a.png", BLUE)
    shutil.copy(tmp_path / "a.png", tmp_path / name)
    assert tag(release, tmp_path) == 0
    assert (tmp_path / os.fsdecode(b"\xff\xfe.txt")).read_text() == EXPECTED[BLUE]
    assert tag(release, tmp_path, "--format", "json", "-o", tmp_path / "tags.json") == 0
    assert len(json.loads((tmp_path / "tags.json").read_text(encoding="utf-8"))) == 2


def test_transparent_and_rotated_images_are_prepared_as_for_evaluation(release, tmp_path, capsys):
    """Transparent is white, and an orientation of EXIF is undone before padding."""
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    wide = Image.new("RGB", (20, 10), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert tag(release, tmp_path, "--format", "json", "--threshold", "0") == 0
    records = json.loads(capsys.readouterr().out)
    clear = records[f"{tmp_path}/clear.png"]["tags"]["general"]
    assert clear == {"blue_sky": 1, "green_grass": 1, "^_^": 1, "red_(color)": 1}
    tagger = onnx_tagger.open_release(release)
    data = (tmp_path / "turned.jpg").read_bytes()
    expected = tagger.probabilities(codec.prepare(data, 8)[None])[0]
    turned = records[f"{tmp_path}/turned.jpg"]["tags"]["general"]
    assert turned["blue_sky"] == pytest.approx(expected[4], abs=1e-6)


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


def test_films_are_tagged_by_frames(release, tmp_path, capsys):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "f.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(8):
            paint(tmp_path / "frame.png", RED if number < 4 else BLUE)
            frame = av.VideoFrame.from_image(Image.open(tmp_path / "frame.png").resize((64, 64)))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    (tmp_path / "frame.png").unlink()
    (tmp_path / "g.mp4").write_bytes(b"no film")
    assert tag(release, tmp_path, "--every", "1s", "--format", "json", "-o", tmp_path / "o.json") == 0
    records = json.loads((tmp_path / "o.json").read_text())
    assert [path.rpartition("/")[2] for path in records] == ["f.mp4#t=0", "f.mp4#t=1"]
    said = capsys.readouterr().err
    assert "g.mp4: damaged film" in said
    assert "passed by" not in said
    assert tag(release, tmp_path / "f.mp4", "--every", "1s") == 0
    words = (tmp_path / "f.txt").read_text()
    for color in (RED, BLUE):
        assert set(EXPECTED[color].strip().split(", ")) <= set(words.strip().split(", "))
    assert tag(release, tmp_path / "f.mp4", "--every", "never") == 2


@pytest.mark.reliability("tag_images --every without the package that reads films", "named before any work")
def test_films_need_a_package(release, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(films, "find_spec", lambda name: None)
    assert tag(release, tmp_path, "--every", "1s") == 2
    assert "requirements-video.txt" in capsys.readouterr().err


# Predictions that are there


def dump_of(tmp_path, pictures):
    """A dump of p, 0.9 and 0.1 for two tags, of all pictures but one."""
    paths = image_folder.image_paths(pictures)
    ids = image_folder.post_ids(paths)
    p = np.float32([[0.9, 0.1] if "1" in path else [0.4, 0.6] for path in paths])
    return small_dumps.write_dump(tmp_path / "dump", p[:-1], None, ids[:-1], ["sky", "grass"]), paths


def test_a_dump_writes_sidecars_and_runs_nothing(tmp_path, pictures, capsys):
    dump, paths = dump_of(tmp_path, pictures)
    assert tag("--dump", dump, "--images", pictures, "--threshold", "0.5") == 0
    written = sidecars_in(pictures)
    assert written == {"1.txt": "sky\n", "1.png.txt": "sky\n", "2.txt": "grass\n"}
    shown = capsys.readouterr().err
    assert f"set aside: {pictures / paths[-1]}: not in the dump" in shown
    assert "3 pictures tagged, 0 left as they were, 1 set aside" in shown
    (pictures / "2.txt").write_text("mine\n")
    assert tag("--dump", dump, "--images", pictures, "--append") == 0
    assert (pictures / "2.txt").read_text() == "mine, grass, sky\n"
    assert tag("--dump", dump, "--images", pictures, "--format", "json", "-o", tmp_path / "t.json") == 0
    assert len(json.loads((tmp_path / "t.json").read_text())) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dump", "d"], "belong together"),
        (["--images", "p"], "belong together"),
        (["release", "--dump", "d", "--images", "p"], "instead of a model"),
        ([], "a model and pictures are needed"),
        (["release"], "a model and pictures are needed"),
    ],
)
def test_a_model_or_a_dump_is_named(words, message, capsys):
    assert tag(*words) == 2
    assert message in capsys.readouterr().err


# Maps


def test_maps_are_a_folder_with_peaks_and_no_captions(release, pictures, tmp_path, capsys):
    (pictures / "2.bmp").write_bytes(b"no picture")
    maps = tmp_path / "maps"
    assert tag(release, pictures / "1.jpg", "--maps", pictures / "maps") == 0, "no folder was named"
    shutil.rmtree(pictures / "maps")
    assert tag(release, pictures, "--maps", maps) == 0
    content = json.loads((maps / "maps.json").read_text())
    rows = {
        row["path"].rpartition("/")[2]: [part["tag"] for part in row["maps"]] for row in content["pictures"]
    }
    assert rows == {"1.jpg": ["green_grass", "^_^"], "1.png": ["blue_sky", "rei_(eva)", "^_^"],
                    "3.webp": ["blue_sky", "rei_(eva)", "^_^"]}  # fmt: skip
    assert len(list(maps.glob("*.png"))) == 8
    assert not sidecars_in(pictures)
    said = capsys.readouterr().err
    assert "1 set aside" in said and f"8 maps: {maps / 'maps.html'}" in said
    assert tag(release, pictures, "--maps", maps) == 2
    assert tag(release, pictures, "--maps", maps, "--overwrite", "--max-tags", "1") == 0
    assert len(list(maps.glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--maps-by", "occlusion"], "--maps-by belongs to --maps OUT"),
        (["--maps", "OUT", "--format", "txt"], "--maps goes without --format: it writes no captions"),
        (["--maps", "OUT", "--spaces"], "--spaces belongs to --format txt or hydrus; got --maps"),
        (["--maps", "OUT", "--maps-by", "attention"], "made by occlusion; got attention"),
        (["--maps", "AMONG"], "would be taken for pictures the next time"),
    ],
)
def test_what_maps_go_without_is_said_before_any_work(release, pictures, tmp_path, capsys, words, message):
    places = {"OUT": tmp_path / "maps", "AMONG": pictures / "maps"}
    assert tag(release, pictures, *(places.get(word, word) for word in words)) == 2
    assert message in capsys.readouterr().err
    assert not any(place.exists() for place in places.values())
