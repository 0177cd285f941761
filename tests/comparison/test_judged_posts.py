"""Posts and labels of any source, those that have a picture in a place."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import four_taggers, small_dataset

from Utils.command.cli import UserError
from Utils.comparison import judged_posts
from Utils.images.places import open_place


@pytest.fixture
def judged(tmp_path):
    _, labels, ids = four_taggers.make(tmp_path, posts=12)
    place = open_place(tmp_path / "pictures")
    with (tmp_path / "labels.csv").open("a") as file:
        file.write("999999,blue_sky\n")
    return judged_posts.of_source(tmp_path / "labels.csv", place)[0], labels, ids, place


def test_labels_are_those_of_the_source(judged):
    posts, labels, ids, _ = judged
    assert posts.ids.tolist() == ids.tolist()
    assert posts.left_out == {"no picture in the place": 1}
    assert not posts.is_closed
    names = posts.tags["name"].tolist()
    columns = np.array([names.index(name) for name in four_taggers.TAGS])
    matrix = posts.matrix(np.arange(len(names)), columns)
    np.testing.assert_array_equal(matrix, labels)
    # Two rows that stand for one tag: it is true where either is.
    both = posts.matrix(
        np.where(np.arange(len(names)) == columns[1], columns[0], np.arange(len(names))), columns[:1]
    )
    np.testing.assert_array_equal(both[:, 0], labels[:, 0] | labels[:, 1])


def test_rows_are_selected_and_counted(judged):
    posts, labels, ids, place = judged
    few = posts.select(np.array([1, 4]), "why not")
    assert (few.ids.tolist(), few.left_out["why not"]) == (ids[[1, 4]].tolist(), 10)
    assert len(few.labels) == labels[[1, 4]].sum()
    assert few.digest(place) != posts.digest(place) == posts.digest(place)


def test_posts_of_a_dataset_are_those_of_its_splits_that_have_a_picture(tmp_path, capsys):
    folder = small_dataset(tmp_path, num_posts=60)
    table = pq.read_table(folder / "posts.parquet").to_pylist()
    rows = [row for row in table if row["split"] in ("validation", "test")]
    (tmp_path / "images" / rows[0]["path"]).unlink()
    place = open_place(tmp_path / "images")
    posts = judged_posts.of_dataset(folder, ["validation", "test"], place)
    assert posts.ids.tolist() == [row["post_id"] for row in rows[1:]] and posts.is_closed
    assert posts.paths == [row["path"] for row in rows[1:]]
    tags = np.arange(len(posts.tags))
    for row, labels in zip(rows[1:], posts.matrix(tags, tags), strict=True):
        assert np.flatnonzero(labels).tolist() == sorted(row["label_indexes"])
    assert "are other files" not in capsys.readouterr().err
    contents = pq.read_table(folder / "posts.parquet")
    others = pa.array(np.ones(len(contents), np.int64))  # what select_tags would have read
    pq.write_table(contents.append_column("picture", others), folder / "posts.parquet")
    judged_posts.of_dataset(folder, ["validation", "test"], place)
    count = len(rows) - 1
    assert f"{count} of {count} pictures looked at in {place} are other files" in capsys.readouterr().err
    with pytest.raises(UserError, match="none of .* posts of .*validation has a picture"):
        judged_posts.of_dataset(folder, ["validation"], open_place(folder))
    (folder / "posts.parquet").unlink()
    with pytest.raises(UserError, match=r"has no posts\.parquet.*name a source of labels with --labels"):
        judged_posts.of_dataset(folder, ["validation"], place)


def test_newer_posts_only(judged):
    posts, _, ids, _ = judged
    assert judged_posts.newer_than(posts, int(ids[3])).ids.tolist() == ids[4:].tolist()
    with pytest.raises(UserError, match=f"newer than {ids[-1]}; the newest is {ids[-1]}"):
        judged_posts.newer_than(posts, int(ids[-1]))


def test_posts_without_a_number_have_no_age(tmp_path):
    four_taggers.make(tmp_path, posts=3)
    for name in ("a", "b"):
        (tmp_path / "pictures/1000.png").with_name(f"{name}.png").write_bytes(
            (tmp_path / "pictures/1000.png").read_bytes()
        )
    for name in ("a", "b", "1000"):
        (tmp_path / "pictures" / f"{name}.txt").write_text("blue_sky, long hair\n")
    place = open_place(tmp_path / "pictures")
    posts, _ = judged_posts.of_source(tmp_path / "pictures", place)
    newer = judged_posts.newer_than(posts, 5)
    assert newer.left_out["no number of its own, so of unknown age"] == 2
    assert 1000 in newer.ids.tolist()
