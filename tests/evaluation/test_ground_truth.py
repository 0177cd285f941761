"""Ground truth of posts: as labels of dumps, and as the findings that an audit of labels should have."""

import numpy as np
import pandas as pd
import pytest
from helpers.small_dumps import write_dump

from Utils.command.cli import UserError
from Utils.evaluation import alignment, ground_truth, predictions


@pytest.fixture
def dump(tmp_path):
    """Three posts; of `hat` the label of post 11 is missing."""
    p = np.float32([[0.9, 0.2], [0.8, 0.1], [0.3, 0.7]])
    return predictions.load(
        write_dump(tmp_path / "dump", p, [[1, 0], [0, 0], [0, 1]], [10, 11, 12], ["hat", "tree"])
    )


def test_ground_truth_is_read_as_tag_names_by_post(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("image_id,tags,note\n 7 ,hat tree,x\n8,,y\n")
    assert ground_truth.read(path) == {7: {"hat", "tree"}, 8: set()}
    path.write_text("image_id,tags\n7,cafe\u0301 hat\n")
    assert ground_truth.read(path) == {7: {"caf\u00e9", "hat"}}  # letters are composed
    path.write_text("image_id,tags\nseven,hat\n")
    with pytest.raises(UserError, match="'seven' is no post id"):
        ground_truth.read(path)
    path.write_text("post,tags\n7,hat\n")
    with pytest.raises(UserError, match="lacks the column image_id"):
        ground_truth.read(path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [("7,solo\n 07,hat\n", "post 7 stands there more than once"), ('7,"solo, hat"\n', "without commas")],
)
def test_a_truth_that_contradicts_itself_or_has_commas_is_refused(tmp_path, rows, says):
    (tmp_path / "truth.csv").write_text(f"image_id,tags\n{rows}")
    with pytest.raises(UserError, match=says):
        ground_truth.read(tmp_path / "truth.csv")


def test_the_truth_takes_the_place_of_labels_and_posts_that_it_lacks_go(dump):
    truth = {10: {"hat"}, 12: {"hat", "tree", "a tag that no model knows"}, 99: {"tree"}}
    aligned = ground_truth.with_true_labels(alignment.align([dump, dump]), truth)
    assert aligned.image_ids.tolist() == [10, 12]
    for labels, probabilities in zip(aligned.labels, aligned.probabilities, strict=True):
        assert labels[:].tolist() == [[True, False], [True, True]]
        assert np.array_equal(probabilities[:], dump.probabilities[[0, 2]])
    with pytest.raises(UserError, match="names none of the 3 image ids"):
        ground_truth.with_true_labels(alignment.align([dump]), {99: {"hat"}})


def test_missing_labels_are_true_tags_that_nobody_labeled(dump):
    truth = {10: {"hat"}, 11: {"hat", "tree", "unknown"}, 99: {"hat"}}
    assert ground_truth.missing_labels(dump, np.array([0, 1]), truth) == (
        {10, 11}, {(11, "hat"), (11, "tree")}
    )  # fmt: skip
    assert ground_truth.missing_labels(dump, np.array([1]), truth)[1] == {(11, "tree")}
    for other, message in (({99: {"hat"}}, "names none of the 3 posts"), ({10: {"hat"}}, "nothing to judge")):
        with pytest.raises(UserError, match=message):
            ground_truth.missing_labels(dump, np.array([0, 1]), other)


def test_the_ceiling_is_what_a_perfect_tagger_reaches(dump):
    both, hat = np.array([0, 1]), np.array([0])
    truth = {10: {"hat"}, 11: {"hat", "tree"}, 12: {"tree", "unknown"}}  # 4 are true, 2 are labeled
    assert ground_truth.ceiling(dump, both, truth) == 0.5
    assert ground_truth.ceiling(dump, hat, truth) == 0.5
    assert ground_truth.ceiling(dump, both, {10: {"hat"}, 12: {"tree"}}) == 1
    # Labels that are wrong cost as well: two are predicted, one of them is true.
    assert ground_truth.ceiling(dump, both, {10: {"hat"}, 11: set(), 12: set()}) == 0.5
    assert np.isnan(ground_truth.ceiling(dump, both, {99: {"hat"}}))


def test_no_choice_of_true_tags_beats_the_ceiling_on_average():
    """A perfect tagger that predicts as many tags as are labeled, which of the true ones by chance."""
    rng = np.random.default_rng(0)
    true = rng.random((400, 6)) < 0.3
    labels = true & (rng.random(true.shape) < 0.8)
    hits = []
    for _ in range(50):
        order = rng.permutation(np.flatnonzero(true))[: labels.sum()]
        hits.append(labels.ravel()[order].mean())  # precision, which is recall
    assert np.mean(hits) == pytest.approx(labels.sum() / true.sum(), abs=0.005)


FINDINGS = pd.DataFrame(
    {
        "tag": ["hat", "tree", "hat", "hat", "tree"],
        "post_id": [11, 10, 12, 11, 99],
        "label": [0, 0, 0, 1, 0],
        "score": [0.3, 0.2, 0.1, 0.0, 0.0],  # the lowest is the most doubtful
    }
)


def test_an_audit_is_scored_on_the_posts_that_the_truth_names():
    audit = ground_truth.score_audit(FINDINGS, {10, 11, 12}, {(11, "hat"), (12, "hat"), (12, "tree")})
    curve = audit.pop("curve")
    assert audit == {"missing": 3, "findings": 3, "found": 2, "recall": 2 / 3, "precision": 2 / 3}
    assert curve == [(1 / 3, 1), (1 / 3, 1 / 2), (2 / 3, 2 / 3)]


def test_an_audit_without_findings_has_no_precision():
    audit = ground_truth.score_audit(FINDINGS[:0], {10}, {(10, "hat")})
    assert (audit["recall"], audit["curve"]) == (0, [])
    assert np.isnan(audit["precision"])


def test_audits_are_compared_where_they_are_equally_precise():
    audit = ground_truth.score_audit(FINDINGS, {10, 11, 12}, {(11, "hat"), (12, "hat"), (12, "tree")})
    half = ground_truth.score_audit(FINDINGS[2:3], {12}, {(12, "hat"), (12, "tree")})
    compared = ground_truth.compare_audits(audit, half)
    assert "curve" not in compared
    assert compared["at_half"] == ground_truth.compare_audits(half) | {"recall_at_its_precision": 1 / 3}


def test_a_truth_of_other_pictures_with_the_same_ids_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    names, ids = [f"tag{number}" for number in range(4)], np.arange(1, 101)
    true = rng.random((100, 4)) < 0.4
    labels = true & (rng.random(true.shape) < 0.3)  # most are missing
    folder = write_dump(tmp_path / "labeled", np.float32(0.1 + 0.8 * true), labels, ids, names)
    dump, columns = predictions.load(folder), np.arange(4)
    own, other = (
        {int(post): {names[tag] for tag in np.flatnonzero(row)} for post, row in zip(ids, rows, strict=True)}
        for rows in (true, np.roll(true, 1, axis=0))
    )
    assert len(ground_truth.missing_labels(dump, columns, own)[0]) == 100
    assert len(ground_truth.with_true_labels(alignment.align([dump]), own).image_ids) == 100
    with pytest.raises(UserError, match="the truth and .*labeled have the same post ids"):
        ground_truth.missing_labels(dump, columns, other)
    with pytest.raises(UserError, match="the truth and the dumps have the same post ids"):
        ground_truth.with_true_labels(alignment.align([dump]), other)
