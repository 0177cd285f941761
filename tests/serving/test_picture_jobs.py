"""Pictures that a command is to tag: each once, whatever path leads to it."""

import pathlib

import pytest
from helpers.archives import write_tar
from PIL import Image

from Utils.command.cli import UserError
from Utils.images import codec, films, places
from Utils.serving import picture_jobs
from Utils.tags import sidecars


@pytest.fixture
def pictures(tmp_path):
    for name in ("a/1.png", "a/b/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "a" / "notes.md").write_text("x")
    return tmp_path


def names(folders):
    return sorted(name for folder in folders.values() for name in folder.images)


def test_a_picture_is_found_once(pictures):
    words = [str(pictures / "a"), str(pictures / "a" / "1.png"), str(pictures / "a" / "b" / ".." / "1.png")]
    folders, rejected, _ = picture_jobs.find(words, None, True, False)
    assert (names(folders), rejected) == (["1.png", "2.png"], [])
    assert names(picture_jobs.find(words[:1], None, False, False)[0]) == ["1.png"]


def test_what_is_no_picture_is_set_aside_or_refused(pictures):
    folders, rejected, _ = picture_jobs.find([str(pictures / "a" / "notes.md")], None, True, False)
    assert not folders
    assert rejected[0][0].endswith("notes.md")
    with pytest.raises(UserError, match="there is no picture and no folder"):
        picture_jobs.find([str(pictures / "none")], None, True, False)
    (pictures / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures there"):
        picture_jobs.find([str(pictures / "empty")], None, True, False)


def test_a_tagger_in_the_place_of_pictures_is_said(tmp_path):
    with pytest.raises(UserError) as refused:
        picture_jobs.find([str(tmp_path)], None, True, False)
    assert "the tagger" not in str(refused.value)
    (tmp_path / "selected_tags.csv").write_text("")
    with pytest.raises(UserError, match="the tagger is named first, then the pictures"):
        picture_jobs.find([str(tmp_path)], None, True, False)


def test_a_job_reads_its_picture(pictures):
    folders, _, _ = picture_jobs.find([str(pictures / "a" / "1.png")], None, True, False)
    (folder,) = folders.values()
    job = picture_jobs.Job(folder.place, folder.folder, "1.png")
    assert picture_jobs.read(job) == (pictures / "a" / "1.png").read_bytes()
    assert job.path == str(pictures / "a" / "1.png")
    assert picture_jobs.read(job._replace(content=b"frame")) == b"frame"


@pytest.mark.reliability(
    "Members of archives named ../../x.jpg, tag_images -o FOLDER", "refused before any work"
)
@pytest.mark.parametrize("name", ["../../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "a//x.jpg", "ok/1.jpg"])
def test_sidecars_of_members_stay_in_their_folder(tmp_path, name):
    write_tar(tmp_path / "p.tar", {name: b""})
    folders, _, _ = picture_jobs.find([str(tmp_path / "p.tar")], None, True, False)
    arguments = (folders.values(), sidecars.KINDS["txt"], tmp_path / "out", False, False)
    if name == "ok/1.jpg":
        jobs, num_done, num_elsewhere = picture_jobs.sidecar_jobs(*arguments)
        assert ([job.sidecar for job in jobs], num_done, num_elsewhere) == (
            [tmp_path / "out" / "ok" / "1.txt"], 0, 0
        )  # fmt: skip
        return
    with pytest.raises(UserError, match=r"p\.tar: its member '.*x\.jpg' has no place below .*out"):
        picture_jobs.sidecar_jobs(*arguments)


def test_a_path_too_long_for_a_sidecar_hides_no_other_picture(tmp_path):
    deep = "/".join(["d" * 200] * 25)
    write_tar(tmp_path / "p.tar", {f"{deep}/1.jpg": b"", "2.jpg": b""})
    folders, _, _ = picture_jobs.find([str(tmp_path / "p.tar")], None, True, False)
    jobs, *_ = picture_jobs.sidecar_jobs(
        folders.values(), sidecars.KINDS["txt"], tmp_path / "out", False, False
    )
    assert sorted(job.name for job in jobs) == ["1.jpg", "2.jpg"]


def test_pictures_with_their_sidecar_are_done_and_those_in_archives_have_no_place_for_one(pictures):
    (pictures / "a" / "1.txt").write_text("tag")
    write_tar(pictures / "p.tar", {"3.png": b""})
    words = [str(pictures / "a"), str(pictures / "p.tar")]
    found = picture_jobs.find(words, None, True, False)[0].values()

    def jobs(*arguments):
        listed, *numbers = picture_jobs.sidecar_jobs(found, sidecars.KINDS["txt"], *arguments)
        return [job.name for job in listed], *numbers

    assert jobs(None, False, False) == (["2.png"], 1, 1)
    assert jobs(None, True, False) == jobs(None, False, True) == (["1.png", "2.png"], 0, 1)
    with pytest.raises(UserError, match=r"one place of pictures; got .*a, .*p\.tar"):
        jobs(pictures / "out", False, False)


def test_captions_of_other_endings_are_told(pictures):
    for name in ("1.caption", "1.png.tags", "1.TXT", "1.txt", "other.caption"):
        (pictures / "a" / name).write_text("solo")
    folders, _, _ = picture_jobs.find([str(pictures / "a")], None, True, False)
    found = picture_jobs.captions_of_other_endings(folders.values())
    assert found == ["1.TXT", "1.caption", "1.png.tags"]


def test_frames_that_are_done_are_left_out_and_damaged_films_are_set_aside(pictures, monkeypatch):
    def frames(source, every):
        yield from ((0.0, b"first"), (every, b"second"))
        if source.endswith("bad.mp4"):
            raise codec.ImageError("cut off")

    monkeypatch.setattr(films, "frames", frames)
    (folder,) = picture_jobs.find([str(pictures / "a" / "1.png")], None, True, False)[0].values()
    names, rejected = ["1.png", "good.mp4", "bad.mp4"], []
    jobs = [picture_jobs.Job(folder.place, folder.folder, name) for name in names]
    first, second = (films.frame_name("good.mp4", seconds) for seconds in (0.0, 2.0))
    done = {str(pictures / "a" / first)}
    left = [
        (job.name, picture_jobs.read(job)) for job in picture_jobs.with_frames(jobs[1:], 2.0, rejected, done)
    ]
    assert left[0] == (second, b"second")
    assert [content for _, content in left[1:]] == [b"first", b"second"]
    assert rejected == [(jobs[2].path, "cut off")]
    assert next(picture_jobs.with_frames(jobs, 2.0, rejected, done)) == jobs[0]


def test_films_come_last_with_the_highest_probabilities_of_their_frames():
    place = places.open_place(".")
    picture, *frames = (
        picture_jobs.Job(place, "", "x", film=film) for film in ("", "a.mp4", "b.mp4", "a.mp4")
    )
    rows = [(frames[0], [0.1, 0.9]), (picture, [0.5, 0.5]), (frames[1], [0.2, 0.2]), (frames[2], [0.3, 0.4])]
    merged = [(job.film, list(row)) for job, row in picture_jobs.films_last(iter(rows))]
    assert merged == [("", [0.5, 0.5]), ("a.mp4", [0.3, 0.9]), ("b.mp4", [0.2, 0.2])]


def test_what_follows_is_a_dataset_of_the_sidecars_or_sidecars_after_a_table(pictures):
    place, tag = str(pictures), "next: python tools/tag_images.py"
    select = "next: python tools/select_tags.py --from"
    beside = picture_jobs.next_line([place], ["model"], True, None)
    assert beside.startswith(f"{select} {place} -o DATASET ")
    apart = picture_jobs.next_line([place], ["model"], True, pathlib.Path("texts"))
    assert apart.startswith(f"{select} texts --images {place} -o DATASET ")
    several = picture_jobs.next_line([place, "x"], ["model"], True, None)
    assert several.startswith(f"{select} PICTURES -o DATASET ")
    assert picture_jobs.next_line([place], ["model"], False, None).startswith(f"{tag} model {place} ")
    one = picture_jobs.next_line([str(pictures / "a" / "1.png")], ["--dump", "d"], False, None)
    assert one.startswith(f"{tag} --dump d --images PICTURES ")
