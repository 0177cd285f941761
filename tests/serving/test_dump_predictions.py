"""Utils/serving/dump_predictions.py: each picture gets its own row of a dump, by its post id."""

import numpy as np
import pytest
from helpers import jpeg
from helpers.small_dumps import write_dump

from Utils.command.cli import UserError
from Utils.evaluation import predictions
from Utils.images import image_folder, places
from Utils.serving.dump_predictions import DumpPredictions


def made(tmp_path, names):
    for name in names:
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(0, 8))
    return places.open_place(tmp_path / "pictures")


def test_rows_go_to_their_pictures(tmp_path):
    names = ["a/1.jpg", "b/1.jpg", "7.jpg", "x.jpg"]
    place = made(tmp_path, names)
    ids = dict(zip(names, image_folder.post_ids(names), strict=True))
    listed = [ids["x.jpg"], ids["b/1.jpg"], 7]
    p = np.float32([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    dump = DumpPredictions(write_dump(tmp_path / "dump", p, None, listed, ["s", "t"]), place)
    ((known, rows, unknown),) = dump.batches(names, str)
    assert known == ["b/1.jpg", "7.jpg", "x.jpg"]
    assert rows.tolist() == p[[1, 2, 0]].tolist()
    assert unknown == ["a/1.jpg"]


@pytest.mark.reliability(
    "pictures get other numbers between predict and tag_images --dump",
    "set aside: no picture gets the tags of another one",
)
def test_pictures_of_other_sizes_are_others(tmp_path):
    place = made(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    folder = write_dump(tmp_path / "dump", np.float32([[0.1], [0.2], [0.3]]), None, [1, 2, 3], ["s"])
    sizes = [place.stamp(name)[0] for name in ("1.jpg", "2.jpg", "3.jpg")]
    text = "post_id,path,bytes\n" + "".join(f"{n},{n}.jpg,{size}\n" for n, size in enumerate(sizes, 1))
    (folder / predictions.PICTURES).write_text(text)
    (tmp_path / "pictures" / "2.jpg").write_bytes(jpeg(1, 16))
    dump = DumpPredictions(folder, place)
    ((known, rows, unknown),) = dump.batches(["1.jpg", "2.jpg", "3.jpg", "4.jpg"], str)
    assert (known, unknown) == (["1.jpg", "3.jpg"], ["2.jpg", "4.jpg"])
    np.testing.assert_array_equal(rows, np.float32([[0.1], [0.3]]))
    assert [dump.why_without(name)[:8] for name in unknown] == ["another ", "not in t"]
    for name in known:
        (tmp_path / "pictures" / name).write_bytes(jpeg(1, 16))
    with pytest.raises(UserError, match="the 3 pictures in .* have other sizes than those"):
        DumpPredictions(folder, place)


def test_another_place_is_refused(tmp_path):
    place = made(tmp_path, ["5.jpg"])
    folder = write_dump(tmp_path / "dump", np.float32([[0.5]]), None, [6], ["s"])
    with pytest.raises(UserError, match="they are posts 5, the first of the dump is 6"):
        DumpPredictions(folder, place)
    (folder / "image_ids.npy").unlink()
    with pytest.raises(UserError, match="has no image_ids"):
        DumpPredictions(folder, place)
