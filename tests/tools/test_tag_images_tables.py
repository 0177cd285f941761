"""tools/tag_images.py where it writes tables or maps, or reads films or a dump of predictions."""

import csv
import json
import shutil

import numpy as np
import pytest
from helpers import small_dumps
from helpers.broken_images import spoil
from helpers.tagged_pictures import BLUE, EXPECTED, RED, paint, sidecars_in, tag
from PIL import Image

from Utils.images import codec, films, image_folder, image_reader
from Utils.serving import onnx_tagger, tag_table

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
        list(tag_table.PREDICTION_COLUMNS),
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
    other = shutil.copy(release / "model.onnx", release / "other.onnx")
    assert tag(other, *words[1:], output) == 2, "another model of the same folder"
    other.unlink()
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
    last_line = f"next: python tools/tag_images.py --dump {dump} --images {pictures} "
    assert capsys.readouterr().err.splitlines()[-1].startswith(last_line)


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
