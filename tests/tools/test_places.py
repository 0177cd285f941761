"""Every command that takes --images, on every kind of place: the same results as from a folder."""

import json
import os
import pathlib
import re

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import jpeg, small_dataset
from helpers.archives import write_parquet, write_tar, write_zip
from helpers.pictures import smooth

from tools import check_images, find_duplicates, predict, select_tags, tag_images, write_records
from Utils.data import post_images, post_images_server
from Utils.data.sources.sidecar_folders import read_sidecars
from Utils.images import codec, image_folder, places


def write_tars(folder, files):
    """Three tar files in a folder, each with a third of the files."""
    for part in range(3):
        write_tar(folder / "p" / f"{part}.tar", dict(list(files.items())[part::3]))
    return folder / "p"


PLACES = {
    "tar": lambda folder, files: write_tar(folder / "p.tar", files),
    "zip": lambda folder, files: write_zip(folder / "p.zip", files),
    "parquet": lambda folder, files: write_parquet(folder / "p.parquet", files),
    "tars": write_tars,
}


@pytest.fixture(scope="module")
def booru(tmp_path_factory):
    """A packed dataset from a folder, and its pictures as ``{path: bytes}``."""
    root = tmp_path_factory.mktemp("booru")
    small_dataset(root)
    paths = sorted((root / "images").rglob("*.*"))
    return root, {path.relative_to(root / "images").as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("kind", PLACES)
def test_records_of_every_place_are_the_same_bytes(booru, tmp_path, kind):
    root, files = booru
    place, dataset = str(PLACES[kind](tmp_path / "in", files)), tmp_path / "out" / "dataset"
    words = [
        "--source",
        "fire-eggs",
        "--from",
        str(root / "danbooru.db"),
        "--images",
        place,
        "-o",
        str(dataset),
    ]
    assert select_tags.main([str(root / "definition.toml"), *words]) == 0
    assert write_records.main([str(dataset), "--images", place, "--workers", "2", "--shard-size", "16"]) == 0
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["dataset", "p.index.parquet"]
    names = [path.relative_to(root / "dataset") for path in (root / "dataset").rglob("*.tfrecord")]
    assert len(names) > 5
    for name in [*names, pathlib.Path("selected_tags.csv"), pathlib.Path("train/ids.npy")]:
        assert (dataset / name).read_bytes() == (root / "dataset" / name).read_bytes(), name
    reasons = [json.loads((d / "dataset.json").read_text())["records"] for d in (dataset, root / "dataset")]
    assert reasons[0] == reasons[1]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Pictures with a broken and a hidden one among them, and two that share a number: ``{path: bytes}``."""
    files = {f"{number}.jpg": jpeg(number, 32) for number in range(1, 5)}
    files |= {"a/4.jpg": jpeg(9, 32), "a/x.jpg": jpeg(10, 32), "a/x.json": b'{"id": "77"}'}
    return {**files, "b.jpg": b"no image", "c.png": jpeg(5, 32), ".h.jpg": b"", "@eaDir/1.jpg": jpeg(1, 32)}


IDS = {"1.jpg": 1, "2.jpg": 2, "3.jpg": 3, "a/x.jpg": 77} | {
    path: image_folder.path_id(path) for path in ("4.jpg", "a/4.jpg", "b.jpg", "c.png")
}


def in_folder(folder, files):
    for name, content in files.items():
        (folder / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "p" / name).write_bytes(content)
    return folder / "p"


def in_memory(folder, files):
    remote = fsspec.filesystem("memory")
    if remote.exists("/pictures"):
        remote.rm("/pictures", recursive=True)
    for name, content in files.items():
        remote.pipe_file(f"/pictures/{name}", content)
    return "memory://pictures"


ALL_PLACES = {name: make for name, make in PLACES.items() if name != "tars"}
ALL_PLACES |= {"folder": in_folder, "remote": in_memory}


@pytest.mark.parametrize("kind", ALL_PLACES)
def test_check_images_of_every_place(odd, tmp_path, capsys, kind):
    place = str(ALL_PLACES[kind](tmp_path, odd))
    assert check_images.main(["--images", place, "-o", str(tmp_path / "r.csv")]) == 0
    shown = capsys.readouterr()
    assert "8 images, 1 rejected" in shown.out
    assert "1 JPEG data in .png files: not rejected" in shown.out
    assert "passed by: 2 of systems and hidden" in shown.err
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[1:] == [f"{IDS['b.jpg']},b.jpg,not an image"]


@pytest.mark.parametrize("kind", ALL_PLACES)
def test_find_duplicates_of_every_place(tmp_path, kind):
    picture = codec.encode_jpeg(smooth(200, 160))
    files = {"1.jpg": picture, "2.jpg": codec.encode_jpeg(smooth(200, 160)[::-1]), "a/3.jpg": picture}
    place = str(ALL_PLACES[kind](tmp_path, files))
    words = ["--images", place, "-o", str(tmp_path / "groups.csv"), "--workers", "1"]
    assert find_duplicates.main(words) == 0
    rows = [line.split(",")[:3] for line in (tmp_path / "groups.csv").read_text().splitlines()[1:]]
    assert rows == [["1", "1", "1.jpg"], ["1", "3", "a/3.jpg"]]


@pytest.mark.parametrize("kind", ALL_PLACES)
def test_images_of_posts_from_every_place(odd, tmp_path, kind):
    place = places.open_place(ALL_PLACES[kind](tmp_path, odd))
    images = post_images.place_reader(place)([1, 77, IDS["a/4.jpg"], 10**9])
    assert images == {1: odd["1.jpg"], 77: odd["a/x.jpg"], IDS["a/4.jpg"]: odd["a/4.jpg"]}
    server = post_images_server.PostImages(place, [77, 1, IDS["4.jpg"]])
    assert server.large(77) == (odd["a/x.jpg"], "image/jpeg")
    assert server.num_absent == 0


@pytest.mark.parametrize("kind", ALL_PLACES)
def test_tag_images_and_predict_of_every_place(exported, odd, tmp_path, capsys, kind):
    place = str(ALL_PLACES[kind](tmp_path, odd))
    words = [str(exported / "release"), place, "--format", "json", "-o", str(tmp_path / "out.json")]
    assert tag_images.main(words) == 0
    said = capsys.readouterr().err
    assert "7 pictures tagged, 0 left as they were, 1 set aside" in said
    assert "b.jpg: not an image" in said
    paths = list(json.loads((tmp_path / "out.json").read_text()))
    good = [path for path in IDS if path != "b.jpg"]
    assert sorted(paths) == sorted(f"{place}/{path}" for path in good)
    dump = tmp_path / "dump"
    assert predict.main([str(exported / "run"), "--images", place, "-o", str(dump)]) == 0
    rows = [line.split(",")[:2] for line in (dump / "images.csv").read_text().splitlines()[1:]]
    assert {path: int(number) for number, path in rows} == {path: IDS[path] for path in good}


@pytest.mark.parametrize("kind", ["tar", "tars", "remote"])
def test_sidecars_of_archives_go_to_folders_of_the_same_names(exported, odd, tmp_path, capsys, kind):
    place, out = str((PLACES | ALL_PLACES)[kind](tmp_path, odd)), tmp_path / "captions"
    before = sorted(tmp_path.rglob("*"))
    words = [str(exported / "release"), place, "--threshold", "0"]
    assert tag_images.main(words) == 2
    assert "or on another file system; -o FOLDER takes" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    assert tag_images.main([*words, "-o", str(out)]) == 0
    assert "7 pictures tagged, 0 left as they were, 1 set aside" in capsys.readouterr().err
    texts = {
        path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.*") if path.is_file()
    }
    members = image_folder.image_paths(places.open_place(place))
    expected = {image_folder.without_suffix(path) for path in members if not path.endswith("b.jpg")}
    assert {image_folder.without_suffix(name) for name in texts} == expected
    assert tag_images.main([*words, "-o", str(out)]) in (0, 1)  # the broken one is tried again
    assert "0 pictures tagged, 7 left as they were" in capsys.readouterr().err
    source = read_sidecars(out, place)
    assert sorted(path for block in source.blocks() for path in block.paths or ()) == sorted(
        path for path in members if not path.endswith("b.jpg")
    )
    other = write_tar(tmp_path / "other.tar", odd)
    assert tag_images.main([words[0], place, str(other), "-o", str(out)]) == 2
    assert "takes the sidecars of one place of pictures; got" in capsys.readouterr().err


def upload(folder, remote):
    files = fsspec.filesystem("memory")
    if files.exists("/packs"):
        files.rm("/packs", recursive=True)
    for path in folder.rglob("*"):
        if path.is_file():
            files.pipe_file(f"{remote}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return files


@pytest.mark.reliability("Machines that pack one remote dataset, of which some stop", "the same bytes")
def test_parts_pack_a_remote_dataset_from_remote_tars(booru, tmp_path, capsys):
    root, files = booru
    write_tars(tmp_path, files)
    remote = upload(tmp_path / "p", "/packs/p")
    words = ["--source", "fire-eggs", "--from", str(root / "danbooru.db"), "--images", "memory://packs/p"]
    words = [str(root / "definition.toml"), *words, "-o", "memory://packs/dataset"]
    assert select_tags.main(words) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]
    for overwrite, reason in ([], "exists already"), (["--overwrite"], "on this machine only; delete"):
        assert select_tags.main([*words, *overwrite]) == 2
        assert reason in capsys.readouterr().err
    words = ["memory://packs/dataset", "--shard-size", "16", "--workers", "1"]
    for part in (2, 0):
        assert write_records.main([*words, "--part", f"{part}/3"]) == 0
    assert "left to other parts" in capsys.readouterr().out
    written = sorted(name for name in remote.find("/packs/dataset") if name.endswith(".tfrecord"))
    remote.rm(remote.find("/packs/dataset/.progress")[0])  # a machine stopped before its note
    assert write_records.main([*words, "--part", "1/3"]) == 0
    assert write_records.main([*words, "--part", "0/3"]) == 0
    assert write_records.main([*words, "--part", "2/3"]) == 0
    assert len(written) > 3
    assert not remote.exists("/packs/dataset/.progress")
    names = [path.relative_to(root / "dataset") for path in (root / "dataset").rglob("*.tfrecord")]
    for name in [*names, pathlib.Path("train/ids.npy")]:
        assert remote.cat_file(f"/packs/dataset/{name}") == (root / "dataset" / name).read_bytes(), name
    assert remote.exists("/packs/p.index.parquet")
    assert write_records.main(words) == 0
    assert "is complete" in capsys.readouterr().out
    assert write_records.main([*words, "--overwrite"]) == 2
    assert "on this machine only, and memory://packs/dataset stays" in capsys.readouterr().err


def _table(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": [1]}), path)


def _file(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def _cut(path):
    path.write_bytes(path.read_bytes()[:700])  # within the first picture


def _flipped(path):
    """Damage the footer of a Parquet file, of which the end still says how long it is."""
    data = path.read_bytes()
    path.write_bytes(data[:-60] + b"\xff" * 50 + data[-10:])


MEMBERS = {"5.jpg": jpeg(7, 32), "6.jpg": jpeg(8, 32)}
DAMAGED = {  # a file among pictures and archives: how it is made, and why it is set aside
    "a zip that was cut off": ("b.zip", lambda path: _cut(write_zip(path, MEMBERS)), "no zip file"),
    "a tar that was cut off": ("b.tar", lambda path: _cut(write_tar(path, MEMBERS)), "it is cut off"),
    "a Parquet file that was cut off": (
        "b.parquet",
        lambda path: _cut(write_parquet(path, MEMBERS)),
        "magic",
    ),
    "a flipped footer": ("b.parquet", lambda path: _flipped(write_parquet(path, MEMBERS)), "no Parquet file"),
    "an empty tar": ("b.tar", lambda path: path.write_bytes(b""), "it is empty"),
    "a page of a website": ("b.zip", lambda path: path.write_bytes(b"<html>404</html>"), "not a zip file"),
    "the same as a tar": ("b.tar", lambda path: path.write_bytes(b"<html>" * 200), "it is no tar file"),
    "the same as Parquet": ("b.parquet", lambda path: path.write_bytes(b"<html>" * 9), "no Parquet file"),
    "a .tar that is gzip": ("b.tar", lambda path: path.write_bytes(b"\x1f\x8b" + bytes(99)), "gunzip --keep"),
    "a link to nothing": ("b.zip", lambda path: path.symlink_to("nothing"), "No such file or directory"),
    "a pipe": ("b.tar", os.mkfifo, "it is no regular file"),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.reliability("One archive of a folder that cannot be read", "set aside, counted and listed")
def test_a_damaged_archive_is_set_aside_and_the_rest_of_the_folder_goes_on(tmp_path, capsys, kind):
    name, make, reason = DAMAGED[kind]
    place = tmp_path / "p"
    write_tar(place / "a.tar", {"1.jpg": jpeg(1, 32), "2.jpg": jpeg(2, 32)})
    (place / "3.jpg").write_bytes(jpeg(3, 32))
    make(place / name)
    words = ["--images", str(place), "-o", str(tmp_path / "r.csv")]
    assert check_images.main(words) == 0
    shown = capsys.readouterr()
    assert "3 images, 1 rejected" in shown.out
    assert f"set aside: 1 archive that cannot be read, and all pictures in it: {place}/{name} (" in shown.err
    assert reason in shown.err
    assert "Restore it and run again to have these, too" in shown.err
    (row,) = (tmp_path / "r.csv").read_text().splitlines()[1:]
    assert row.startswith(f"{image_folder.path_id(name)},{name},")
    assert reason in row
    if kind != "a pipe":
        assert check_images.main(["--images", str(place / name), "-o", str(tmp_path / "one.csv")]) == 2
        assert "error: " in capsys.readouterr().err


@pytest.mark.reliability("A damaged zip among pictures", "every reader names it and takes the rest")
def test_every_reader_sets_a_damaged_archive_aside(exported, tmp_path, capsys):
    place = tmp_path / "p"
    write_tar(place / "a.tar", {
        f"{number}{end}": data
        for number in range(1, 9)
        for end, data in ((".jpg", jpeg(number, 32)), (".txt", b"red hat" if number % 2 else b"blue hat"))
    })  # fmt: skip
    _cut(write_zip(place / "b.zip", MEMBERS))
    dataset, release = tmp_path / "dataset", str(exported / "release")
    commands = {
        select_tags: ["--from", str(place), "-o", str(dataset)],
        write_records: [str(dataset)],
        find_duplicates: ["--images", str(place), "-o", str(tmp_path / "g.csv"), "--workers", "1"],
        predict: [str(exported / "run"), "--images", str(place), "-o", str(tmp_path / "dump")],
        tag_images: [
            release,
            str(place),
            "--format",
            "json",
            "-o",
            str(tmp_path / "t.json"),
            "--rejected",
            str(tmp_path / "rejected.csv"),
        ],
    }
    for tool, words in commands.items():
        assert tool.main(words) == 0, tool
        said = f"set aside: 1 archive that cannot be read, and all pictures in it: {place}/b.zip ("
        assert (said in capsys.readouterr().err) != (tool is write_records), tool
    for folder in (dataset, tmp_path / "dump", tmp_path):
        assert "b.zip,archive cannot be read: it is damaged" in (folder / "rejected.csv").read_text(), folder
    assert len(pq.read_table(dataset / "posts.parquet")) == 8
    post_images.place_reader(place)([1, 5])
    assert "b.zip" in capsys.readouterr().err
    for paths in ({}, {1: "a.tar/1.jpg", 5: "a.tar/5.jpg"}):
        assert post_images_server.PostImages(place, [1, 5], paths).num_absent == 0
        assert capsys.readouterr().err.count("b.zip") == 1


@pytest.mark.reliability("A damaged row group of a Parquet file with pictures", "its pictures are listed")
def test_pictures_of_a_damaged_row_group_are_listed_and_the_others_checked(tmp_path):
    rows = [{"bytes": jpeg(number, 32), "path": f"{number}.jpg"} for number in range(1, 9)]
    path = tmp_path / "p" / "a.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"image": rows}), path, row_group_size=2, use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    assert check_images.main(["--images", str(tmp_path / "p"), "-o", str(tmp_path / "r.csv")]) == 0
    listed = (tmp_path / "r.csv").read_text().splitlines()[1:]
    assert sorted(line.split(",")[1] for line in listed) == ["a.parquet/3.jpg", "a.parquet/4.jpg"]
    assert all("in a.parquet row group 1 is damaged" in line for line in listed)


BAD_PLACES = {  # what is made, the name that --images gets, what is said
    "nothing": (lambda path: None, "p", "was expected at .*/p; found nothing"),
    "an empty folder": (lambda path: (path / "p").mkdir(), "p", "p holds 0 folders and no files"),
    "a picture": (_file("p.jpg", jpeg(1, 8)), "p.jpg", "found a file of another kind"),
    "below a file": (_file("p", b"x"), "p/q", "was expected at .*/p/q; found nothing"),
    "a member": (lambda path: write_tar(path / "p.tar", {"1.jpg": b"x"}), "p.tar/1.jpg", "found nothing"),
    "a name too long": (lambda path: None, "p" * 300, "File name too long"),
    "an unknown file system": (lambda path: None, "nosuch://bucket/p", "cannot be opened: "),
    "an empty tar": (_file("p.tar", b""), "p.tar", "p.tar cannot be read .* it is empty"),
    "a text as tar": (_file("p.tar", b"x" * 900), "p.tar", "p.tar .* it is no tar file"),
    "a text as zip": (_file("p.zip", b"PK\x03\x04 x"), "p.zip", "p.zip .* no zip file"),
    "a text as Parquet": (_file("p.parquet", b"PAR1 x"), "p.parquet", "no Parquet file"),
    "a table": (lambda path: _table(path / "p.parquet"), "p.parquet", "no column of pictures .* it has id"),
    "tables": (lambda path: _table(path / "p" / "a.parquet"), "p", "no image found .* 1 .parquet file"),
    "a compressed tar": (_file("p.tgz", b"\x1f\x8b" + bytes(99)), "p.tgz", "gunzip --keep"),
    "a compressed .tar": (_file("p.tar", b"\x28\xb5\x2f\xfd" + bytes(99)), "p.tar", "unzstd --keep"),
    "no pictures": (lambda path: write_tar(path / "p.tar", {"a.txt": b"x"}), "p.tar", "1 .txt file"),
    "hidden": (lambda path: write_zip(path / "p.zip", {".1.jpg": b"x"}), "p.zip", "passed by: 1 of systems"),
}


@pytest.mark.parametrize("kind", BAD_PLACES)
@pytest.mark.reliability("Places that hold no pictures, or are damaged", "one paragraph that says what came")
def test_bad_places_are_explained(tmp_path, capsys, kind):
    make, name, fault = BAD_PLACES[kind]
    make(tmp_path)
    place = name if "://" in name else str(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    assert check_images.main(["--images", place, "-o", str(tmp_path / "r.csv")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.strip().count("\n") == 0
    assert re.search(fault, said), said
    assert sorted(tmp_path.rglob("*")) in (before, sorted([*before, tmp_path / "p.index.parquet"]))
