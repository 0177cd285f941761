"""Utils/images/places.py: one interface to folders, archives and other file systems."""

import pickle

import fsspec
import pytest
from helpers.archives import write_parquet, write_tar, write_zip

from Utils.command.cli import UserError
from Utils.images import codec, image_folder, places

FILES = {"1.jpg": b"\xff\xd8\xff1", "b/2.png": b"\x89PNG2", "b/.hidden.jpg": b"h", "@eaDir/3.jpg": b"t"}
VISIBLE = ["1.jpg", "b/2.png"]


def write_folder(path, files=FILES):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_remote(path):
    files = fsspec.filesystem("memory")
    if files.exists("/place"):
        files.rm("/place", recursive=True)
    for name, content in FILES.items():
        files.pipe_file(f"/place/{name}", content)
    return "memory://place"


PLACES = {
    "folder": lambda path: write_folder(path / "p"),
    "tar": lambda path: write_tar(path / "p.tar", FILES),
    "zip": lambda path: write_zip(path / "p.zip", FILES),
    "parquet": lambda path: write_parquet(path / "p.parquet", FILES),
    "remote": write_remote,
}


@pytest.mark.parametrize("kind", PLACES)
def test_the_same_members_in_every_place(tmp_path, kind):
    place = places.open_place(PLACES[kind](tmp_path))
    assert place.members() == VISIBLE
    assert [place.open(name) for name in VISIBLE] == [FILES[name] for name in VISIBLE]
    assert place.head("b/2.png") == b"\x89PNG2"
    assert place.head("c/9.png") == b""
    assert place.has(["b/2.png", "2.png"]) == [True, False]
    assert place.stamp("1.jpg") != place.stamp("b/2.png")
    with pytest.raises(FileNotFoundError):
        place.open("c/9.png")
    part = pickle.loads(pickle.dumps(place.part(VISIBLE[1:])))
    assert part.open("b/2.png") == b"\x89PNG2"
    census = image_folder.Census()
    assert [name for _, names in image_folder.walk(place, census) for name in names] == ["1.jpg", "2.png"]
    assert census.hidden == 2


@pytest.mark.reliability("a link to a folder of the place itself, or above it", "no picture is there twice")
def test_a_link_shows_no_picture_twice(tmp_path):
    root = write_folder(tmp_path / "place", {"b/1.jpg": b"1", ".store/2.jpg": b"2"})
    write_folder(tmp_path / "other", {"3.jpg": b"3"})
    links = {"a": root / "b", "b/loop": root, "c": tmp_path / "other", "d": root / ".store", "e": tmp_path}
    for name, target in [*links.items(), ("f", tmp_path / "other")]:
        (root / name).symlink_to(target, target_is_directory=True)
    assert places.open_place(root).members() == ["b/1.jpg", "c/3.jpg", "d/2.jpg"]


def test_a_folder_of_archives_and_of_pictures(tmp_path):
    write_folder(tmp_path / "p")
    write_tar(tmp_path / "p" / "c" / "x.tar", FILES)
    write_zip(tmp_path / "p" / "y.zip", FILES)
    (tmp_path / "p" / "z.tar").mkdir()  # a folder that is named like an archive
    (tmp_path / "p" / "z.tar" / "7.jpg").write_bytes(b"7")
    place = places.open_place(tmp_path / "p", tmp_path / "out" / "dataset")
    members = [
        "1.jpg",
        "b/2.png",
        "z.tar/7.jpg",
        *(f"{x}/{name}" for x in ("y.zip", "c/x.tar") for name in VISIBLE),
    ]
    assert place.members() == members
    assert [place.open(name)[-1:] for name in members] == [b"1", b"2", b"7", b"1", b"2", b"1", b"2"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["p.index.parquet"]
    other = places.open_place(tmp_path / "p")  # not listed before it is read from
    assert other.open("c/x.tar/1.jpg") == FILES["1.jpg"]
    part = pickle.loads(pickle.dumps(other.part(["z.tar/7.jpg", "y.zip/1.jpg"])))
    assert part.open("z.tar/7.jpg") == b"7"
    assert part.open("y.zip/1.jpg") == FILES["1.jpg"]


def test_parquet_files_of_tables_are_no_places(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_tar(tmp_path / "x.tar", FILES)
    pq.write_table(pa.table({"id": [1]}), tmp_path / "posts.parquet")
    assert places.open_place(tmp_path).members() == ["posts.parquet", "x.tar/1.jpg", "x.tar/b/2.png"]
    with pytest.raises(UserError, match="no column of pictures"):
        places.open_place(tmp_path / "posts.parquet").members()


@pytest.mark.reliability("Names that lead out of an archive or a folder", "read where they lie, never a path")
def test_names_that_lead_out_of_a_place(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    names = {"../secret.jpg": b"a", f"{tmp_path}/secret.jpg": b"b", "1.jpg": b"c"}
    place = places.open_place(write_tar(tmp_path / "p" / "x.tar", names))
    with_names = dict(zip(place.members(), map(place.open, place.members()), strict=True))
    assert with_names["../secret.jpg"] == b"a"
    assert b"secret" not in with_names.values()
    folder = places.open_place(tmp_path / "p")
    assert folder.open("x.tar/../secret.jpg") == b"a"
    for name in ("../secret.jpg", f"{tmp_path}/secret.jpg", "", "a/../../secret.jpg", "x\0.jpg"):
        with pytest.raises(codec.ImageError, match="leads out"):
            folder.open(name)


def test_what_is_no_place_is_said(tmp_path):
    with pytest.raises(UserError, match="an image folder, .* was expected at .*found nothing"):
        places.open_place(tmp_path / "nothing")
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff" * 300)
    with pytest.raises(UserError, match="found a file of another kind"):
        places.open_place(tmp_path / "x.jpg")
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(UserError, match="compressed as a whole"):
        places.open_place(tmp_path / "x.tar.gz").members()
    write_tar(tmp_path / "no_suffix", FILES)
    assert places.open_place(tmp_path / "no_suffix").members() == VISIBLE


def test_some_archives_of_a_folder_alone(tmp_path):
    for name in ("a/x.tar", "a/y.tar", "z.tar"):
        write_tar(tmp_path / name, FILES)
    (tmp_path / "5.jpg").write_bytes(b"5")
    place = places.of_archives(str(tmp_path), ["z.tar", "a/y.tar"])
    assert place.members() == [f"{archive}/{name}" for archive in ("z.tar", "a/y.tar") for name in VISIBLE]
    assert place.open("a/y.tar/1.jpg") == FILES["1.jpg"]
    assert place.has(["5.jpg", "a/x.tar/1.jpg"]) == [False, False]
    assert pickle.loads(pickle.dumps(place.part(["z.tar/1.jpg"]))).open("z.tar/1.jpg") == FILES["1.jpg"]
