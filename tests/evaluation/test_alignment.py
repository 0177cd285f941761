"""Dumps aligned by tag name and image id, and views of matrices."""

import dataclasses

import numpy as np
import pytest
from helpers.small_dumps import overlapping_dumps, write_dump

from Utils.command.cli import UserError
from Utils.evaluation import alignment, predictions, thresholds


@pytest.fixture
def pair(tmp_path):
    return overlapping_dumps(tmp_path)


def load(*folders):
    return [predictions.load(folder) for folder in folders]


def test_align_matches_tags_by_name_and_rows_by_id(pair):
    a, b, p, noisy, y, ids = pair
    aligned = alignment.align(load(a, b))
    assert aligned.tags["name"].to_list() == [
        f"tag {i}" for i in range(11) if f"tag {i}" in set(aligned.tags["name"])
    ]
    assert aligned.image_ids.tolist() == ids.tolist()
    assert np.array_equal(aligned.probabilities[0][:], p)
    assert np.array_equal(aligned.probabilities[1][:], noisy)
    assert np.array_equal(aligned.truth[:], y)
    assert aligned.dropped == [(11 - p.shape[1], 75 - p.shape[0]), (10 - p.shape[1], 70 - p.shape[0])]
    assert aligned.label_disagreements() == [0, 0]
    narrow = aligned.select_columns(np.array([3, 1]))
    assert np.array_equal(narrow.probabilities[1][5:9], noisy[5:9, [3, 1]])
    assert narrow.tags["name"].to_list() == [aligned.tags["name"][3], aligned.tags["name"][1]]


def test_tags_are_matched_in_any_spelling(tmp_path):
    p = np.float32([[0.1, 0.2, 0.3, 0.4]])
    ours = write_dump(tmp_path / "a", p, None, [1], ["long_hair", "Hat", "hat", "rei_(eva)"])
    theirs = write_dump(tmp_path / "b", p, None, [1], ["HAT", "rei \\(eva\\)", "Long hair", "hat"])
    aligned = alignment.align(load(ours, theirs))
    assert aligned.tags["name"].to_list() == ["long_hair", "hat", "rei_(eva)"]
    assert np.array_equal(aligned.probabilities[1][:], p[:, [2, 3, 1]])


def test_a_view_is_scored_like_the_array(pair):
    view = alignment.align(load(*pair[:2])).probabilities[1]
    assert len(view) == len(view[:])
    point = thresholds.p_equals_r(view, 100)
    assert point == thresholds.p_equals_r(pair[3], 100)


def test_one_dump_alone_comes_in_the_order_of_its_ids(tmp_path):
    p = np.float32([[0.1], [0.2], [0.3]])
    (dump,) = load(write_dump(tmp_path / "a", p, None, [30, 10, 20], ["x"]))
    aligned = alignment.align([dump])
    assert aligned.image_ids.tolist() == [10, 20, 30]
    assert aligned.probabilities[0][:].tolist() == p[[1, 2, 0]].tolist()


def test_dumps_without_ids_go_by_position(pair):
    a = dataclasses.replace(predictions.load(pair[0]), image_ids=None)
    assert alignment.align([a, a]).image_ids is None
    assert np.array_equal(alignment.align([a, a]).probabilities[1][:], a.probabilities)
    with pytest.raises(UserError, match="same rows"):
        alignment.align([a, dataclasses.replace(a, probabilities=a.probabilities[:5])])
    with pytest.raises(UserError, match="no image_ids"):
        alignment.align([a, predictions.load(pair[0])])


def test_a_view_is_read_in_slices_of_rows_in_any_order(tmp_path):
    whole = np.random.default_rng(0).random((40, 6), np.float32)
    np.save(tmp_path / "p.npy", whole)
    rows, columns = np.array([7, 8, 9, 0, 39, 38, 7]), np.array([5, 0])
    for matrix in (whole, np.load(tmp_path / "p.npy", mmap_mode="r")):
        view = alignment.MatrixView(matrix, rows, columns)
        assert view.shape == (7, 2)
        assert np.array_equal(view[:], whole[np.ix_(rows, columns)])
        assert np.array_equal(view[2:4], whole[np.ix_(rows[2:4], columns)])
        assert view[3:3].shape == (0, 2)
        assert np.array_equal(view.select_rows([6, 3])[:], whole[np.ix_(rows[[6, 3]], columns)])
        assert np.array_equal(view.select_columns(np.array([1]))[:], whole[np.ix_(rows, [0])])


def test_dumps_without_common_or_with_repeated_ids_are_refused(tmp_path):
    p = np.zeros((3, 2), np.float32)
    a, b, twice, again = load(
        write_dump(tmp_path / "a", p, None, [1, 2, 3], ["x", "y"]),
        write_dump(tmp_path / "b", p, None, [4, 5, 6], ["y", "z"]),
        write_dump(tmp_path / "twice", p, None, [1, 2, 3], ["x", "x"]),
        write_dump(tmp_path / "again", p, None, [1, 1, 3], ["x", "y"]),
    )
    for dumps, message in (((a, b), "no image is in all"), ((a, twice), "'x' occurs twice"),
                           ((a, again), "image 1 more than once")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            alignment.align(dumps)
    with pytest.raises(UserError, match="no tag in common"):
        alignment.align([a, dataclasses.replace(b, tags=b.tags.assign(name=["u", "v"]))])
    assert alignment.first_duplicate([3, 1, 3, 1, 2]) == (1, 2)
    assert alignment.first_duplicate([1, 2]) is None


def test_the_truth_is_that_of_the_first_labeled_dump_and_differences_are_counted(tmp_path):
    p, y = np.zeros((2, 2), np.float32), np.eye(2)
    dumps = load(
        write_dump(tmp_path / "a", p, None, [1, 2], ["x", "y"]),
        write_dump(tmp_path / "b", p, y, [2, 1], ["x", "y"]),
        write_dump(tmp_path / "c", p, y, [1, 2], ["x", "y"]),
    )
    aligned = alignment.align(dumps)
    assert np.array_equal(aligned.require_truth()[:], y[::-1])
    assert aligned.label_disagreements() == [0, 0, 4]
    unlabeled = alignment.align(dumps[:1])
    assert unlabeled.label_disagreements() == [0]
    with pytest.raises(UserError, match="none of the dumps has labels"):
        unlabeled.require_truth()


def test_tags_of_another_category_are_said(tmp_path, capsys):
    p, ids = np.float32([[0.1, 0.2]]), [1]
    first, second = (write_dump(tmp_path / name, p, None, ids, ["x", "y"]) for name in "ab")
    alignment.align(load(first, second))
    assert capsys.readouterr().err == ""
    text = (second / "selected_tags.csv").read_text().replace("x,0,", "x,4,")
    (second / "selected_tags.csv").write_text(text)
    alignment.align(load(first, second))
    error = capsys.readouterr().err
    assert "1 tag of another category than in the first dump" in error
    assert "'x' (general and character)" in error


def test_dumps_of_other_pictures_with_the_same_ids_are_refused(tmp_path):
    y = np.random.default_rng(0).random((100, 3)) < 0.4
    p, ids, names = np.float32(0.1 + 0.8 * y), np.arange(1, 101), ["a", "b", "c"]
    own, corrected, without = (
        predictions.load(write_dump(tmp_path / name, p, labels, ids, names))
        for name, labels in (("own", y), ("corrected", y | (p[::-1] > 0.5)), ("without", None))
    )
    other = predictions.load(write_dump(tmp_path / "other", p, y, np.roll(ids, 1), names))
    assert sum(alignment.align([without, own, corrected]).label_disagreements()) > 0
    with pytest.raises(UserError, match="own and .*other have the same post ids"):
        alignment.align([without, own, corrected, other])


def test_pictures_of_other_sizes_are_counted(tmp_path, capsys):
    p, names = np.full((3, 2), 0.5, np.float32), ["a", "b"]
    folders = [
        write_dump(tmp_path / name, p, None, [1, 2, 3], names) for name in ("first", "second", "third")
    ]
    for folder, sizes in zip(folders, ("10 20 30", "10 21 30", "x  30"), strict=True):
        lines = [f"{post},{post}.jpg,{size}\n" for post, size in enumerate(sizes.split(" "), 1)]
        (folder / "images.csv").write_text("".join(["post_id,path,bytes\n", *lines]))
    alignment.align(load(*folders))
    said = capsys.readouterr().err
    assert "second: 1 of 3 pictures have other sizes than in" in said and "third" not in said
