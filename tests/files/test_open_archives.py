"""Utils/files/open_archives.py: archives stay open, up to a number of them."""

from helpers.archives import write_tar

from Utils.files import archive_scan, open_archives


def test_the_archives_used_last_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(open_archives, "_MOST_OPEN", 2)
    paths = [str(write_tar(tmp_path / f"{name}.tar", {"1.jpg": name.encode()})) for name in "abc"]
    first = open_archives.reader(paths[0])
    open_archives.reader(paths[1])
    assert open_archives.reader(paths[0]) is first
    open_archives.reader(paths[2])
    assert open_archives.reader(paths[0]) is first, "b was used longest ago"
    assert paths[1] not in open_archives._readers
    member = archive_scan.index_archive(paths[0], "")[0].to_pylist()[0]
    names = ("kind", "name", "offset", "size", "packed", "method", "check")
    kind, *place = (member[name] for name in names)
    assert open_archives.read(kind, paths[0], *place) == b"a"
    open_archives.forget(paths[0])
    assert open_archives.reader(paths[0]) is not first
