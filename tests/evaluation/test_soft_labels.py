"""Utils/evaluation/soft_labels.py: what a teacher adds, to which labels, and dumps that cannot teach."""

import numpy as np
import pandas as pd
import pytest
from helpers.small_dumps import write_dump

from Utils.command.cli import UserError
from Utils.evaluation import soft_labels

NAMES = ["red", "green", "blue"]
TAGS = pd.DataFrame({"tag_id": [2, 1, 9], "name": ["green", "blue", "white"], "category": 0, "count": 1})
P = np.float32([[0.9, 0.7, 0.2], [0.1, 0.5, 0.8]])  # of posts 20 and 10
IDS = np.array([20, 10])
THRESHOLDS = "scope,category,tag_id,name,threshold\nall,,,,0.6\ntag,,3,blue,0.1\n"


@pytest.fixture
def dump(tmp_path):
    return write_dump(tmp_path / "dump", P, None, IDS, NAMES)


def read(folder, thresholds="", weight=1.0, ids=IDS, tags=TAGS):
    return soft_labels.read(tags, str(folder), str(thresholds), weight, ids)


def test_absent_labels_rise_to_the_weighted_probability(dump, tmp_path):
    (tmp_path / "thresholds.csv").write_text(THRESHOLDS)
    teacher = read(dump, tmp_path / "thresholds.csv", 0.5)
    labels = np.float32([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]])
    got = teacher(np.array([10, 20, 20, 77]), labels)
    p = P * np.float32(0.5)
    expected = [[0, p[1, 2], 0], [p[0, 1], p[0, 2], 1], [1, p[0, 2], 0], [0, 1, 0]]
    np.testing.assert_array_equal(got, np.float32(expected))
    assert got.dtype == np.float32
    assert labels.max() == 1 and labels[0].max() == 0, "the labels that came are left as they were"


def test_a_tag_is_added_strictly_above_its_threshold_as_the_dump_stores_it(tmp_path):
    p = np.float16([[0.3, 0.7, 0.2]])
    dump = write_dump(tmp_path / "dump", p, None, [10], NAMES, "float16")
    rows = "scope,category,tag_id,name,threshold\ntag,,2,green,{}\ntag,,3,blue,0.9\n"
    for threshold, value in ((0.7, 0), (0.69, p[0, 1])):  # 0.7 becomes the float16 next to it, which p is
        path = tmp_path / f"{threshold}.csv"
        path.write_text(rows.format(threshold))
        assert read(dump, path, ids=[10])(np.array([10]), np.zeros((1, 3), np.float32))[0, 0] == value


def test_thresholds_without_a_file_are_those_of_equality_or_a_half(tmp_path, dump):
    labels = np.uint8([[1, 1, 0], [0, 0, 1]])
    labeled = write_dump(tmp_path / "labeled", P, labels, IDS, NAMES)
    zeros, blue = np.zeros((1, 3), np.float32), np.array([20])
    assert read(labeled)(blue, zeros)[0].tolist() == [np.float32(0.7), 0, 0]
    assert "the threshold 0.5000, where it has as many tags as labels" in read(labeled).text
    assert read(dump)(np.array([10]), zeros)[0].tolist() == [0, np.float32(0.8), 0]
    assert "the threshold 0.5, since it has no labels" in read(dump).text


def test_what_the_dump_lacks_is_said(dump, tmp_path):
    (tmp_path / "thresholds.csv").write_text(THRESHOLDS.replace("all,,,,0.6\n", ""))
    text = read(dump, tmp_path / "thresholds.csv", ids=np.arange(0, 50, 10)).text
    assert "2 of 5 posts, 2 of 3 tags; what it lacks keeps its labels" in text
    assert "thresholds.csv, for 1 tag that it lacks 0.5, since" in text
    complete = read(dump, ids=IDS, tags=TAGS[:2]).text
    assert complete.endswith("2 of 2 posts, 2 of 2 tags")


def test_the_digest_is_of_all_that_counts(dump, tmp_path):
    (tmp_path / "thresholds.csv").write_text(THRESHOLDS)
    other = np.array(P)
    other[1, 1] += 0.01
    dumps = [dump, write_dump(tmp_path / "other", other, None, IDS, NAMES)]
    dumps.append(write_dump(tmp_path / "ids", P, None, IDS[::-1], NAMES))
    digests = [read(folder).digest for folder in dumps]
    digests.append(read(dump, tmp_path / "thresholds.csv").digest)
    assert len(set(digests)) == 4
    assert read(dump).digest == digests[0]


@pytest.mark.reliability(
    "train.py --teacher with a dump that cannot teach",
    "one error that names what it lacks: ids, a row a post, tags or training posts of the dataset",
)
def test_dumps_that_cannot_teach_are_refused(dump, tmp_path):
    (tmp_path / "none.csv").write_text("scope,category,tag_id,name,threshold\ntag,,77,x,0.5\n")
    twice = write_dump(tmp_path / "twice", P, None, [7, 7], NAMES)
    nameless = write_dump(tmp_path / "nameless", P, None, IDS, NAMES)
    (nameless / "image_ids.npy").unlink()
    cases = [
        ({"folder": tmp_path / "nothing"}, "a dump folder was expected at .*nothing; found nothing"),
        ({"folder": nameless}, "has no image_ids.npy"),
        ({"folder": twice}, "a post has one row; post 7 has 2"),
        ({"folder": dump, "ids": np.arange(3)}, "none of the 3 training posts"),
        ({"folder": dump, "tags": TAGS[2:]}, "none of the 1 tags of the dataset"),
        ({"folder": dump, "thresholds": tmp_path / "none.csv"}, "a threshold for none of the teacher's tags"),
    ]
    for case, message in cases:
        with pytest.raises(UserError, match=message):
            read(**case)


@pytest.mark.reliability(
    "train.py --teacher with a dump of another folder, whose pictures have the same numbers",
    "refused where its labels fit no better than by chance; corrected labels are counted",
)
@pytest.mark.parametrize("has_labels", [True, False])
def test_a_dump_of_other_pictures_with_the_same_ids(tmp_path, has_labels):
    rng = np.random.default_rng(0)
    y = rng.random((200, 3)) < 0.4  # of red, green, blue
    p = np.float32(0.1 + 0.8 * y)
    ids = np.arange(1, 201)
    folder = write_dump(tmp_path / "dump", p, y if has_labels else None, ids, NAMES)

    def blocks(labels):
        listed = [[column for column, name in ((0, 1), (1, 2)) if row[name]] for row in labels]
        yield (
            ids,
            np.array([len(row) for row in listed]),
            np.array([n for row in listed for n in row], np.int64),
        )

    def text(labels):
        return soft_labels.read(TAGS, str(folder), "", 1.0, ids, blocks(labels)).text

    assert text(y).endswith("keeps its labels")
    corrected = np.array(y)
    corrected[:7, 1] ^= True
    said = "; 7 of 200 posts had other labels when they were predicted" if has_labels else ""
    assert text(corrected).endswith("keeps its labels" + said)
    others = np.roll(y, 1, axis=0)
    if has_labels:
        with pytest.raises(
            UserError, match="the labels of --teacher .* and the dataset .* not the same pictures"
        ):
            text(others)
    else:
        assert text(others).endswith("is it of other pictures, whose ids are the same?")
