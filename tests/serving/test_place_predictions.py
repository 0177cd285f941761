"""Utils/serving/place_predictions.py: a row a picture, batches of one shape, lists of what was read."""

import csv

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from Utils.command.cli import UserError, WorkError
from Utils.evaluation import predictions
from Utils.images import image_folder, places
from Utils.serving import place_predictions

TAGS = pd.DataFrame({"tag_id": [1, 2], "name": ["bright", "dark"], "category": 0, "count": 1})


class Model:
    """Gives the brightness of pictures, and remembers the shapes that came."""

    def __init__(self):
        self.shapes = set()

    def predict_on_batch(self, images):
        self.shapes.add(images.shape)
        bright = images.mean(axis=(1, 2, 3), dtype=np.float64) / 255
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


@pytest.fixture
def pictures(tmp_path):
    """Five gray pictures, 11.png to 15.png, and one that is broken."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(11, 16):
        Image.new("L", (8, 8), 10 * number).save(folder / f"{number}.png")
    (folder / "20.png").write_bytes(b"no picture")
    return places.open_place(folder)


def write(place, folder, model):
    options = {"batch_size": 2, "padding": 255, "dtype": "float32", "overwrite": False}
    paths = image_folder.image_paths(place)
    place_predictions.write(folder, place, paths, model, TAGS, {"image_size": 8}, **options)
    return predictions.load(folder)


def test_every_picture_has_its_row_and_the_others_are_listed(pictures, tmp_path, capsys):
    model = Model()
    dump = write(pictures, tmp_path / "dump", model)
    assert model.shapes == {(2, 8, 8, 3)}
    assert dump.image_ids.tolist() == [11, 12, 13, 14, 15] and dump.labels is None
    np.testing.assert_allclose(dump.probabilities[:, 0], np.arange(110, 160, 10) / 255, atol=1e-6)
    with (tmp_path / "dump" / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["post_id"]), row["path"]) for row in rows] == [(n, f"{n}.png") for n in range(11, 16)]
    assert all(int(row["bytes"]) == pictures.stamp(row["path"])[0] for row in rows)
    with (tmp_path / "dump" / "rejected.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["20.png"]
    assert "left out: 20.png: " in capsys.readouterr().err


def test_nothing_is_written_where_no_picture_can_be_read_or_the_model_is_broken(pictures, tmp_path):
    broken = Model()
    broken.predict_on_batch = lambda images: np.full((len(images), 2), [np.nan, 0.5])
    with pytest.raises(WorkError, match="no number for image 11"):
        write(pictures, tmp_path / "dump", broken)
    for number in range(11, 16):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="none of the 6 images in .* can be read; the first: "):
        write(places.open_place(tmp_path / "pictures"), tmp_path / "dump", Model())
    assert not (tmp_path / "dump").exists()
