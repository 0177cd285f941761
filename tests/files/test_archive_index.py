"""Utils/files/archive_index.py: indexes that are made once, kept, verified, and never give another member."""

import gzip
import json
import os
import pickle
import tarfile

import fsspec
import pyarrow as pa
import pytest
from helpers.archives import write_parquet, write_tar, write_zip

from Utils.command.cli import UserError
from Utils.files import archive_index, open_archives, tar_members

MOST = 1 << 20
FILES = {"1.jpg": b"a" * 700, "b/2.jpg": b"b" * 50}


def content(index):
    names = list(index.names())
    return {name: index.read(row, MOST) for row, name in enumerate(names)}


@pytest.fixture
def archives(tmp_path):
    write_tar(tmp_path / "x.tar", FILES)
    write_zip(tmp_path / "y.zip", FILES)
    write_parquet(tmp_path / "z.parquet", FILES)
    return tmp_path


def test_members_of_all_kinds_under_the_names_of_their_archives(archives):
    index = archive_index.build(archives, ["x.tar", "y.zip", "z.parquet"])
    expected = {f"{archive}/{name}": data for archive in index.archives for name, data in FILES.items()}
    assert content(index) == expected
    assert index.find(["y.zip/b/2.jpg", "1.jpg", "x.tar/1.jpg"]).tolist() == [3, -1, 0]
    assert content(archive_index.build(archives / "x.tar", [""])) == FILES
    part = pickle.loads(pickle.dumps(index.part([3, 0])))
    assert content(part) == {name: expected[name] for name in ("y.zip/b/2.jpg", "x.tar/1.jpg")}
    assert len(pickle.dumps(part)) < 5000
    assert index.head(0, 10) == b"a" * 10 and index.head(3) == b"b" * 50
    with pytest.raises(archive_index.MemberError, match="too large a file: 700"):
        index.read(0, 699)


def test_a_kept_index_is_used_until_an_archive_changes(archives, monkeypatch):
    kept, scanned = archives / "out" / "k.index.parquet", []
    scan = archive_index._index_archive
    monkeypatch.setattr(
        archive_index, "_index_archive", lambda root, name: scanned.append(name) or scan(root, name)
    )
    before = archive_index.build(archives, ["x.tar", "y.zip"], kept)
    data = kept.read_bytes()
    assert archive_index.build(archives, ["x.tar", "y.zip"], kept).table == before.table
    assert scanned == ["x.tar", "y.zip"]
    assert kept.read_bytes() == data
    write_tar(archives / "x.tar", {**FILES, "3.jpg": b"c"})
    after = archive_index.build(archives, ["x.tar", "y.zip"], kept)
    assert scanned[2:] == ["x.tar"]
    assert content(after)["x.tar/3.jpg"] == b"c"
    assert len(content(after)) == 5
    kept.write_bytes(kept.read_bytes()[:100])
    assert content(archive_index.build(archives, ["x.tar"], kept)) == {
        f"x.tar/{name}": data for name, data in {**FILES, "3.jpg": b"c"}.items()
    }


def test_members_of_a_long_index_are_found_however_its_columns_are_cut(archives, monkeypatch):
    monkeypatch.setattr(archive_index, "_FEW_ROWS", 0)
    table = archive_index.index_archive(str(archives / "x.tar"), "x.tar")[0]
    cut = pa.chunked_array([table["name"].combine_chunks()[:1], table["name"].combine_chunks()[1:]])
    table = table.set_column(1, table.schema.field("name"), cut)  # as after a million rows of a kept index
    index = archive_index.of_table(str(archives), ["x.tar"], table)
    assert content(index) == {f"x.tar/{name}": data for name, data in FILES.items()}
    assert index.find(["x.tar/b/2.jpg", "x.tar/1.jpg", "1.jpg"]).tolist() == [1, 0, -1]


@pytest.mark.reliability("A tar that was exchanged, with its old size and time", "an error that names it")
def test_an_exchanged_tar_gives_an_error_and_no_other_picture(archives):
    path, kept = archives / "x.tar", archives / "k.index.parquet"
    archive_index.build(path, [""], kept)
    facts = path.stat()
    write_tar(path, {"5.jpg": b"x" * 700, "b/6.jpg": b"y" * 50})
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    open_archives._readers.clear()
    index = archive_index.build(path, [""], kept)
    assert list(index.names()) == list(FILES)
    with pytest.raises(UserError, match="x.tar is not as it was .* 1.jpg is not at byte 0"):
        index.read(0, MOST)


@pytest.mark.reliability(
    "An archive of pictures is exchanged for another with the same names and sizes",
    "its pictures are looked at again: caches of fingerprints, checks and predictions do not hold them",
)
def test_the_stamp_of_a_member_changes_with_its_content(archives):
    def stamps():
        index = archive_index.build(archives, ["x.tar", "y.zip", "z.parquet"])
        assert index.part([4]).stamp(0) == index.stamp(4)
        return [index.stamp(row) for row in range(len(index))]

    before, others = stamps(), {name: data[:-1] + b"!" for name, data in FILES.items()}
    assert before == stamps()
    assert len(set(before)) == len(before)
    for write, name in ((write_tar, "x.tar"), (write_zip, "y.zip"), (write_parquet, "z.parquet")):
        os.utime(write(archives / name, others), ns=(1, 1))
    assert not set(before) & set(stamps())


def write_json(path, change=lambda files: files):
    with tarfile.open(path) as archive:
        files = {m.name: {"offset": m.offset_data, "size": m.size} for m in archive}
    path.with_suffix(".json").write_text(json.dumps({"files": change(files)}))


def test_a_published_index_is_used(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "x.tar", FILES)
    write_json(path)
    monkeypatch.setattr(tar_members, "scan", None)  # no pass over the headers
    assert content(archive_index.build(path, [""])) == FILES


def test_a_published_index_has_names_that_are_no_utf8(tmp_path, monkeypatch):
    files = {"caf\udce9.jpg": b"a" * 700, "b/2.jpg": b"b"}  # é in Latin-1, as Python reads it
    path = write_tar(tmp_path / "x.tar", files, tarfile.GNU_FORMAT)
    expected = content(archive_index.build(path, [""]))
    write_json(path)
    monkeypatch.setattr(tar_members, "scan", None)
    assert (
        content(archive_index.build(path, [""])) == expected == {r"caf\xe9.jpg": b"a" * 700, "b/2.jpg": b"b"}
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda files: {f"\ud800{name}": entry for name, entry in files.items()},
        lambda files: {"1.jpg": files["b/2.jpg"], "b/2.jpg": files["1.jpg"]},
        lambda files: {"1.jpg": files["1.jpg"]},
        lambda files: {name: {**f, "offset": f["offset"] + 512} for name, f in files.items()},
        lambda files: {name: {**f, "size": -5} for name, f in files.items()},
        lambda files: {"1.jpg": {"offset": 10**30, "size": 5}},
        lambda files: [1, 2],
        lambda files: {},
    ],
)
@pytest.mark.reliability("A JSON index of another tar", "the headers are read instead, and that is said")
def test_a_published_index_of_another_tar_is_not_believed(tmp_path, change):
    path = write_tar(tmp_path / "x.tar", FILES)
    write_json(path, change)
    index = archive_index.build(path, [""])
    assert content(index) == FILES
    assert "x.json does not describe all members of the tar" in index.notes[0]


def test_a_published_index_that_is_wrong_where_nobody_looked_gives_an_error(tmp_path):
    files = {f"{row:03d}.jpg": bytes([row]) * 10 for row in range(100)}
    path = write_tar(tmp_path / "x.tar", files)
    exchange = {"002.jpg": "003.jpg", "003.jpg": "002.jpg"}
    write_json(path, lambda entries: {exchange.get(name, name): entry for name, entry in entries.items()})
    index = archive_index.build(path, [""])
    with pytest.raises(UserError, match="the header of 003.jpg is not at byte .* delete the .json"):
        index.read(2, MOST)
    assert index.read(7, MOST) == bytes([7]) * 10


@pytest.mark.reliability("A compressed tar as a place of pictures", "refused with what to do")
def test_what_is_compressed_as_a_whole_is_refused_with_what_to_do(tmp_path):
    path = write_tar(tmp_path / "x.tar", FILES)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UserError, match="x.tar cannot .* it is compressed as a whole.*once .gunzip --keep"):
        archive_index.build(path, [""])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04garbage", b"PAR1garbage", b"garbage" * 200])
def test_what_is_no_archive_is_named(tmp_path, data):
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(UserError, match="x.tar cannot be read as pictures"):
        archive_index.build(tmp_path / "x.tar", [""])


def test_of_one_name_the_last_member_counts_and_that_is_said(tmp_path):
    write_tar(tmp_path / "x.tar", [("1.jpg", b"old"), ("2.jpg", b"two"), ("1.jpg", b"new")])
    index = archive_index.build(tmp_path / "x.tar", [""])
    assert content(index) == {"2.jpg": b"two", "1.jpg": b"new"}
    assert "1 member comes again under the same name" in index.notes[0]


def test_archives_of_another_file_system(archives):
    files = fsspec.filesystem("memory")
    for name in ("x.tar", "y.zip", "z.parquet"):
        files.pipe_file(f"/archives/{name}", (archives / name).read_bytes())
    index = archive_index.build(
        "memory://archives", ["x.tar", "y.zip", "z.parquet"], "memory://out/k.index.parquet"
    )
    assert len(content(index)) == 6
    assert files.exists("/out/k.index.parquet")
    again = archive_index.build(
        "memory://archives", ["x.tar", "y.zip", "z.parquet"], "memory://out/k.index.parquet"
    )
    assert again.table == index.table


def test_a_member_elsewhere_is_one_request_for_its_bytes(tmp_path, monkeypatch):
    large = {f"{row}.jpg": bytes([row]) * 1_500_000 for row in range(4)}
    files = fsspec.filesystem("memory")
    files.pipe_file("/ranged/x.tar", write_tar(tmp_path / "x.tar", large).read_bytes())
    asked, cat_file = [], files.cat_file

    def spy(path, start=None, end=None, **options):
        asked.append((start, end))
        return cat_file(path, start=start, end=end, **options)

    monkeypatch.setattr(type(files), "cat_file", lambda self, path, **options: spy(path, **options))
    index = archive_index.build("memory://ranged/x.tar", [""])
    assert sum(end - start for start, end in asked) < 5_000_000  # of 6 million: the contents are passed over
    asked.clear()
    assert index.read(2, 1 << 30) == large["2.jpg"]
    offset = int(index.table["offset"][2].as_py())
    assert asked == [(offset - 512, offset + 1_500_000)]
