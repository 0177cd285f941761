"""Utils/serving/tag_writers.py: what is written for each job, and what is set aside."""

import numpy as np
from helpers import small_releases
from helpers.tagged_pictures import BLUE, EXPECTED, GREEN, paint

from Utils.images import places
from Utils.serving import onnx_tagger, tag_writers
from Utils.serving.picture_jobs import Job
from Utils.serving.tag_selection import TagSelector
from Utils.tags import sidecars


def test_a_place_that_cannot_be_written_does_not_stop_the_others(tmp_path):
    paint(tmp_path / "a.png", BLUE)
    paint(tmp_path / "b.png", GREEN)
    place = places.open_place(tmp_path)
    tagger = onnx_tagger.load(small_releases.make(tmp_path / "release"), None)
    jobs = [
        Job(place, "", "a.png", tmp_path / "a.png" / "a.txt"),
        Job(place, "", "b.png", tmp_path / "b.txt"),
        Job(place, "", "gone.png", tmp_path / "gone.txt"),
    ]
    selector = TagSelector(tagger.tags, np.array([0.35] * 8 + [0.85]))
    rejected = []
    work = tag_writers.Work(jobs, tagger, selector, rejected, print, batch_size=1, workers=1)
    assert tag_writers.write_sidecars(work, sidecars.KINDS["txt"], sidecars.Style()) == 1
    assert (tmp_path / "b.txt").read_text() == EXPECTED[GREEN]
    assert sorted(path for path, _ in rejected) == [f"{tmp_path}/a.png", f"{tmp_path}/gone.png"]
