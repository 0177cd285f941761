"""tools/studies/pointing.py: which pictures and boxes are played with, and how peaks are counted."""

import cv2
import numpy as np
import pandas as pd

from tools.studies import pointing as study
from Utils.images.image_folder import bucket_path
from Utils.serving.onnx_tagger import ServingTagger

BOXES = "image_id,tag,x0,y0,x1,y1\n7,hat,0,0,256,256\n7,hat,0,0,10,10\n7,sky,0,0,512,512\n8,other,1,1,2,2\n"


def test_peaks_are_counted_in_the_boxes_of_their_tags(tmp_path):
    (tmp_path / "truth_boxes.csv").write_text(BOXES)
    path = tmp_path / "512px" / bucket_path(7)
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), np.zeros((512, 512, 3), np.uint8))
    tags = pd.DataFrame({"tag_id": [1, 2], "name": ["sky", "hat"], "category": 0, "count": 1})
    tagger = ServingTagger(tmp_path, tags, 32, lambda images: np.zeros((len(images), 2)))
    tasks = study.make_tasks([9, 8, 7], study.read_boxes(tmp_path / "truth_boxes.csv"), tags["name"].tolist())
    assert [(task.post_id, {key: len(rows) for key, rows in task.boxes.items()}) for task in tasks] == [
        (7, {1: 2, 0: 1})
    ]
    for corner, hit in ((0, True), (-1, False)):

        def mapper(picture, columns, corner=corner):
            assert list(columns) == [1, 0]
            maps = np.zeros((2, 4, 4))
            maps[:, corner, corner] = 1
            return maps

        results = study.play(tasks, tagger, mapper, tmp_path, "test")
        assert [(bool(result.hit), result.covered) for result in results] == [(hit, 0.25), (True, 1.0)]
    rows = study.table("m", "chance", study.middles(tasks, by_chance=True), "")
    assert [row[2:6] for row in rows] == [("all", 1, 2, "0.6250"), ("small", 1, 1, "0.2500")]
